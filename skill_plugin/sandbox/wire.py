"""Plain data as bytes, and frames of them on a pipe.

Not pickle, which runs what it reads; not JSON, which has no tuples, sets, bytes or keys that are numbers, and takes longer to import
than a trivial program to run. Runs on both sides of a sandbox, so it imports the standard library alone.
"""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

MAX_FRAME = 16_000_000
_MAX_DEPTH = 200
_MAX_FIELDS = 100


class WireError(ValueError):
    """Bytes that are not plain data, or a value that cannot be sent."""


Refer = Callable[[Any], Any]
"""For a value that is not plain: returns the plain data that stands for it, or raises WireError."""


def dumps(value: Any, refer: Refer | None = None) -> bytes:
    """Returns a value as bytes. What is not of a plain type goes through `refer`."""
    out = bytearray()
    _write(out, value, refer, 0)
    return bytes(out)


def _write(out: bytearray, value: Any, refer: Refer | None, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise WireError("the value is nested too deep, or holds itself")
    kind = type(value)
    if value is None or value is True or value is False:
        out += b"N" if value is None else b"T" if value else b"F"
    elif (scalar := _TELL_SCALAR.get(kind)) is not None:
        tag, text = scalar[0], scalar[1](value)
        out += b"%b%d:%b" % (tag, len(text), text)
    elif (container := _CONTAINERS.get(kind)) is not None:
        many = [one for pair in dict.items(value) for one in pair] if kind is dict else list(value)
        count = b"%d" % len(many)
        out += b"%b%d:%b" % (container, len(count), count)
        for one in many:
            _write(out, one, refer, depth + 1)
    else:
        told = _tell(value, kind)
        if told is None and refer is None:
            raise WireError(f"a value of the type {kind.__name__} is not plain data")
        out += b"r" if told is None else b"x"
        _write(out, refer(value) if told is None and refer else told, None if told is None else refer, depth + 1)
    if len(out) > MAX_FRAME:
        raise WireError(f"the value takes more than {MAX_FRAME // 1_000_000} MB")


_TELL_SCALAR: dict[type, tuple[bytes, Callable[[Any], bytes]]] = {
    int: (b"i", lambda value: b"%x" % value),
    float: (b"f", lambda value: float.hex(value).encode()),
    str: (b"s", lambda value: value.encode("utf-8", "surrogatepass")),
    bytes: (b"b", bytes),
    bytearray: (b"B", bytes),
}
_CONTAINERS: dict[type, bytes] = {list: b"l", tuple: b"t", set: b"S", frozenset: b"Z", dict: b"d"}


def _parts(*names: str) -> Callable[[Any], tuple[Any, ...]]:
    return lambda value: tuple(getattr(value, name) for name in names)


_DAY, _HOUR = ("year", "month", "day"), ("hour", "minute", "second", "microsecond", "tzinfo")

_TELL: dict[tuple[str, str], Callable[[Any], tuple[Any, ...]]] = {
    ("builtins", "complex"): _parts("real", "imag"),
    ("builtins", "range"): _parts("start", "stop", "step"),
    ("collections", "Counter"): lambda value: (dict(value),),
    ("collections", "OrderedDict"): lambda value: (list(value.items()),),
    ("collections", "defaultdict"): lambda value: (dict(value),),
    ("collections", "deque"): lambda value: (list(value), value.maxlen),
    ("decimal", "Decimal"): lambda value: (str(value),),
    ("fractions", "Fraction"): _parts("numerator", "denominator"),
    ("datetime", "date"): _parts(*_DAY),
    ("datetime", "time"): _parts(*_HOUR),
    ("datetime", "datetime"): _parts(*_DAY, *_HOUR),
    ("datetime", "timedelta"): _parts("days", "seconds", "microseconds"),
    ("datetime", "timezone"): lambda value: (value.utcoffset(None),),
}


def _tell(value: Any, kind: type) -> tuple[Any, ...] | None:
    """Returns the name and the parts of a value of the standard library's own types, and of numpy's."""
    module, name = kind.__module__, kind.__name__
    if getattr(sys.modules.get(module), name, None) is kind:
        if (tell := _TELL.get((module, name))) is not None:
            return (name, *tell(value))
        if module == "numpy" and name == "ndarray" and value.dtype.kind in "biufcU":
            return (name, value.tolist(), str(value.dtype))
        if module == "numpy" and hasattr(value, "item") and name != "ndarray":
            return ("scalar", value.item())
    fields = getattr(kind, "_fields", None)
    if kind.__bases__ == (tuple,) and type(fields) is tuple:
        return ("namedtuple", name, fields, tuple(tuple.__iter__(value)))
    return None


def loads(data: bytes, resolve: Callable[[Any], Any] | None = None, *, bare: bool = False) -> Any:
    """Returns the value that bytes hold. Raises WireError for whatever else they are.

    Args:
        data: What `dumps` gave.
        resolve: Returns the value that a reference stands for.
        bare: Take JSON's types and tuples alone. A numpy array, say, is made of a few bytes, and takes what memory they ask for.
    """
    try:
        value, at = _read(data, 0, resolve, _BARE if bare else _ALL, 0)
    except (WireError, RecursionError):
        raise
    except Exception as exc:  # every way in which bytes can be wrong
        raise WireError(f"not plain data: {type(exc).__name__}") from exc
    if at != len(data):
        raise WireError("not plain data: something follows it")
    return value


def _read(
    data: bytes, at: int, resolve: Callable[[Any], Any] | None, makers: dict[Any, Callable[..., Any]], depth: int
) -> tuple[Any, int]:
    if depth > _MAX_DEPTH + 2:
        raise WireError("nested too deep")
    tag, at = data[at : at + 1], at + 1
    if tag in _SIMPLE:
        return _SIMPLE[tag], at
    if tag in (b"x", b"r"):
        told, at = _read(data, at, resolve, makers, depth + 1)
        if tag == b"x":
            return makers[str(told[0])](*told[1:]), at
        if resolve is None:
            raise WireError("it is an object, not plain data")
        return resolve(told), at
    colon = data.index(b":", at, at + 20)
    if not data[at:colon].isdigit():
        raise WireError("a length that is not one")
    text = data[colon + 1 : (end := colon + 1 + int(data[at:colon]))]
    if end > len(data):
        raise WireError("cut off")
    if tag in _SCALARS:
        return _SCALARS[tag](text), end
    many, at = [], end
    for _ in range(int(text)):
        one, at = _read(data, at, resolve, makers, depth + 1)
        many.append(one)
    return makers[tag](many), at


_SIMPLE = {b"N": None, b"T": True, b"F": False}
_SCALARS: dict[bytes, Callable[[bytes], Any]] = {
    b"i": lambda text: int(text, 16),
    b"f": lambda text: float.fromhex(text.decode()),
    b"s": lambda text: text.decode("utf-8", "surrogatepass"),
    b"b": bytes,
    b"B": bytearray,
}
_MAKERS: dict[bytes, Callable[[list[Any]], Any]] = {
    b"l": list,
    b"t": tuple,
    b"S": set,
    b"Z": frozenset,
    b"d": lambda many: dict(zip(many[::2], many[1::2], strict=True)),
}


def _named(kind: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    if len(fields) > _MAX_FIELDS:
        raise WireError("too many fields")
    return _from("collections").namedtuple(kind, fields)(*values)  # it checks the names


def _from(module: str) -> Any:
    return importlib.import_module(module)  # only where a value needs it


_MAKE: dict[str, Callable[..., Any]] = {
    "complex": complex,
    "range": range,
    "defaultdict": dict,
    "scalar": lambda one: one,
    "namedtuple": _named,
    "Counter": lambda one: _from("collections").Counter(one),
    "OrderedDict": lambda pairs: _from("collections").OrderedDict(pairs),
    "deque": lambda many, most: _from("collections").deque(many, most),
    "Decimal": lambda text: _from("decimal").Decimal(str(text)),
    "Fraction": lambda above, below: _from("fractions").Fraction(int(above), int(below)),
    "date": lambda *parts: _from("datetime").date(*parts),
    "time": lambda *parts: _from("datetime").time(*parts),
    "datetime": lambda *parts: _from("datetime").datetime(*parts),
    "timedelta": lambda *parts: _from("datetime").timedelta(*parts),
    "timezone": lambda offset: _from("datetime").timezone(offset),
    "ndarray": lambda many, kind: _from("numpy").array(many, dtype=str(kind)),
}
"""Nothing is looked up by a name that was sent, but in this table."""

_ALL: dict[Any, Callable[..., Any]] = {**_MAKERS, **_MAKE}
_BARE: dict[Any, Callable[..., Any]] = {tag: _MAKERS[tag] for tag in (b"l", b"t", b"d")}


def send(pipe: int, data: bytes) -> None:
    """Writes a frame."""
    view = memoryview(b"%016x" % len(data) + data)
    while view:
        view = view[os.write(pipe, view) :]


def receive(pipe: int, most: int = MAX_FRAME + 1000) -> bytes:
    """Reads a frame, and nothing beyond it. Raises EOFError where the other side has ended."""
    length = int(_exactly(pipe, 16), 16)
    if not 0 <= length <= most:
        raise WireError(f"a frame of {length} bytes; at most {most}")
    return _exactly(pipe, length)


def _exactly(pipe: int, length: int) -> bytes:
    parts = []
    while length:
        part = os.read(pipe, min(length, 1 << 20))
        if not part:
            raise EOFError("the other side has ended")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
