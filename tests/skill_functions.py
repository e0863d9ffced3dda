"""Skills with functions, for tests."""

from pathlib import Path

import pytest

from skill_plugin.functions import FunctionLimits, FunctionPackage, runner
from skill_plugin.sandbox import missing

SLOW = FunctionLimits(seconds=60, memory_mb=400, output_bytes=100_000, tool_calls=5, processes=8)
"""For functions that end by themselves, however slow the machine is."""
SHORT = FunctionLimits(seconds=1, memory_mb=400, output_bytes=100_000, tool_calls=5, processes=8)

needs_sandbox = pytest.mark.skipif(
    bool({"network", "files"} & set(missing())), reason=f"this machine cannot contain {missing()}"
)


def package(source, *tools, **others):
    """Returns a skill of one file of functions, read as any skill is."""
    files = {"scripts/work.py": source.encode(), **{path: data.encode() for path, data in others.items()}}
    return FunctionPackage.read(files, tools)


def call(source, tools=None, limits=SLOW, name="work", runs=None, **arguments):
    """Calls `work` of a file."""
    tools = tools or {}
    return (runs or runner()).run(package(source, *tools), name, arguments, tools, limits)


def body(text, **names):
    """Returns a file with a function `work() -> dict` that has this body, and these names as constants."""
    constants = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    lines = "".join(f"    {line}\n" for line in text.strip().splitlines())
    return f'{constants}\n\ndef work() -> dict:\n    """Works."""\n{lines}'


ROOT = Path(__file__).parents[1]
