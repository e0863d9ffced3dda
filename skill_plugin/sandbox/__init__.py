"""Processes with limits, for code that somebody else wrote."""

from skill_plugin.sandbox.host import HOST
from skill_plugin.sandbox.limits import SandboxLimits
from skill_plugin.sandbox.pool import SandboxPool
from skill_plugin.sandbox.runner import Judgement, Result, Sandbox, judge, missing, run_python

__all__ = ["HOST", "Judgement", "Result", "Sandbox", "SandboxLimits", "SandboxPool", "judge", "missing", "run_python"]
