"""The host's side of a function's tool calls: which are allowed, how many, and what goes back."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from skill_plugin.errors import SandboxError
from skill_plugin.functions.call import ToolUse, one_line
from skill_plugin.functions.function import SkillFunction
from skill_plugin.functions.limits import FunctionLimits

Answer = Callable[[dict[str, Any]], Any]
"""A tool of the host: takes its arguments, returns JSON."""


class ToolDesk:
    """Answers the tool calls of one run, in the thread that started it: so the agent's configuration and permissions hold.

    Args:
        function: What runs; only the tools that it declares are answered.
        tools: The host's tools, by name.
        limits: How many calls, and how large an answer.
    """

    def __init__(self, function: SkillFunction, tools: Mapping[str, Answer], limits: FunctionLimits) -> None:
        self._function, self._tools, self._limits = function, tools, limits
        self.uses: list[ToolUse] = []

    def missing(self) -> list[str]:
        """Returns the tools that the function declares and the host lacks."""
        return [name for name in self._function.tools if name not in self._tools]

    def answer(self, *request: Any) -> tuple[Any, ...]:
        """Returns ("gave", value), or ("raised", type, text) for a tool's own error.

        Raises:
            SandboxError: the call is not allowed; it ends the run.
            BaseException: an interrupt or a cancellation by the agent, which is not an error of the tool's.
        """
        if len(request) != 2 or type(request[0]) is not str or type(request[1]) is not dict:
            raise SandboxError("it sent what is not a call of a tool; call tools as tools.NAME(...)")
        name, arguments = request
        if name not in self._function.tools:
            declared = ", ".join(self._function.tools) or "none"
            raise SandboxError(
                f"it called the tool {one_line(name)[:80]!r}, which its file does not; it may call: {declared}"
            )
        if len(self.uses) >= self._limits.tool_calls:
            raise SandboxError(
                f"it called tools more than {self._limits.tool_calls} times; make it call fewer, or raise tool_calls"
            )
        began = time.monotonic()
        told = self._told(name, arguments)
        self.uses.append(ToolUse(name, arguments, told[0] == "gave", time.monotonic() - began))
        return told

    def _told(self, name: str, arguments: dict[str, Any]) -> tuple[Any, ...]:
        try:
            given = self._json(arguments, f"the arguments of {name}")
            value = self._tools[name](given)
        except Exception as exc:
            if is_of_agent(exc) or isinstance(exc, SandboxError):
                raise
            return ("raised", type(exc).__name__, one_line(exc))
        try:
            return ("gave", self._json(value, f"the answer of the tool {name}"))
        except (TypeError, ValueError, RecursionError) as exc:
            return ("raised", "TypeError", one_line(exc))

    def _json(self, value: Any, what: str) -> Any:
        text = as_json(value, what)
        if len(text.encode()) > self._limits.output_bytes:
            raise ValueError(f"{what} takes more than {self._limits.output_bytes} bytes as JSON; ask for less")
        return json.loads(text)


def as_json(value: Any, what: str) -> str:
    """Returns a value as JSON text.

    Raises:
        TypeError: it cannot be written as JSON; says what it is.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as exc:  # NaN, an integer of too many digits, half of a character
        raise TypeError(f"{what} is not JSON: {one_line(exc)}; give dicts, lists, texts and numbers") from exc
    return text


def is_of_agent(exc: BaseException) -> bool:
    """Returns whether an exception is meant for the agent: LangGraph's interrupts and commands, and whatever ends a program.

    LangGraph is not imported for it: where nobody has, nobody interrupts.
    """
    errors = sys.modules.get("langgraph.errors")
    bubbling = getattr(errors, "GraphBubbleUp", ())
    return not isinstance(exc, Exception) or isinstance(exc, bubbling)
