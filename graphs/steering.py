"""Nodes of somebody else's graph with something around them: another view of the state, other ways out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import merge_configs, var_child_runnable_config
from langgraph.graph import StateGraph
from langgraph.types import Command, Send

Shows = Callable[[Any], Any]
Steers = Callable[[Any], Any]
Watches = Callable[[Any], list[BaseCallbackHandler]]


class Around(RunnableLambda[Any, Any]):
    """A host's node with a function before it and one behind it. A RunnableLambda, because LangGraph looks into one for the graph
    that it may hold; but no step of its own in a trace.
    """

    def __init__(self, node: Runnable[Any, Any], before: Shows, behind: Steers, watch: Watches) -> None:
        def call(state: Any, config: RunnableConfig) -> Any:
            with _watching(config, watch(state)) as watched:
                return behind(node.invoke(before(state), watched))

        async def acall(state: Any, config: RunnableConfig) -> Any:
            with _watching(config, watch(state)) as watched:
                return behind(await node.ainvoke(before(state), watched))

        super().__init__(call, acall)
        self._call, self._acall = call, acall

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002 - Runnable's name
        return self._call(input, config or {})

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002
        return await self._acall(input, config or {})


@contextmanager
def _watching(config: RunnableConfig, handlers: list[BaseCallbackHandler]) -> Iterator[RunnableConfig]:
    """Yields the config with further callbacks, also for what the node calls without handing its config on."""
    if not handlers:
        yield config
        return
    watched = merge_configs(config, {"callbacks": handlers})
    token = var_child_runnable_config.set(watched)
    try:
        yield watched
    finally:
        var_child_runnable_config.reset(token)


def unwatched(_: Any) -> list[BaseCallbackHandler]:
    return []


def same(value: Any) -> Any:
    return value


def redirect(output: Any, other: Mapping[str, str]) -> Any:
    """Returns a node's output with the places that its Commands go to exchanged."""
    return _each_command(output, lambda command: [_going(command, [_place(one, other) for one in _places(command)])])


def leave(output: Any, inside: frozenset[str], through: str, *, key: str, is_leaf: bool) -> Any:
    """Returns a node's output such that whoever leaves the agent by a Command goes `through` a node of ours first.

    Where it was going, by name or by `Send`, is kept under `key`, for `go_on`.

    Args:
        output: What the node returned.
        inside: The agent's nodes.
        through: Our node.
        key: The state's key.
        is_leaf: No edge leads on from the node, so a graph ends there unless a Command says otherwise.
    """

    def split(command: Command[Any]) -> list[Command[Any]]:
        if command.graph == Command.PARENT:
            to_parent = {"parent": True, "goto": _places(command), "update": command.update}
            # The verdict is on what the update holds, so it is written here too; the parent gets it when we go on.
            return [Command(update=command.update, goto=through), Command(update={key: [to_parent]})]
        places = _places(command)
        out = [one for one in places if (one.node if isinstance(one, Send) else one) not in inside]
        if not out and (places or not is_leaf):
            return [command]
        stay = [one for one in places if one not in out]
        kept = [{"node": one.node, "arg": one.arg} if isinstance(one, Send) else one for one in out]
        return [_going(command, [*stay, through]), Command(update={key: kept})]

    commands = [one for one in _as_list(output) if isinstance(one, Command)]
    if commands:
        return _each_command(output, split)
    if is_leaf and not any(isinstance(one, Send) for one in _as_list(output)):
        return [*_as_list(output), Command(update={key: []}, goto=through)]
    return output


def go_on(state: Mapping[str, Any], key: str = "skillp_goto") -> Any:
    """Goes where the agent was going when it left, which the state has under `key`."""
    kept = state.get(key) or []
    done = {key: None}
    if kept and isinstance(kept[0], Mapping) and "parent" in kept[0]:
        return Command(graph=Command.PARENT, goto=kept[0]["goto"], update=kept[0]["update"])
    places = [Send(one["node"], one["arg"]) if isinstance(one, Mapping) else one for one in kept]
    return Command(update=done, goto=places)


def wrap(
    builder: StateGraph[Any, Any, Any, Any],
    name: str,
    before: Shows,
    behind: Steers,
    *,
    watch: Watches = unwatched,
    **changes: Any,
) -> None:
    """Puts functions around a node. Retry policy, cache and the rest stay the host's.

    Args:
        builder: Not compiled yet.
        name: The node.
        before: Makes the state that it is handed.
        behind: Makes what it returns.
        watch: Makes callbacks for the model calls in it, from the state.
        **changes: Of its spec: `ends`, `input_schema`.
    """
    spec = builder.nodes[name]
    schema = changes.get("input_schema", spec.input_schema)
    del builder.nodes[name]
    builder.add_node(
        name, Around(cast("Runnable[Any, Any]", spec.runnable), before, behind, watch), input_schema=schema
    )
    builder.nodes[name] = replace(spec, runnable=builder.nodes[name].runnable, **changes)


def _as_list(output: Any) -> list[Any]:
    if output is None:
        return []
    mixed = isinstance(output, list | tuple) and any(isinstance(one, Command | Send) for one in output)
    return list(output) if mixed else [output]


def _each_command(output: Any, change: Callable[[Command[Any]], list[Command[Any]]]) -> Any:
    parts = _as_list(output)
    if not any(isinstance(one, Command) for one in parts):
        return output
    made = [each for one in parts for each in (change(one) if isinstance(one, Command) else [one])]
    return made[0] if len(made) == 1 and not isinstance(output, list | tuple) else made


def _places(command: Command[Any]) -> list[Any]:
    goto = command.goto
    return [goto] if isinstance(goto, str | Send) else list(goto)


def _place(place: Any, other: Mapping[str, str]) -> Any:
    if isinstance(place, Send):
        return Send(other.get(place.node, place.node), place.arg)
    return other.get(place, place)


def _going(command: Command[Any], places: Sequence[Any]) -> Command[Any]:
    return Command(graph=command.graph, update=command.update, resume=command.resume, goto=list(places))
