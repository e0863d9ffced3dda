"""Functions of skills outside of an agent: for an MCP client and for the shell. The tools that they may call are those that the operator gives."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import TypedDict

from skill_plugin import prompts
from skill_plugin.errors import ConfigurationError, SandboxError
from skill_plugin.functions import CallResult, FunctionLimits, Runner
from skill_plugin.graphs.functions.calling import FunctionCaller, HostTool
from skill_plugin.graphs.functions.function_tool import as_tools, set_runner
from skill_plugin.graphs.functions.offer import FunctionOffer, function_offer
from skill_plugin.integrations.tools import live_skill
from skill_plugin.store import SkillStore
from skill_plugin.verifiers.loading import import_object

_ALL = 1000


class FunctionDescription(TypedDict):
    """A function: its name, what it says of itself, and the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


class FunctionList(TypedDict):
    """The functions of a live skill that can be called, and for each of the others a line that says why not."""

    skill: str
    ref: str
    functions: list[FunctionDescription]
    not_offered: list[str]


class FunctionAnswer(TypedDict):
    """The answer of a function: its result as JSON text, cut at 4 KB."""

    ref: str
    function: str
    result: str


@dataclass(frozen=True)
class ServedFunctions:
    """How functions are called outside of an agent.

    Args:
        tools: The tools that they may call, of LangChain or plain functions; a function that needs another is not offered.
        runner: What runs them; by default the one that the setting `function_runner` names.
        limits: Limits of one call.
    """

    tools: Sequence[Any] = ()
    runner: Runner | None = None
    limits: FunctionLimits | None = None

    @classmethod
    def named(cls, tools: str | None, runner: Runner) -> "ServedFunctions":
        """Makes them of the tools at `package.module:attribute`, a list.

        Raises:
            ConfigurationError: there is no list of tools.
        """
        found = import_object(tools) if tools else []
        if not isinstance(found, list | tuple):
            raise ConfigurationError(f"{tools} is {type(found).__name__}; name a list of tools")
        return cls(tuple(found), runner)

    def offer(self, store: SkillStore, ref: str) -> FunctionOffer:
        """Returns which functions of a version can be called, and why not the others."""
        return function_offer(store, [ref], as_tools(self.tools), runs=self.runner or set_runner(), most=_ALL)

    def call(self, store: SkillStore, ref: str, function: str, arguments: Mapping[str, Any]) -> CallResult:
        """Calls a function of a version, and keeps the call under a run of its own.

        Raises:
            StoreError: it is not offered; says why.
        """
        skill = store.get(ref)
        offered = self.offer(store, skill.ref).of(skill.name, function)
        run_id = f"call_{uuid.uuid4().hex}"
        caller = FunctionCaller(store, run_id, runs=self.runner or set_runner(), limits=self.limits)
        tools = {tool.name: HostTool.of(tool) for tool in as_tools(self.tools) if tool.name in offered.function.tools}
        return caller.call(offered, arguments, tools)


def list_functions(store: SkillStore, name: str, served: ServedFunctions) -> FunctionList:
    """Returns the functions of a live skill.

    Raises:
        SkillNotFoundError: no skill has this name, or it is not live.
    """
    skill = live_skill(store, name)
    offer = served.offer(store, skill.ref)
    functions = [
        FunctionDescription(
            name=one.function.name,
            description=prompts.one_line(one.function.docstring),
            parameters=dict(one.function.parameters),
        )
        for one in offer.functions
    ]
    return FunctionList(
        skill=skill.name, ref=skill.ref, functions=functions, not_offered=[str(one) for one in offer.left_out]
    )


def call_skill(
    store: SkillStore, name: str, function: str, arguments: Mapping[str, Any], served: ServedFunctions
) -> FunctionAnswer:
    """Calls a function of a live skill.

    Raises:
        SkillNotFoundError: no skill has this name, or it is not live.
        StoreError: the function is not offered; says why.
        SandboxError: it failed; says where and why.
    """
    skill = live_skill(store, name)
    result = served.call(store, skill.ref, function, arguments)
    if not result.ok:
        raise SandboxError(result.error)
    return FunctionAnswer(ref=skill.ref, function=function, result=result.shown)
