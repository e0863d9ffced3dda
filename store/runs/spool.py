"""Records that the database did not take when they came: kept in memory, and tried again with the next one."""

import logging
import threading
from collections import deque
from collections.abc import Callable

MOST = 200
"""Runs that wait; the oldest gives way, with a warning."""

_log = logging.getLogger(__name__)


class Spool:
    """Writes that wait for their store. Safe for threads. A run that is recorded twice is recorded once.

    Args:
        is_kept: Off, nothing waits: a store that is for reading only will never take it.
    """

    def __init__(self, *, is_kept: bool = True) -> None:
        self._is_kept = is_kept
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, write: Callable[[], object]) -> None:
        """Keeps a write for later."""
        if not self._is_kept:
            return
        with self._lock:
            self._waiting.append(write)
            if len(self._waiting) > MOST:
                self._waiting.popleft()
                _log.warning("a run could not be recorded: %d others wait for the store already", MOST)

    def flush(self) -> int:
        """Tries what waits, oldest first, until one fails again; returns how many were written."""
        written = 0
        while True:
            with self._lock:
                if not self._waiting:
                    return written
                write = self._waiting.popleft()
            try:
                write()
            except Exception:  # noqa: BLE001 - it waits on
                with self._lock:
                    self._waiting.appendleft(write)
                return written
            written += 1
