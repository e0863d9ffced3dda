"""Two processes that ask each other over a pipe and exchange plain data.

What is not plain data stays where it is; the other side gets a number for it. Which operations that side may ask for is up to the
`handle` of each. Runs on both sides of a sandbox, so it imports the standard library alone.
"""

import builtins
import sys
import threading
from collections.abc import Callable
from typing import Any

from skill_plugin.sandbox import wire

_MAX_TEXT = 2_000


class PeerEndedError(BaseException):
    """The other process has ended, or sends what cannot be read. Not an Exception: no test may take it for one of the answer's."""


class LeaveError(BaseException):
    """Raised by `handle` where its own side has to go on with the exception that caused it, and the other side gets no answer."""


class Peer:
    """One end of the pipe.

    Args:
        reads: Descriptor to read from.
        writes: Descriptor to write to.
        handle: Does what the other side asks for: gets its request, returns a value or raises.
        refer: Returns the plain data that stands for a value which is not plain.
        resolve: Returns the value that such data stands for.
        revive: Makes an exception of what `reported` says of one.
        most: For a side that is not trusted at all: the bytes of the largest frame that it may send. Then only built-in types are
            taken from it, and what it says of the containers that it was sent changes none of them.
    """

    def __init__(
        self,
        reads: int,
        writes: int,
        handle: Callable[[tuple[Any, ...]], Any],
        *,
        refer: wire.Refer | None = None,
        resolve: Callable[[Any], Any] | None = None,
        revive: Callable[..., BaseException] | None = None,
        most: int | None = None,
    ) -> None:
        self._reads, self._writes = reads, writes
        self._handle, self._refer, self._resolve, self._revive = handle, refer, resolve, revive or revived
        self._most = most
        self._turn = threading.RLock()
        self.ended = ""

    def ask(self, *request: Any) -> Any:
        """Has the other side do something, and returns what it gives or raises what it raises.

        Lists, dicts, sets, deques and bytearrays in the request are afterwards as the other side left them.
        """
        with self._turn:
            data = wire.dumps(("ask", request), self._refer)
            self._send(data)
            kind, value, *after = self._serve_until_told()
        if after and isinstance(after[0], tuple) and self._most is None:
            _kept(request, after[0])
        if kind == "failed":
            try:
                exc = self._revive(*value)
            except Exception as wrong:
                raise self._end(f"it sent what cannot be read: {wrong}") from wrong
            raise exc
        return value

    def serve(self) -> None:
        """Answers requests until the other side has gone."""
        while True:
            self._serve_until_told()

    def _serve_until_told(self) -> tuple[Any, ...]:
        while True:
            said = self._receive()
            if not isinstance(said, tuple) or len(said) < 2 or said[0] not in ("ask", "gave", "failed"):
                raise self._end("it sent what is not an answer")
            if said[0] != "ask":
                return said
            self._send(self._reply(said[1]))

    def _reply(self, request: tuple[Any, ...]) -> bytes:
        try:
            before = wire.dumps(request, self._refer)
            told = ["gave", self._handle(request)]
            if wire.dumps(request, self._refer) != before:
                told.append(request)
            return wire.dumps(tuple(told), self._refer)
        except (PeerEndedError, LeaveError):
            raise
        except BaseException as exc:  # noqa: BLE001 - SystemExit too is for the one who asked
            return wire.dumps(("failed", reported(exc)))

    def _send(self, data: bytes) -> None:
        if self.ended:
            raise PeerEndedError(self.ended)
        try:
            wire.send(self._writes, data)
        except OSError as exc:
            raise self._end("it has ended") from exc

    def _receive(self) -> Any:
        try:
            if self._most is None:
                return wire.loads(wire.receive(self._reads), self._resolve)
            return wire.loads(wire.receive(self._reads, self._most), self._resolve, bare=True)
        except (OSError, EOFError) as exc:
            raise self._end("it has ended") from exc
        except (ValueError, RecursionError, MemoryError) as exc:
            raise self._end(f"it sent what cannot be read: {exc}") from exc

    def _end(self, why: str) -> PeerEndedError:
        self.ended = self.ended or why
        return PeerEndedError(self.ended)


def _restore(mine: Any, theirs: Any) -> None:
    """Changes a container in place to what another process made of its copy."""
    if type(mine) is not type(theirs):
        return
    if isinstance(mine, (list, tuple)):
        if len(mine) == len(theirs):
            theirs = [_kept(one, other) for one, other in zip(mine, theirs, strict=True)]
        if isinstance(mine, list) and not _same(mine, theirs):
            mine[:] = theirs
    elif isinstance(mine, dict):
        theirs = {key: _kept(mine[key], value) if key in mine else value for key, value in theirs.items()}
        if list(mine) != list(theirs) or not _same(list(mine.values()), list(theirs.values())):
            mine.clear()
            mine.update(theirs)
    elif isinstance(mine, set):
        mine.clear()
        mine.update(theirs)
    elif isinstance(mine, bytearray):
        mine[:] = theirs
    elif type(mine).__name__ == "deque":
        mine.clear()
        mine.extend(theirs)


def _kept(mine: Any, theirs: Any) -> Any:
    """Returns my own object, brought up to date, where it can be; a test may hold it under another name."""
    if isinstance(mine, (list, tuple, dict, set, bytearray)) and type(mine) is type(theirs):
        if isinstance(mine, tuple):
            return (
                tuple(_kept(*pair) for pair in zip(mine, theirs, strict=True)) if len(mine) == len(theirs) else theirs
            )
        _restore(mine, theirs)
        return mine
    return theirs


def _same(ones: Any, others: Any) -> bool:
    return len(ones) == len(others) and all(one is other for one, other in zip(ones, others, strict=True))


Report = tuple[str, list[tuple[str, str]], tuple[Any, ...], str, dict[str, Any]]
"""An exception: its name, its kinds from the nearest to BaseException, its arguments, its text, its attributes."""


def reported(exc: BaseException) -> Report:
    """Returns an exception as plain data."""
    try:
        text = str(exc)[:_MAX_TEXT]
    except Exception:  # noqa: BLE001 - a text of somebody else's
        text = ""
    attributes = {name: value for name, value in vars(exc).items() if not name.startswith("_") and _is_plain(value)}
    return (type(exc).__name__, lineage(type(exc)), exc.args if _is_plain(exc.args) else (text,), text, attributes)


def lineage(kind: type[BaseException]) -> list[tuple[str, str]]:
    """Returns the modules and names of an exception's classes."""
    return [(one.__module__, one.__qualname__) for one in kind.__mro__ if one is not object]


def _is_plain(value: Any) -> bool:
    try:
        return len(wire.dumps(value)) < 10 * _MAX_TEXT
    except Exception:  # noqa: BLE001 - then not
        return False


_ALIKE = sys.stdlib_module_names - {"doctest", "unittest"}
"""Whose exceptions are the same on both sides. A test framework takes some of its own for a test that is skipped, or rejected."""

_mirrors: dict[tuple[tuple[str, str], ...], type[BaseException]] = {}


def mirror(kinds: list[tuple[str, str]]) -> type[BaseException]:
    """Returns the exception class of these kinds: Python's own, one of a module that is imported here, or one made alike."""
    if not kinds:
        return RuntimeError
    (module, name), *others = kinds
    # Only what is here already: the other process must not have us import.
    if str(module).partition(".")[0] in _ALIKE:
        known = getattr(builtins if module == "builtins" else sys.modules.get(str(module)), str(name), None)
        if isinstance(known, type) and issubclass(known, BaseException):
            return known
    key = tuple((str(one), str(other)) for one, other in kinds)
    if key not in _mirrors:
        text = lambda self: getattr(self, "_text", None) or BaseException.__str__(self)  # noqa: E731
        _mirrors[key] = type(str(name).rpartition(".")[2], (mirror(others),), {"__str__": text, "__module__": "answer"})
    return _mirrors[key]


def revived(
    name: str, kinds: list[tuple[str, str]], args: tuple[Any, ...], text: str, attributes: dict[str, Any]
) -> Any:
    """Returns an exception of another process as one of the same type here."""
    kind = mirror(kinds)
    if issubclass(kind, (StopIteration, StopAsyncIteration, GeneratorExit)):
        # One that leaves a function would end the loop of whoever calls it, and `all(...)` over nothing is true.
        return RuntimeError(f"the answer raised {name}")
    try:
        exc = kind(*args)
    except Exception:  # noqa: BLE001 - it wants other arguments
        exc = kind.__new__(kind)
        exc.args = args
    if kind.__module__ == "answer":
        exc._text = text  # type: ignore[attr-defined]  # noqa: SLF001
    for key, value in attributes.items():
        if not str(key).startswith("_"):
            vars(exc)[str(key)] = value
    return exc
