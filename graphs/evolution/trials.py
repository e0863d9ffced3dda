"""Running rollouts side by side: a limit, a budget, a memory of what ran already, and an end when the model is gone."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig

from skill_plugin import protocols
from skill_plugin.budget import Spending
from skill_plugin.generators import read
from skill_plugin.graphs.evolution.recorder import Recorder
from skill_plugin.graphs.evolution.rollout import Trial, TrialResult, begun, ended, failed, tried
from skill_plugin.graphs.nodes.node import SkillNode
from skill_plugin.graphs.nodes.revise import checked
from skill_plugin.graphs.state import Run, task_of
from skill_plugin.records import Generation, Revision, Rollout, Task
from skill_plugin.store.runs.runs import RunRollout

if TYPE_CHECKING:
    from collections.abc import Callable

GIVE_UP_AFTER = 3
"""So many failed calls and no success yet mean that the model is not there; later it takes a full round of them."""


class Trials:
    """Runs the rollouts of one `evolve`, in one event loop.

    `stopped` says why nothing more is begun; what runs then still ends, and is recorded. Calls of models in this process are ended when
    the budget's minutes are over: nothing is paid for them, and a text that does not end would take many more. `on_rollout` is told of every
    rollout that ran, `on_proposed` of how many candidates were written, and malformed.

    Args:
        execute: Has the agent answer; see `execute_node`.
        verify: Judges; see `verify_node`.
        recorder: Takes what ran.
        spending: The budget.
        concurrency: How many calls at once, the generator's included.
        verifier: Logged with tasks that bring none of their own.
        in_process: Whether the task LLM runs in this process.
    """

    def __init__(
        self,
        execute: SkillNode,
        verify: SkillNode,
        recorder: Recorder,
        spending: Spending,
        *,
        concurrency: int,
        verifier: dict[str, Any] | None,
        in_process: bool = False,
    ) -> None:
        self.stopped: str | None = None
        self.on_rollout: Callable[[Rollout], None] = lambda rollout: None  # noqa: ARG005
        self.on_proposed: Callable[[int, int], None] = lambda candidates, malformed: None  # noqa: ARG005
        self.gone: str | None = None
        self.recorder = recorder
        self.spending = spending
        self._execute = execute
        self._verify = verify
        self._concurrency = concurrency
        self._verifier = verifier
        self._in_process = in_process
        self._slots = asyncio.Semaphore(concurrency)
        self._verdicts = asyncio.Semaphore(concurrency)
        self._failed: Counter[str] = Counter()
        self._answered: set[str] = set()

    async def run(self, trial: Trial, config: RunnableConfig, known: Rollout | None = None) -> TrialResult:
        """Returns the result of a trial: `known` where it ran at an earlier start."""
        run = trial["run"]
        if known is not None:
            return tried(trial, rollout=known.to_json())
        state = begun(trial)
        async with self._slots:
            if not self.may_call():
                return tried(trial)
            self.spending.task.add(calls=1)
            limit = self._minutes(self._in_process)
            try:
                async with limit:
                    state |= await self._execute.ainvoke(state, config)
            except Exception as exc:  # noqa: BLE001 - one call that failed must not cost the others
                if self._ended(limit):
                    return tried(trial)
                lost = failed(trial, exc)
                self.heard(lost["error"])
                return lost
        self.heard(None)
        async with self._verdicts:  # the model must not wait for a slow verifier
            state |= await self._verify.ainvoke(state, config)
        done = ended(trial, state)
        rollout = Rollout.from_json(done["rollout"] or {})
        self.spending.task.add(input_tokens=rollout.input_tokens, output_tokens=rollout.output_tokens)
        self.recorder.add(RunRollout(run["run_id"], task_of({"skillp_run": run}), rollout))
        self.on_rollout(rollout)
        return done

    def run_for(self, run_id: str, task: Task) -> Run:
        """Returns what all trials of a run begin from. Its verifier is there from the start: it is a part of the task that is logged."""
        return Run(run_id=run_id, task=task.to_json(), arm="skill", withheld=None, reason="", verifier=self._verifier)

    def logged(self, task: Task) -> Task:
        """Returns the task as its rollouts are logged: with the verifier that judges it."""
        return task_of({"skillp_run": self.run_for("", task)})

    async def written(
        self, writer: protocols.Generator, task: Task, past: Sequence[Generation], n: int
    ) -> list[Revision] | None:
        """`n` candidates from one prompt, read; None if no more may be asked of a generator, or the minutes ended it."""
        is_here = bool(
            getattr(writer, "in_process", False)
        )  # it has a queue of its own, and waits in it for the others
        async with nullcontext() if is_here else self._slots:
            if not self.may_call(n):
                return None
            spent = self.spending.generator
            spent.add(calls=n)
            limit = self._minutes(is_here)
            try:
                async with limit:
                    proposed = checked(writer, await _propose(writer, task, past, n))[:n]
            except TimeoutError:
                if self._ended(limit):
                    return None
                raise
        for revision in proposed:
            spent.add(input_tokens=revision.input_tokens, output_tokens=revision.output_tokens)
        return [read(revision, past) for revision in proposed]

    def _minutes(self, is_here: bool) -> asyncio.Timeout:
        """Returns what ends a call of a model in this process when the budget's minutes are over."""
        return asyncio.timeout(self.spending.seconds_left if is_here else None)

    def _ended(self, limit: asyncio.Timeout) -> bool:
        """Returns whether the minutes ended a call; then everything stops."""
        if limit.expired():
            over = f"{self.spending.budget.minutes:g} minutes are over"
            self.stopped = self.stopped or f"{over}, and what a model in this process was writing was ended"
        return limit.expired()

    def may_call(self, calls: int = 1) -> bool:
        """Returns whether the budget has so many more calls; if not, everything stops."""
        if self.stopped is None and (over := self.spending.over(calls)) is not None:
            self.stopped = over
        return self.stopped is None

    def heard(self, error: str | None, of: str = "task LLM") -> None:
        """Counts a model's failures in a row: one that is gone would fail everything that is left, at a price."""
        if error is None:
            self._failed[of] = 0
            self._answered.add(of)
            return
        self._failed[of] += 1
        if self._failed[of] >= (max(GIVE_UP_AFTER, 2 * self._concurrency) if of in self._answered else GIVE_UP_AFTER):
            self.gone = self.gone or error
            said = f"{self._failed[of]} calls of the {of} failed in a row, the last with {error}"
            self.stopped = self.stopped or said


async def _propose(writer: protocols.Generator, task: Task, past: Sequence[Generation], n: int) -> list[Revision]:
    apropose = getattr(writer, "apropose", None)
    if apropose is None:
        return await asyncio.to_thread(writer.propose, task, past, n=n)
    return await apropose(task, past, n=n)  # type: ignore[no-any-return] # the twin of propose
