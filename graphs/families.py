"""What the lineages of one family share: who may begin and write at a time, and what was refused."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from skill_plugin.records import Generation, Task


class Family:
    """The lineages of one family.

    Where a decision can make a skill live, lineages that run side by side would each pay for the same skill. So until
    something of the family is live only a few begin, and at any time only a few write; the others wait, and look at what is
    live before they write themselves.

    `refused` are the texts that the gate or search refused to any of them. `live` counts what went live.

    Args:
        tasks: The family's train tasks.
        judges: Its held-out tasks; without any, nothing goes live and nobody waits.
        at_once: Lineages that begin without a live skill, and that write, at a time.
        places: Held by every lineage that is at work; a waiting one lets go of its own.
    """

    def __init__(
        self, tasks: Sequence[Task], judges: Sequence[Task], *, at_once: int, places: asyncio.Semaphore
    ) -> None:
        self.tasks = tasks
        self.refused: list[Generation] = []
        self.live = 0
        self._at_once = at_once if judges else max(1, len(tasks))
        self._places = places
        self._begun = self._writing = 0
        self._changed = asyncio.Condition()

    def after(self, task: Task) -> list[Task]:
        """Returns the other train tasks, those that follow the task first."""
        at = self.tasks.index(task)
        return [*self.tasks[at + 1 :], *self.tasks[:at]]

    @asynccontextmanager
    async def begun(self, *, with_skill: bool) -> AsyncIterator[None]:
        """Holds a place for a lineage as soon as it may begin."""
        async with self._changed:
            await self._changed.wait_for(lambda: with_skill or self.live or self._begun < self._at_once)
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
        mine = self.live == live and self._writing < self._at_once
        if not mine and self.live == live:
            self._places.release()
            try:
                async with self._changed:
                    await self._changed.wait_for(lambda: self.live != live or self._writing < self._at_once)
                    mine = self.live == live
            finally:
                await self._places.acquire()
            mine = mine and self._writing < self._at_once
        self._writing += mine
        try:
            yield mine
        finally:
            self._writing -= mine
            if mine:
                await self._tell()

    async def went_live(self) -> None:
        """Lets those who wait look at what is live."""
        self.live += 1
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
