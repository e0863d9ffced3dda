"""What is told while a command works: lines with their time, on standard error; `--quiet` turns them off, `--verbose` adds the log's."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from rich.text import Text

from skill_plugin.integrations.cli.terminal.console import err, fail

EVERY_S = 20.0
"""Seconds between two lines of a command that follows its work without a terminal."""

_OURS = logging.getLogger("skill_plugin")
_TOLD = logging.getLogger("skill_plugin.progress")


class StderrLines(logging.Handler):
    """Writes a log's records as lines with their time, to what standard error is at that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))

    def emit(self, record: logging.LogRecord) -> None:
        err.print(Text(self.format(record)), soft_wrap=True)


@contextmanager
def log_lines() -> Iterator[None]:
    """Puts the log's warnings on standard error while the block runs, and what `tell` says."""
    handler, root = StderrLines(), logging.getLogger()
    root.addHandler(handler)
    _set(logging.WARNING, logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        _set(logging.NOTSET, logging.NOTSET)


def choose(*, quiet: bool, verbose: bool) -> None:
    """Chooses how much is told, errors only or all of our log; neither leaves it as it is."""
    if quiet and verbose:
        fail("--quiet and --verbose were both given; give one")
    if quiet or verbose:
        _set(logging.ERROR if quiet else logging.DEBUG, logging.ERROR if quiet else logging.INFO)


def _set(log: int, told: int) -> None:
    _OURS.setLevel(log)
    _TOLD.setLevel(told)


def tell(line: str) -> None:
    """Says what is going on."""
    _TOLD.info("%s", line)


def told() -> bool:
    """Returns whether anything is told: not with `--quiet`."""
    return _TOLD.isEnabledFor(logging.INFO)


def watched() -> bool:
    """Returns whether somebody looks at a terminal, who wants bars and tables that move."""
    return err.is_terminal and told()


@contextmanager
def lines(say: Callable[[], str], *, every: float | None = None) -> Iterator[None]:
    """Tells what `say` returns every so often while the block runs, if it has changed."""
    ended = Event()

    def run() -> None:
        before = ""
        while not ended.wait(every or EVERY_S):
            if (now := say()) != before:
                tell(now)
                before = now

    thread = Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
