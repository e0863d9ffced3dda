"""A process that forks while a store is open, as preloading web servers and multiprocessing do.

A fork copies one thread and every lock. SQLite has mutexes of its own, shared by all connections of a process: one that
another thread holds at that moment is held for ever in the child, whose next statement never returns. So a fork waits
until no other thread is inside the database, and afterwards the child makes its own locks and leaves the connections to
its parent.
"""

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PATIENCE_SECONDS = 5.0
"""How long a fork waits for other threads. A statement takes milliseconds; one that waits for a lock may take longer."""


class ForkHook(Protocol):
    """An object that must be put right in a child process."""

    def after_fork(self) -> None:
        """Puts the object right; called in the child, where there is one thread."""
        ...


_objects: "weakref.WeakSet[ForkHook]" = weakref.WeakSet()
_change = threading.Condition()
_inside: dict[int, int] = {}
"""How many sessions deep each thread is."""
_waiting = False


def tell(thing: ForkHook) -> None:
    """Has `thing.after_fork` called in every child from now on, for as long as the object lives."""
    _objects.add(thing)


@contextmanager
def no_fork() -> Iterator[None]:
    """Holds off the forks of other threads while its block runs."""
    me = threading.get_ident()
    with _change:
        while _waiting and me not in _inside:
            _change.wait()
        _inside[me] = _inside.get(me, 0) + 1
    try:
        yield
    finally:
        with _change:
            _inside[me] -= 1
            if not _inside[me]:
                del _inside[me]
            if _waiting:
                _change.notify_all()


def _before() -> None:
    global _waiting  # noqa: PLW0603 - there is one process
    _change.acquire()
    _waiting = True
    me = {threading.get_ident()}
    _change.wait_for(lambda: _inside.keys() <= me, PATIENCE_SECONDS)


def _in_parent() -> None:
    global _waiting  # noqa: PLW0603
    _waiting = False
    _change.notify_all()
    _change.release()


def _in_child() -> None:
    global _change, _waiting
    _change, _waiting = threading.Condition(), False
    for thread in _inside.keys() - {threading.get_ident()}:
        del _inside[thread]
    for thing in list(_objects):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
