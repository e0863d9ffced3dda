"""The state that the lineages of one family share: who may begin and write at a time, and what was refused."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from skill_plugin.records import Generation, Task


class Family:
    """The lineages of one family.

    Where a decision can make a skill live, lineages that run side by side would each pay for the same skill. So only a few
    begin at first, and only a few write at any time; the others wait, and look at what is live before they write themselves.
    While tasks pass as they are, or nothing that is written helps, more may begin; when one fails, again only a few.

    `refused` are the texts that the gate or search refused to any of them. `live` counts what went live, `newest` is the
    last of it. `judged` says whether anything can go live.

    Args:
        tasks: The family's train tasks.
        judges: Its held-out tasks; without any, nothing goes live and nobody waits.
        at_once: Lineages that begin at first, and that write, at a time.
        most: Lineages that may be under way at a time.
        places: Held by every lineage that is at work; a waiting one lets go of its own.
    """

    def __init__(
        self, tasks: Sequence[Task], judges: Sequence[Task], *, at_once: int, most: int, places: asyncio.Semaphore
    ) -> None:
        self.tasks = tasks
        self.judged = bool(judges)
        self.refused: list[Generation] = []
        self.live = 0
        self.newest: str | None = None
        self._least = self._width = self._turns = min(at_once, most) if judges else most
        self._most = most
        self._places = places
        self._begun = self._writing = 0
        self._changed = asyncio.Condition()

    def after(self, task: Task) -> list[Task]:
        """Returns the other train tasks, those that follow the task first."""
        at = self.tasks.index(task)
        return [*self.tasks[at + 1 :], *self.tasks[:at]]

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[None]:
        """Holds a place for a lineage as soon as it may begin."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._begun < self._width)
            self._begun += 1
        try:
            async with self._places:
                yield
        finally:
            self._begun -= 1
            await self._tell()

    @asynccontextmanager
    async def turn(self, live: int) -> AsyncIterator[bool]:
        """Waits for a turn to write; yields False if something went live first.

        Args:
            live: What `live` was when the lineage last looked at what is live.
        """
        mine = False
        if self.live == live and self._writing >= self._turns:
            self._places.release()
            try:
                async with self._changed:
                    await self._changed.wait_for(lambda: self.live != live or self._writing < self._turns)
                    mine = self.live == live
                    self._writing += mine
            finally:
                await self._places.acquire()
        elif self.live == live:
            mine = True
            self._writing += 1
        try:
            yield mine
        finally:
            if mine:
                self._writing -= 1
                await self._tell()

    async def widen(self) -> None:
        """Lets one lineage more begin."""
        self._width = min(self._width + 1, self._most)
        await self._tell()

    def narrow(self) -> None:
        """Lets only a few lineages begin, because a task failed and a text is to be written."""
        self._width = self._least

    async def went_live(self, ref: str) -> None:
        """Lets those who wait look at what is live."""
        self.live += 1
        self.newest = ref
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
