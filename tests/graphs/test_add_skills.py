"""Skills around somebody else's agent: four lines, and the host's state, input and output stay as they are."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.types import Command, RetryPolicy, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from fakes import FingersAdder, ScriptedChat, skill_text, system_text
from skill_plugin import verifiers
from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs import SkillKeys, add_skills, create_skill_graph, skill_guidance

MACHINE = skill_text(body="Use a machine.")
ASK = {"messages": [HumanMessage("add 2 and 2")]}


@pytest.fixture
def store(store):
    store.add_text(MACHINE)
    return store


def right(task, answer):
    return answer == str(sum(int(word) for word in task.input.split() if word.isdigit()))


def react(model=None):
    """The graph of LangGraph's own quickstart: a model node, a tool node, and the loop between them."""
    model = model or FingersAdder()

    def agent(state: MessagesState) -> dict:
        return {"messages": [model.invoke(state["messages"])]}

    def tools(state: MessagesState) -> dict:
        return {"messages": [ToolMessage("done", tool_call_id="1")]}

    def should_continue(state: MessagesState) -> Literal["tools", "__end__"]:
        return "tools" if state["messages"][-1].text == "tool" else END

    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_node("tools", tools)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", should_continue)
    builder.add_edge("tools", "agent")
    return builder


def rollouts(store):
    return [rollout for run_id in run_ids(store) for rollout in store.runs.rollouts(run_id)]


def run_ids(store):
    with store.database.read() as session:
        return [row[0] for row in session.connection().exec_driver_sql("SELECT DISTINCT run_id FROM skillp_rollout")]


@pytest.mark.parametrize("after", [None, "agent", "tools"])
def test_the_loop_of_the_quickstart_gets_skills_in_four_lines(store, after):
    graph = add_skills(react(), store=store, before="agent", after=after, verifier=right).compile()
    output = graph.invoke(ASK)

    assert list(output) == ["messages"]
    assert [(message.type, message.text) for message in output["messages"]] == [("human", "add 2 and 2"), ("ai", "4")]
    [rollout] = rollouts(store)
    assert (rollout.answer, rollout.reward, rollout.skill) == ("4", 1.0, store.get("adding").ref)
    assert (rollout.model, rollout.input_tokens, rollout.output_tokens) == ("scripted", 10, 2)
    assert set(graph.get_input_jsonschema()["properties"]) == {"messages"}
    assert set(graph.get_output_jsonschema()["properties"]) == {"messages"}


async def test_async_and_streaming(store):
    graph = add_skills(react(), store=store, before="agent").compile()
    events = [event async for event in graph.astream(ASK, stream_mode="custom")]

    assert [event["type"].removeprefix("skill_plugin.") for event in events] == ["retrieved", "verified", "recorded"]
    assert rollouts(store)[0].reward is None
    assert store.record_outcome(events[-1]["run_id"], 1.0)
    assert store.get("adding").uses == 1


def test_the_skill_is_read_once_a_run_and_shown_at_every_model_call_of_the_loop(store):
    model = ScriptedChat(["tool", "4", "tool", "6"])
    graph = add_skills(react(model), store=store, before="agent", after="tools").compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    graph.invoke(ASK, config)
    graph.invoke({"messages": [HumanMessage("add 3 and 3")]}, config)

    assert [message.type for message in model.seen[1]] == ["system", "human", "ai", "tool"]
    assert all("Use a machine." in system_text(messages) for messages in model.seen)
    assert sorted(rollout.answer for rollout in rollouts(store)) == ["4", "6"]
    assert "system" not in [message.type for message in graph.get_state(config).values["messages"]]


def test_the_hosts_own_system_message_keeps_its_text_its_id_and_its_cache_marks(store):
    model = FingersAdder()
    own = SystemMessage([{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}], id="own")
    output = (
        add_skills(react(model), store=store, before="agent").compile().invoke({"messages": [own, *ASK["messages"]]})
    )

    assert output["messages"][0] == own
    assert model.seen[0][0].content[0] == own.content[0]
    assert [message.type for message in model.seen[0]] == ["system", "human"]


def test_an_agent_that_is_a_graph_itself_does_not_echo_the_skill_and_can_still_be_looked_into(store):
    inner = react().compile(name="inner")
    builder = StateGraph(MessagesState).add_node("agent", inner).add_edge(START, "agent").add_edge("agent", END)
    graph = add_skills(builder, store=store, before="agent").compile()

    assert [message.type for message in graph.invoke(ASK)["messages"]] == ["human", "ai"]
    assert [name for name, _ in graph.get_subgraphs()] == ["agent"]


def test_our_own_graph_can_be_the_agent(store):
    inner = create_skill_graph(store=store, llm=FingersAdder(), verifier=verifiers.exact_match()).compile()

    def ask(state: MessagesState) -> dict:
        return {"messages": [AIMessage(inner.invoke({"task": state["messages"][-1].text})["answer"])]}

    builder = StateGraph(MessagesState).add_node("agent", ask).add_edge(START, "agent").add_edge("agent", END)

    assert add_skills(builder, store=store, before="agent").compile().invoke(ASK)["messages"][-1].text == "4"


class Question(TypedDict):
    question: str
    answer: str


class QuestionAndSkills(Question, SkillKeys):
    """What the host's node reads."""


def questions(reads=QuestionAndSkills):
    def agent(state: reads) -> dict:
        prompt = [SystemMessage(skill_guidance(state)), HumanMessage(state["question"])]
        return {"answer": FingersAdder().invoke(prompt).text}

    return StateGraph(Question).add_node("agent", agent).add_edge(START, "agent").add_edge("agent", END)


def test_a_host_without_messages_says_where_its_task_and_its_answer_are(store):
    graph = add_skills(
        questions(),
        store=store,
        before="agent",
        verifier=right,
        task_from=lambda state: state["question"],
        answer_from=lambda state: state["answer"],
    ).compile()

    assert graph.invoke({"question": "add 2 and 2"}) == {"question": "add 2 and 2", "answer": "4"}
    assert rollouts(store)[0].reward == 1.0


class Model(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages]
    calls: int = 0


@dataclass
class Data:
    messages: Annotated[list[AnyMessage], add_messages]
    calls: int = field(default=0)


@pytest.mark.parametrize("schema", [Model, Data])
def test_states_that_are_pydantic_models_or_dataclasses(store, schema):
    def agent(state: schema) -> dict:
        assert type(state) is schema
        return {"messages": [FingersAdder().invoke(state.messages)], "calls": state.calls + 1}

    builder = StateGraph(schema).add_node("agent", agent).add_edge(START, "agent").add_edge("agent", END)
    output = add_skills(builder, store=store, before="agent").compile().invoke(ASK)

    assert (output["messages"][-1].text, output["calls"]) == ("4", 1)
    assert set(output) == {"messages", "calls"}


def test_nodes_before_and_after_the_agent_stay_where_they_are(store):
    seen = []

    def note(name):
        return lambda state: seen.append((name, [message.type for message in state["messages"]]))

    builder = react()
    builder.edges.discard((START, "agent"))
    builder.add_node("first", note("first")).add_node("other", note("other")).add_node("last", note("last"))
    builder.add_edge(START, "first").add_edge(START, "other").add_edge(["first", "other"], "agent")
    branch = builder.branches["agent"]["should_continue"]
    builder.branches["agent"]["should_continue"] = branch._replace(ends={"tools": "tools", END: "last"})
    builder.add_edge("last", END)
    graph = add_skills(builder, store=store, before="agent", verifier=right).compile()
    graph.invoke(ASK)

    assert sorted(seen) == [("first", ["human"]), ("last", ["human", "ai"]), ("other", ["human"])]
    assert rollouts(store)[0].reward == 1.0
    edges = {(edge.source, edge.target) for edge in graph.get_graph().edges}
    assert {("skillp_retrieve", "agent"), ("skillp_verify", "skillp_record"), ("skillp_record", "last")} <= edges


@pytest.mark.parametrize("way", ["tools", "human", END])
def test_an_agent_with_several_ways_out_records_on_each(store, way):
    def agent(state: MessagesState) -> dict:
        return {"messages": [FingersAdder().invoke(state["messages"])]}

    builder = StateGraph(MessagesState).add_node("agent", agent)
    builder.add_node("human", lambda state: None).add_node("tools", lambda state: None)
    builder.add_edge(START, "agent").add_edge("tools", END).add_edge("human", END)
    builder.add_conditional_edges("agent", lambda state: way, ["tools", "human", END])
    add_skills(builder, store=store, before="agent").compile().invoke(ASK)

    assert len(rollouts(store)) == 1


def test_the_options_of_the_hosts_node_stay(store):
    failures = iter([ConnectionError("gone")])

    def agent(state: MessagesState) -> dict:
        for failure in failures:
            raise failure
        return {"messages": [FingersAdder().invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent, retry_policy=RetryPolicy(initial_interval=0.01), metadata={"mine": 1})
    builder.add_edge(START, "agent").add_edge("agent", END)
    graph = add_skills(builder, store=store, before="agent").compile()

    assert graph.invoke(ASK)["messages"][-1].text == "4"
    assert graph.nodes["agent"].metadata["mine"] == 1


def test_a_thread_that_waits_for_a_person_goes_on_under_the_skill_it_began_with(store):
    model = FingersAdder()

    def agent(state: MessagesState) -> dict:
        interrupt("may I?")
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent").add_edge("agent", END)
    graph = add_skills(builder, store=store, before="agent").compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    graph.invoke(ASK, config)
    store.promote(store.revise("adding", body="Use an abacus, not a machine.").ref)
    graph.invoke(Command(resume=True), config)

    assert "Use a machine." in system_text(model.seen[0])
    assert rollouts(store)[0].skill.endswith("@1")


class Clash(MessagesState):
    skillp_run: Annotated[list, lambda old, new: old + new]


def no_path_map():
    builder = StateGraph(MessagesState).add_node("agent", lambda state: None).add_edge(START, "agent")
    return builder.add_conditional_edges("agent", lambda state: END)


def to_two_nodes():
    builder = StateGraph(MessagesState).add_node("agent", lambda state: None).add_edge(START, "agent")
    builder.add_node("a", lambda state: None).add_node("b", lambda state: None)
    return builder.add_edge("agent", "a").add_edge("agent", "b")


def of(schema, *edges):
    builder = StateGraph(schema).add_node("agent", lambda state: None).add_node("other", lambda state: None)
    for edge in edges:
        builder.add_edge(*edge)
    return builder


LINE = ((START, "agent"), ("agent", END))


@pytest.mark.parametrize(
    ("builder", "options", "message"),
    [
        (react, {"before": "agnt"}, "the graph has no node 'agnt'; it has agent, tools"),
        (react, {"before": "agent", "after": "tool"}, "the graph has no node 'tool'"),
        (
            lambda: of(MessagesState, *LINE),
            {"before": "agent", "after": "other"},
            "no edge leads from 'agent' to 'other'",
        ),
        (lambda: of(MessagesState, LINE[1]), {"before": "agent"}, "nothing leads to 'agent'"),
        (
            lambda: of(Question, *LINE),
            {"before": "agent"},
            "no messages.*answer, question.*pass task_from and answer_from",
        ),
        (
            lambda: questions(Question),
            {"before": "agent", "task_from": str, "answer_from": str},
            "'agent' reads no messages, so it would not see the skill; .* SkillKeys",
        ),
        (
            lambda: of(MessagesState, *LINE).compile(),
            {"before": "agent"},
            "CompiledStateGraph is not a StateGraph; pass the b",
        ),
        (no_path_map, {"before": "agent"}, "conditional edges of 'agent' do not say where they lead"),
        (
            lambda: of(MessagesState, (START, "other"), ("other", "agent"), ("agent", "other")),
            {"before": "agent"},
            "'agent' is inside a loop that is entered at 'other'; give that as before=",
        ),
        (to_two_nodes, {"before": "agent"}, "'agent' leads to several nodes at once"),
        (
            lambda: of(Clash, *LINE),
            {"before": "agent"},
            "the key 'skillp_run' is ours, and in this graph somebody else's",
        ),
    ],
)
def test_what_the_graph_lacks_is_said_in_one_line(store, builder, options, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        add_skills(builder(), store=store, **options)
    assert "\n" not in str(caught.value)


def test_skills_are_added_once(store):
    builder = add_skills(react(), store=store, before="agent")

    with pytest.raises(ConfigurationError, match="has skills already, and two would write the same keys"):
        add_skills(builder, store=store, before="agent")
