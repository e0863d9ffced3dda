"""The comparison of two generators: what both write for the same held-out prompts, and what it earns. It can be asked for more."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig

from skill_plugin import protocols
from skill_plugin.budget import Spending
from skill_plugin.errors import InvalidSkillError
from skill_plugin.graphs.evolution.rollout import Trial, generation_of
from skill_plugin.graphs.evolution.trials import Trials
from skill_plugin.graphs.finder import Finder
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.skills import skill_md
from skill_plugin.store import Draft

T = TypeVar("T")


@dataclass
class GeneratorGate:
    """Progress of a gate, for whoever shows it, and the texts that it looked at.

    Of `tasks` that were begun, `lost` holds those that could not be compared, each with its error; `solved` counts those of which
    every rollout before a revision passed: they are left out, unless `all_solved`. `compared` have a pair of rewards, of `drawn`
    texts of either generator together, after `looks` looks. Of `texts` that were tried, `unseen` were not shown by search for the
    task that they were tried on. Of `rollouts`, the token limit cut off the answer of `cut`.
    """

    tasks: int = 0
    solved: int = 0
    all_solved: bool = False
    compared: int = 0
    drawn: int = 0
    looks: int = 0
    texts: int = 0
    unseen: int = 0
    rollouts: int = 0
    cut: int = 0
    lost: list[dict[str, str]] = field(default_factory=list)
    candidate: list[Revision] = field(default_factory=list)
    live: list[Revision] = field(default_factory=list)
    spending: Spending | None = None


class LostError(Exception):
    """A task cannot be compared; says why. `stopped`: it was not run, because the whole gate has stopped."""

    def __init__(self, message: str, *, stopped: bool = False) -> None:
        super().__init__(message)
        self.stopped = stopped


@dataclass(eq=False)
class _Judge:
    """A held-out task that judges: the history that both generators get, what they wrote, and what each text earned."""

    task: Task
    first: Generation
    asked: int = 0
    candidate: list[Revision] = field(default_factory=list)
    live: list[Revision] = field(default_factory=list)
    rewards: dict[str, float] = field(default_factory=dict)

    def pair(self) -> tuple[float, float]:
        """Returns the mean reward of the live generator's texts and of the candidate's; one that is not a skill counts 0."""
        live, candidate = (
            fmean(0.0 if (text := _text(revision)) is None else self.rewards[text] for revision in revisions)
            for revisions in (self.live, self.candidate)
        )
        return live, candidate


class Comparison:
    """The pairs of one gate: each task's reward by generator, of all texts that were drawn so far.

    Args:
        tasks: The held-out tasks, in the order in which they are begun.
        trials: Runs the rollouts and asks the generators.
        writers: The candidate generator and the live one.
        finder: Asks search.
        tried_on: The task that texts are tried on, by the id of the one that they are written from, where it is another.
        rollouts: K, of each text.
        batch: How many further tasks are begun at once, at least, in the search for those that are not solved.
        config: For LangGraph.
        done: Is kept up to date.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        trials: Trials,
        writers: Sequence[protocols.Generator],
        finder: Finder,
        *,
        tried_on: Mapping[str, Task],
        rollouts: int,
        batch: int,
        config: RunnableConfig,
        done: GeneratorGate,
    ) -> None:
        self.waiting = list(tasks)
        self.trials, self._writers, self._finder, self._tried_on = trials, writers, finder, tried_on
        self._rollouts, self._batch, self._config, self.done = rollouts, batch, config, done
        self.begun: list[Task] = []
        """The tasks that were begun."""
        self._open: list[_Judge] = []
        self._solved: list[_Judge] = []
        self._ran: dict[tuple[str, str | None], asyncio.Task[Generation]] = {}

    @property
    def known(self) -> int:
        """How many different texts were tried, each for a task of its own."""
        return sum(len(judge.rewards) for judge in (*self._open, *self._solved))

    async def __call__(self, first: int, texts: int) -> list[tuple[float, float]]:
        """Draws texts until there are `first * texts` of either generator, of further tasks while there are some.

        Returns:
            `(live, candidate)` of the tasks that could be compared.
        """
        wanted = first * texts
        drawn = max(judge.asked for judge in self._open or self._solved) if self.known else texts
        await self._begin(max(wanted // drawn, 1))
        judges = (self._open or self._solved)[: max(wanted // drawn, 1)]
        each = max(drawn, min(texts, wanted // max(len(judges), 1)))
        tried = await _all(self._kept(judge.task, self._draw(judge, each)) for judge in judges)
        lost = [judge for judge, pair in zip(judges, tried, strict=True) if pair is None]
        if self.trials.stopped is None:
            self._open, self._solved = ([one for one in of if one not in lost] for of in (self._open, self._solved))
        pairs = [pair for pair in tried if pair is not None]
        self.done.compared, self.done.drawn = len(pairs), len(pairs) * each
        self.done.looks += 1
        return pairs

    async def _begin(self, wanted: int) -> None:
        """Begins tasks until so many are not solved before a revision, or none is left."""
        while self.waiting and len(self._open) < wanted and self.trials.stopped is None:
            missing = wanted - len(self._open)
            size = max(missing, self._batch) if self.begun else missing
            tasks, self.waiting = self.waiting[:size], self.waiting[size:]
            self.done.tasks += len(tasks)
            self.begun += tasks
            firsts = await _all(self._kept(task, self._first(task)) for task in tasks)
            for task, first in zip(tasks, firsts, strict=True):
                if first is not None:
                    solved = all(one.passed for one in first.rollouts)
                    (self._solved if solved else self._open).append(_Judge(task, first))
        self.done.solved, self.done.all_solved = len(self._solved), not self._open

    async def _kept(self, task: Task, work: Awaitable[T]) -> T | None:
        """Returns the result of a task's work; None if it is lost."""
        try:
            return await work
        except LostError as exc:
            if not exc.stopped:
                self.done.lost.append({"task": task.input, "error": str(exc)})
            return None

    async def _first(self, task: Task) -> Generation:
        return await self._under(task, await asyncio.to_thread(self._finder, task))

    async def _under(self, task: Task, skill: PinnedSkill | None) -> Generation:
        """K rollouts of a task under what search shows, run once for all who ask."""
        key = (task.id, skill["ref"] if skill else None)
        if key not in self._ran:
            self._ran[key] = asyncio.create_task(self._tried(task, skill, 0))
        return await self._ran[key]

    async def _draw(self, judge: _Judge, texts: int) -> tuple[float, float]:
        """Has both generators write until each was asked for so many texts, and tries what is new among them."""
        if texts > judge.asked:
            # `revise_prompt` refuses held-out tasks, which is right everywhere but here: nothing that is written is kept.
            shown = replace(judge.task, split="train")
            new = await _all(self._written(which, shown, judge.first, texts - judge.asked) for which in range(2))
            judge.asked = texts
            judge.candidate += new[0]
            judge.live += new[1]
        written = (*judge.candidate, *judge.live)
        if len({repr(revision.prompt) for revision in written if revision.prompt}) > 1:
            raise LostError("the two generators made different prompts of it, so their texts cannot be compared")
        texts_ = dict.fromkeys(text for revision in written if (text := _text(revision)) is not None)
        once = [text for text in texts_ if text not in judge.rewards]
        on = self._tried_on.get(judge.task.id, judge.task)
        rewards = await _all(self._worth(on, text, judge.first) for text in once)
        judge.rewards.update(zip(once, rewards, strict=True))
        return judge.pair()

    async def _written(self, which: int, task: Task, first: Generation, n: int) -> list[Revision]:
        of = ("candidate generator", "live generator")[which]
        try:
            written = await self.trials.written(self._writers[which], task, [first], n)
        except Exception as exc:  # one call that failed must not cost the others
            error = " ".join(f"{type(exc).__name__}: {exc}".split())[:500]
            self.trials.heard(error, of)
            raise LostError(f"the {of} failed: {error}") from exc
        if written is None:
            raise LostError(f"not run: {self.trials.stopped}", stopped=True)
        self.trials.heard(None, of)
        (self.done.candidate, self.done.live)[which].extend(written)
        return written

    async def _worth(self, task: Task, text: str, first: Generation) -> float:
        """Returns the mean reward of a text in place of the skill that it revises, reached through search."""
        if text == first.text:  # a copy is worth what is live
            return _mean_reward(await self._first(task))
        shown = await asyncio.to_thread(lambda: self._finder(task, instead=Draft(text, first.skill)))
        self.done.texts += 1
        if shown is not None and shown["text"] == text:
            return _mean_reward(await self._tried(task, shown, 1))
        self.done.unseen += 1
        return _mean_reward(await self._under(task, shown))

    async def _tried(self, task: Task, skill: PinnedSkill | None, generation: int) -> Generation:
        """K rollouts that all have a verdict."""
        run = dict(self.trials.run_for(f"gate:{task.id}", task))
        trials = [Trial(run=run, skill=skill, generation=generation, k=k) for k in range(self._rollouts)]
        tried = await _all(self.trials.run(trial, self._config) for trial in trials)
        for one in tried:
            error = one["error"] if one["rollout"] is None else _without_verdict(one["rollout"])
            if error is not None or one["rollout"] is None:
                raise LostError(error or f"not run: {self.trials.stopped}", stopped=error is None)
        ran = generation_of(generation, tried)
        self.done.rollouts += len(ran.rollouts)
        self.done.cut += sum(one.is_cut for one in ran.rollouts)
        return ran


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """Returns all results. An error is raised when all have ended, so that nothing is still called, or paid for, after it."""
    results = await asyncio.gather(*work, return_exceptions=True)
    ended: list[T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        ended.append(result)
    return ended


def _mean_reward(tried: Generation) -> float:
    return fmean(one.reward for one in tried.rollouts if one.reward is not None)


def _without_verdict(rollout: dict[str, Any]) -> str | None:
    return (rollout["error"] or "the verifier gave no verdict") if rollout["reward"] is None else None


def _text(revision: Revision) -> str | None:
    """Returns the skill that a revision is; None if it is not one."""
    if revision.text is None or revision.error is not None:
        return None
    try:
        skill_md.parse(revision.text)
    except InvalidSkillError:
        return None
    return revision.text
