"""Settings from texts: a command line's `name=value`, or the values of a settings file."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from skill_plugin.errors import ConfigurationError
from skill_plugin.training.settings import AdvantageSettings, LossSettings, TrainSettings

PARTS: dict[str, Any] = {"train": TrainSettings, "loss": LossSettings, "advantage": AdvantageSettings}

_WORDS = {"true": True, "false": False}


def parts(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a plan, `{"train": ..., "loss": ..., "advantage": ...}`; what is not given keeps its default.

    Args:
        given: By name, as texts or as values; `none` is None.

    Raises:
        ConfigurationError: a name is unknown, or a value is not of its kind or out of its range.
    """
    known = {one.name: part for part, kind in PARTS.items() for one in fields(kind)}
    chosen: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    for name, value in given.items():
        if (part := known.get(name)) is None:
            raise ConfigurationError(f"there is no training setting {name!r}; known are {', '.join(sorted(known))}")
        chosen[part][name] = _read(name, value, get_type_hints(PARTS[part])[name])
    return {part: kind(**chosen[part]) for part, kind in PARTS.items()}


def _read(name: str, value: Any, hint: Any) -> Any:
    """A value of its kind. Whether it is in its range is the setting's own matter."""
    kinds = {getattr(one, "__origin__", None) or one for one in (*get_args(hint), hint)}
    if type(None) in kinds and value in (None, "none"):
        return None
    try:
        if bool in kinds:
            return _WORDS[str(value).lower()]
        if tuple in kinds:
            return tuple(value.split(",")) if isinstance(value, str) else tuple(value)
        if int in kinds:
            return int(value)
        if float in kinds:
            return float(value)
    except (KeyError, ValueError, TypeError) as exc:
        raise ConfigurationError(f"{name} is {value!r}; give {_kind(kinds)}") from exc
    return value


def _kind(kinds: set[Any]) -> str:
    named = {bool: "true or false", int: "a whole number", float: "a number", tuple: "names with commas"}
    return next((said for kind, said in named.items() if kind in kinds), "a text")
