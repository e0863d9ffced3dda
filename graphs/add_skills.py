"""Skills around a node of somebody else's graph: retrieve before it, record after it, and nothing else changed."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar, Unpack, get_args, get_type_hints

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langgraph.channels import LastValue
from langgraph.graph import StateGraph
from typing_extensions import is_typeddict

from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs.answers import NO_ANSWER, Answer, answer_in
from skill_plugin.graphs.nodes.execute import prompt_messages
from skill_plugin.graphs.nodes.record import record_node
from skill_plugin.graphs.nodes.retrieve import TaskFrom, retrieve_node
from skill_plugin.graphs.nodes.verify import AnswerFrom, verify_node
from skill_plugin.graphs.regions import Region
from skill_plugin.graphs.rewiring import Segment
from skill_plugin.graphs.state import (
    SkillKeys,
    last_human,
    messages_of,
    reads_with,
    skill_guidance,
    task_from_state,
)
from skill_plugin.graphs.steering import go_on, same, wrap
from skill_plugin.graphs.watch import SkillWatch
from skill_plugin.prompts import without_guidance
from skill_plugin.protocols import Verifier
from skill_plugin.records import Task
from skill_plugin.store import RetrievalOptions, SkillStore
from skill_plugin.store.guard import OnStoreError
from skill_plugin.verifiers.adherence import Adherence

Builder = TypeVar("Builder", bound=StateGraph[Any, Any, Any, Any])

RETRIEVE, VERIFY, RECORD, GO_ON = "skillp_retrieve", "skillp_verify", "skillp_record", "skillp_go_on"
ShowIn = Literal["system", "human"]

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
    messages_key: str = "messages",
    show_in: ShowIn = "system",
    on_store_error: OnStoreError = "skip",
    name: str = "",
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
        task_from: Finds the task in the state; by default its `task`, else its last human message. With None, or a
            message without text, the agent goes on without a skill, and nothing is recorded.
        answer_from: Finds the answer in the state; by default its structured response, else the last text since the last human
            message.
        messages_key: The state's key of the agent's messages.
        show_in: Where the node `before` sees the skill: at the end of the system message, which is added if missing; or
            `human`, in front of the last human message, for a node that puts a system message of its own first, or that counts
            its messages.
        on_store_error: Without the store the agent goes on without skills (`skip`); or `raise`; see `retrieve_node`, `record_node`.
        name: Tells this region from others of the same graph: call again with another name for another agent. Our nodes and keys
            have it in theirs (`skillp_retrieve_writer`).
        **options: Those of `Retrieval`: `k`, `min_score`, `strategy`, `experience`, `control_share`.

    Raises:
        ConfigurationError: the graph lacks a node or a key, has skills already, or is wired in a way that cannot be
            redirected; it says which.
    """
    if not isinstance(builder, StateGraph):
        raise ConfigurationError(
            f"{type(builder).__name__} is not a StateGraph; pass the builder, before it is compiled (graph.builder has it)"
        )
    region = Region(name)
    if region.of(RETRIEVE) in builder.nodes:
        raise ConfigurationError(
            f"this graph has skills already{f' under the name {name!r}' if name else ''}, and two would write the same keys; give "
            "this region another name="
        )
    if show_in not in get_args(ShowIn):
        raise ConfigurationError(f"show_in is {show_in!r:.80}; give 'system' or 'human'")
    section = Segment(builder, before, before if after is None else after)
    if ours := sorted(node for node in section.nodes if node.startswith("skillp_")):
        raise ConfigurationError(
            f"between {before!r} and {section.last!r} lies another region with skills ({ours[0]}); two regions cannot overlap"
        )
    schema = builder.state_schema
    _check_keys(builder, region, task_from, answer_from, messages_key)
    if messages_key != "messages":
        task_from = task_from or (lambda state: _task_in(_with_messages(state, messages_key)))
        answer_from = answer_from or (lambda state: _answer_in(_with_messages(state, messages_key)))
    watch = SkillWatch(
        ", ".join(sorted(section.nodes)),
        "let the node pass its state's messages to the model, try show_in=, or declare SkillKeys and add skill_guidance(state)",
    )
    retrieve = retrieve_node(
        store,
        task_from=task_from or _task_in,
        state_schema=schema if task_from else None,
        on_store_error=on_store_error,
        **options,
    )
    verify = region.node(
        verify_node(
            verifier,
            adherence=adherence,
            timeout=verifier_timeout,
            answer_from=answer_from,
            state_schema=schema if answer_from else None,
            watch=watch,
        )
    )
    for node in sorted(section.nodes):
        _show_guidance(
            builder, region, node, watch, messages_key=messages_key, show_in=show_in if node == before else None
        )
    builder.add_node(region.of(RETRIEVE), region.entrance(retrieve))
    section.enter_through(region.of(RETRIEVE))
    recorded = region.node(record_node(store, on_store_error=on_store_error))

    def judge_and_record(verifies: str) -> str:
        """Adds the two nodes, one behind the other; returns the second one's name."""
        records = verifies.replace(VERIFY, RECORD)
        builder.add_node(verifies, verify)
        builder.add_node(records, recorded)
        builder.add_edge(verifies, records)
        return records

    verifies = region.of(VERIFY)
    for node, target in section.leave_through(verifies):
        builder.add_edge(judge_and_record(node), target)
    verifies = verifies if verifies not in builder.nodes else f"{verifies}_command"
    if section.leave_by_command_through(verifies, region.of("skillp_goto")):
        builder.add_node(
            region.of(GO_ON), partial(go_on, key=region.of("skillp_goto")), input_schema=region.reads(SkillKeys)
        )
        builder.add_edge(judge_and_record(verifies), region.of(GO_ON))
    return builder


def _task_in(state: Mapping[str, Any]) -> Task | None:
    if not (state.get("task") or last_human(messages_of(state)).strip()):
        return None
    return task_from_state(state)


def _answer_in(state: Mapping[str, Any]) -> Answer:
    return answer_in(state) or Answer("", NO_ANSWER)


def _with_messages(state: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {**state, "messages": messages_of(state, key)}


def _check_keys(
    builder: StateGraph[Any, Any, Any, Any], region: Region, task_from: Any, answer_from: Any, messages_key: str
) -> None:
    for key in map(region.of, get_type_hints(SkillKeys)):
        channel = builder.channels.get(key)
        if channel is not None and not isinstance(channel, LastValue):
            raise ConfigurationError(
                f"the key {key!r} is ours, and in this graph somebody else's with a reducer; rename the other one"
            )
    keys = builder.schemas[builder.state_schema].keys()
    if messages_key in keys:
        return
    missing = [] if task_from or "task" in keys else ["task_from"]
    missing += [] if answer_from else ["answer_from"]
    if missing:
        raise ConfigurationError(
            f"the state {builder.state_schema.__name__} has no {messages_key} (its keys: {', '.join(sorted(keys))}); pass "
            f"{' and '.join(missing)}, or messages_key="
        )


def _show_guidance(
    builder: StateGraph[Any, Any, Any, Any],
    region: Region,
    name: str,
    watch: SkillWatch,
    *,
    messages_key: str,
    show_in: ShowIn | None,
) -> None:
    """Lets a node see the skill: it gets a state whose messages hold it, and nothing of that is written back. With None it is only
    watched what its model calls see.
    """
    schema = builder.nodes[name].input_schema
    keys = builder.schemas[schema].keys()
    reads_skills = region.of("skillp_skills") in keys  # it reads them itself
    if show_in is not None and not reads_skills and messages_key not in keys:
        raise ConfigurationError(
            f"the node {name!r} reads no {messages_key}, so it would not see the skill; pass messages_key=, or let its state declare "
            "SkillKeys, and add skill_guidance(state) to its prompt"
        )
    shows = show_in is not None and not reads_skills
    as_host: Callable[..., Any] = dict if is_typeddict(schema) else schema

    def show(state: Any) -> Any:
        if not isinstance(state, Mapping) or region.of("skillp_run") not in state:  # the argument of a Send
            return state
        given = {key: value for key, value in state.items() if key in keys}
        if shows and (guidance := skill_guidance(region.inside(state))):
            given[messages_key] = _shown(given.get(messages_key) or [], guidance, show_in)
        return as_host(**given)

    def watched(state: Any) -> list[BaseCallbackHandler]:
        plain = region.inside(state) if isinstance(state, Mapping) else {}
        run, skills = plain.get("skillp_run"), plain.get("skillp_skills") or []
        return [watch.handler(run["run_id"], [skill["ref"] for skill in skills])] if run and skills else []

    behind = partial(_hide, messages_key=messages_key) if shows else same
    wrap(builder, name, show, behind, watch=watched, input_schema=region.reads(reads_with(schema)))


def _shown(messages: Sequence[Any], guidance: str, show_in: ShowIn | None) -> list[Any]:
    """Returns the messages with the skill in them."""
    if show_in == "human":
        at = next((at for at in reversed(range(len(messages))) if isinstance(messages[at], HumanMessage)), None)
        if at is not None:
            return [*messages[:at], _before(messages[at], guidance), *messages[at + 1 :]]
    system, *rest = prompt_messages(messages, None, guidance)
    return [system.model_copy(update={"id": GUIDANCE_ID}), *rest]


def _before(message: HumanMessage, guidance: str) -> HumanMessage:
    content = message.content
    if isinstance(content, str):
        return message.model_copy(update={"content": f"{guidance}\n\n{content}"})
    return message.model_copy(update={"content": [{"type": "text", "text": f"{guidance}\n\n"}, *content]})


def _hide(update: Any, messages_key: str) -> Any:
    """Takes our part out of what a node returns: a subgraph returns the messages that it was given."""
    if isinstance(update, Mapping) and isinstance(messages := update.get(messages_key), list):
        return {**update, messages_key: [_bare(one) for one in messages if getattr(one, "id", None) != GUIDANCE_ID]}
    return update


def _bare(message: Any) -> Any:
    if not isinstance(message, HumanMessage) or (said := without_guidance(message.content)) is None:
        return message
    return message.model_copy(update={"content": said})
