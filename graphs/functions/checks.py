"""Testing a version's functions and allowing them: what an operator does before an agent is offered any."""

from collections.abc import Iterable
from typing import Any

from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.functions import Runner, TestReport, tool_schema_hash
from skill_plugin.graphs.functions.function_tool import as_tools, set_runner
from skill_plugin.graphs.functions.offer import name_of
from skill_plugin.graphs.functions.version import functions_of
from skill_plugin.graphs.staging import check_version
from skill_plugin.store import SkillStore, allow_functions, keep_tools


def allow_tested_functions(
    store: SkillStore,
    ref: str,
    *,
    reason: str,
    by: str = "human",
    runs: Runner | None = None,
    tools: Iterable[Any] = (),
) -> TestReport:
    """Runs the tests of a version, and if they are sound allows its functions: agents are offered them from then on.

    Args:
        store: The library.
        ref: `name`, `id`, `name@2` or `id@2`; without a version the live one, else the newest.
        reason: Why it is trusted.
        by: Who says so.
        runs: What runs the tests; by default what the setting `function_runner` names.
        tools: The agent's tools, whose form is kept with it; by default that of the first agent that is offered a function.

    Raises:
        SkillNotFoundError: no such skill or version.
        InvalidSkillError: the version has no functions, a test fails, or no test tests anything; nothing is allowed.
        ConfigurationError: no reason is given, or the runner cannot run anything on this machine.
        StoreError: the version is held, or its skill out of use.
    """
    skill = store.get(ref)
    check = check_version(store, skill.ref, runs or set_runner())
    if check.report is None:
        if check.not_run:
            raise ConfigurationError(check.not_run)
        why = next(iter(check.refused.values()), "no file of it, scripts/NAME.py, defines one")
        raise InvalidSkillError(f"{skill.name!r} has no functions: {why}")
    version = functions_of(store, skill.ref)
    if why := version.untested():
        raise InvalidSkillError(f"the functions of {skill.name!r} are not allowed: {why}")
    allow_functions(store, skill.ref, reason=reason, by=by)
    needed = {name for function in version.package.functions for name in function.tools}
    if known := {name: tool_schema_hash(tool) for tool in as_tools(list(tools)) if (name := name_of(tool)) in needed}:
        keep_tools(store, skill.ref, known)
    return check.report
