"""Sandboxes that wait for their next call, because starting one takes longer than most calls."""

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from skill_plugin.errors import SandboxError
from skill_plugin.sandbox.limits import SandboxLimits
from skill_plugin.sandbox.runner import Sandbox

MAX_IDLE = 4


class SandboxPool:
    """Lends sandboxes of one source to one caller at a time.

    `lend` is fit for our own code over somebody's data; somebody's own code gets a new sandbox each time (`lend_once`).

    Args:
        source: The code that defines the functions.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._idle: list[tuple[Any, Sandbox]] = []
        self._turn = threading.Lock()
        self._is_closed = False
        self._parked: list[Any] = []
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):  # Windows cannot fork
            os.register_at_fork(after_in_child=self._park)

    @contextmanager
    def lend(self, limits: SandboxLimits, **how: Any) -> Iterator[Sandbox]:
        """Gives a sandbox of these limits, and takes it back if it has not ended. `how` is what `Sandbox` takes."""
        box = self._take(limits, how) or Sandbox(self._source, limits, **how)
        try:
            yield box
        except BaseException:
            box.close()
            raise
        self._keep(limits, how, box)

    @contextmanager
    def lend_once(self, limits: SandboxLimits, **how: Any) -> Iterator[Sandbox]:
        """Gives a sandbox in which nothing has run yet, ends it afterwards, and has the next one started meanwhile.

        So somebody's code meets nothing that other code left, and does not wait for Python to start.
        """
        box = self._take(limits, how) or Sandbox(self._source, limits, **how)
        try:
            yield box
        finally:
            box.close()
            with suppress(RuntimeError):  # too many threads, or the interpreter is ending
                threading.Thread(target=self._prepare, args=(limits, how), daemon=True).start()

    def close(self) -> None:
        """Ends those that wait."""
        with self._turn:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for _, box in idle:
            box.close()

    def _take(self, limits: SandboxLimits, how: dict[str, Any]) -> Sandbox | None:
        with self._turn:
            self._is_closed = False
            ended = [one for one in self._idle if one[1].ended]  # while it waited: somebody ended it
            self._idle = [one for one in self._idle if one not in ended]
            at = next((at for at, (other, _) in enumerate(self._idle) if other == (limits, how)), None)
            box = None if at is None else self._idle.pop(at)[1]
        for _, one in ended:
            one.close()
        return box

    def _keep(self, limits: SandboxLimits, how: dict[str, Any], box: Sandbox) -> None:
        with self._turn:
            if not box.ended and not self._is_closed:
                self._idle.append(((limits, how), box))
                box = self._idle.pop(0)[1] if len(self._idle) > MAX_IDLE else None  # type: ignore[assignment]
        if box is not None:
            box.close()

    def _prepare(self, limits: SandboxLimits, how: dict[str, Any]) -> None:
        with suppress(SandboxError, OSError, RuntimeError):  # the next call then starts its own, and says why it cannot
            self._keep(limits, how, Sandbox(self._source, limits, **how))

    def _park(self) -> None:
        """In a process that was forked: the sandboxes are the parent's, and must neither be asked nor ended."""
        self._parked.extend(self._idle)
        self._idle, self._turn = [], threading.Lock()
