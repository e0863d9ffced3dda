"""Finds tools that have changed since a function that calls them was tested."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from skill_plugin.errors import ConfigurationError

_WORDS = ("title", "description", "examples", "$comment")
_NAMED = ("properties", "$defs", "definitions", "patternProperties")
_VALUES = ("default", "const", "enum", "required")


def tool_schema_hash(tool: Any) -> str:
    """Returns the SHA-256 of a tool's name and of the JSON Schema of its arguments, without titles and descriptions.

    Args:
        tool: A LangChain tool, or a mapping with `name` and `parameters`, `inputSchema` or `args_schema` (as OpenAI's and MCP's have).

    Raises:
        ConfigurationError: it has no name, or no schema.
    """
    name, schema = _name_and_schema(tool)
    plain = json.dumps([name, _without_words(schema)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()


def changed_tools(known: Mapping[str, str], tools: Iterable[Any]) -> dict[str, str]:
    """Returns the tools that are not what they were, each with one line that says so.

    Args:
        known: What `tool_schema_hash` gave of each tool when the function was tested.
        tools: The agent's tools now.
    """
    now = {_name_and_schema(tool)[0]: tool_schema_hash(tool) for tool in tools}
    return {
        name: f"the tool {name!r} takes other arguments than when the function was tested; run its tests again, on new records"
        if name in now
        else f"the function needs the tool {name!r}, which this agent does not have; give it"
        for name, before in known.items()
        if now.get(name) != before
    }


def _name_and_schema(tool: Any) -> tuple[str, Any]:
    schema: Any
    if isinstance(tool, Mapping):
        inner = tool.get("function", tool)
        name = inner.get("name")
        schema = next((inner[key] for key in ("parameters", "inputSchema", "args_schema") if key in inner), None)
    else:
        name = getattr(tool, "name", None)
        schema = getattr(tool, "tool_call_schema", None)
    for method in ("model_json_schema", "schema"):  # a class of pydantic 2, or 1
        if callable(make := getattr(schema, method, None)):
            schema = make()
    if not isinstance(name, str) or not isinstance(schema, Mapping):
        raise ConfigurationError(
            f"{tool!r:.80} has no name or no schema; give a LangChain tool, or a mapping with both"
        )
    return name, schema


def _without_words(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_words(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, Mapping):  # there a key is the name of an argument
            kept[key] = {name: _without_words(one) for name, one in value.items()}
        elif key not in _WORDS:
            kept[key] = value if key in _VALUES else _without_words(value)
    return kept
