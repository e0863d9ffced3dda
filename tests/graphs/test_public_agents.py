"""The shapes of public agents, in words of our own: each gets skills in six lines or fewer, and ends as it ended without.

Those that are made by `create_agent` or deepagents are in tests/integrations (test_middleware.py, test_deepagents.py).
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.managed import IsLastStep
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from fakes import AgentChat, called
from skill_plugin.graphs import SkillKeys, add_skills, skill_guidance

ADD = {"messages": [("user", "add 2 and 2")]}


@tool
def look_up(words: str) -> str:
    """Looks it up."""
    return "2 + 2 = 4"


def answers(*replies: Any) -> AgentChat:
    return AgentChat(iter([*replies, *["4"] * 9]))


class Wired(NamedTuple):
    """A graph with skills, its model, and how many of its calls must see the skill."""

    graph: Any
    calls: int


Shape = Callable[[AgentChat, Callable[..., Any]], Wired]


@dataclass
class ReactState:
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)
    is_last_step: IsLastStep = field(default=False)


@dataclass
class Context:
    system_prompt: str = "Be helpful."


def react_agent(model, skills) -> Wired:
    """A dataclass, a runtime's context, a system message of its own in front, and a loop with tools."""

    def call_model(state: ReactState, runtime: Runtime[Context]) -> dict[str, Any]:
        prompt = runtime.context.system_prompt if runtime.context else "Be helpful."
        return {"messages": [model.invoke([{"role": "system", "content": prompt}, *state.messages])]}

    def route(state: ReactState) -> Literal["__end__", "tools"]:
        return "tools" if state.messages[-1].tool_calls else "__end__"

    builder = StateGraph(ReactState, context_schema=Context)
    builder.add_node(call_model).add_node("tools", ToolNode([look_up])).add_edge(START, "call_model")
    builder.add_conditional_edges("call_model", route).add_edge("tools", "call_model")
    skills(builder, before="call_model", after="tools", show_in="human")
    return Wired(builder.compile(), 2)


def memory_agent(model, skills) -> Wired:
    """The host's own store beside ours, and a node that writes to it before the loop goes on."""

    def call_model(state: MessagesState, *, store: BaseStore) -> dict[str, Any]:
        memories = store.search(("memories",))
        return {"messages": [model.invoke([SystemMessage(f"You know: {memories}"), *state["messages"]])]}

    def store_memory(state: MessagesState, *, store: BaseStore) -> dict[str, Any]:
        [call] = state["messages"][-1].tool_calls
        store.put(("memories",), "one", {"text": call["args"]["words"]})
        return {"messages": [ToolMessage("noted", tool_call_id=call["id"])]}

    def route(state: MessagesState) -> Literal["store_memory", "__end__"]:
        return "store_memory" if state["messages"][-1].tool_calls else "__end__"

    builder = StateGraph(MessagesState).add_node(call_model).add_node(store_memory).add_edge(START, "call_model")
    builder.add_conditional_edges("call_model", route).add_edge("store_memory", "call_model")
    skills(builder, before="call_model", after="store_memory", show_in="human")
    return Wired(builder.compile(store=InMemoryStore()), 2)


def retrieval_agent(model, skills) -> Wired:
    """A branch on how many messages there are, and an answer without an edge behind it."""

    class State(MessagesState):
        queries: Annotated[list[str], operator.add]

    def generate_query(state: State) -> dict[str, Any]:
        if len(state["messages"]) == 1:
            return {"queries": [state["messages"][0].text]}
        return {"queries": [model.invoke(state["messages"]).text]}

    def respond(state: State) -> dict[str, Any]:
        return {"messages": [model.invoke([SystemMessage("Found: 4"), *state["messages"]])]}

    builder = StateGraph(State).add_node(generate_query).add_node(respond)
    builder.add_edge(START, "generate_query").add_edge("generate_query", "respond")
    skills(builder, before="respond", show_in="human")
    return Wired(builder.compile(), 1)


def open_deep_research(model, skills) -> Wired:
    """Commands between all nodes, and a subgraph of a supervisor with messages under a key of its own."""

    class Supervisor(TypedDict):
        supervisor_messages: Annotated[list[AnyMessage], add_messages]

    class State(MessagesState):
        supervisor_messages: Annotated[list[AnyMessage], add_messages]

    def supervisor(state: Supervisor) -> Command[Literal["supervisor_tools"]]:
        reply = model.invoke(state["supervisor_messages"])
        return Command(goto="supervisor_tools", update={"supervisor_messages": [reply]})

    def supervisor_tools(state: Supervisor) -> Command[Literal["supervisor", "__end__"]]:
        calls = state["supervisor_messages"][-1].tool_calls
        if not calls:
            return Command(goto=END)
        found = [ToolMessage("2 + 2 = 4", tool_call_id=call["id"]) for call in calls]
        return Command(goto="supervisor", update={"supervisor_messages": found})

    def brief(state: State) -> Command[Literal["research"]]:
        return Command(goto="research", update={"supervisor_messages": [HumanMessage(state["messages"][0].text)]})

    def report(state: State) -> dict[str, Any]:
        return {"messages": [AIMessage(state["supervisor_messages"][-1].text)]}

    inner = StateGraph(Supervisor).add_node(supervisor).add_node(supervisor_tools).add_edge(START, "supervisor")
    skills(inner, before="supervisor", after="supervisor_tools", messages_key="supervisor_messages")
    outer = StateGraph(State).add_node(brief).add_node("research", inner.compile()).add_node(report)
    outer.add_edge(START, "brief").add_edge("research", "report").add_edge("report", END)
    return Wired(outer.compile(), 2)


def email_assistant(model, skills) -> Wired:
    """A router that goes by Command, an agent that asks a person by an interrupt and ends in the answer of a tool."""

    class State(MessagesState):
        wanted: str

    def triage(state: State) -> Command[Literal["llm_call", "__end__"]]:
        return Command(goto="llm_call", update={"wanted": "respond"})

    def llm_call(state: State) -> dict[str, Any]:
        return {"messages": [model.invoke([SystemMessage("You answer mail."), *state["messages"]])]}

    def interrupt_handler(state: State) -> Command[Literal["llm_call", "__end__"]]:
        [call] = state["messages"][-1].tool_calls
        said = "4" if call["name"] == "done" else interrupt(call["args"])
        message = ToolMessage(said, tool_call_id=call["id"])
        return Command(goto=END if call["name"] == "done" else "llm_call", update={"messages": [message]})

    def route(state: State) -> Literal["interrupt_handler", "__end__"]:
        return "interrupt_handler" if state["messages"][-1].tool_calls else "__end__"

    builder = (
        StateGraph(State).add_node(triage).add_node(llm_call).add_node(interrupt_handler).add_edge(START, "triage")
    )
    builder.add_conditional_edges("llm_call", route)
    skills(builder, before="llm_call", after="interrupt_handler", show_in="human")
    return Wired(builder.compile(), 2)


def swarm(model, skills) -> Wired:
    """Agents as subgraphs that hand over to one another through their parent, and end without an edge."""

    def alice(state: MessagesState) -> Any:
        reply = model.invoke(state["messages"])
        return Command(graph=Command.PARENT, goto="bob", update={"messages": [reply]})

    first = StateGraph(MessagesState).add_node("alice", alice).add_edge(START, "alice")
    skills(first, before="alice")
    second = StateGraph(MessagesState).add_node("bob", lambda state: {"messages": [model.invoke(state["messages"])]})
    second.add_edge(START, "bob")
    skills(second, before="bob")
    outer = StateGraph(MessagesState).add_node("alice", first.compile(), destinations=("bob",))
    outer.add_node("bob", second.compile()).add_edge(START, "alice")
    return Wired(outer.compile(), 2)


def quickstart(model, skills) -> Wired:
    """A fan-out by Send, and prompts that the nodes make of texts of their own: the first one reads the skill itself."""

    class State(MessagesState, SkillKeys):
        found: Annotated[list[str], operator.add]

    def generate_query(state: State) -> dict[str, Any]:
        prompt = f"Make queries for: {state['messages'][-1].text}\n{skill_guidance(state)}"
        model.invoke(prompt)
        return {}

    def finalize(state: State) -> dict[str, Any]:
        return {"messages": [model.invoke(f"Summarise {state['found']}")]}

    builder = StateGraph(State).add_node(generate_query).add_node(finalize)
    builder.add_node("web_research", lambda part: {"found": [part["query"]]})
    builder.add_edge(START, "generate_query").add_edge("web_research", "finalize").add_edge("finalize", END)
    builder.add_conditional_edges(
        "generate_query", lambda state: [Send("web_research", {"query": query}) for query in "ab"], ["web_research"]
    )
    skills(builder, before="generate_query", after="finalize")
    return Wired(builder.compile(), 1)


def trading(model, skills) -> Wired:
    """Roles in a row that write fields of the state, not messages."""

    class State(TypedDict):
        company: str
        report: str
        decision: str

    def role(key: str) -> Callable[[Any], dict[str, Any]]:
        return lambda state: {key: model.invoke(f"{key} of {state['company']}\n{skill_guidance(state)}").text}

    class Reads(State, SkillKeys):
        pass

    builder = StateGraph(State).add_node("analyst", role("report"), input_schema=Reads).add_edge(START, "analyst")
    builder.add_node("manager", role("decision")).add_edge("analyst", "manager").add_edge("manager", END)
    skills(
        builder, before="analyst",
        task_from=lambda state: state["company"], answer_from=lambda state: state["report"],
    )  # fmt: skip
    return Wired(builder.compile(), 1)


SHAPES: dict[Shape, tuple[list[Any], Any]] = {
    react_agent: ([called("look_up", words="2 + 2")], ADD),
    memory_agent: ([called("upsert", words="likes 4")], ADD),
    retrieval_agent: ([], ADD),
    open_deep_research: ([called("research", words="2 + 2")], ADD),
    email_assistant: ([called("done", words="")], ADD),
    swarm: ([], ADD),
    quickstart: ([], ADD),
    trading: ([], {"company": "add 2 and 2"}),
}


def ended(result):
    """What the host has in the end, without the ids."""
    return [(type(one).__name__, one.text) for one in result["messages"]] if "messages" in result else result


@pytest.mark.parametrize("shape", SHAPES)
def test_a_public_agents_shape_gets_skills_and_ends_as_before(store, skill, shape):
    replies, given = SHAPES[shape]
    plain = shape(answers(*replies), lambda *args, **options: None).graph.invoke(given)
    model = answers(*replies)
    graph, calls = shape(
        model,
        lambda builder, **options: add_skills(
            builder, store=store, verifier=lambda task, answer: "4" in answer, min_score=-1, **options
        ),
    )

    assert ended(graph.invoke(given)) == ended(plain)
    saw = ["Use your fingers." in str([message.content for message in messages]) for messages in model.seen]
    assert sum(saw) >= min(calls, len(saw)) > 0
    adding = store.get("adding")
    assert (adding.uses >= 1, adding.wins) == (True, adding.uses)
