"""One reply is streamed once, and each attempt takes the place of the one before."""

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph

from fakes import MACHINE, ScriptedChat
from skill_plugin import generators
from skill_plugin.graphs import execute_node, record_node, retrieve_node, revise_node, skill_router, verify_node


def loop(store, model):
    route = skill_router(max_generations=1)
    builder = StateGraph(MessagesState)
    builder.add_sequence(
        [
            ("retrieve", retrieve_node(store)),
            ("act", execute_node(model)),
            ("verify", verify_node(lambda task, answer: answer == "it is 4")),
        ]
    )
    builder.add_node("revise", revise_node(store, generators.chat(ScriptedChat([MACHINE]))))
    builder.add_node("record", record_node(store)).add_edge(START, "retrieve")
    builder.add_conditional_edges("verify", route, ["revise", "record"])
    builder.add_conditional_edges("revise", route, {"execute": "act", "revise": "revise", "record": "record"})
    return builder.compile()


def streamed(graph):
    said, final = {}, None
    for mode, chunk in graph.stream({"messages": [("user", "add 2 and 2")]}, stream_mode=["messages", "values"]):
        if mode == "values":
            final = chunk["messages"]
        elif chunk[1]["langgraph_node"] == "act":
            said[chunk[0].id] = said.get(chunk[0].id, "") + chunk[0].text
    return list(said.values()), [message.text for message in final]


def test_an_answer_is_streamed_once(store, skill):
    model = GenericFakeChatModel(messages=iter([AIMessage("it is 4")]))

    assert streamed(loop(store, model)) == (["it is 4"], ["add 2 and 2", "it is 4"])


def test_a_second_attempt_replaces_the_first(store, skill):
    model = GenericFakeChatModel(messages=iter([AIMessage("it is 3"), AIMessage("it is 4")]))
    said, final = streamed(loop(store, model))

    assert (said, final) == (["it is 3", "it is 4"], ["add 2 and 2", "it is 4"])
