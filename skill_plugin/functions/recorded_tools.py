"""Recorded answers of the agent's tools, as the tests of a skill have them.

    TOOLS = {
        "list_charges": [{"arguments": {"customer": "anna"}, "result": [{"id": "a", "cents": 500}]}],
        "refund": [{"arguments": {"charge": "a"}, "result": "done"}, {"arguments": {"charge": "b"}, "error": "no such charge"}],
    }

An answer is given for exactly the arguments that it was recorded with, so a function that asks for something else fails. Records of the
same arguments are used in their order, the last of them again and again.
"""

import ast
from collections.abc import Callable
from typing import Any

from skill_plugin.errors import InvalidSkillError
from skill_plugin.functions.tool_desk import as_json

NAME = "TOOLS"
_FORM = 'write {"tool": [{"arguments": {...}, "result": ...}]}, in plain values; "error": "..." in place of "result" for one that raises'

Records = dict[str, list[dict[str, Any]]]


class RecordedTools:
    """Plays recorded answers to one test.

    Args:
        records: The records of each tool.
    """

    def __init__(self, records: Records) -> None:
        self._left = {name: list(one) for name, one in records.items()}
        self.calls: list[dict[str, Any]] = []

    def answers(self, names: tuple[str, ...]) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """Returns these tools, as a runner takes them."""
        return {name: self._tool(name) for name in names}

    def _tool(self, name: str) -> Callable[[dict[str, Any]], Any]:
        def tool(arguments: dict[str, Any]) -> Any:
            self.calls.append({"tool": name, "arguments": arguments})
            left = self._left.get(name, [])
            fitting = [one for one in left if one["arguments"] == arguments]
            if not fitting:
                raise LookupError(f"{NAME} has no answer of {name} for {as_json(arguments, 'them')[:200]}; record one")
            if len(fitting) > 1:
                left.remove(fitting[0])
            if "error" in fitting[0]:
                raise RuntimeError(fitting[0]["error"])
            return fitting[0]["result"]

        return tool


def read_records(path: str, tree: ast.Module) -> Records:
    """Returns what a file of tests assigns to TOOLS; nothing where it does not.

    Raises:
        InvalidSkillError: it is not of the form above; says where.
    """
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="TOOLS")], value=value)
                | ast.AnnAssign(target=ast.Name(id="TOOLS"), value=ast.expr() as value)
            ):
                try:
                    records = ast.literal_eval(value)
                    as_json(records, NAME)
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as exc:
                    raise InvalidSkillError(f"{path}, line {node.lineno}: {NAME} is not a constant; {_FORM}") from exc
                if not _is_records(records):
                    raise InvalidSkillError(f"{path}, line {node.lineno}: {NAME} has another form; {_FORM}")
                return records  # type: ignore[no-any-return]
    return {}


def _is_records(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(ones, list) and all(_is_record(one) for one in ones)
        for name, ones in value.items()
    )


def _is_record(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and set(one) in ({"arguments", "result"}, {"arguments", "error"})
        and isinstance(one["arguments"], dict)
        and isinstance(one.get("error", ""), str)
    )
