"""Testing a version's functions, and allowing them: what an operator does before an agent is offered any."""

from collections.abc import Iterable
from typing import Any

from skill_plugin.errors import InvalidSkillError
from skill_plugin.functions import Runner, TestReport, run_tests, tool_schema_hash
from skill_plugin.graphs.functions.offer import name_of
from skill_plugin.graphs.functions.version import functions_of
from skill_plugin.store import SkillStore, allow_functions, keep_checks
from skill_plugin.store.skills.permissions import TOOLS


def check_functions(
    store: SkillStore, ref: str, *, runs: Runner | None = None, tools: Iterable[Any] = ()
) -> TestReport:
    """Runs the tests of a version, and keeps what they said in place of what was known.

    Args:
        store: The library.
        ref: `name`, `id`, `name@2` or `id@2`; without a version the live one, else the newest.
        runs: What runs them; by default the sandbox.
        tools: The agent's tools, whose form is kept with it; by default that of the first agent that is offered a function.

    Raises:
        SkillNotFoundError: no such skill or version.
        InvalidSkillError: the version has no functions, or a file of tests breaks the rules.
        ConfigurationError: the runner cannot run anything on this machine.
    """
    version = functions_of(store, ref)
    functions = version.package.functions
    if not functions:
        why = next(iter(version.refused.values()), "no file of it, scripts/NAME.py, defines one")
        raise InvalidSkillError(f"{version.name!r} has no functions: {why}")
    needed = {name for function in functions for name in function.tools}
    report = run_tests(version.package.files, version.allowed_tools, runs=runs)
    hashes = {name: tool_schema_hash(tool) for tool in tools if (name := name_of(tool)) in needed}
    keep_checks(store, version.ref, {**report.as_dict(), TOOLS: hashes})
    return report


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
        runs: What runs the tests; by default the sandbox.
        tools: See `check_functions`.

    Raises:
        InvalidSkillError: a test fails, no test tests anything, or as `check_functions` says; nothing is allowed.
        ConfigurationError: no reason is given, or the runner cannot run anything on this machine.
        StoreError: the version is held, or its skill out of use.
    """
    ref = store.get(ref).ref
    report = check_functions(store, ref, runs=runs, tools=tools)
    version = functions_of(store, ref)
    if why := version.untested():
        raise InvalidSkillError(f"the functions of {version.name!r} are not allowed: {why}")
    allow_functions(store, ref, reason=reason, by=by)
    return report
