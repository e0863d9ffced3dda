"""Functions of skills: read from their files without running them, run in a process that is shut in, tested before they count."""

from skill_plugin.functions.allowed_tools import allowed_tools
from skill_plugin.functions.call import CallResult, ToolUse
from skill_plugin.functions.function import FunctionPackage, SkillFunction
from skill_plugin.functions.limits import FunctionLimits
from skill_plugin.functions.reading import FunctionSurvey, read_functions, survey_functions
from skill_plugin.functions.report import TestReport
from skill_plugin.functions.runners import (
    RUNNERS,
    Runner,
    SandboxRunner,
    UnsafeSubprocessRunner,
    describe_runner,
    runner,
)
from skill_plugin.functions.skill_check import SkillCheck, SkillTests
from skill_plugin.functions.skill_tests import run_tests
from skill_plugin.functions.tool_schemas import changed_tools, tool_schema_hash

__all__ = [
    "RUNNERS",
    "CallResult",
    "FunctionLimits",
    "FunctionPackage",
    "FunctionSurvey",
    "Runner",
    "SandboxRunner",
    "SkillCheck",
    "SkillFunction",
    "SkillTests",
    "TestReport",
    "ToolUse",
    "UnsafeSubprocessRunner",
    "allowed_tools",
    "changed_tools",
    "describe_runner",
    "read_functions",
    "run_tests",
    "runner",
    "survey_functions",
    "tool_schema_hash",
]
