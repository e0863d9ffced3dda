"""Whether a value fits a JSON Schema that `annotations.py` made.

Not jsonschema, which takes seconds in the host's process for a result of a megabyte that a function made for it.
"""

from collections.abc import Callable, Mapping
from typing import Any

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def problem(schema: Mapping[str, Any], value: Any, at: str = "$") -> str:
    """Returns how a value of JSON breaks a schema, in a line; empty if it does not.

    Args:
        schema: Made of `type`, `enum`, `anyOf`, `items`, `properties`, `required` and `additionalProperties`.
        value: The value.
        at: Where it stands, for the line.
    """
    if "anyOf" in schema:
        whys = [problem(one, value, at) for one in schema["anyOf"]]
        return "" if not all(whys) else f"at {at}: {value!r:.80} is of none of its types"
    if "enum" in schema and not any(type(one) is type(value) and one == value for one in schema["enum"]):
        return f"at {at}: {value!r:.80} is not one of {schema['enum']!r:.200}"
    kind = schema.get("type")
    if kind is not None and not _TYPES[kind](value):
        return f"at {at}: {value!r:.80} is not of type {kind!r}"
    if kind == "array" and "items" in schema:
        items = schema["items"]
        return next((why for place, one in enumerate(value) if (why := problem(items, one, f"{at}[{place}]"))), "")
    return _of_object(schema, value, at) if kind == "object" else ""


def _of_object(schema: Mapping[str, Any], value: Mapping[str, Any], at: str) -> str:
    missing = next((key for key in schema.get("required", ()) if key not in value), None)
    if missing is not None:
        return f"at {at}: {missing!r} is a required property"
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key, one in value.items():
        inner = known.get(key, other)
        if inner is False:
            return f"at {at}: {key!r:.80} was unexpected"
        if inner is not True and (why := problem(inner, one, f"{at}.{key:.80}")):
            return why
    return ""
