"""Sandboxes that wait for their next call, because starting one takes longer than most calls."""

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skill_plugin.sandbox.limits import SandboxLimits
from skill_plugin.sandbox.runner import Sandbox

MAX_IDLE = 4


class SandboxPool:
    """Lends sandboxes of one source to one caller at a time.

    Fit for our own code over somebody's data; somebody's code gets a new sandbox each time.

    Args:
        source: The code that defines the functions.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._idle: list[tuple[Any, Sandbox]] = []
        self._turn = threading.Lock()
        self._parked: list[Any] = []
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):  # Windows cannot fork
            os.register_at_fork(after_in_child=self._park)

    @contextmanager
    def lend(
        self, limits: SandboxLimits, *, reads: tuple[str, ...] = (), writes: tuple[str, ...] = ()
    ) -> Iterator[Sandbox]:
        """Gives a sandbox of these limits, and takes it back if it has not ended."""
        key = (limits, reads, writes)
        with self._turn:
            at = next((at for at, (other, _) in enumerate(self._idle) if other == key), None)
            box = None if at is None else self._idle.pop(at)[1]
        box = box or Sandbox(self._source, limits, reads=reads, writes=writes)
        try:
            yield box
        except BaseException:
            box.close()
            raise
        with self._turn:
            if not box.ended:
                self._idle.append((key, box))
            oldest = self._idle.pop(0)[1] if len(self._idle) > MAX_IDLE else None
        if oldest is not None:
            oldest.close()

    def close(self) -> None:
        """Ends those that wait."""
        with self._turn:
            idle, self._idle = self._idle, []
        for _, box in idle:
            box.close()

    def _park(self) -> None:
        """In a process that was forked: the sandboxes are the parent's, and must neither be asked nor ended."""
        self._parked.extend(self._idle)
        self._idle, self._turn = [], threading.Lock()
