"""Limits of one call of a function."""

from dataclasses import dataclass
from typing import Annotated

from skill_plugin.limits import ABOVE_0, AT_LEAST_0, Limit, check_fields
from skill_plugin.sandbox import SandboxLimits

SHOWN_BYTES = 4096
"""How much of a result is shown to a model."""


@dataclass(frozen=True)
class FunctionLimits:
    """Limits of one call of a function.

    Args:
        seconds: Time of its own; what its tools take does not count.
        memory_mb: Memory of one process, and of all its processes together.
        output_bytes: The largest result, as JSON; also the largest of one tool's answer, and of one call's arguments.
        tool_calls: How often it may call tools.
        processes: How many processes and threads there may be at once.
    """

    seconds: Annotated[float, ABOVE_0] = 10.0
    memory_mb: Annotated[int, Limit(least=32)] = 512
    output_bytes: Annotated[int, Limit(least=100, most=2_000_000)] = 1_000_000
    tool_calls: Annotated[int, AT_LEAST_0] = 50
    processes: Annotated[int, Limit(least=1, most=1_000)] = 16

    def __post_init__(self) -> None:
        check_fields(self)

    def of_sandbox(self) -> SandboxLimits:
        """Returns the limits of the sandbox that it runs in, whose files are limited to the same size as its results."""
        size = max(self.output_bytes, 1_000_000)
        return SandboxLimits(
            seconds=self.seconds, memory_mb=self.memory_mb, processes=self.processes, output_bytes=size
        )
