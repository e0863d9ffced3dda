"""Graphs as people write them: skills are wired around any of them, see the model, and are recorded."""

import operator
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from fakes import AgentChat
from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs import add_skills
from skill_plugin.graphs.add_skills import GUIDANCE_ID

ADD = {"messages": [("user", "add 2 and 2")]}
CONFIG = {"configurable": {"thread_id": "1"}}


def right(task, answer):
    return answer == "4"


@pytest.fixture
def model():
    return AgentChat(lambda messages: "4")


def run(graph, given, config=None):
    """What the graph ends with, and our events by type."""
    result, events = None, {}
    for mode, chunk in graph.stream(given, config, stream_mode=["values", "custom"]):
        if mode == "values":
            result = chunk
        elif isinstance(chunk, dict) and str(chunk.get("type", "")).startswith("skill_plugin."):
            events[chunk["type"].removeprefix("skill_plugin.")] = chunk
    return result, events


def saw_skill(model):
    return ["Use your fingers." in str([message.content for message in seen]) for seen in model.seen]


def recorded(store, events):
    [rollout] = store.runs.rollouts(events["recorded"]["run_id"])
    return rollout.answer, rollout.reward, rollout.skill


# Ways out


def to_end(model):
    def agent(state: MessagesState) -> Command[Literal["__end__"]]:
        return Command(goto=END, update={"messages": [model.invoke(state["messages"])]})

    return StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent")


def to_another(model):
    def agent(state: MessagesState) -> Command[Literal["polish"]]:
        return Command(goto="polish", update={"messages": [model.invoke(state["messages"])]})

    builder = StateGraph(MessagesState).add_node("agent", agent)
    builder.add_node("polish", lambda state: {"messages": [AIMessage("polished")]})
    return builder.add_edge(START, "agent").add_edge("polish", END)


def without_annotation(model):
    def agent(state: MessagesState):
        return Command(goto="polish", update={"messages": [model.invoke(state["messages"])]})

    builder = StateGraph(MessagesState).add_node("agent", agent)
    builder.add_node("polish", lambda state: {"messages": [AIMessage("polished")]})
    return builder.add_edge(START, "agent").add_edge("polish", END)


def leaf(model):
    def agent(state: MessagesState):
        return {"messages": [model.invoke(state["messages"])]}

    return StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent")


def loop_by_command(model):
    """A tool loop whose nodes say by Command where they go: the email assistants' shape."""

    def agent(state: MessagesState) -> Command[Literal["tools", "__end__"]]:
        reply = model.invoke(state["messages"])
        turns = sum(isinstance(message, AIMessage) for message in state["messages"])
        return Command(goto=END if turns else "tools", update={"messages": [reply]})

    def tools(state: MessagesState) -> Command[Literal["agent"]]:
        return Command(goto="agent", update={"messages": [("ai", "looked up")]})

    return StateGraph(MessagesState).add_node("agent", agent).add_node("tools", tools).add_edge(START, "agent")


def router(model):
    """A triage node that goes to the agent, or ends."""

    def triage(state: MessagesState) -> Command[Literal["agent", "__end__"]]:
        return Command(goto="agent")

    def agent(state: MessagesState):
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState).add_node("triage", triage).add_node("agent", agent)
    return builder.add_edge(START, "triage").add_edge("agent", END)


def several_commands(model):
    """A node that returns a list, as a ToolNode does."""

    def agent(state: MessagesState) -> list[Any]:
        return [{"messages": [model.invoke(state["messages"])]}, Command(goto="polish")]

    builder = StateGraph(MessagesState).add_node("agent", agent)
    builder.add_node("polish", lambda state: {"messages": [AIMessage("polished")]})
    return builder.add_edge(START, "agent").add_edge("polish", END)


SHAPES = [to_end, to_another, without_annotation, leaf, loop_by_command, router, several_commands]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("saver", [None, InMemorySaver])
def test_it_ends_as_before_and_is_recorded(store, skill, model, shape, saver):
    plain, _ = run(shape(AgentChat(lambda messages: "4")).compile(), ADD)
    graph = add_skills(shape(model), store=store, before="agent", verifier=right).compile(
        checkpointer=saver and saver()
    )
    result, events = run(graph, ADD, CONFIG if saver else None)

    assert [message.text for message in result["messages"]] == [message.text for message in plain["messages"]]
    assert all(saw_skill(model))
    assert recorded(store, events) == ("4", 1.0, skill.ref)


@pytest.mark.parametrize("shape", SHAPES)
async def test_and_async(store, skill, model, shape):
    graph = add_skills(shape(model), store=store, before="agent", verifier=right).compile()
    result = await graph.ainvoke(ADD)

    assert result["messages"][1].text in ("4", "looked up")
    assert store.get("adding").uses == 1


def test_a_hand_over_to_the_parent_is_recorded_before_it_leaves(store, skill, model):
    def agent(state: MessagesState):
        return Command(graph=Command.PARENT, goto="other", update={"messages": [model.invoke(state["messages"])]})

    inner = add_skills(
        StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent"),
        store=store, before="agent", verifier=lambda task, answer: 1.0,
    ).compile()  # fmt: skip
    outer = StateGraph(MessagesState).add_node("inner", inner, destinations=("other",)).add_edge(START, "inner")
    outer.add_node("other", lambda state: {"messages": [AIMessage("taken over")]}).add_edge("other", END)
    result = outer.compile().invoke(ADD)

    assert [message.text for message in result["messages"]] == ["add 2 and 2", "4", "taken over"]
    assert store.get("adding").uses == 1


def test_a_person_is_asked_and_the_run_goes_on(store, skill, model):
    def agent(state: MessagesState) -> Command[Literal["ask"]]:
        return Command(goto="ask", update={"messages": [model.invoke(state["messages"])]})

    def ask(state: MessagesState) -> Command[Literal["__end__"]]:
        interrupt("send it?")
        return Command(goto=END)

    builder = StateGraph(MessagesState).add_node("agent", agent).add_node("ask", ask).add_edge(START, "agent")
    graph = add_skills(builder, store=store, before="agent", after="ask", verifier=right).compile(
        checkpointer=InMemorySaver()
    )
    graph.invoke(ADD, CONFIG)
    assert store.get("adding").uses == 0
    graph.invoke(Command(resume=True), CONFIG)

    assert store.get("adding").uses == 1


def test_a_fan_out_inside_the_agent_stays(store, skill, model):
    class State(MessagesState):
        found: Annotated[list[str], operator.add]

    def agent(state: State) -> Command[Literal["search"]]:
        model.invoke(state["messages"])
        return Command(goto=[Send("search", {"query": number}) for number in "ab"])

    builder = StateGraph(State).add_node("agent", agent).add_edge(START, "agent")
    builder.add_node("search", lambda given: {"found": [given["query"]]}).add_edge("search", "write")
    builder.add_node("write", lambda state: {"messages": [AIMessage("4")]}).add_edge("write", END)
    graph = add_skills(builder, store=store, before="agent", after="write", verifier=right).compile()
    result, events = run(graph, ADD)

    assert (sorted(result["found"]), recorded(store, events)[:2]) == (["a", "b"], ("4", 1.0))


# States and inputs


class Pairs(TypedDict):
    messages: Annotated[list[Any], operator.add]


class Other(TypedDict):
    supervisor_messages: Annotated[list[AnyMessage], add_messages]


@dataclass
class Data:
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)


@pytest.mark.parametrize(
    "messages", [[("user", "add 2 and 2")], [{"role": "user", "content": "add 2 and 2"}], [HumanMessage("add 2 and 2")]]
)
def test_messages_that_stay_as_they_were_given(store, skill, messages):
    builder = StateGraph(Pairs).add_node("agent", lambda state: {"messages": [("ai", "4")]})
    graph = add_skills(
        builder.add_edge(START, "agent").add_edge("agent", END), store=store, before="agent", verifier=right
    ).compile()
    _, events = run(graph, {"messages": messages})

    assert recorded(store, events) == ("4", 1.0, skill.ref)


PICTURE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]


@pytest.mark.parametrize("messages", [[HumanMessage(PICTURE)], [], [AIMessage("hello")], [HumanMessage("  ")]])
def test_no_task_is_no_skill_and_no_error(store, skill, model, messages):
    graph = add_skills(leaf(model), store=store, before="agent", verifier=right).compile()
    result, events = run(graph, {"messages": messages})

    assert result["messages"][-1].text == "4"
    assert ("recorded" in events, store.get("adding").uses) == (False, 0)
    assert events["retrieved"]["reason"] == "there is no task: the last human message has no text"


def test_a_thread_goes_on_with_a_task_after_a_turn_without(store, skill, model):
    graph = add_skills(leaf(model), store=store, before="agent", verifier=right).compile(checkpointer=InMemorySaver())
    graph.invoke(ADD, CONFIG)
    graph.invoke({"messages": [HumanMessage(PICTURE)]}, CONFIG)
    graph.invoke(ADD, CONFIG)

    assert store.get("adding").uses == 2


def test_messages_may_have_another_key(store, skill, model):
    def agent(state: Other):
        return {"supervisor_messages": [model.invoke(state["supervisor_messages"])]}

    builder = StateGraph(Other).add_node("agent", agent).add_edge(START, "agent").add_edge("agent", END)
    with pytest.raises(ConfigurationError, match=r"has no messages .*or messages_key="):
        add_skills(builder, store=store, before="agent")
    graph = add_skills(
        builder, store=store, before="agent", verifier=right, messages_key="supervisor_messages"
    ).compile()
    result, events = run(graph, {"supervisor_messages": [("user", "add 2 and 2")]})

    assert [message.text for message in result["supervisor_messages"]] == ["add 2 and 2", "4"]
    assert (saw_skill(model), recorded(store, events)) == ([True], ("4", 1.0, skill.ref))


# Where the skill is shown


def with_system(model, state_class=MessagesState):
    def agent(state: state_class):
        given = state["messages"] if isinstance(state, dict) else state.messages
        return {"messages": [model.invoke([SystemMessage("You are terse."), *given])]}

    return StateGraph(state_class).add_node("agent", agent).add_edge(START, "agent").add_edge("agent", END)


@pytest.mark.parametrize("state_class", [MessagesState, Data])
def test_a_host_with_a_system_message_of_its_own_is_shown_it_in_the_request(store, skill, model, state_class):
    graph = add_skills(with_system(model, state_class), store=store, before="agent", show_in="human").compile()
    result = graph.invoke(ADD)
    [seen] = model.seen

    assert [message.type for message in seen] == ["system", "human"]
    assert re.search(r"</skill-\w+>\n\nadd 2 and 2$", seen[1].content)
    assert saw_skill(model) == [True]
    assert [message.text for message in result["messages"]] == ["add 2 and 2", "4"]


def test_the_hosts_logic_counts_the_messages_that_it_has(store, skill, model):
    counts = []

    def agent(state: MessagesState):
        counts.append(len(state["messages"]))
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent").add_edge("agent", END)
    add_skills(builder, store=store, before="agent", show_in="human").compile().invoke(ADD)

    assert (counts, saw_skill(model)) == ([1], [True])


def test_a_subgraph_that_returns_what_it_was_given_keeps_the_hosts_words(store, skill, model):
    inner = with_system(model).compile()
    builder = StateGraph(MessagesState).add_node("agent", inner).add_edge(START, "agent").add_edge("agent", END)
    result = add_skills(builder, store=store, before="agent", show_in="human").compile().invoke(ADD)

    assert [message.text for message in result["messages"]] == ["add 2 and 2", "4"]


@pytest.mark.parametrize("content", ["Be brief.", [{"type": "text", "text": "Be brief."}]])
def test_a_system_message_keeps_its_kind(store, skill, model, content):
    graph = add_skills(leaf(model), store=store, before="agent").compile()
    graph.invoke({"messages": [SystemMessage(content), HumanMessage("add 2 and 2")]})
    [[system, _]] = model.seen

    assert (type(system.content), system.id) == (type(content), GUIDANCE_ID)
    assert saw_skill(model) == [True]


def test_where_it_is_shown_is_one_of_two(store):
    with pytest.raises(ConfigurationError, match="show_in is 'tool'; give 'system' or 'human'"):
        add_skills(with_system(None), store=store, before="agent", show_in="tool")
