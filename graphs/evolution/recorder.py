"""Writing behind: what parallel rollouts leave is committed together, by one thread, in the order in which it came."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from skill_plugin.store import SkillStore
from skill_plugin.store.runs.runs import RunRollout

T = TypeVar("T")


class Recorder:
    """One writer for all rollouts of an event loop.

    While it commits one batch the next one gathers, so a commit's price is shared by as many rollouts as came meanwhile, and
    parallel transactions never wait for each other's lock. What the process had not committed when it was killed is lost:
    the rollouts of about one commit's time.
    """

    def __init__(self, store: SkillStore) -> None:
        self._store = store
        self._gathered: list[RunRollout] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="skill-plugin-recorder")
        self._writing: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.flush()
        finally:
            self._thread.shutdown()

    def add(self, ran: RunRollout) -> None:
        """Takes a rollout; it is in the store after the next `flush`, or soon."""
        self._gathered.append(ran)
        self._write()

    async def flush(self) -> None:
        """Waits until everything that was added is committed.

        Raises:
            StoreError: it cannot be. What was not committed is kept, and tried again at the next call.
        """
        self._write()
        while self._writing is not None:
            await asyncio.shield(self._writing)
            self._write()

    async def call(self, write: Callable[[], T]) -> T:
        """Runs another write in the same thread, after what was added before it."""
        await self.flush()
        return await asyncio.get_running_loop().run_in_executor(self._thread, write)

    def _write(self) -> None:
        if self._writing is None and self._gathered:
            self._writing = asyncio.ensure_future(self._commit())
            self._writing.add_done_callback(_seen)

    async def _commit(self) -> None:
        batch, self._gathered = self._gathered, []
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.runs.record_all, batch)
        except BaseException:
            self._gathered = batch + self._gathered
            self._writing = None
            raise
        self._writing = None
        self._write()


def _seen(future: "asyncio.Future[None]") -> None:
    """Drops an error that nobody waits for; it comes again at the next `flush`, which tries again what it lost."""
    if not future.cancelled():
        future.exception()
