"""Agents of LangChain's `create_agent` for tests: with the middleware, a simulated model and a checkpointer."""

from langchain.agents import create_agent
from langchain.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from fakes import AgentChat
from skill_plugin.integrations.middleware import SkillMiddleware

ADD = {"messages": [("user", "add 2 and 2")]}


@tool
def calculator(expression: str) -> str:
    """Adds numbers."""
    if "/" in expression:
        raise ValueError("no division")
    return str(sum(int(number) for number in expression.split("+")))


def thread(name="1"):
    return {"configurable": {"thread_id": name}}


def agent_of(store, replies, *, tools=(), system="You are helpful.", extra=(), agent=None, **options):
    """The agent with a checkpointer, and its model."""
    model = AgentChat(replies)
    made = create_agent(
        model, list(tools), system_prompt=system, middleware=[SkillMiddleware(store, **options), *extra],
        checkpointer=InMemorySaver(), **(agent or {}),
    )  # fmt: skip
    return made, model


def result_of(agent, config=None):
    return agent.get_state(config or thread()).values["skillp_result"]


def rollout_of(store, agent, config=None):
    [rollout] = store.runs.rollouts(result_of(agent, config)["run_id"])
    return rollout
