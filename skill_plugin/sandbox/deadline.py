"""A time limit that stands still while the host does something for the code in a sandbox."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Deadline:
    """Calls a function once its seconds have passed.

    Args:
        seconds: Time until then, without that in `held`.
        end: What is called, in a thread of its own.
    """

    def __init__(self, seconds: float, end: Callable[[], object]) -> None:
        self._left, self._end = seconds, end
        self.is_over = False
        self._go()

    def _go(self) -> None:
        self._began = time.monotonic()
        self._timer = threading.Timer(self._left, self._pass)
        self._timer.start()

    def _pass(self) -> None:
        self.is_over = True
        self._end()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stops the clock."""
        self._timer.cancel()
        self._left = max(0.0, self._left - (time.monotonic() - self._began))
        try:
            yield
        finally:
            self._go()

    def cancel(self) -> None:
        """Calls nothing any more."""
        self._timer.cancel()
