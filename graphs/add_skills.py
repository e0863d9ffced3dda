"""Skills around a node of somebody else's graph: retrieve before it, record after it, and nothing else changed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, Unpack, cast, get_type_hints

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.channels import LastValue
from langgraph.graph import StateGraph
from typing_extensions import is_typeddict

from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs.nodes.execute import prompt_messages
from skill_plugin.graphs.nodes.record import record_node
from skill_plugin.graphs.nodes.retrieve import TaskFrom, retrieve_node
from skill_plugin.graphs.nodes.verify import AnswerFrom, verify_node
from skill_plugin.graphs.rewiring import Segment
from skill_plugin.graphs.state import SkillKeys, reads_with, skill_guidance, task_from_state
from skill_plugin.protocols import Verifier
from skill_plugin.records import Task
from skill_plugin.store import RetrievalOptions, SkillStore
from skill_plugin.store.guard import OnStoreError
from skill_plugin.verifiers.adherence import Adherence

Builder = TypeVar("Builder", bound=StateGraph[Any, Any, Any, Any])

RETRIEVE, VERIFY, RECORD = "skillp_retrieve", "skillp_verify", "skillp_record"

GUIDANCE_ID = "skillp-guidance"
"""The id of the system message that the node is shown; it never gets into the host's messages."""


def add_skills(
    builder: Builder,
    *,
    store: SkillStore,
    before: str,
    after: str | None = None,
    verifier: Verifier | Callable[[Task, str], Any] | None = None,
    adherence: Adherence | None = None,
    verifier_timeout: float = 30.0,
    task_from: TaskFrom | None = None,
    answer_from: AnswerFrom | None = None,
    on_store_error: OnStoreError = "skip",
    **options: Unpack[RetrievalOptions],
) -> Builder:
    """Wires skills around the agent in a builder that has its edges and is not compiled yet; returns the builder.

        builder = add_skills(builder, store=store, before="agent", after="tools")

    The agent is `before`, `after` and what lies between them, loops included. What leads into `before` from elsewhere
    leads to `skillp_retrieve` now, and what leads out of the agent to `skillp_record`. The node `before` sees the skill in
    the system message of its `messages`, or reads `skill_guidance(state)` itself if its state declares `SkillKeys`. The
    graph's state class, its input and its output stay as they are.

    Args:
        builder: Its state has `messages`, or `task_from` and `answer_from` say where task and answer are.
        store: The library.
        before: The node that calls the model.
        after: The last node of the agent; by default `before`, with the loop it is in.
        verifier: Judges the answer in `skillp_verify`; without one, outcomes come later (`store.record_outcome`).
        adherence: See `verify_node`.
        verifier_timeout: Seconds until a verifier counts as hung.
        task_from: Finds the task in the state; by default its `task`, else its last human message.
        answer_from: Finds the answer in the state; by default its last AI message.
        on_store_error: Without the store the agent goes on without skills (`skip`); or `raise`; see `retrieve_node`, `record_node`.
        **options: Those of `Retrieval`: `k`, `min_score`, `strategy`, `experience`, `control_share`.

    Raises:
        ConfigurationError: the graph lacks a node or a key, has skills already, or is wired in a way that cannot be
            redirected; it says which.
    """
    if not isinstance(builder, StateGraph):
        raise ConfigurationError(
            f"{type(builder).__name__} is not a StateGraph; pass the builder, before it is compiled (graph.builder has it)"
        )
    if RETRIEVE in builder.nodes:
        raise ConfigurationError(
            "this graph has skills already, and two would write the same keys; make a subgraph of each agent"
        )
    section = Segment(builder, before, before if after is None else after)
    schema = builder.state_schema
    _check_keys(builder, task_from, answer_from)
    retrieve = retrieve_node(
        store,
        task_from=task_from or task_from_state,
        state_schema=schema if task_from else None,
        on_store_error=on_store_error,
        **options,
    )
    verify = verify_node(
        verifier,
        adherence=adherence,
        timeout=verifier_timeout,
        answer_from=answer_from,
        state_schema=schema if answer_from else None,
    )
    _show_guidance(builder, before)
    builder.add_node(RETRIEVE, retrieve)
    section.enter_through(RETRIEVE)
    for name, target in section.leave_through(VERIFY):
        record = name.replace(VERIFY, RECORD)
        builder.add_node(name, verify)
        builder.add_node(record, record_node(store, on_store_error=on_store_error))
        builder.add_edge(name, record)
        builder.add_edge(record, target)
    return builder


def _check_keys(builder: StateGraph[Any, Any, Any, Any], task_from: Any, answer_from: Any) -> None:
    for key in get_type_hints(SkillKeys):
        channel = builder.channels.get(key)
        if channel is not None and not isinstance(channel, LastValue):
            raise ConfigurationError(
                f"the key {key!r} is ours, and in this graph somebody else's with a reducer; rename the other one"
            )
    keys = builder.schemas[builder.state_schema].keys()
    if "messages" in keys:
        return
    missing = [] if task_from or "task" in keys else ["task_from"]
    missing += [] if answer_from else ["answer_from"]
    if missing:
        raise ConfigurationError(
            f"the state {builder.state_schema.__name__} has no messages (its keys: {', '.join(sorted(keys))}); pass "
            f"{' and '.join(missing)}"
        )


def _show_guidance(builder: StateGraph[Any, Any, Any, Any], name: str) -> None:
    """Lets a node see the skill: it gets a state whose messages begin with it, and nothing of that is written back."""
    spec = builder.nodes[name]
    schema = spec.input_schema
    keys = builder.schemas[schema].keys()
    if "skillp_skills" in keys:
        return  # it reads them itself
    if "messages" not in keys:
        raise ConfigurationError(
            f"the node {name!r} reads no messages, so it would not see the skill; let its state declare SkillKeys, and add "
            "skill_guidance(state) to its prompt"
        )
    reads = reads_with(schema)
    as_host: Callable[..., Any] = dict if is_typeddict(schema) else schema

    def show(state: Mapping[str, Any]) -> Any:
        given = {key: value for key, value in state.items() if key in keys}
        if guidance := skill_guidance(state):
            system, *rest = prompt_messages(given.get("messages") or [], None, guidance)
            given["messages"] = [system.model_copy(update={"id": GUIDANCE_ID}), *rest]
        return as_host(**given)

    del builder.nodes[name]
    builder.add_node(name, _Shown(cast("Runnable[Any, Any]", spec.runnable), show), input_schema=reads)
    # Retry policy, cache, destinations and the rest stay the host's.
    builder.nodes[name] = replace(spec, runnable=builder.nodes[name].runnable, input_schema=reads)


class _Shown(RunnableLambda[Any, Any]):
    """A host's node that is handed another view of the state. A RunnableLambda, because LangGraph looks into one for the
    graph that it may hold; but no step of its own in a trace.
    """

    def __init__(self, node: Runnable[Any, Any], show: Callable[[Mapping[str, Any]], Any]) -> None:
        def call(state: Any, config: RunnableConfig) -> Any:
            return _hide(node.invoke(show(state), config))

        async def acall(state: Any, config: RunnableConfig) -> Any:
            return _hide(await node.ainvoke(show(state), config))

        super().__init__(call, acall)
        self._call, self._acall = call, acall

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002 - Runnable's name
        return self._call(input, config or {})

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002
        return await self._acall(input, config or {})


def _hide(update: Any) -> Any:
    """A subgraph returns the messages that it was given, ours included."""
    if isinstance(update, Mapping) and isinstance(messages := update.get("messages"), list):
        kept = [message for message in messages if not (isinstance(message, BaseMessage) and message.id == GUIDANCE_ID)]
        return {**update, "messages": kept}
    return update
