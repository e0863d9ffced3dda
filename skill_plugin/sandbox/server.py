"""The answer's process: runs its code, and does with the objects of it what the other side asks for.

Whatever the code does to this process, all that leaves it is plain data on one pipe: values that an honest function could have
returned too.
"""

import builtins
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from skill_plugin.sandbox import wire
from skill_plugin.sandbox.peer import Peer, PeerEndedError, lineage, reported, revived


class _Foreign:
    """A function or an iterator of the other side."""

    def __init__(self, peer: Peer, number: int, name: str) -> None:
        self.__name__ = self.__qualname__ = name
        self._peer, self._number = peer, number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._peer.ask("call", self._number, args, kwargs)

    def __iter__(self) -> Iterator[Any]:
        while (told := self._peer.ask("next", self._number))[0]:
            yield told[1]

    def __next__(self) -> Any:
        more, *value = self._peer.ask("next", self._number)
        if not more:
            raise StopIteration
        return value[0]


class Server:
    """Holds the objects of the code that it runs, each under a number."""

    def __init__(self, reads: int, writes: int) -> None:
        self._peer = Peer(reads, writes, self._handle, refer=self._refer, resolve=self._resolve)
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._names: dict[str, Any] = {}

    def serve(self) -> None:
        """Answers until the other side has gone."""
        try:
            self._peer.serve()
        except PeerEndedError:
            return

    def _run(self, source: str, module: str) -> None:
        # A module, because dataclasses and pickle look classes up where they say they are from.
        made = sys.modules[module] = types.ModuleType(module)
        self._names = vars(made)
        exec(compile(source, f"{module}.py", "exec"), self._names)  # noqa: S102 - what this process is for

    def _get(self, name: str) -> Any:
        if name in self._names:
            return self._names[name]
        raise NameError(f"name {name!r} is not defined", name=name)

    def _invoke(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        value = self._get(name)(*args, **kwargs)
        wire.dumps(value)  # raises where it is not plain data, which is all that the host takes
        return value

    def _handle(self, request: tuple[Any, ...]) -> Any:
        what, *args = request
        if what in ("run", "get", "invoke"):
            return getattr(self, f"_{what}")(*args)
        return _DOES[what](*args)

    def _refer(self, value: Any) -> Any:
        if isinstance(value, _Foreign):
            return ("yours", value._number)  # noqa: SLF001
        if isinstance(value, BaseException):
            return ("raised", reported(value))
        if isinstance(value, type) and value in vars(builtins).values():
            return ("builtin", value.__name__)
        if value is Ellipsis or value is NotImplemented:
            return ("builtin", str(value))
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)  # kept, so that no other object can get its id
        return ("mine", number, *_described(value))

    def _resolve(self, told: tuple[Any, ...]) -> Any:
        whose, one, *rest = told
        if whose == "yours":
            return self._objects[one]
        if whose == "raised":
            return revived(*one)
        if whose == "builtin":
            return getattr(builtins, one)
        return _Foreign(self._peer, one, rest[0])


def _described(value: Any) -> tuple[str, Any]:
    if isinstance(value, types.ModuleType):
        return ("module", value.__name__)
    if isinstance(value, type) and issubclass(value, BaseException):
        return ("exception", lineage(value))
    if isinstance(value, types.CoroutineType):
        return ("coroutine", value.__name__)
    return ("callable" if callable(value) else "object", str(getattr(value, "__name__", type(value).__name__)))


def _next(iterator: Any) -> tuple[Any, ...]:
    try:
        return (True, next(iterator))
    except StopIteration:
        return (False,)


def _await(coroutine: Any) -> Any:
    import asyncio  # noqa: PLC0415 - slow to import

    return asyncio.run(coroutine)


def _leave(manager: Any, exc: BaseException | None) -> bool:
    return bool(type(manager).__exit__(manager, type(exc) if exc else None, exc, None))


def _set(one: Any, key: Any, value: Any) -> None:
    one[key] = value


def _delete(one: Any, key: Any) -> None:
    del one[key]


_DOES: dict[str, Callable[..., Any]] = {
    "call": lambda function, args, kwargs: function(*args, **kwargs),
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "getitem": lambda one, key: one[key],
    "setitem": _set,
    "delitem": _delete,
    "iter": iter,
    "reversed": reversed,
    "next": _next,
    "len": len,
    "bool": bool,
    "str": lambda one: wire_text(str(one)),
    "repr": lambda one: wire_text(repr(one)),
    "format": lambda one, how: wire_text(format(one, how)),
    "int": int,
    "float": float,
    "complex": complex,
    "index": lambda one: one.__index__(),
    "bytes": bytes,
    "dir": dir,
    "isinstance": isinstance,
    "issubclass": issubclass,
    "enter": lambda manager: type(manager).__enter__(manager),
    "leave": _leave,
    "await": _await,
}


def wire_text(text: str) -> str:
    """Returns a text that fits a frame."""
    return text[: wire.MAX_FRAME // 8]
