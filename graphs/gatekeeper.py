"""The gate inside `evolve`: a candidate against what users get today, on held-out tasks of the family."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from langchain_core.runnables import RunnableConfig

from skill_plugin.gate import GateDecision, paired_gate
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.rollout import Trial
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.graphs.trials import Trials
from skill_plugin.records import Rollout, Task
from skill_plugin.store import SkillStore

Finds = Callable[[Task], PinnedSkill | None]


class Gatekeeper:
    """Decides whether a staged version goes live, and does it.

    Every rollout of a text on a task is run once, whichever lineage asks first. Decisions of one family wait for each other:
    each is made against what is live at that moment, so of two that were written side by side the second must beat the first.

    Args:
        store: The library.
        trials: Runs rollouts.
        judges: Held-out tasks by family.
        finds: What retrieval shows a task today.
        run_id: Of this `evolve`.
        decided: What earlier starts decided, by `skill_id@version`.
        past: What earlier starts recorded of a run, by its id.
        on_decision: Hears of every decision.
    """

    def __init__(
        self,
        store: SkillStore,
        trials: Trials,
        judges: Mapping[str, Sequence[Task]],
        *,
        finds: Finds,
        run_id: str,
        decided: Mapping[str, GateDecision],
        past: Callable[[str], Sequence[Rollout]],
        on_decision: Callable[[str, GateDecision], None] | None = None,
    ) -> None:
        self._store = store
        self._trials = trials
        self._judges = judges
        self._finds = finds
        self._run_id = run_id
        self._decided = dict(decided)
        self._past = past
        self._on_decision = on_decision
        self._replays: dict[str, asyncio.Task[float | None]] = {}
        self._families: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def by(self) -> str:
        """Whom the skill's history names."""
        return gate_name(self._run_id)

    @property
    def stopped(self) -> bool:
        return self._trials.stopped is not None

    async def decide(self, task: Task, ref: str, config: RunnableConfig) -> GateDecision | None:
        """What becomes of a version that did better on its own task; None without other tasks to judge it by."""
        judges = self._judges.get(task.family, ())
        if not judges:
            return None
        if ref in self._decided:
            return self._decided[ref]
        skill = self._store.get(ref)
        candidate = PinnedSkill(ref=ref, name=skill.name, text=skill.text, score=None, why={})
        after = await self._rewards([(judge, candidate) for judge in judges], config)
        async with self._families[task.family]:
            if ref in self._decided:
                return self._decided[ref]
            today = await asyncio.to_thread(lambda: [(judge, self._finds(judge)) for judge in judges])
            before = await self._rewards(today, config)
            if self.stopped:  # a decision on half of the tasks would be kept
                return None
            pairs = [(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
            decision = paired_gate([b for b, _ in pairs], [a for _, a in pairs])
            await self._trials.recorder.call(lambda: self._keep(ref, decision))
            self._decided[ref] = decision
        emit("gated", {"skill": ref, **decision.to_json()}, skill=ref, **decision.to_json())
        if self._on_decision:
            self._on_decision(ref, decision)
        return decision

    def _keep(self, ref: str, decision: GateDecision) -> None:
        if decision.promote:
            self._store.promote(ref, by=self.by, decision=decision)
        else:
            self._store.refuse(ref, by=self.by, decision=decision)

    async def _rewards(
        self, work: Sequence[tuple[Task, PinnedSkill | None]], config: RunnableConfig
    ) -> list[float | None]:
        return await asyncio.gather(*(self._replay(task, skill, config) for task, skill in work))

    async def _replay(self, task: Task, skill: PinnedSkill | None, config: RunnableConfig) -> float | None:
        run_id = f"{self._run_id}:gate:{skill['ref'] if skill else 'none'}:{task.id}"
        if run_id not in self._replays:
            self._replays[run_id] = asyncio.create_task(self._run(run_id, task, skill, config))
        return await self._replays[run_id]

    async def _run(self, run_id: str, task: Task, skill: PinnedSkill | None, config: RunnableConfig) -> float | None:
        past = self._past(run_id)
        trial = Trial(run=dict(self._trials.run_for(run_id, task)), skill=skill, generation=0, k=0)
        tried = await self._trials.run(trial, config, past[0] if past else None)
        return tried["rollout"]["reward"] if tried["rollout"] else None


def gate_name(run_id: str) -> str:
    return f"evolve {run_id}"
