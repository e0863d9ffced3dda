"""A function whose tools ask a person, in a graph of LangGraph."""

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import task
from langgraph.graph import MessagesState, StateGraph
from langgraph.types import Command, interrupt

from skill_functions import body, call

TEXT = body("a = tools.refund(n=1)\nb = tools.refund(n=2)\nreturn {'said': [a, b]}")


@pytest.mark.parametrize(("is_task", "acted"), [(False, [1, 1, 2]), (True, [1, 2])])
def test_a_resumed_run_goes_on_and_a_task_acts_once(is_task, acted):
    done = []

    def refund(arguments: dict) -> Any:
        said = interrupt(f"refund {arguments['n']}?")
        done.append(arguments["n"])
        return said

    def node(state):
        tool = (lambda arguments: task(refund)(arguments).result()) if is_task else refund
        return {"messages": call(TEXT, {"refund": tool}).text}

    graph = StateGraph(MessagesState).add_node("node", node).add_edge("__start__", "node").compile(InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    asked = [graph.invoke({"messages": []}, thread), graph.invoke(Command(resume="yes"), thread)]
    ended = graph.invoke(Command(resume="no"), thread)

    assert [one["__interrupt__"][0].value for one in asked] == ["refund 1?", "refund 2?"]
    assert ended["messages"][-1].content == '{"said": ["yes", "no"]}'
    assert done == acted
