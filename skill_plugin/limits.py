"""Limits of settings, said once beside each field and checked in one way.

Not pydantic, which the packages around the trainer do not bring: a training runs where only PyTorch, transformers and PEFT are.

    @dataclass(frozen=True)
    class Sampling:
        temperature: Annotated[float, Limit(above=0)] = 1.0

        def __post_init__(self) -> None:
            check_fields(self)
"""

import math
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from skill_plugin.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Limit:
    """The range of a number. A bound that is None does not apply; an infinite number is never in the range.

    Args:
        least: The smallest number allowed.
        above: The number must be greater than this.
        most: The largest number allowed.
        below: The number must be less than this.
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        """Returns whether a number is in the range."""
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        low = (
            f"from {self.least:g}"
            if self.least is not None
            else f"above {self.above:g}"
            if self.above is not None
            else ""
        )
        to = "to" if self.least is not None else "and at most"
        high = f"{to} {self.most:g}" if self.most is not None else ""
        if self.below is not None:
            high = f"{'to' if self.least is not None else 'and'} below {self.below:g}"
        return " ".join(filter(None, (low, high)))


AT_LEAST_0, AT_LEAST_1, ABOVE_0, SHARE = Limit(least=0), Limit(least=1), Limit(above=0), Limit(least=0, most=1)


@dataclass(frozen=True, slots=True)
class Kind:
    """The values that a field may hold: of one type, in a range or among choices; None too if it is optional."""

    type: Any
    limit: Limit | None = None
    choices: tuple[Any, ...] = ()
    optional: bool = False

    @classmethod
    def of(cls, hint: Any) -> "Kind":
        """Reads a type hint, `Annotated` and optional ones included."""
        parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        optional = type(None) in parts
        parts = tuple(part for part in parts if part is not type(None))
        limit = None
        if len(parts) == 1 and get_origin(parts[0]) is Annotated:
            inner, *notes = get_args(parts[0])
            limit = next((note for note in notes if isinstance(note, Limit)), None)
            return cls(Kind.of(inner).type, limit, Kind.of(inner).choices, optional or Kind.of(inner).optional)
        if len(parts) == 1 and get_origin(parts[0]) is Literal:
            return cls(str, None, get_args(parts[0]), optional)
        kind = parts[0] if len(parts) == 1 else None
        return cls(get_origin(kind) or kind, limit, (), optional)

    def fits(self, value: Any) -> bool:
        """Returns whether a value is of the kind. Other types than bools, numbers and choices are not checked."""
        if value is None:
            return self.optional or (self.type not in (bool, int, float) and not self.choices)
        if self.choices:
            return value in self.choices
        if self.type is bool:
            return isinstance(value, bool)
        if self.type in (int, float):
            numbers = int if self.type is int else (int, float)
            right = isinstance(value, numbers) and not isinstance(value, bool)
            return right and (self.limit or Limit()).holds(value)
        return True

    def __str__(self) -> str:
        if self.choices:
            said = f"one of {', '.join(map(str, self.choices))}"
        else:
            named = {bool: "True or False", int: "a whole number", float: "a number"}.get(self.type, "a value")
            said = " ".join(filter(None, (named, str(self.limit or ""))))
        return f"{said}, or None" if self.optional else said


@lru_cache
def kinds(settings: Any) -> Mapping[str, Kind]:
    """Returns the kind of value that each field of a dataclass may hold."""
    hints = get_type_hints(settings, include_extras=True)
    return {one.name: Kind.of(hints[one.name]) for one in fields(settings)}


def check_fields(settings: Any) -> None:
    """Checks every field of a dataclass; call it in `__post_init__`.

    Raises:
        ConfigurationError: a value is not of its kind, or out of its range.
    """
    of: Any = type(settings)
    for name, kind in kinds(of).items():
        check(name, getattr(settings, name), kind)


def check(name: str, value: Any, kind: Kind) -> None:
    """Checks one value, as `check_fields` checks a field."""
    if not kind.fits(value):
        raise ConfigurationError(f"{name} is {value!r:.80}; give {kind}")


def check_number(name: str, value: Any, limit: Limit, *, whole: bool = True) -> None:
    """Checks an argument that is a number.

    Raises:
        ConfigurationError: it is not one, or out of its range.
    """
    check(name, value, Kind(int if whole else float, limit))
