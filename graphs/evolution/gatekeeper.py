"""The gate inside `evolve`: what users would get if a candidate were live, beside what they get today, on held-out tasks."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from langchain_core.runnables import RunnableConfig

from skill_plugin.gates.decision import GateDecision
from skill_plugin.gates.judges import draw_judges
from skill_plugin.gates.versions import PAIRED
from skill_plugin.graphs.evolution.replays import Replays
from skill_plugin.graphs.evolution.trials import Trials
from skill_plugin.graphs.finder import Finder, ShownSkills
from skill_plugin.graphs.pairs import Lapses, Pairs, decide_on, found_elsewhere, keep_decision, run_pairs, tell
from skill_plugin.graphs.staging import scripts_of
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.protocols import GateRule
from skill_plugin.records import Purpose, Rollout, Task, sha256
from skill_plugin.store import SkillStore

ELSEWHERE = 8
"""Held-out tasks of each other family that are asked whether they would be shown the candidate."""


CLEAR = 2
"""Repairs without a regression among the first judges that make the others unnecessary."""


class Gatekeeper:
    """Decides whether a staged version goes live, and makes it so.

    The version is judged as if it were live, through search: a task for which search would not show it stays as it is today.
    A text that was refused and is written again from another task is judged again, by other judges: the first ones may have
    been unable to see what it repairs. Every rollout of a text on a task is run once, whichever lineage asks first. Decisions of one family wait for each other:
    each is made against what is live at that moment, so of two that were written side by side the second must beat the first.

    Args:
        store: The library.
        trials: Says whether everything is stopped, and writes.
        replays: Runs texts on tasks.
        finder: Says what a run is shown.
        judges: Held-out tasks by family.
        most: How many of a family judge one decision, at most.
        by: The name recorded as the author of gate decisions.
        covered: How often earlier runs' decisions asked each held-out task, by content hash.
        decided: Decisions of an earlier, interrupted start, by `skill_id@version`.
        rule: What is asked of the pairs. Where it is not a strict paired gain, every judge is asked, both ways.
        on_decision: Is told of every decision.
    """

    def __init__(
        self,
        store: SkillStore,
        trials: Trials,
        replays: Replays,
        finder: Finder,
        judges: Mapping[str, Sequence[Task]],
        *,
        most: int,
        by: str,
        covered: Mapping[str, int],
        decided: Sequence[tuple[str, GateDecision]],
        rule: GateRule,
        on_decision: Callable[[str, GateDecision], None],
    ) -> None:
        self._store = store
        self._trials = trials
        self._replays = replays
        self._finder = finder
        self._judges = judges
        self._most = most
        self._by = by
        self._decided = {(ref, decision.task): decision for ref, decision in decided}
        self._on_decision = on_decision
        self._rule = rule
        self._covered = Counter(covered)
        for _, decision in decided:
            self._covered.update(decision.judges)
        self._families: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def stopped(self) -> bool:
        return self._trials.stopped is not None

    async def decide(self, task: Task, ref: str, others: Sequence[Task], config: RunnableConfig) -> GateDecision | None:
        """Decides on a version that is worth more than what is live; None without held-out tasks or when stopped.

        Args:
            task: The task that it was written from.
            ref: `skill_id@version`.
            others: Train tasks of the family that its generator did not read.
            config: For LangGraph.
        """
        if not self._most or not self._judges.get(task.family):
            return None
        async with self._families[task.family]:
            if known := self._decided.get((ref, task.content_hash)):
                return known
            decision = await self._judged(task, ref, others, config)
            if decision is None:
                return None
            await self._trials.recorder.call(lambda: keep_decision(self._store, ref, decision, by=self._by))
            self._decided[ref, task.content_hash] = decision
        tell(ref, decision)
        self._on_decision(ref, decision)
        return decision

    async def _judged(
        self, task: Task, ref: str, others: Sequence[Task], config: RunnableConfig
    ) -> GateDecision | None:
        """Runs what the decision needs; None when stopped, because a decision on half of the tasks would be kept."""
        text = await asyncio.to_thread(lambda: self._store.get(ref).text)
        judges = draw_judges(
            self._judges[task.family], self._most, self._covered, seed=f"{task.content_hash} {sha256(text)}"
        )
        shown = await asyncio.to_thread(lambda: [self._finder.shows(judge, ref) for judge in judges])
        lapses = Lapses()
        asked, pairs = await self._looked(shown, config, lapses)
        train, taken, easy = 0, Pairs(), 0
        if not any(a > b for b, a in pairs):
            train = await self._train_repairs(ref, others, config)
        has_functions = bool(await asyncio.to_thread(scripts_of, self._store, ref))
        if train > 0 or has_functions or any(a > b for b, a in pairs) or self._rule is not PAIRED:
            pairs = await self._both(asked, config, lapses)
            others_of = [
                one for name, known in self._judges.items() if name != task.family for one in known[:ELSEWHERE]
            ]
            elsewhere = await asyncio.to_thread(found_elsewhere, self._finder, others_of, ref)
            taken = await self._both(elsewhere, config, lapses)
        else:  # the judges that are solved today could only make the refusal clearer
            easy = len(shown) - len(pairs)
        if self.stopped:
            return None
        saved = await self._saved(asked) if has_functions else 0.0
        self._covered.update(one.task.content_hash for one in asked)
        return await asyncio.to_thread(
            lambda: decide_on(
                ref,
                shown,
                pairs,
                finder=self._finder,
                like=[task],
                elsewhere=taken,
                rule=self._rule,
                lapses=lapses,
                train_repairs=train,
                saved=saved,
                easy=easy,
                judges=[one.task.content_hash for one in asked],
                task=task.content_hash,
            )
        )

    async def _looked(
        self, shown: Sequence[ShownSkills], config: RunnableConfig, lapses: Lapses
    ) -> tuple[Sequence[ShownSkills], Pairs]:
        """Looks at 2, 4, 8, ... judges until they are clear; returns those that were asked and their rewards.

        Where not even all of them are clear, only those that are not solved today have been run under the candidate.
        """
        at = CLEAR
        while at < len(shown) and self._rule is PAIRED:
            pairs = await self._both(shown[:at], config, lapses)
            if _clear(pairs):
                return shown[:at], pairs
            at *= 2
        return shown, await self._pairs(shown, config, lapses, hard=True)

    async def _both(
        self, shown: Sequence[ShownSkills], config: RunnableConfig, lapses: Lapses, purpose: Purpose = "gate"
    ) -> Pairs:
        """Returns the rewards today and then, first of the tasks that are not solved today."""
        return [
            pair
            for hard in (True, False)
            for pair in await self._pairs(shown, config, lapses, hard=hard, purpose=purpose)
        ]

    async def _pairs(
        self,
        shown: Sequence[ShownSkills],
        config: RunnableConfig,
        lapses: Lapses,
        *,
        hard: bool,
        purpose: Purpose = "gate",
    ) -> Pairs:
        """Returns the rewards today and then, of the tasks that have a verdict both ways.

        Args:
            shown: The tasks.
            config: For LangGraph.
            lapses: Notes which have none.
            hard: Of those that are not solved today, else of those that are.
            purpose: What the rollouts are run for.
        """

        async def run(task: Task, skill: PinnedSkill | None) -> float | None:
            rollouts = await self._replays.run(task, skill, purpose, config)
            lapses.note(task, rollouts)
            return _reward(rollouts)

        return await run_pairs(run, shown, hard=hard)

    async def _saved(self, shown: Sequence[ShownSkills]) -> float:
        """Returns the share of the tokens that judges take less as they would be than today; 0 where they are not known."""
        before = after = 0.0
        for one in shown:
            today, then = [_tokens(await self._replays.known(one.task, skill)) for skill in (one.today, one.then)]
            if today is not None and then is not None:
                before, after = before + today, after + then
        return 1 - after / before if before else 0.0

    async def _train_repairs(self, ref: str, others: Sequence[Task], config: RunnableConfig) -> int:
        """Returns how many failing train tasks the candidate repairs, less those that it breaks.

        One rollout may pass by chance, so a repair counts only if it is repeated.
        """
        shown = await asyncio.to_thread(lambda: [self._finder.shows(task, ref) for task in others])
        pairs = await self._both(shown, config, Lapses(), "later")
        if sum(b < a for b, a in pairs) <= sum(b > a for b, a in pairs):
            return 0
        again = await asyncio.gather(
            *(
                self._replays.run(one.task, skill, "later", config, n=2)
                for one in shown
                for skill in (one.today, one.then)
            )
        )
        both = [(_reward(before), _reward(after)) for before, after in zip(again[::2], again[1::2], strict=True)]
        repaired = sum(b is not None and b < 1 and a == 1 for b, a in both)
        return repaired - sum(b is not None and a is not None and a < b for b, a in both)


def _clear(pairs: Sequence[tuple[float, float]]) -> bool:
    """Returns whether so few judges are enough: two repairs and no regression are more than a gain over all of them asks for."""
    return sum(a > b for b, a in pairs) >= CLEAR and not any(a < b for b, a in pairs)


def gate_name(run_id: str) -> str:
    return f"evolve {run_id}"


def _tokens(rollouts: Sequence[Rollout]) -> float | None:
    """Returns the mean number of tokens; None where no rollout knows."""
    known = [(one.input_tokens or 0) + (one.output_tokens or 0) for one in rollouts if one.input_tokens is not None]
    return sum(known) / len(known) if known else None


def _reward(rollouts: Sequence[Rollout]) -> float | None:
    """Returns the mean reward; None where no rollout has a verdict."""
    rewards = [one.reward for one in rollouts if one.reward is not None]
    return sum(rewards) / len(rewards) if rewards else None
