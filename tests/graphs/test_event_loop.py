"""The event loop stays free while models, verifiers and generators without async twins work."""

import asyncio
import threading

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import ConfigDict

from fakes import ASK, MACHINE, FingersAdder, ScriptedChat
from skill_plugin import Revision, generators, verifiers
from skill_plugin.graphs import create_skill_graph


class Waiter:
    """Something synchronous that does not return before the event loop has gone round a few times."""

    def __init__(self):
        self.loop_goes_round = threading.Event()
        self.waited = 0

    def wait(self):
        self.loop_goes_round.clear()
        assert self.loop_goes_round.wait(20), "the event loop stood still"
        self.waited += 1

    async def beat(self):
        """The heartbeat: it can only tick while the loop is free."""
        while True:
            await asyncio.sleep(0.001)
            self.loop_goes_round.set()


class SyncChat(ScriptedChat):
    """A chat model without an async twin."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    waiter: Waiter

    def _generate(self, *args, **kwargs):
        self.waiter.wait()
        return super()._generate(*args, **kwargs)


class SyncVerifier:
    def __init__(self, waiter):
        self.waiter = waiter

    def verify(self, task, answer):
        self.waiter.wait()
        return verifiers.exact_match().verify(task, answer)


class SyncGenerator:
    def __init__(self, waiter):
        self.waiter = waiter

    def propose(self, task, history, *, n):
        self.waiter.wait()
        return [Revision(completion=MACHINE, prompt=(), model="mine")]


@pytest.mark.parametrize("kind", ["chat model", "function", "agent", "generator's model"])
def test_what_has_no_async_twin_does_not_hold_up_the_event_loop(store, skill, kind):
    waiter = Waiter()
    fingers = FingersAdder()

    def function(given):
        waiter.wait()
        return fingers.invoke(given["messages"]).text

    builder = StateGraph(MessagesState)
    builder.add_node(
        "model", lambda state: {"messages": [SyncChat(fingers._add, waiter=waiter).invoke(state["messages"])]}
    )
    builder.add_edge(START, "model")
    llm = {"function": function, "agent": builder.compile()}.get(kind, SyncChat(fingers._add, waiter=waiter))
    writer = SyncGenerator(waiter)
    if kind == "generator's model":
        writer = generators.chat(SyncChat([MACHINE], waiter=waiter))
    graph = create_skill_graph(store=store, llm=llm, verifier=SyncVerifier(waiter), generator=writer).compile()

    async def main():
        heart = asyncio.create_task(waiter.beat())
        try:
            return await graph.ainvoke(ASK)
        finally:
            heart.cancel()

    result = asyncio.run(main())

    assert (result["passed"], result["generations"]) == (True, 1)
    assert waiter.waited == 5  # two attempts, two verdicts, one revision
