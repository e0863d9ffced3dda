"""The offered functions of a run as LangChain tools, for one's own `ToolNode` and for the middleware."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool, ToolException, tool
from pydantic import PrivateAttr

from skill_plugin.functions import FunctionLimits, Runner, runner
from skill_plugin.graphs.functions.calling import FunctionCaller, HostTool
from skill_plugin.graphs.functions.offer import MOST, FunctionOffer, OfferedFunction, function_offer
from skill_plugin.quoting import defused
from skill_plugin.settings import Settings
from skill_plugin.store import SkillStore


def set_runner() -> Runner:
    """Returns the runner that the setting `function_runner` names.

    Raises:
        ConfigurationError: it names none, or the settings cannot be read.
    """
    return runner(Settings.load().function_runner)


class FunctionTool(BaseTool):
    """A function of a skill as a tool of an agent. What goes wrong in it is a line for the model; interrupts pass through."""

    handle_tool_error: Any = True
    _offered: OfferedFunction = PrivateAttr()
    _caller: FunctionCaller = PrivateAttr()
    _tools: Mapping[str, HostTool] = PrivateAttr()

    @classmethod
    def of(cls, offered: OfferedFunction, caller: FunctionCaller, tools: Mapping[str, HostTool]) -> "FunctionTool":
        """Makes the tool of a function, which calls the agent's `tools`."""
        function = offered.function
        made = cls(
            name=offered.tool_name,
            description=f"{defused(function.docstring)}\n({function.name}, of the skill {offered.skill})",
            args_schema={"title": offered.tool_name, **function.parameters},
            metadata={"skill": offered.ref, "function": function.name},
        )
        made._offered, made._caller, made._tools = offered, caller, tools
        return made

    def _run(self, /, **arguments: Any) -> str:
        return _shown(self._caller.call(self._offered, arguments, self._tools))

    async def _arun(self, /, **arguments: Any) -> str:
        return _shown(await self._caller.acall(self._offered, arguments, self._tools))


def _shown(result: Any) -> str:
    if not result.ok:
        raise ToolException(result.shown)
    return str(result.shown)


def offered_functions(
    store: SkillStore,
    state: Mapping[str, Any],
    tools: Sequence[BaseTool | Callable[..., Any]] = (),
    *,
    runs: Runner | None = None,
) -> FunctionOffer:
    """Returns which functions of a run's skills an agent is offered, and for each that is not the reason.

    Args:
        store: The library.
        state: The graph's state, with `skillp_skills`.
        tools: The agent's tools.
        runs: What runs functions; where it cannot, none is offered.
    """
    return function_offer(store, _refs(state), as_tools(tools), runs=runs)


def function_tools(
    store: SkillStore,
    state: Mapping[str, Any],
    tools: Sequence[BaseTool | Callable[..., Any]] = (),
    *,
    runs: Runner | None = None,
    limits: FunctionLimits | None = None,
    most: int = MOST,
) -> list[BaseTool]:
    """Returns the functions of a run's skills as tools for its model and for a `ToolNode`.

    They are those of the versions that the run has pinned, and their calls are kept in the store under its `run_id`.

    Args:
        store: The library.
        state: The graph's state, with `skillp_skills` and `skillp_run`.
        tools: The agent's tools, which the functions call.
        runs: What runs functions; by default the one that the setting `function_runner` names.
        limits: Limits of one call.
        most: How many functions at most.
    """
    runs = runs or set_runner()
    own = as_tools(tools)
    offer = function_offer(store, _refs(state), own, runs=runs, most=most)
    run_id = (state.get("skillp_run") or {}).get("run_id") or f"run_{uuid.uuid4().hex}"
    caller = FunctionCaller(store, run_id, runs=runs, limits=limits)
    hosts = {one.name: HostTool.of(one) for one in own}
    return [FunctionTool.of(one, caller, {name: hosts[name] for name in one.function.tools}) for one in offer.functions]


def _refs(state: Mapping[str, Any]) -> list[str]:
    return [skill["ref"] for skill in state.get("skillp_skills") or []]


def as_tools(tools: Sequence[BaseTool | Callable[..., Any]]) -> list[BaseTool]:
    """Returns tools as LangChain has them; a function becomes one, as it does in `create_agent`."""
    return [one if isinstance(one, BaseTool) else tool(one) for one in tools]
