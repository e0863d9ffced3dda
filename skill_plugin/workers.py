"""Threads that can be left behind: used again and again, and given up when what they run hangs.

A pool of the standard library cannot be left behind: one hung call holds its thread, and the interpreter's end, for
ever. A new thread for every verdict can be, but `Thread.start` waits until the thread has begun, and with it an event
loop that has many verdicts to give.
"""

import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

MAX_IDLE = 32

Job = Callable[[], None]


class _Worker:
    """A daemon thread that waits for its next job."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="skill-plugin").start()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            job()
            del job  # it holds the task and the answer, and the next may come in an hour
            if len(_idle) >= MAX_IDLE:
                return
            _idle.append(self)


_idle: deque[_Worker] = deque()


def start(job: Job) -> None:
    """Runs a job, which must not raise, in a thread that nobody has to wait for, in the caller's context."""
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    worker.jobs.put(_in_context(job))


def _in_context(job: Job) -> Job:
    context = contextvars.copy_context()
    return lambda: context.run(job)


if hasattr(os, "register_at_fork"):  # Windows cannot fork
    os.register_at_fork(after_in_child=_idle.clear)  # a child has the parent's list, but not its threads
