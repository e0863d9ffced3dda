"""`skill-plugin skills allow | forbid | call`: the functions of skills."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from skill_plugin.errors import ConfigurationError
from skill_plugin.integrations.cli.exchange import skills
from skill_plugin.integrations.cli.lifecycle import Reason
from skill_plugin.integrations.cli.skills import Name
from skill_plugin.integrations.cli.terminal.console import fail, note, out, print_json
from skill_plugin.integrations.cli.terminal.options import Json, Tools, command
from skill_plugin.integrations.wiring import open_store, served_functions
from skill_plugin.records import split_ref
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from skill_plugin.store import SkillStore

__all__ = ["skills"]


@command(skills, "allow")
def allow(
    settings: Settings,
    name: Name,
    reason: Annotated[
        str, typer.Option(help="Why it is trusted; it is kept in the skill's history.", show_default=False)
    ],
    tools: Tools = None,
    as_json: Json = False,
) -> None:
    """Run the tests of a skill's functions, and let agents have those of this version. Without sound tests nothing is allowed."""
    from skill_plugin.graphs import allow_tested_functions  # noqa: PLC0415 - LangGraph takes a second

    served = served_functions(settings, tools)
    with open_store(settings, create=False, index=False) as store:
        _check_version_named(store, name)
        report = allow_tested_functions(store, name, reason=reason, runs=served.runner, tools=served.tools)
        skill, rows = store.get(name), function_rows(store, name)
    if as_json:
        print_json(asdict(skill) | {"functions": rows, "checks": report.as_dict()})
        return
    names = ", ".join(row["function"] for row in rows if not row["why_not"])
    out.print(Text(f"allowed {skill.name} version {skill.version} ({skill.ref}): {names}; {report}"), soft_wrap=True)


@command(skills, "forbid")
def forbid(settings: Settings, name: Name, reason: Reason = "", as_json: Json = False) -> None:
    """Take back that agents may have the functions of a version; it takes effect at once."""
    from skill_plugin.store import forbid_functions  # noqa: PLC0415 - SQLModel takes half a second

    with open_store(settings, create=False, index=False) as store:
        skill = forbid_functions(store, name, reason=reason)
    if as_json:
        print_json(asdict(skill))
    else:
        out.print(Text(f"forbidden: the functions of {skill.name} version {skill.version} ({skill.ref})"))


@command(skills, "call")
def call(
    settings: Settings,
    name: Name,
    function: Annotated[str, typer.Argument(help="The function's name.", show_default=False)],
    args: Annotated[str, typer.Option(help="Its arguments as a JSON object, or - for standard input.")] = "{}",
    tools: Tools = None,
    as_json: Json = False,
) -> None:
    """Call a function of a skill whose functions you allowed, and print its result as JSON."""
    arguments = _arguments(sys.stdin.read() if args == "-" else args)
    served = served_functions(settings, tools)
    with open_store(settings, create=False, index=False) as store:
        result = served.call(store, name, function, arguments)
    if not result.ok:
        fail(result.error)
    if as_json:
        print_json({key: value for key, value in asdict(result).items() if key in ("value", "seconds", "tool_uses")})
        return
    out.print(Text(result.text), soft_wrap=True)
    if result.tool_uses:
        note(f"tools called: {', '.join(use.name for use in result.tool_uses)}")


def function_rows(store: "SkillStore", name: str) -> list[dict[str, Any]]:
    """Returns the functions of a version, each with why agents are not offered it; empty if they are.

    `only_reads` says that nobody allowed it, and the policy for tools that only read lets it run.
    """
    from skill_plugin.graphs.functions.version import functions_of  # noqa: PLC0415

    version = functions_of(store, name)
    rows = [
        {
            "function": one.name,
            "path": one.path,
            "tools": list(one.tools),
            "parameters": dict(one.parameters),
            "why_not": version.why_not(one),
            "only_reads": bool(version.stopped) and one.name in version.only_reading,
        }
        for one in version.package.functions
    ]
    return rows + [
        {"function": "", "path": path, "tools": [], "parameters": {}, "why_not": why}
        for path, why in version.refused.items()
    ]


def _check_version_named(store: "SkillStore", name: str) -> None:
    """Checks that it is clear which version somebody has looked at: another may have gone live since."""
    count, live = len(store.versions(split_ref(name)[0])), store.get(name)
    if split_ref(name)[1] is None and count > 1:
        raise ConfigurationError(
            f"{name!r} has {count} versions, and {live.version} is the one that agents have; name the one that you looked at: {live.name}@{live.version}"
        )


def _arguments(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except ValueError as exc:
        raise ConfigurationError(f'--args is not JSON: {exc}; write it as \'{{"customer": "anna"}}\'') from exc
    if not isinstance(given, dict):
        raise ConfigurationError(f'--args is {type(given).__name__}; give a JSON object: \'{{"customer": "anna"}}\'')
    return given
