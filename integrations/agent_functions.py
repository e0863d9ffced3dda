"""Functions of skills in an agent of `create_agent`: which tools its model sees, and how calls of them are served."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from pydantic_core import to_jsonable_python

from skill_plugin.errors import InvalidSkillError
from skill_plugin.functions import FunctionLimits, Runner, allowed_tools
from skill_plugin.graphs.functions.calling import FunctionCaller, HostTool, raising
from skill_plugin.graphs.functions.function_tool import FunctionTool
from skill_plugin.graphs.functions.offer import FunctionOffer, function_offer, name_of
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.skills import skill_md
from skill_plugin.store import SkillStore
from skill_plugin.store.guard import StoreGuard
from skill_plugin.store.skills.tiers import least_tier

OFFERED, BOUND = "skillp_offered", "skillp_bound"
"""Keys of the state: the functions that the model was last offered, and the tools that are bound to skills."""

_PAGE = 1000


class ModelTools(NamedTuple):
    """What a model call is given: its tools, the functions among them as the state keeps them, and what was left out."""

    tools: list[Any]
    offered: list[dict[str, str]]
    left_out: list[str]


class AgentFunctions:
    """The functions and the bound tools of a middleware.

    Args:
        store: The library.
        guard: Asks it.
        runs: What runs functions; None offers none.
        limits: Limits of one call of a function.
        may_call: Names of the tools that functions may call; None for all of the agent's.
        bind: Names of the tools that are hidden until a skill of the run names them; True for all that a live skill names.
    """

    def __init__(
        self,
        store: SkillStore,
        guard: StoreGuard,
        *,
        runs: Runner | None,
        limits: FunctionLimits | None = None,
        may_call: Sequence[str] | None = None,
        bind: bool | Sequence[str] = False,
    ) -> None:
        self._store, self._guard, self._runs, self._limits = store, guard, runs, limits
        self._may_call, self._bind = may_call, bind

    def begun(self) -> dict[str, Any]:
        """Returns what a run begins with."""
        bound = sorted(named_tools(self._store)) if self._bind is True else list(self._bind or ())
        return {OFFERED: [], BOUND: bound}

    def of_model(
        self, state: Mapping[str, Any], skills: Sequence[PinnedSkill], tools: Sequence[Any], taken: Sequence[str]
    ) -> ModelTools:
        """Returns the tools of a model call.

        Args:
            state: The agent's state.
            skills: The skills of the run.
            tools: Those that it would have.
            taken: More names that no function may have.
        """
        hidden = hidden_tools(state, skills)
        shown = [tool for tool in tools if name_of(tool) not in hidden]
        if self._runs is None:
            return ModelTools(shown, [], [])
        offer = self._offer([skill["ref"] for skill in skills], shown, taken=[*taken, *map(name_of, tools)])
        caller = FunctionCaller(self._store, "", runs=self._runs)  # these are read by a model, and not called
        made = [FunctionTool.of(one, caller, {}) for one in offer.functions]
        offered = [{"tool": one.tool_name, "ref": one.ref, "function": one.function.name} for one in offer.functions]
        return ModelTools([*shown, *made], offered, [str(one) for one in offer.left_out])

    def served(self, request: Any, handler: Callable[[Any], Any], skills: Sequence[PinnedSkill]) -> Any:
        """Answers a model's call of a tool."""
        found = self._guard.ask(lambda: self._found(request, skills), _cannot)
        return handler(self._prepared(request, handler, found)) if not isinstance(found, str) else _no(request, found)

    async def aserved(
        self, request: Any, handler: Callable[[Any], Awaitable[Any]], skills: Sequence[PinnedSkill]
    ) -> Any:
        """Does as `served` does, for an event loop."""
        found = await self._guard.aask(lambda: self._found(request, skills), _cannot)
        if isinstance(found, str):
            return _no(request, found)
        return await handler(self._prepared(request, handler, found))

    def _offer(self, refs: Sequence[str], tools: Sequence[Any], *, taken: Sequence[str] = ()) -> FunctionOffer:
        mine = [
            tool
            for tool in tools
            if isinstance(tool, BaseTool) and (self._may_call is None or tool.name in self._may_call)
        ]
        return function_offer(self._store, refs, mine, runs=self._runs, taken=taken)

    def _found(self, request: Any, skills: Sequence[PinnedSkill]) -> Any:
        """Returns the offered function that a call is for, None where it is for another tool, or why it is not served."""
        name = request.tool_call["name"]
        if request.tool is not None:
            is_hidden = name in hidden_tools(request.state, skills)
            return (
                f"the tool {name!r} goes with a skill that is not in use here; go on without it" if is_hidden else None
            )
        one = next((one for one in request.state.get(OFFERED) or [] if one["tool"] == name), None)
        if one is None or self._runs is None:
            return None
        offer = self._offer([one["ref"]], getattr(request.runtime, "tools", []))
        found = next((it for it in offer.functions if it.function.name == one["function"]), None)
        if found is not None:
            return replace(found, tool_name=name)
        return next((it.reason for it in offer.left_out if it.function in (one["function"], "")), "it is not there")

    def _prepared(self, request: Any, handler: Callable[[Any], Any], found: Any) -> Any:
        """Returns the request with the tool that serves it. Its function calls the agent's tools as a model would, through the handler."""
        if found is None or self._runs is None:
            return request
        run_id = request.state["skillp_run"]["run_id"]
        caller = FunctionCaller(self._store, run_id, runs=self._runs, limits=self._limits, guard=self._guard)
        tools = {tool.name: tool for tool in request.runtime.tools if tool.name in found.function.tools}
        hosts = {name: _host_tool(request, handler, tool) for name, tool in tools.items()}
        return request.override(tool=FunctionTool.of(found, caller, hosts))


class ServesCalls:
    """What a middleware has besides, where it serves tools that the agent did not know when it was made."""

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return self._functions.served(request, handler, self._in_run(request.state))  # type: ignore[attr-defined]

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        return await self._functions.aserved(request, handler, self._in_run(request.state))  # type: ignore[attr-defined]


_serving: dict[type, type] = {}


def serving(kind: type) -> type:
    """Returns a class of middleware that serves calls too: LangChain asks the class, and trusts an agent that has one with unknown tools."""
    if kind not in _serving:
        names = {"__module__": kind.__module__, "__doc__": kind.__doc__}
        _serving[kind] = type(kind.__name__, (ServesCalls, kind), names)
    return _serving[kind]


def hidden_tools(state: Mapping[str, Any], skills: Sequence[PinnedSkill]) -> set[str]:
    """Returns the names of the bound tools that none of the run's skills names."""
    bound = set(state.get(BOUND) or ())
    return bound - {name for skill in skills for name in _named(skill["text"])} if bound else bound


def named_tools(store: SkillStore) -> set[str]:
    """Returns the names of the tools that live skills, of a tier that is shown, name in `allowed-tools`."""
    names, offset = set[str](), 0
    while True:
        page = store.query(status="live", min_tier=least_tier(store), text="allowed-tools", limit=_PAGE, offset=offset)
        names |= {name for skill in page for name in _named(skill.text)}
        if page.next_offset is None:
            return names
        offset = page.next_offset


def _named(text: str) -> tuple[str, ...]:
    try:
        return allowed_tools(skill_md.parse(text).extra)
    except InvalidSkillError:
        return ()


def _cannot(why: str) -> str:
    return f"it cannot be called now: {why}"


def _no(request: Any, why: str) -> ToolMessage:
    call = request.tool_call
    return ToolMessage(why, name=call["name"], tool_call_id=call["id"], status="error")


class _Heard:
    """A tool whose value is heard before a message is made of it."""

    def __init__(self, tool: BaseTool) -> None:
        self._tool = raising(tool)
        self.value: Any = None
        self.content: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tool, name)

    def invoke(self, call: Any, config: Any = None, **_: Any) -> Any:
        try:
            return self._message(call, self._tool.invoke(call["args"], config))
        except ValueError as exc:
            _check_wants_id(exc)
        return self._tool.invoke(call, config)

    async def ainvoke(self, call: Any, config: Any = None, **_: Any) -> Any:
        try:
            return self._message(call, await self._tool.ainvoke(call["args"], config))
        except ValueError as exc:
            _check_wants_id(exc)
        return await self._tool.ainvoke(call, config)

    def _message(self, call: Any, value: Any) -> ToolMessage:
        self.value = value
        text = (
            value if isinstance(value, str) else json.dumps(to_jsonable_python(value, fallback=str), ensure_ascii=False)
        )
        self.content = text
        return ToolMessage(text, name=call["name"], tool_call_id=call["id"])

    def told(self, answer: Any) -> Any:
        """Returns the tool's value, or what a middleware put in its place."""
        if not isinstance(answer, ToolMessage):
            raise TypeError(f"{self._tool.name} answers with a command to the graph, which a function cannot take")
        if answer.status == "error":
            raise RuntimeError(str(answer.text))
        if self.content is not None and answer.content == self.content:
            return self.value
        try:
            found = json.loads(str(answer.text))
        except ValueError:
            found = None
        return found if isinstance(found, dict | list) else str(answer.text)


def _check_wants_id(exc: ValueError) -> None:
    """Raises an error, unless it says that a tool, which has not begun, answers only a call with an id: it gives a message, and no value."""
    if not str(exc).startswith("When tool includes an InjectedToolCallId"):
        raise exc


def _host_tool(request: Any, handler: Callable[[Any], Any], tool: BaseTool) -> HostTool:
    count = iter(range(1_000_000))

    def asked(arguments: dict[str, Any]) -> tuple[_Heard, Any]:
        heard = _Heard(tool)
        name = f"{request.tool_call['id']}-{tool.name}-{next(count)}"
        call = {"name": tool.name, "args": arguments, "id": name, "type": "tool_call"}
        return heard, request.override(tool_call=call, tool=heard)

    def call(arguments: dict[str, Any]) -> Any:
        heard, inner = asked(arguments)
        return heard.told(handler(inner))

    async def acall(arguments: dict[str, Any]) -> Any:
        heard, inner = asked(arguments)
        return heard.told(await handler(inner))

    return HostTool(tool, call, acall)
