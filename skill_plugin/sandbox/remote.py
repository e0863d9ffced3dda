"""Objects of the answer's process, as its tests handle them: every use is asked for over the pipe.

None of the answer's code runs here, and nothing that a test expects is shown to it. So an object cannot be compared or calculated with:
a test compares what came back as plain data.
"""

import builtins
import operator
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from skill_plugin.sandbox import wire
from skill_plugin.sandbox.peer import Peer, mirror, reported, revived

_Plain = TypeVar("_Plain")


class NotPlainError(BaseException):
    """A test compares an object of the answer, or hands it one of its own. Not an Exception: no test may take it for one of the answer's."""


class Remote:
    """An object that is in the answer's process."""

    __slots__ = ("__callable", "__genuine", "__name", "__number", "__peer")

    def __init__(self, peer: Peer, number: int, name: str, is_callable: bool) -> None:
        slots = {"peer": peer, "number": number, "name": name, "callable": is_callable, "genuine": None}
        for slot, value in slots.items():
            object.__setattr__(self, f"_Remote__{slot}", value)

    def _Remote__ask(self, what: str, *args: Any) -> Any:  # noqa: N802 - no attribute of the answer's has such a name
        return self.__peer.ask(what, self, *args)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__ask("call", args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if self.__genuine is not None and hasattr(self.__genuine, name):
            return getattr(self.__genuine, name)
        return self.__ask("getattr", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__ask("setattr", name, value)

    def __delattr__(self, name: str) -> None:
        self.__ask("delattr", name)

    def __getitem__(self, key: Any) -> Any:
        return self.__ask("getitem", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__ask("setitem", key, value)

    def __delitem__(self, key: Any) -> None:
        self.__ask("delitem", key)

    def __iter__(self) -> Iterator[Any]:
        return _Iterator(self.__peer, self.__ask("iter"))

    def __reversed__(self) -> Iterator[Any]:
        return _Iterator(self.__peer, self.__ask("reversed"))

    def __next__(self) -> Any:
        return next(_Iterator(self.__peer, self))

    def __instancecheck__(self, one: Any) -> bool:
        return isinstance(one, Remote) and bool(self.__peer.ask("isinstance", one, self))

    def __subclasscheck__(self, one: Any) -> bool:
        return isinstance(one, Remote) and bool(self.__peer.ask("issubclass", one, self))

    def __enter__(self) -> Any:
        return self.__ask("enter")

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> bool:
        swallow = self.__ask("leave", exc)
        # A failed test says so by an exception, and the answer may not make it vanish.
        return bool(swallow) and exc is not None and _is_of_python(exc)

    def __hash__(self) -> int:
        return hash(self.__number)

    def __dir__(self) -> Any:
        return self.__ask("dir")

    def __bool__(self) -> bool:
        return _of(bool, self.__ask("bool"))

    def __len__(self) -> int:
        return _of(int, self.__ask("len"))

    def __str__(self) -> str:
        return _of(str, self.__ask("str"))

    def __repr__(self) -> str:
        return _of(str, self.__ask("repr"))

    def __format__(self, how: str) -> str:
        return _of(str, self.__ask("format", how))

    def __int__(self) -> int:
        return _of(int, self.__ask("int"))

    def __float__(self) -> float:
        return _of(float, self.__ask("float"))

    def __complex__(self) -> complex:
        return _of(complex, self.__ask("complex"))

    def __index__(self) -> int:
        return _of(int, self.__ask("index"))

    def __bytes__(self) -> bytes:
        return _of(bytes, self.__ask("bytes"))


def _is_of_python(exc: BaseException) -> bool:
    plain = type(exc).__module__ in ("builtins", "answer") and not isinstance(exc, AssertionError)
    return plain and type(exc) not in (Exception, BaseException)


def _of(kind: type[_Plain], value: Any) -> _Plain:
    if type(value) is not kind:
        raise NotPlainError(f"the answer gave {type(value).__name__} where {kind.__name__} is due")
    return value


class _Iterator:
    """Goes through an iterator of the answer's process."""

    def __init__(self, peer: Peer, iterator: Any) -> None:
        self._peer, self._iterator = peer, iterator

    def __iter__(self) -> "_Iterator":
        return self

    def __next__(self) -> Any:
        more, *value = self._peer.ask("next", self._iterator)
        if not more:
            raise StopIteration
        return value[0]


def _refusal(sign: str) -> Callable[[Any, Any], Any]:
    def refuse(one: Any, other: Any = None, *_: Any) -> Any:
        same = one is other or (isinstance(other, Remote) and hash(one) == hash(other))
        if sign in ("==", "!=") and (same or other is None):
            return same is (sign == "==")
        raise NotPlainError(
            f"{_name(one)} is an object of the answer, and {sign} would be its own code; compare plain data of it: an attribute, "
            "what a method returns, str(...), list(...)"
        )

    return refuse


def _name(one: Any) -> str:
    return repr(object.__getattribute__(one, "_Remote__name"))


for _method, _sign in (
    ("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("add", "+"), ("sub", "-"), ("mul", "*"),
    ("matmul", "@"), ("truediv", "/"), ("floordiv", "//"), ("mod", "%"), ("pow", "**"), ("lshift", "<<"), ("rshift", ">>"),
    ("and", "&"), ("or", "|"), ("xor", "^"), ("divmod", "divmod"), ("neg", "-"), ("pos", "+"), ("abs", "abs"), ("invert", "~"),
    ("round", "round"), ("trunc", "trunc"), ("floor", "floor"), ("ceil", "ceil"),
):  # fmt: skip
    for _side in ("", "r", "i"):
        if not _side or hasattr(operator, f"__i{_method}__") or _method == "divmod":
            setattr(Remote, f"__{_side}{_method}__", _refusal(_sign))


class Link:
    """The tests' end of the pipe: the answer's names, and the functions of the tests that were handed to it."""

    def __init__(self, reads: int, writes: int) -> None:
        self.peer = Peer(reads, writes, self._handle, refer=self._refer, resolve=self._resolve)
        self._given: list[Any] = []
        self._seen: dict[int, Any] = {}
        self._classes: dict[type, int] = {}
        self.failures: list[BaseException] = []
        """Assertions in functions that the tests handed to the answer, which may have swallowed them."""

    def get(self, name: str) -> Any:
        """Returns what the answer calls by a name. Raises NameError."""
        return self.peer.ask("get", name)

    def _handle(self, request: tuple[Any, ...]) -> Any:
        # The numbers of what was given, and nothing else: the answer cannot have a builtin called.
        what, number, *rest = request
        one = self._given[int(number)]
        try:
            if what == "call":
                args, kwargs = rest
                return one(*args, **kwargs)
            return (True, next(one))
        except StopIteration:
            return (False,)
        except (AssertionError, NotPlainError) as exc:
            self.failures.append(exc)
            raise

    def _refer(self, value: Any) -> Any:
        if isinstance(value, Remote):
            return ("yours", hash(value))
        if isinstance(value, _Iterator):
            return self._refer(value._iterator)  # noqa: SLF001
        if isinstance(value, type) and value in self._classes:
            return ("yours", self._classes[value])
        if isinstance(value, BaseException):
            return ("raised", reported(value))
        name = getattr(value, "__name__", None)
        if isinstance(name, str) and getattr(builtins, name, None) is value:
            return ("builtin", name)
        if callable(value) or hasattr(value, "__next__"):
            self._given.append(value)
            return ("mine", len(self._given) - 1, str(name))
        raise NotPlainError(
            f"a test gave the answer a {type(value).__name__}; give it plain data, functions, iterators or its own objects"
        )

    def _resolve(self, told: Any) -> Any:
        whose, one, *rest = told
        if whose == "yours":
            return self._given[int(one)]
        if whose == "raised":
            return revived(*one)
        if whose == "builtin":
            found = getattr(builtins, str(one), None)
            # Classes alone: a function such as `exec`, handed to a function of the tests, would let the answer in.
            if isinstance(found, type) or found is Ellipsis or found is NotImplemented:
                return found
            raise wire.WireError(f"{one!r:.50} is not a class")
        kind, info = rest
        if int(one) not in self._seen:
            self._seen[int(one)] = self._make(int(one), str(kind), info)
        return self._seen.pop(int(one)) if kind == "coroutine" else self._seen[int(one)]

    def _make(self, number: int, kind: str, info: Any) -> Any:
        if kind == "exception":
            made = mirror(info)
            if made.__module__ == "answer":
                self._classes[made] = number
            return made
        made_of = RemoteModule if kind == "module" else Remote
        remote = made_of(self.peer, number, str(info), kind == "callable")
        return _wait(self.peer, remote) if kind == "coroutine" else remote


class RemoteModule(Remote):
    """A module that the answer imported."""

    __slots__ = ()


async def _wait(peer: Peer, remote: Remote) -> Any:
    return peer.ask("await", remote)


class AnswerModule(types.ModuleType):
    """The answer, for tests that import from it."""

    def __init__(self, link: Link) -> None:
        super().__init__("answer")
        self._link = link

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._link.get(name)
        except NameError:
            raise AttributeError(f"the answer has no {name!r}") from None
