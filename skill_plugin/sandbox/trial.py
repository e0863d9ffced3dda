"""The tests' process: runs the tests of an answer that is in another process, and reports on each."""

import builtins
import importlib
import sys
from typing import Any

from skill_plugin.sandbox import wire
from skill_plugin.sandbox.remote import AnswerModule, Link, Remote, RemoteModule


class _Names(dict[str, Any]):
    """The names that tests see: their own, then Python's, then those of the answer, as they are at this moment."""

    def __init__(self, link: Link) -> None:
        super().__init__(__name__="test", __builtins__=builtins)
        self._link = link

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            # An answer must not give the tests its own `all`, `abs` or `sorted`; `from answer import all` asks for it.
            raise KeyError(name)
        try:
            found = self._link.get(name)
        except NameError:
            raise KeyError(name) from None
        if name in sys.stdlib_module_names and isinstance(found, Remote):
            # The same for `math`; but an answer may define a function `bisect`, which is called, not looked into.
            genuine = importlib.import_module(name)
            if isinstance(found, RemoteModule) or not _is_called(found):
                return genuine
            object.__setattr__(found, "_Remote__genuine", genuine)
        return found


def _is_called(found: Remote) -> bool:
    return bool(object.__getattribute__(found, "_Remote__callable"))


def run(answer: str, tests: list[str], reads: int, writes: int, report: int) -> None:
    """Has the answer run, then runs each test; sends ("passed", place) or ("failed", place, why) of each, or ("broken", why)."""
    link = Link(reads, writes)
    sys.modules["answer"] = AnswerModule(link)
    try:
        link.peer.ask("run", answer, "answer")
    except BaseException as exc:  # noqa: BLE001 - whatever the answer ends with
        wire.send(report, wire.dumps(("broken", link.peer.ended or _line(exc))))
        return
    names = _Names(link)
    for place, test in enumerate(tests):
        told: tuple[Any, ...]
        link.failures.clear()
        try:
            exec(compile(test, "test.py", "exec"), names)  # noqa: S102 - the operator's own test
            if link.failures:
                raise link.failures[0]
        except BaseException as exc:  # noqa: BLE001 - SystemExit fails too
            told = ("failed", place, f"{test.strip()[:200]}: {_line(exc)}")
        else:
            told = ("passed", place)
        if link.peer.ended:
            wire.send(report, wire.dumps(("broken", link.peer.ended)))
            return
        wire.send(report, wire.dumps(told))


def _line(exc: BaseException) -> str:
    try:
        text = str(exc)
    except BaseException as other:  # noqa: BLE001 - an assertion about an object of the answer
        text = type(other).__name__
    return " ".join(f"{type(exc).__name__}: {text}"[:1000].split())
