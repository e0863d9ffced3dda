"""The tools that an agent calls are in its rollouts."""

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from skill_plugin.graphs import create_skill_graph
from skill_plugin.graphs.trace import tools_in

ASK = {"task": "Refund Anna.", "family": "refunds"}


@tool
def price(name: str) -> int:
    """Price."""
    return 7


@tool
def total(names: list[str]) -> int:
    """Total of prices."""
    return sum(price.invoke({"name": name}) for name in names)


def traced(store, llm, **ask):
    result = create_skill_graph(store=store, llm=llm).compile().invoke({**ASK, **ask})
    return store.runs.rollouts(result["run_id"])[0].tools


def test_tools_that_a_function_calls_are_in_the_rollout_and_what_a_tool_calls_is_not(store):
    def agent(given):
        price.invoke({"name": "a"})
        return str(total.invoke({"names": ["a", "b"]}))

    assert traced(store, RunnableLambda(agent)) == ("price", "total")


def test_tools_that_a_model_asked_for_are_in_its_turn_alone():
    def asked(*names):
        return AIMessage("", tool_calls=[{"name": name, "args": {}, "id": name} for name in names])

    messages = [HumanMessage("a"), asked("old"), HumanMessage("b"), asked("price", "total"), asked("a b")]

    assert tools_in(messages) == ("price", "total", "a_b")
