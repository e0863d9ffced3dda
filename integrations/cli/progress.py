"""What is told while a command works: lines with their time, on standard error; `--quiet` turns them off, `--verbose` adds the log's."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from rich.text import Text

from skill_plugin.integrations.cli.console import err

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
    choose(quiet=False, verbose=False)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for log in (_OURS, _TOLD):
            log.setLevel(logging.NOTSET)


def choose(*, quiet: bool, verbose: bool) -> None:
    """Chooses how much is told: errors only, all of our log, or warnings and progress."""
    _OURS.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING)
    _TOLD.setLevel(logging.ERROR if quiet else logging.INFO)


def tell(line: str) -> None:
    """Says what is going on."""
    _TOLD.info("%s", line)


def watched() -> bool:
    """Returns whether somebody looks at a terminal, who wants bars and tables that move."""
    return err.is_terminal and _TOLD.isEnabledFor(logging.INFO)


@contextmanager
def lines(say: Callable[[], str], *, every: float = EVERY_S) -> Iterator[None]:
    """Tells what `say` returns every so often while the block runs, if it has changed."""
    ended = Event()

    def run() -> None:
        before = ""
        while not ended.wait(every):
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
