"""`evolve` over the tasks of benchmarks/conventions.py, pass after pass, until the live library solves the unseen ones. Not run itself."""

import asyncio
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from conventions import Calls, Draws, House, Writer, answer, judged
from serving import facts
from sqlmodel import func, select

from skill_plugin.graphs import EvolveReport, EvolveSettings, aevolve
from skill_plugin.records import Task
from skill_plugin.store import SkillStore
from skill_plugin.store.tables import RolloutRow

LIMIT = 20_000
"""Calls after which a side has failed."""

SECONDS = 0.02
"""The seconds of a call, so that what `evolve` does side by side overlaps, as with a real model."""

PASSES = 5
"""Runs of `evolve` over the same tasks after which ours has failed."""


class Ours:
    """`evolve` in passes, stopped when the live library solves every unseen task."""

    def __init__(self, world: House, *, error: float, seed: int, settings: EvolveSettings, limit: int) -> None:
        self.calls, self.passes, self.solved_at = Calls(), 0, None
        self.solved_at: Calls | None
        self._world, self._settings, self._limit = world, settings, limit
        self._scripted = Writer(error, Draws(seed), self.calls)
        self._progress, self._looked, self._running = EvolveReport(), 0, None
        self._running: asyncio.Task[EvolveReport] | None
        self._store: SkillStore | None = None

    def propose(self, task: Task, history: Any, *, n: int) -> Any:
        return self._scripted.propose(task, history, n=n)

    async def apropose(self, task: Task, history: Any, *, n: int) -> Any:
        self._look()
        await asyncio.sleep(SECONDS)
        return self.propose(task, history, n=n)

    async def _agent(self, given: Any) -> str:
        self._look()
        self.calls.agent += 1
        await asyncio.sleep(SECONDS)
        return answer(given["task"], given["guidance"])

    def _look(self) -> None:
        """Looks at the unseen tasks where something was promoted since the last look."""
        if len(self._progress.accepted) != self._looked:
            self._looked = len(self._progress.accepted)
            self._check()
        if (self.solved_at or self.calls.all >= self._limit) and self._running is not None:
            self._running.cancel()

    def _check(self) -> None:
        if self.solved_at is None and self.share() == 1:
            self.solved_at = Calls(self.calls.agent, self.calls.writer)

    def share(self) -> float:
        """Returns the share of unseen tasks that the live library solves."""
        return fmean(self._solves(task) for task in self._world.unseen)

    def _solves(self, task: Task) -> bool:
        assert self._store is not None  # noqa: S101 - it is open while anything runs
        hits = self._store.search(task.input, k=1, family=task.family)
        return bool(judged(task, answer(task.input, hits[0].text if hits else "")).passed)

    async def run(self, folder: Path, *, passes: int) -> dict[str, Any]:
        """Runs passes until all is solved; returns what that took."""
        tasks = [*self._world.train, *self._world.heldout]
        with SkillStore.open(folder, embedder="hashing", chroma=False) as self._store:
            while self.solved_at is None and self.passes < passes and self.calls.all < self._limit:
                self._progress, self._looked = EvolveReport(), 0
                self.passes += 1
                self._running = asyncio.create_task(
                    aevolve(
                        tasks,
                        store=self._store,
                        llm=self._agent,
                        generator=self,
                        verifier=judged,
                        settings=self._settings,
                        new=True,
                        progress=self._progress,
                    )
                )
                try:
                    await self._running
                except asyncio.CancelledError:
                    break
                self._check()
            return until(
                self.calls, self.solved_at, share=self.share(), passes=self.passes, recorded=purposes(self._store)
            )


def purposes(store: SkillStore) -> dict[str, int]:
    """Counts the recorded rollouts by what they were run for."""
    asked = select(RolloutRow.purpose, func.count()).group_by(RolloutRow.purpose)
    with store.database.read() as session:
        return dict(session.exec(asked).all())


def ours(
    world: House, *, error: float, seed: int, settings: EvolveSettings, passes: int = PASSES, limit: int = LIMIT
) -> dict[str, Any]:
    """Counts calls of `evolve` until the unseen tasks are solved."""
    with tempfile.TemporaryDirectory() as folder:
        made = Ours(world, error=error, seed=seed, settings=settings, limit=limit)
        return asyncio.run(made.run(Path(folder), passes=passes))


def until(calls: Calls, solved_at: Calls | None, **more: Any) -> dict[str, Any]:
    """Returns the counts at the moment that all was solved, else at the end."""
    at = solved_at or calls
    return facts(solved=solved_at is not None, calls=at.all, agent=at.agent, writer=at.writer, **more)
