"""The single nodes in other people's graphs: nothing of the host may change but what the host asked for."""

import operator
import re
from dataclasses import dataclass, field
from typing import Annotated

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from fakes import MACHINE, FingersAdder, ScriptedChat, system_text
from skill_plugin import Task, generators, verifiers
from skill_plugin.errors import ConfigurationError, InvalidTaskError
from skill_plugin.graphs import (
    SkillKeys,
    execute_node,
    record_node,
    retrieve_node,
    revise_node,
    skill_guidance,
    skill_router,
    verify_node,
)


def right(task, answer):
    numbers = [int(word) for word in task.input.split() if word.isdigit()]
    return answer == str(sum(numbers))


def add_nodes(builder, store, agent, **execute_options):
    """The whole loop in a host's builder."""
    builder.add_node("retrieve", retrieve_node(store))
    builder.add_node("agent", execute_node(agent, **execute_options))
    builder.add_node("verify", verify_node(right))
    builder.add_node("revise", revise_node(store, generators.chat(ScriptedChat([MACHINE] * 5))))
    builder.add_node("record", record_node(store))
    route = skill_router(max_generations=2)
    builder.add_edge("retrieve", "agent")
    builder.add_edge("agent", "verify")
    builder.add_conditional_edges("verify", route, ["revise", "record"])
    builder.add_conditional_edges("revise", route, {"execute": "agent", "revise": "revise", "record": "record"})
    builder.add_edge(START, "retrieve")
    return builder


def chat_agent(model):
    """Somebody's compiled agent with messages."""

    def call(state: MessagesState) -> dict:
        return {"messages": [model.invoke(state["messages"])]}

    return StateGraph(MessagesState).add_node("call", call).add_edge(START, "call").compile(name="agent")


def test_a_host_with_messages_sees_one_reply_and_no_key_of_ours(store, skill):
    graph = add_nodes(StateGraph(MessagesState), store, chat_agent(FingersAdder())).compile()
    output = graph.invoke({"messages": [HumanMessage("add 2 and 2")]})

    assert list(output) == ["messages"]
    assert [(message.type, message.text) for message in output["messages"]] == [("human", "add 2 and 2"), ("ai", "4")]
    assert set(graph.get_input_jsonschema()["properties"]) == {"messages"}
    assert store.get("adding@2").status == "staged"


async def test_async_hosts_too(store, skill):
    graph = add_nodes(StateGraph(MessagesState), store, chat_agent(FingersAdder())).compile()
    output = await graph.ainvoke({"messages": [HumanMessage("add 2 and 2")]})

    assert [message.text for message in output["messages"]] == ["add 2 and 2", "4"]


def test_a_conversation_goes_on_and_the_agent_sees_all_of_it(store, skill):
    model = FingersAdder()
    graph = add_nodes(StateGraph(MessagesState), store, chat_agent(model)).compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    graph.invoke({"messages": [HumanMessage("add 2 and 2")]}, config)
    output = graph.invoke({"messages": [HumanMessage("add 3 and 3")]}, config)

    assert [message.text for message in output["messages"]] == ["add 2 and 2", "4", "add 3 and 3", "6"]
    assert [message.type for message in model.seen[-1]] == ["system", "human", "ai", "human"]


def test_the_hosts_own_system_message_stays_as_it_is(store, skill):
    model = FingersAdder()
    own = SystemMessage([{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}])
    graph = add_nodes(StateGraph(MessagesState), store, model, system_prompt="Add.").compile()
    output = graph.invoke({"messages": [own, HumanMessage("add 2 and 2")]})

    assert output["messages"][0].content == own.content
    first = model.seen[0][0]
    assert first.type == "system"
    assert first.content[0] == own.content[0]
    assert "Add." in first.text
    assert skill.ref in first.text
    assert [message.type for message in model.seen[0]] == ["system", "human"]


class Own(TypedDict):
    question: str
    log: Annotated[list[str], operator.add]
    answer: str


def test_a_host_with_keys_of_its_own_says_where_its_task_is(store, skill):
    builder = StateGraph(Own)
    builder.add_node("retrieve", retrieve_node(store, task_from=lambda state: state["question"], state_schema=Own))
    builder.add_node("agent", execute_node(FingersAdder()))
    builder.add_node("verify", verify_node(right))
    builder.add_node("record", record_node(store))
    builder.add_node("own", lambda state: {"log": ["own node"], "answer": "untouched"})
    for one, two in zip(
        (START, "own", "retrieve", "agent", "verify"), ("own", "retrieve", "agent", "verify", "record"), strict=True
    ):
        builder.add_edge(one, two)
    output = builder.compile().invoke({"question": "add 2 and 2", "log": ["begin"]})

    assert output == {"question": "add 2 and 2", "log": ["begin", "own node"], "answer": "untouched"}
    assert store.get("adding").uses == 1


class WithSkills(MessagesState, SkillKeys):
    """A host that wants to see what was retrieved."""


def test_a_hosts_own_agent_node_takes_the_guidance_itself(store, skill):
    model = FingersAdder()

    def agent(state: WithSkills) -> dict:
        return {"messages": [model.invoke([SystemMessage(skill_guidance(state)), *state["messages"]])]}

    builder = StateGraph(WithSkills)
    builder.add_sequence(
        [
            ("retrieve", retrieve_node(store)),
            ("agent", agent),
            ("verify", verify_node(right)),
            ("record", record_node(store)),
        ]
    )
    builder.add_edge(START, "retrieve")
    output = builder.compile().invoke({"messages": [HumanMessage("add 2 and 2")]})

    assert skill.ref in system_text(model.seen[0])
    assert [message.text for message in output["messages"]] == ["add 2 and 2", "3"]
    assert output["skillp_result"]["reward"] == 0.0
    assert store.get("adding").uses == 1


def test_retrieve_and_record_alone_wait_for_a_later_outcome(store, skill):
    builder = StateGraph(WithSkills)
    builder.add_node("retrieve", retrieve_node(store))
    builder.add_node("agent", lambda state: {"messages": [AIMessage("4")]})
    builder.add_node("record", record_node(store))
    builder.add_edge(START, "retrieve")
    builder.add_edge("retrieve", "agent")
    builder.add_edge("agent", "record")
    output = builder.compile().invoke({"messages": [HumanMessage("add 2 and 2")]})

    store.record_outcome(output["skillp_result"]["run_id"], 1.0)
    assert (store.get("adding").utility, store.get("adding").uses) == (1.0, 1)


class PydanticState(BaseModel):
    task: str
    reference: str = ""


@dataclass
class DataclassState:
    task: str
    reference: str = ""
    other: list[str] = field(default_factory=list)


@pytest.mark.parametrize("schema", [PydanticState, DataclassState])
def test_hosts_with_other_kinds_of_state(store, skill, schema):
    graph = add_nodes(StateGraph(schema), store, FingersAdder()).compile()
    graph.invoke(schema(task="add 2 and 2", reference="4"))

    assert store.get("adding@2").status == "staged"


def test_two_plugins_or_a_host_with_our_reducer_free_keys_do_not_clash(store, skill):
    """The host declares a reducer on messages and we do not; add_node must accept both orders."""
    builder = StateGraph(MessagesState)
    builder.add_node("first", retrieve_node(store))
    builder.add_node("second", retrieve_node(store))
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")

    assert builder.compile().invoke({"messages": [HumanMessage("add 1 and 1")]})["messages"][0].text == "add 1 and 1"


def test_a_node_is_a_function_of_state_that_can_be_called_alone(store, skill):
    update = retrieve_node(store)({"task": "add 2 and 2"})

    assert update["skillp_skills"][0]["ref"] == skill.ref
    assert Task.from_json(update["skillp_run"]["task"]).input == "add 2 and 2"


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (lambda store: retrieve_node(store), "no task in the state"),
        (lambda store: execute_node(FingersAdder()), "put retrieve_node before"),
        (lambda store: verify_node(right), "put retrieve_node before"),
        (lambda store: revise_node(store, ScriptedChat([])), "put retrieve_node before"),
        (lambda store: record_node(store), "put retrieve_node before"),
    ],
)
def test_a_node_in_the_wrong_place_says_so(store, node, says):
    with pytest.raises(InvalidTaskError, match=says):
        node(store).invoke({"messages": []})


def test_a_node_without_an_answer_or_a_verdict_says_so(store, skill):
    state = retrieve_node(store)({"task": "add 2 and 2"})

    with pytest.raises(InvalidTaskError, match="no answer"):
        verify_node(right)(state)
    with pytest.raises(InvalidTaskError, match="no verdict"):
        revise_node(store, ScriptedChat([]))(state)


class Answered(TypedDict):
    task: str
    answer: str


def own_keys_agent():
    """A compiled graph that takes a key of its own and returns another."""
    return (
        StateGraph(Answered)
        .add_node("n", lambda state: {"answer": state["task"].upper()})
        .add_edge(START, "n")
        .add_edge("n", END)
        .compile(name="shouter")
    )


@pytest.mark.parametrize(
    ("agent", "options", "answer"),
    [
        (FingersAdder(), {}, "3"),
        (FingersAdder() | StrOutputParser(), {}, "3"),
        (FingersAdder().bind(stop=["x"]), {}, "3"),
        (chat_agent(FingersAdder()), {}, "3"),
        (
            ChatPromptTemplate.from_messages([("system", "{guidance}"), ("human", "{task}")]) | FingersAdder(),
            {},
            "3",
        ),
        (lambda given: f"{given['task']}!", {}, "add 2 and 2!"),
        (RunnableLambda(lambda given: {"output": len(given["messages"])}), {}, '{"output": 2}'),
        (RunnableLambda(lambda given: {"output": "four"}), {}, "four"),
        (own_keys_agent(), {"to_input": lambda given: {"task": given["task"]}}, "ADD 2 AND 2"),
        (FingersAdder(), {"from_output": lambda message: f"<{message.text}>"}, "<3>"),
    ],
)
async def test_execute_takes_models_runnables_graphs_and_functions(store, skill, agent, options, answer):
    state = retrieve_node(store)({"task": "add 2 and 2"})
    node = execute_node(agent, **options)

    assert node.invoke(state)["skillp_attempt"]["answer"] == answer
    assert (await node.ainvoke(state))["skillp_attempt"]["answer"] == answer


def test_execute_puts_the_skill_into_the_system_prompt_fenced_and_with_its_id(store, skill):
    model = FingersAdder()
    execute_node(model, system_prompt="You add.")(retrieve_node(store)({"task": "add 2 and 2"}))

    system, human = model.seen[0]
    assert system.text.startswith("You add.\n\nThe procedure below")
    assert re.search(rf'<skill-(\w+) name="adding" id="{skill.ref}">\nUse your fingers.\n</skill-\1>$', system.text)
    assert human.text == "add 2 and 2"


def test_a_graph_without_messages_must_be_told_its_input():
    with pytest.raises(ConfigurationError, match=r"'shouter' takes answer, task, not messages; pass to_input"):
        execute_node(own_keys_agent())


def test_a_run_may_show_more_than_one_skill(store, skill):
    other = store.add(name="sort-first", description="How to sort, then add", body="Use a pencil.")
    model = FingersAdder()
    state = retrieve_node(store, k=3)({"task": "add 2 and 2"})
    execute_node(model)(state)

    assert {pinned["ref"] for pinned in state["skillp_skills"]} == {skill.ref, other.ref}
    assert system_text(model.seen[0]).count("\n<skill-") == 2


def test_a_failed_run_shows_the_best_answer_in_the_hosts_messages(store, skill):
    rewards = iter([0.5, 0.1, 0.1])
    replies = iter(["first", "second", "third"])
    builder = StateGraph(MessagesState)
    add_nodes(builder, store, RunnableLambda(lambda _: next(replies)))
    builder.nodes.pop("verify")
    builder.add_node("verify", verify_node(lambda task, answer: next(rewards)))
    output = builder.compile().invoke({"messages": [HumanMessage("add 2 and 2")]})

    assert [message.text for message in output["messages"]] == ["add 2 and 2", "first"]


def test_the_hosts_messages_are_left_alone_if_it_wants(store, skill):
    builder = StateGraph(MessagesState)
    builder.add_sequence([("retrieve", retrieve_node(store)), ("agent", execute_node(FingersAdder(), reply_key=None))])
    builder.add_edge(START, "retrieve")

    assert len(builder.compile().invoke({"messages": [HumanMessage("add 1 and 1")]})["messages"]) == 1


def test_verifiers_by_spec_are_read_once_and_run(store, skill):
    builder = StateGraph(WithSkills)
    builder.add_node(
        "retrieve",
        retrieve_node(
            store,
            task_from=lambda state: Task("add 2 and 2", reference="3", verifier=verifiers.spec(verifiers.numeric())),
        ),
    )
    builder.add_sequence([("agent", execute_node(FingersAdder())), ("verify", verify_node())])
    builder.add_edge(START, "retrieve")
    builder.add_edge("retrieve", "agent")
    output = builder.compile().invoke({"messages": []})

    assert output["skillp_history"][0]["rollouts"][0]["passed"] is True


def test_an_agent_that_asks_a_person_is_resumed_where_it_was(store, skill):
    """An interrupt inside the agent is LangGraph's business; it must pass through and come back."""

    def ask(state: MessagesState) -> dict:
        return {"messages": [AIMessage(interrupt("how much is it?"))]}

    asking = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile(name="asking")
    graph = add_nodes(StateGraph(MessagesState), store, asking).compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    waiting = graph.invoke({"messages": [HumanMessage("add 2 and 2")]}, config)
    output = graph.invoke(Command(resume="4"), config)

    assert waiting["__interrupt__"][0].value == "how much is it?"
    assert [message.text for message in output["messages"]] == ["add 2 and 2", "4"]
    assert store.get("adding").uses == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"k": 0}, "k is 0"), ({"k": 21}, "k is 21"), ({"strategy": "best"}, "no strategy is called")],
)
def test_what_cannot_be_searched_with_is_refused_when_the_node_is_made(store, options, message):
    with pytest.raises(ConfigurationError, match=message):
        retrieve_node(store, **options)
