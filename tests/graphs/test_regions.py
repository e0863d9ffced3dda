"""Skills around several agents of one graph, and agents that leave by a Send."""

import operator
from typing import Annotated, Literal

import pytest
from langchain_core.messages import AnyMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send
from typing_extensions import TypedDict

from fakes import AgentChat
from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs import add_skills

ADD = {"messages": [("user", "add 2 and 2")]}


class Desk(TypedDict):
    analyst: Annotated[list[AnyMessage], operator.add]
    trader: Annotated[list[AnyMessage], operator.add]
    done: Annotated[list[str], operator.add]


def desk(model, parallel):
    """Two roles with messages of their own, one behind the other or side by side."""

    def role(key):
        return lambda state: {key: [model.invoke(state[key])]}

    builder = StateGraph(Desk).add_node("analyst", role("analyst")).add_node("trader", role("trader"))
    builder.add_edge(START, "analyst").add_edge("trader", END)
    return builder.add_edge(START, "trader") if parallel else builder.add_edge("analyst", "trader")


def events_of(graph, given, config=None):
    return [chunk for chunk in graph.stream(given, config, stream_mode="custom") if isinstance(chunk, dict)]


def seen(model):
    return ["Use your fingers." in str([message.content for message in messages]) for messages in model.seen]


@pytest.mark.parametrize("parallel", [False, True], ids=["in a row", "side by side"])
def test_each_role_has_its_skill_and_its_credit(store, skill, parallel):
    model = AgentChat(lambda messages: "4")
    builder = desk(model, parallel)
    for role in ("analyst", "trader"):
        add_skills(
            builder,
            store=store,
            before=role,
            name=role,
            messages_key=role,
            verifier=lambda task, answer: answer == "4",
        )
    given = {role: [("user", "add 2 and 2")] for role in ("analyst", "trader")}
    config = {"configurable": {"thread_id": "1"}}
    graph = builder.compile(checkpointer=InMemorySaver())
    recorded = [event for event in events_of(graph, given, config) if event["type"] == "skill_plugin.recorded"]

    assert seen(model) == [True, True]
    rows = [store.runs.rollouts(event["run_id"])[0] for event in recorded]
    assert [row.answer for row in rows] == ["4", "4"]
    assert len({event["run_id"] for event in recorded}) == 2
    assert all(row.skill is not None and row.seen for row in rows)
    assert {"skillp_run_analyst", "skillp_run_trader"} <= set(graph.get_state(config).values)


def test_a_second_region_needs_a_name_of_its_own(store, skill):
    builder = desk(AgentChat(lambda messages: "4"), parallel=False)
    options = {"store": store, "messages_key": "analyst"}
    add_skills(builder, before="analyst", **options)

    with pytest.raises(ConfigurationError, match=r"has skills already, .* give this region another name="):
        add_skills(builder, before="trader", **options)
    with pytest.raises(ConfigurationError, match="two regions cannot overlap"):
        add_skills(builder, before="analyst", after="trader", name="both", **options)
    with pytest.raises(ConfigurationError, match="name is 'a b'; give letters, digits and underscores"):
        add_skills(builder, before="trader", name="a b", **options)


def test_an_agent_that_leaves_by_sends_of_its_command_is_recorded_first(store, skill):
    model = AgentChat(lambda messages: "4")

    def agent(state: MessagesState) -> Command[Literal["worker"]]:
        sends = [Send("worker", {"part": part}) for part in "ab"]
        return Command(goto=sends, update={"messages": [model.invoke(state["messages"])]})

    class State(MessagesState):
        done: Annotated[list[str], operator.add]

    builder = StateGraph(State).add_node("worker", lambda part: {"done": [part["part"]]}).add_node("agent", agent)
    builder.add_edge(START, "agent").add_edge("worker", END)
    add_skills(builder, store=store, before="agent", verifier=lambda task, answer: answer == "4")
    graph = builder.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    events = events_of(graph, ADD, config)

    [event] = [event for event in events if event["type"] == "skill_plugin.recorded"]
    assert store.runs.rollouts(event["run_id"])[0].reward == 1
    assert sorted(graph.get_state(config).values["done"]) == ["a", "b"]


def test_who_leaves_by_a_send_of_a_conditional_edge_is_told_what_to_do(store, skill, caplog):
    model = AgentChat(lambda messages: "4")

    class State(MessagesState):
        done: Annotated[list[str], operator.add]

    builder = StateGraph(State).add_node("worker", lambda part: {"done": [part["part"]]})
    builder.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_edge(START, "agent").add_edge("worker", END)
    builder.add_conditional_edges("agent", lambda state: [Send("worker", {"part": "a"})], ["worker"])
    add_skills(builder, store=store, before="agent")

    assert builder.compile().invoke(ADD)["done"] == ["a"]
    assert "left 'agent' by a Send of a conditional edge to 'worker'" in caplog.text
    assert "return Command(goto=[Send(...)])" in caplog.text
