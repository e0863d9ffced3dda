"""Settings from texts: a command line's `name=value`, or the values of a settings file."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from skill_plugin.errors import ConfigurationError
from skill_plugin.limits import Kind, kinds
from skill_plugin.training.settings import AdvantageSettings, LossSettings, TrainSettings

PARTS: dict[str, Any] = {"train": TrainSettings, "loss": LossSettings, "advantage": AdvantageSettings}

_WORDS = {"true": True, "false": False}
_SAID = {bool: "true or false", tuple: "names with commas"}


def parts(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a plan's settings, `{"train": ..., "loss": ..., "advantage": ...}`; the rest are defaults.

    Args:
        given: Settings by name, as texts or as values; `none` is None.

    Raises:
        ConfigurationError: a name is unknown, or a value is not of its kind or out of its range.
    """
    known = {one.name: part for part, kind in PARTS.items() for one in fields(kind)}
    chosen: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    for name, value in given.items():
        if (part := known.get(name)) is None:
            raise ConfigurationError(f"there is no training setting {name!r}; known are {', '.join(sorted(known))}")
        chosen[part][name] = _read(name, value, kinds(PARTS[part])[name])
    return {part: kind(**chosen[part]) for part, kind in PARTS.items()}


def _read(name: str, value: Any, kind: Kind) -> Any:
    """Returns a value of its kind; the settings themselves check its range."""
    if kind.optional and value in (None, "none"):
        return None
    try:
        if kind.type is bool:
            return _WORDS[str(value).lower()]
        if kind.type is tuple:
            return tuple(value.split(",")) if isinstance(value, str) else tuple(value)
        if kind.type in (int, float):
            return kind.type(value)
    except (KeyError, ValueError, TypeError) as exc:
        raise ConfigurationError(f"{name} is {value!r}; give {_SAID.get(kind.type, kind)}") from exc
    return value
