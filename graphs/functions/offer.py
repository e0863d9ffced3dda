"""Which functions of a run's skills an agent is offered, and why not the others."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skill_plugin.errors import ConfigurationError, SkillNotFoundError, StoreError
from skill_plugin.functions import FunctionPackage, Runner, SkillFunction, changed_tools, tool_schema_hash
from skill_plugin.graphs.functions.version import VersionFunctions, functions_of
from skill_plugin.store import SkillStore, keep_tools
from skill_plugin.store.skills.permissions import TOOLS

MOST = 8
"""Functions that an agent is offered at most in one run: each takes room in every prompt."""

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what the providers of models take


@dataclass(frozen=True)
class OfferedFunction:
    """A function as an agent has it.

    Args:
        tool_name: What the model calls it: its own name, or `refunds__refund_duplicates` where a tool or another function has that.
        skill: The skill's name.
        ref: `skill_id@version`.
        function: What was read of it.
        package: The files that it needs.
        only_reads: Whether it is offered though nobody allowed it, because it only reads.
    """

    tool_name: str
    skill: str
    ref: str
    function: SkillFunction
    package: FunctionPackage
    only_reads: bool = False


@dataclass(frozen=True)
class LeftOutFunction:
    """A function that is not offered, or with an empty name a file or a whole skill; `reason` is one line."""

    skill: str
    function: str
    reason: str

    def __str__(self) -> str:
        return f"{self.skill}{'.' * bool(self.function)}{self.function}: {self.reason}"


@dataclass(frozen=True)
class FunctionOffer:
    """What an agent is offered in a run, and what is left out."""

    functions: tuple[OfferedFunction, ...] = ()
    left_out: tuple[LeftOutFunction, ...] = ()

    def of(self, skill: str, function: str) -> OfferedFunction:
        """Returns the offered function of a skill.

        Raises:
            StoreError: it is not offered; says why.
        """
        for one in self.functions:
            if (one.skill, one.function.name) == (skill, function):
                return one
        why = next((one.reason for one in self.left_out if (one.skill, one.function) == (skill, function)), "")
        why = why or next((one.reason for one in self.left_out if (one.skill, one.function) == (skill, "")), "")
        known = ", ".join(one.function.name for one in self.functions if one.skill == skill) or "none"
        raise StoreError(
            f"the function {function!r:.80} of {skill!r:.80} is not offered: {why or 'the skill has none of that name'}; "
            f"offered are: {known}"
        )


def function_offer(
    store: SkillStore,
    refs: Iterable[str],
    tools: Sequence[Any] = (),
    *,
    runs: Runner | None = None,
    taken: Collection[str] = (),
    most: int = MOST,
) -> FunctionOffer:
    """Returns which functions of some versions are offered to an agent, and why not the others.

    Offered is a function of a version that an operator allowed, or one that only reads (`read_only_tools`), whose tests pass and notice when it does nothing, and whose tools the
    agent has, with the arguments that they had when a function of this version was first offered.

    Args:
        store: The library.
        refs: The versions, as `skill_id@version`: those of the run.
        tools: The agent's tools.
        runs: What runs functions; where it cannot, none is offered.
        taken: Names of tools that no function may have, besides those of `tools`.
        most: How many functions at most.
    """
    found, left_out = list[tuple[VersionFunctions, SkillFunction]](), list[LeftOutFunction]()
    known = {name: tool for tool in tools if (name := name_of(tool))}
    for ref in dict.fromkeys(refs):
        try:
            version = functions_of(store, ref)
        except SkillNotFoundError as exc:
            left_out.append(LeftOutFunction(ref, "", str(exc)))
            continue
        left_out += [LeftOutFunction(version.name, "", why) for why in version.refused.values()]
        runnable = []
        for function in version.package.functions:
            if why := version.why_not(function, runs) or (runs.problem if runs else ""):
                left_out.append(LeftOutFunction(version.name, function.name, why))
            else:
                runnable.append(function)
        wrong = _wrong_tools(store, version, runnable, known)
        for function in runnable:
            if why := next((wrong[name] for name in function.tools if name in wrong), ""):
                left_out.append(LeftOutFunction(version.name, function.name, why))
            else:
                found.append((version, function))
    offered = _named(found, {*known, *taken}, left_out)
    left_out += [
        LeftOutFunction(one.skill, one.function.name, f"{most} functions are offered before it, and no more than that")
        for one in offered[most:]
    ]
    return FunctionOffer(tuple(offered[:most]), tuple(left_out))


def name_of(tool: Any) -> str:
    """Returns the name of a LangChain tool, or of one in a provider's own form; empty if it says none."""
    inner = tool.get("function", tool) if isinstance(tool, Mapping) else None
    name = inner.get("name") or inner.get("type") if isinstance(inner, Mapping) else getattr(tool, "name", "")
    return name if isinstance(name, str) else ""


def _wrong_tools(
    store: SkillStore, version: VersionFunctions, functions: Sequence[SkillFunction], tools: Mapping[str, Any]
) -> dict[str, str]:
    """Returns the tools that the functions need and the agent lacks, or has in another form than before; each with a line."""
    needed = sorted({name for function in functions for name in function.tools})
    hashes = {}
    for name in needed:
        try:
            hashes[name] = tool_schema_hash(tools[name])
        except (KeyError, ConfigurationError):
            continue
    known: dict[str, str] = dict(version.checks.get(TOOLS, {}))
    if new := {name: made for name, made in hashes.items() if name not in known}:
        try:
            known = keep_tools(store, version.ref, new)
        except StoreError:  # a library that is only read
            known |= new
    wanted = {name: known.get(name, "") for name in needed}
    return changed_tools(wanted, [tools[name] for name in hashes])


def _named(
    found: Sequence[tuple[VersionFunctions, SkillFunction]], taken: Collection[str], left_out: list[LeftOutFunction]
) -> list[OfferedFunction]:
    """Gives each function a name that is free; one without is left out."""
    often = Counter(function.name for _, function in found)
    used, offered = set(taken), []
    for version, function in found:
        plain = function.name
        name = plain if often[plain] == 1 and plain not in taken else f"{version.name}__{plain}"
        if name in used or not _TOOL_NAME.fullmatch(name):
            why = "has that name already" if name in used else "cannot have it: models take 64 letters, digits, _ and -"
            left_out.append(LeftOutFunction(version.name, plain, f"it would be called {name!r:.200}, and a tool {why}"))
            continue
        used.add(name)
        only_reads = bool(version.stopped)  # and offered all the same
        offered.append(OfferedFunction(name, version.name, version.ref, function, version.package, only_reads))
    return offered
