"""Plain data as bytes, and frames of them on a pipe.

Not pickle, which runs what it reads; not JSON, which has no tuples, sets, bytes or keys that are numbers, and takes longer to import
than a trivial program to run. Runs on both sides of a sandbox, so it imports the standard library alone.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

MAX_FRAME = 16_000_000
_MAX_DEPTH = 200
_MAX_FIELDS = 100

_PLAIN = ("Counter", "OrderedDict", "deque")
_DATES = {
    "date": ("year", "month", "day"),
    "time": ("hour", "minute", "second", "microsecond", "tzinfo"),
    "datetime": ("year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo"),
    "timedelta": ("days", "seconds", "microseconds"),
}


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
    elif kind is int:
        _put(out, b"i", b"%x" % value)
    elif kind is float:
        _put(out, b"f", float.hex(value).encode())
    elif kind is str:
        _put(out, b"s", value.encode("utf-8", "surrogatepass"))
    elif kind in (bytes, bytearray):
        _put(out, b"b" if kind is bytes else b"B", bytes(value))
    elif (tag := _CONTAINERS.get(kind)) is not None:
        many = [one for pair in dict.items(value) for one in pair] if kind is dict else list(value)
        _put(out, tag, b"%d" % len(many))
        for one in many:
            _write(out, one, refer, depth + 1)
    elif (told := _tell(value, kind)) is not None:
        out += b"x"
        _write(out, told, refer, depth + 1)
    elif refer is not None:
        out += b"r"
        _write(out, refer(value), None, depth + 1)
    else:
        raise WireError(f"a value of the type {kind.__name__} is not plain data")
    if len(out) > MAX_FRAME:
        raise WireError(f"the value takes more than {MAX_FRAME // 1_000_000} MB")


_CONTAINERS: dict[type, bytes] = {list: b"l", tuple: b"t", set: b"S", frozenset: b"Z", dict: b"d"}


def _put(out: bytearray, tag: bytes, text: bytes) -> None:
    out += b"%b%d:%b" % (tag, len(text), text)


def _tell(value: Any, kind: type) -> tuple[Any, ...] | None:  # noqa: PLR0911 - one line a type
    """Returns the name and the parts of a value of the standard library's own types, and of numpy's."""
    module, name = kind.__module__, kind.__name__
    if getattr(sys.modules.get(module), name, None) is not kind:
        return _named(value, kind)
    if kind in (complex, range):
        return (name, value.real, value.imag) if kind is complex else (name, value.start, value.stop, value.step)
    if module == "collections" and name in _PLAIN:
        return (name, dict(value)) if name == "Counter" else (name, list(value.items() if name[0] == "O" else value))
    if module == "collections" and name == "defaultdict":
        return ("dict", dict(value))
    if module == "decimal" and name == "Decimal":
        return (name, str(value))
    if module == "fractions" and name == "Fraction":
        return (name, value.numerator, value.denominator)
    if module == "datetime" and name in _DATES:
        return (name, *(getattr(value, part) for part in _DATES[name]))
    if module == "datetime" and name == "timezone":
        return (name, value.utcoffset(None))
    if module == "numpy" and name == "ndarray" and value.dtype.kind in "biufcU":
        return (name, value.tolist(), str(value.dtype))
    if module == "numpy" and hasattr(value, "item"):
        return ("item", value.item())
    return _named(value, kind)


def _named(value: Any, kind: type) -> tuple[Any, ...] | None:
    fields = getattr(kind, "_fields", None)
    if kind.__bases__ == (tuple,) and type(fields) is tuple:
        return ("namedtuple", kind.__name__, fields, tuple(tuple.__iter__(value)))
    return None


def loads(data: bytes, resolve: Callable[[Any], Any] | None = None) -> Any:
    """Returns the value that bytes hold. Raises WireError for whatever else they are."""
    try:
        value, at = _read(data, 0, resolve, 0)
    except (WireError, RecursionError):
        raise
    except Exception as exc:  # every way in which bytes can be wrong
        raise WireError(f"not plain data: {type(exc).__name__}") from exc
    if at != len(data):
        raise WireError("not plain data: something follows it")
    return value


def _read(data: bytes, at: int, resolve: Callable[[Any], Any] | None, depth: int) -> tuple[Any, int]:
    if depth > _MAX_DEPTH + 2:
        raise WireError("nested too deep")
    tag, at = data[at : at + 1], at + 1
    if tag in _SIMPLE:
        return _SIMPLE[tag], at
    if tag in (b"x", b"r"):
        told, at = _read(data, at, resolve, depth + 1)
        if tag == b"x":
            return _make(*told), at
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
        one, at = _read(data, at, resolve, depth + 1)
        many.append(one)
    return _MAKERS[tag](many), at


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


def _make(name: str, *parts: Any) -> Any:
    """Makes a value of a known type: nothing here is looked up by a name that was sent."""
    if name in ("complex", "range", "dict", "item"):
        return {"complex": complex, "range": range, "dict": dict, "item": lambda one: one}[name](*parts)
    if name in _PLAIN:
        import collections  # noqa: PLC0415 - each is imported where a value needs it

        made = {"Counter": collections.Counter, "OrderedDict": collections.OrderedDict, "deque": collections.deque}
        return made[name](*parts)
    if name == "Decimal":
        import decimal  # noqa: PLC0415

        return decimal.Decimal(str(parts[0]))
    if name == "Fraction":
        import fractions  # noqa: PLC0415

        return fractions.Fraction(int(parts[0]), int(parts[1]))
    if name in _DATES or name == "timezone":
        import datetime  # noqa: PLC0415

        return getattr(datetime, name)(*parts)
    if name == "namedtuple":
        import collections  # noqa: PLC0415

        kind, fields, values = parts
        if len(fields) > _MAX_FIELDS:
            raise WireError("too many fields")
        return collections.namedtuple(kind, fields)(*values)  # noqa: PYI024 - made at run time; it checks the names
    if name == "ndarray":
        import numpy  # noqa: ICN001, PLC0415

        return numpy.array(parts[0], dtype=str(parts[1]))
    raise WireError(f"an unknown type {name!r}")


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
