"""The result of a call of a function."""

from dataclasses import dataclass
from typing import Any

from skill_plugin.functions.limits import SHOWN_BYTES

_LONGEST = 500


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that a function called.

    Args:
        name: The tool.
        arguments: What it was given.
        ok: It gave an answer, and raised nothing.
        seconds: How long it took.
    """

    name: str
    arguments: dict[str, Any]
    ok: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class CallResult:
    """The result of a call of a function.

    Args:
        value: What it returned, as JSON has it; None where it failed.
        text: The value as JSON text, whole.
        error: Why it failed, in one line; empty if it did not.
        raised: The type of the exception that it raised, if one it was.
        message: The text of that exception.
        place: The file of the skill and the line in which it was raised.
        seconds: How long it took, its tools included.
        tool_uses: The tools that it called, in order.
    """

    value: Any = None
    text: str = ""
    error: str = ""
    raised: str = ""
    message: str = ""
    place: tuple[str, int] | None = None
    seconds: float = 0.0
    tool_uses: tuple[ToolUse, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it ran to its end and returned a value."""
        return not self.error

    @property
    def shown(self) -> str:
        """The result for a model: its JSON text, cut at 4 KB, or the error."""
        if self.error:
            return self.error
        data = self.text.encode()
        if len(data) <= SHOWN_BYTES:
            return self.text
        start = data[:SHOWN_BYTES].decode(errors="ignore")
        return f"{start} ... [cut: {len(data)} bytes in all; have the function return less]"


def one_line(text: object) -> str:
    """Returns a text from inside a sandbox as one short line that can be printed."""
    plain = "".join(char if char.isprintable() else " " for char in str(text)[: 4 * _LONGEST])
    return " ".join(plain.split())[:_LONGEST]
