"""Limits of code that somebody else wrote."""

from dataclasses import dataclass
from typing import Annotated

from skill_plugin.limits import ABOVE_0, Limit, check_fields


@dataclass(frozen=True)
class SandboxLimits:
    """Limits of one sandbox.

    Args:
        seconds: Time until everything in it is ended.
        memory_mb: Memory of one process, and of all its processes together.
        processes: How many processes there may be at once.
        output_bytes: How much of stdout, and of stderr, is kept; also the size of the largest file that may be written.
        disk_mb: Size of its temporary folder (where Linux lets users mount one).
        open_files: How many files a process may have open.
    """

    seconds: Annotated[float, ABOVE_0] = 10.0
    memory_mb: Annotated[int, Limit(least=32)] = 512
    processes: Annotated[int, Limit(least=1, most=10_000)] = 32
    output_bytes: Annotated[int, Limit(least=1_000)] = 1_000_000
    disk_mb: Annotated[int, Limit(least=1)] = 64
    open_files: Annotated[int, Limit(least=16)] = 64

    def __post_init__(self) -> None:
        check_fields(self)
