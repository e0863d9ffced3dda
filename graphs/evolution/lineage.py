"""One task's lineage: generations of texts, each tried on the task and on its siblings, the best judged by the gate.

All effects go through `Trials`, `Replays`, `Gatekeeper` and the store's own keys, so that a lineage that is run again after a
kill repeats its decisions from what is recorded and pays only for what is not.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from langchain_core.runnables import RunnableConfig

from skill_plugin.credit import LEAST_SIBLINGS
from skill_plugin.generators.minibatch import MAX_OTHERS, minibatch
from skill_plugin.generators.prompt import SAME_TEXT
from skill_plugin.graphs.evolution.families import Family
from skill_plugin.graphs.evolution.functions import LineageFunctions
from skill_plugin.graphs.evolution.rollout import Trial, TrialResult
from skill_plugin.graphs.evolution.shared import Shared
from skill_plugin.graphs.evolution.variants import NOT_FOUND, Variant, fails
from skill_plugin.graphs.state import PinnedSkill, pinned
from skill_plugin.records import Generation, Rollout, Task
from skill_plugin.store import StagedRevision, TextWorth

GENERATOR = "generator"

AGREE = 2
"""Rollouts that are enough where they agree."""

PATIENCE = 2
"""Generations that a lineage writes before another of its family has its turn."""

OTHERS = 4
"""Failing train tasks beside the siblings that the gate counts repairs of, at most."""

SAID_BEFORE = "the text was written for this task before; change it"

REPEATS = 2
"""Prompts answered with texts of before that end a lineage: its generator has nothing new to say."""

JUDGED = 2
"""Candidates of a generation that go to the gate, at most."""


class Lineage:
    """The lineage of one task.

    `first` is its generation 0, `best` the text that it stands by: what is live, or where nothing can go live what is worth
    most. `failed` says why it could not go on.

    Args:
        shared: What it shares with the others.
        task: The task.
        run_id: Its run.
        family: The lineages of its family.
        recorded: Rollouts of its run that an earlier start recorded.
        config: For LangGraph.
    """

    def __init__(
        self,
        shared: Shared,
        task: Task,
        *,
        run_id: str,
        family: Family,
        recorded: Sequence[Rollout],
        config: RunnableConfig,
    ) -> None:
        self.first: Variant | None = None
        self.best: Variant | None = None
        self.failed: str | None = None
        self._shared, self._settings, self._task, self._run_id = shared, shared.settings, task, run_id
        self._family, self._config, self._functions = family, config, LineageFunctions(shared, run_id)
        self._recorded = {(one.generation, one.k): one for one in recorded}
        self._siblings: list[Task] | None = None
        self._error: str | None = None
        self._ended = False
        self._read: set[str] = set()
        self._past: list[Variant | Generation] = []
        self._number = self._repeats = 0

    async def __call__(self) -> None:
        """Runs the lineage to its end, in a place that its family has given it."""
        begins = await self._begins()
        # Adaptive runs measure the lift of what is live at the end instead.
        controls = 0 if self._settings.adaptive else self._settings.controls
        self.first = self.best = await self._tried(begins, 0, 0, controls=controls)
        if self.first is None:
            self.failed = None if self._stopped else self._error
            return
        self._past.append(self.first)
        if self.first.solves:
            await self._family.widen()
        while not self._done():
            self._family.narrow()
            live = self._family.live
            if not await self._looked_again():
                async with self._family.turn(live) as mine:
                    if mine:
                        await self._revised()
        await self._functions.end()

    def _done(self) -> bool:
        solved = self.best is not None and self.best.solves and self._settings.stop_when_solved
        last = self._ended or self._number >= self._settings.generations
        return solved or last or self.best is None or self.failed is not None or self._stopped

    @property
    def solved(self) -> bool:
        """Returns whether every rollout under its best text passed."""
        return self.best is not None and self.best.solves

    @property
    def _stopped(self) -> bool:
        return self._shared.trials.stopped is not None

    # Generation 0, and what others have made live

    async def _begins(self) -> PinnedSkill | None:
        """Returns the skill that it began with at an earlier start, else what search finds."""
        began = next((one for (number, _), one in self._recorded.items() if number == 0 and one.arm == "skill"), None)
        if began is None:
            return await asyncio.to_thread(self._shared.finder, self._task)
        ref = began.skill
        return None if ref is None else await asyncio.to_thread(lambda: pinned(self._shared.store.get(ref)))

    async def _looked_again(self) -> bool:
        """Tries what has gone live since; returns whether there was anything new."""
        if not self._family.judged:
            return False
        shown = await asyncio.to_thread(self._shared.finder, self._task)
        known = {one.ref for one in self._past if isinstance(one, Variant)}
        if shown is None or shown["ref"] in known or self._stopped:
            return False
        least = min(AGREE, self._settings.rollouts)
        own = await self._shared.replays.run(self._task, shown, "later", self._config, n=least)
        self.best = Variant(shown, self._number, own)
        self._past.append(self.best)
        return True

    async def _revised(self) -> None:
        """Writes a few generations, until something goes live by this lineage or by another."""
        for _ in range(PATIENCE):
            if self._done() or await self._looked_again():
                return
            parent = self._parent()
            await self._look_ahead(parent)
            history, also = await self._reading(parent)
            if parent.solves and not also and self._settings.stop_when_solved:
                self._ended = True  # nothing that fails is left to write from
                return
            self._number += 1
            fresh = await self._generation(parent, history, also)
            if await self._judged(fresh):
                return
            if not fresh and self._repeats >= REPEATS and self._settings.stop_when_solved:
                self._ended = True
                return
        await self._family.widen()

    def _parent(self) -> Variant:
        """Returns the variant that is revised next."""
        variants = [one for one in self._past if isinstance(one, Variant) and one.rejected is None]
        generations = [one.generation(self._settings.weights) for one in variants]
        judged = [one for one in generations if one.mean_reward is not None]
        if not judged:
            return variants[-1]
        chosen = self._settings.select(judged, f"{self._run_id}:{self._number - 1}")
        return next(one for one, seen in zip(variants, generations, strict=True) if seen is chosen)

    async def _generation(self, parent: Variant, history: Sequence[Generation], also: Sequence[Task]) -> list[Variant]:
        """Has candidates written from one prompt and tries them: one at first where that may be enough, else all."""
        wanted, first = self._settings.candidates, 1 if self._settings.adaptive else self._settings.candidates
        fresh, written = await self._written(parent, history, also, first, [])
        helps = any(one.helps(parent, self._settings.weights) for one in fresh)
        if written == first < wanted and not helps and not self._stopped and self.failed is None:
            more, _ = await self._written(parent, history, also, wanted - first, fresh)
            fresh += more
        self._past += fresh
        return fresh

    async def _written(
        self, parent: Variant, history: Sequence[Generation], also: Sequence[Task], n: int, before: Sequence[Variant]
    ) -> tuple[list[Variant], int]:
        """Returns `n` more candidates of the generation, tried, and how many texts were written."""
        first = len(before) and 1
        staged = await self._staged(parent, history, also, n, first)
        if staged is None:
            return [], 0
        wrote = {skill.ref: pinned(skill) for _, skill in staged if skill is not None}
        again = [one for one in (*self._past, *before) if isinstance(one, Variant) and one.ref in wrote]
        new = [skill for ref, skill in wrote.items() if ref not in {one.ref for one in again}]
        errors = [revision.error for revision, _ in staged if revision.error]
        if not errors and not new:
            errors = [SAME_TEXT if [*wrote] == [parent.ref] else SAID_BEFORE]
            self._repeats += 1
        self._past += [
            Generation(number=self._number, text=None, skill=parent.ref, error=error) for error in dict.fromkeys(errors)
        ]
        tried = await asyncio.gather(
            *(self._tried(skill, self._number, len(before) + at) for at, skill in enumerate(new))
        )
        fresh = [one for one in tried if one is not None]
        await asyncio.gather(*(self._look_ahead(one) for one in fresh))
        await self._noted(parent, [*fresh, *again])
        return fresh, len(staged)

    async def _staged(
        self, parent: Variant, history: Sequence[Generation], also: Sequence[Task], n: int, first: int
    ) -> list[StagedRevision] | None:
        """Returns `n` candidates, those of an earlier start where there are any; None where none could be written."""
        shared, group_id = self._shared, f"{self._run_id}:{self._number}"
        if shared.resumed:
            staged = await shared.trials.recorder.call(lambda: shared.store.runs.staged(group_id))
            if staged[first:]:
                return staged[first : first + n]
        try:
            proposed = await shared.trials.written(shared.writer, self._task, history, n)
        except Exception as exc:  # noqa: BLE001 - one lineage that cannot go on must not cost the others
            error = " ".join(f"{type(exc).__name__}: {exc}".split())[:500]
            shared.trials.heard(error, GENERATOR)
            self.failed = f"the generator failed: {error}"
            return None
        if proposed is None:
            return None
        shared.trials.heard(None, GENERATOR)
        proposed = await self._functions.tested(proposed, history[-1], parent.ref)
        staged = await shared.trials.recorder.call(
            lambda: shared.store.runs.stage(
                shared.trials.logged(self._task),
                proposed,
                run_id=self._run_id,
                group_id=group_id,
                generation=self._number,
                parent=parent.ref,
                also=[shared.trials.logged(task) for task in also],
                first=first,
            )
        )
        await self._functions.allow(staged)
        shared.trials.on_proposed(len(staged), sum(revision.error is not None for revision, _ in staged))
        return staged

    async def _reading(self, parent: Variant) -> tuple[list[Generation], list[Task]]:
        """Returns the history that the generator reads, the text that is revised last, and the further tasks in it."""
        own = [
            one.generation(self._settings.weights) if isinstance(one, Variant) else one
            for one in self._past
            if one is not parent
        ]
        own.append(replace(parent.generation(self._settings.weights), rejected=None))
        own = await self._functions.shown(own, [one for one in self._past if isinstance(one, Variant)])
        failing = await self._failing(parent)
        history = minibatch(self._task, own, failing, self._family.refused)
        shown = {one.task for one in history if one.task is not None and one.rejected is None}
        also = [task for task, _ in failing if task.input in shown]
        self._read.update(task.id for task in also)
        return history, also

    async def _failing(self, parent: Variant) -> list[tuple[Task, Sequence[Rollout]]]:
        """Returns further train tasks of the family that fail under the text that is revised, with their rollouts.

        Never siblings: a text is not judged on a task that its generator has read.
        """
        wanted = min(MAX_OTHERS, self._settings.minibatch - 1)
        if not wanted:
            return []
        used = {self._task.id, *(one.id for one in await self._judging_tasks())}
        others = [task for task in self._family.after(self._task) if task.id not in used]
        known = [(task, await self._shared.replays.known(task, parent.skill)) for task in others]
        failing = [(task, rollouts) for task, rollouts in known if fails(rollouts)]
        missing = [task for task, rollouts in known if not rollouts][: max(0, wanted - len(failing))]
        tried = await asyncio.gather(
            *(self._shared.replays.run(task, parent.skill, "later", self._config) for task in missing)
        )
        return failing + [(task, rollouts) for task, rollouts in zip(missing, tried, strict=True) if fails(rollouts)]

    async def _tried(self, skill: PinnedSkill | None, number: int, place: int, *, controls: int = 0) -> Variant | None:
        """Tries a text on the lineage's task, as often as its rollouts differ; None where every call failed.

        Args:
            skill: The text.
            number: Its generation.
            place: Its place among the generation's candidates.
            controls: Rollouts without it.
        """
        at, most = place * self._settings.rollouts, self._settings.rollouts
        few = min(AGREE, most) if self._settings.adaptive else most
        tried = await asyncio.gather(
            *(self._trial(skill, number, at + k) for k in range(few)),
            *(self._control(skill, most + k) for k in range(controls) if skill is not None),
        )
        rewards = {one.reward for one in tried[:few] if one is not None}
        if few < most and (len(rewards) != 1 or None in tried[:few]):
            tried += await asyncio.gather(*(self._trial(skill, number, at + k) for k in range(few, most)))
        rollouts = [one for one in tried if one is not None]
        return Variant(skill, number, rollouts) if rollouts or not tried else None

    async def _trial(self, skill: PinnedSkill | None, number: int, k: int) -> Rollout | None:
        return await self._run(Trial(run=self._run_of_task(), skill=skill, generation=number, k=k))

    async def _control(self, withheld: PinnedSkill | None, k: int) -> Rollout | None:
        run = {**self._run_of_task(), "arm": "control", "withheld": withheld and withheld["ref"]}
        return await self._run(Trial(run=run, skill=None, generation=0, k=k))

    async def _run(self, trial: Trial) -> Rollout | None:
        known = self._recorded.get((trial["generation"], trial["k"]))
        tried: TrialResult = await self._shared.trials.run(trial, self._config, known)
        if tried["rollout"] is None:
            self._error = tried["error"]
            return None
        rollout = Rollout.from_json(tried["rollout"])
        if known is None and rollout.arm == "skill":
            self._shared.replays.keep(self._task.id, [rollout])
        return rollout

    def _run_of_task(self) -> dict[str, object]:
        return dict(self._shared.trials.run_for(self._run_id, self._task))

    async def _judging_tasks(self) -> list[Task]:
        if self._siblings is None:
            self._siblings = await asyncio.to_thread(self._shared.siblings, self._task)
        return self._siblings

    async def _look_ahead(self, variant: Variant) -> None:
        """Runs the siblings under what they would be shown if the text were live."""
        siblings = await self._judging_tasks()
        if variant.later or not siblings or self._stopped:
            return
        finder, ref = self._shared.finder, variant.ref
        shown = await asyncio.to_thread(lambda: [finder(task, instead=ref) for task in siblings])
        variant.found = sum(one is not None and one["ref"] == ref for one in shown)
        rollouts = await asyncio.gather(
            *(
                self._shared.replays.run(task, one, "later", self._config)
                for task, one in zip(siblings, shown, strict=True)
            )
        )
        variant.later = {task.content_hash: found for task, found in zip(siblings, rollouts, strict=True)}
        variant.called = await self._functions.called(variant, siblings)

    async def _noted(self, parent: Variant, variants: Sequence[Variant]) -> None:
        """Writes what each text was worth into its history."""
        credit, none = self._settings.weights, {}
        for task in await self._judging_tasks():
            none[task.content_hash] = await self._shared.replays.known(task, None)
        worth = [
            TextWorth(one.ref, one.said(credit, parent), one.evidence(self._task, credit, parent, none))
            for one in variants
            if one.ref is not None
        ]
        if worth and not self._stopped:
            await self._shared.trials.recorder.call(
                lambda: self._shared.store.runs.evolve.log_worth(self._shared.by, worth)
            )

    async def _judged(self, fresh: Sequence[Variant]) -> bool:
        """Takes the candidates that are worth more than the best so far to the gate; returns whether one went live."""
        if self._stopped or self.best is None:
            return False
        await self._look_ahead(self.best)
        credit, siblings = self._settings.weights, await self._judging_tasks()
        for one in fresh if len(siblings) >= LEAST_SIBLINGS else ():
            if one.later and one.found == 0:
                self._reject(one, NOT_FOUND.format(found=0, asked=len(siblings)))
        bar = self.best.merit(credit)
        rivals = [one for one in fresh if one.rejected is None and one.merit(credit) > bar]
        for rival in sorted(rivals, key=lambda one: one.merit(credit), reverse=True)[:JUDGED]:
            assert rival.ref is not None  # noqa: S101 - what was written has a version
            others = [*siblings, *self._others_that_fail()]
            decision = await self._shared.gate.decide(self._task, rival.ref, others, self._config)
            if self._shared.gate.stopped:
                return False
            if decision is None:
                self.best = rival
                return False
            if decision.promote:
                self.best = rival
                await self._family.went_live(rival.ref)
                return True
            self._reject(rival, decision.reason, known=not decision.unseen)
        return False

    def _others_that_fail(self) -> list[Task]:
        """Returns train tasks that fail today and that no prompt of this lineage has shown, beside the siblings."""
        ref = self.best.ref if self.best else None
        known = {self._task.id, *self._read, *(one.id for one in self._siblings or ())}
        others = (task for task in self._family.after(self._task) if task.id not in known)
        return list(islice((task for task in others if self._shared.replays.fails(task, ref)), OTHERS))

    def _reject(self, variant: Variant, reason: str, *, known: bool = True) -> None:
        """Keeps a text from being revised further, and shows it to every lineage of the family if more is known against it."""
        variant.rejected = reason
        if not known:
            return
        refused = replace(variant.generation(self._settings.weights), rollouts=(), task=self._task.input)
        self._family.refused.append(refused)
