"""What stands for the host in what is sent into a sandbox."""

from typing import Any

from skill_plugin.errors import SandboxError
from skill_plugin.sandbox import wire


class _Host:
    pass


HOST = _Host()
"""Given to a function in a `Sandbox(calls_back=True)`, it is there a function that calls `Sandbox.answer`."""


def refer(value: Any) -> tuple[str, int, str]:
    """Returns what is sent for a value that is not plain data, which only HOST may be."""
    if value is HOST:
        return ("mine", 0, "host")
    raise wire.WireError(f"a value of the type {type(value).__name__} is not plain data")


def refuse(*_: Any) -> Any:
    """Answers nothing."""
    raise SandboxError("the code in the sandbox calls back, and nobody answers here; set `answer`")
