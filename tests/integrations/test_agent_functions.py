"""Functions of skills in agents of `create_agent`: the real agent, the real sandbox, a simulated model."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import pytest
from langchain.agents.middleware import AgentMiddleware
from langchain.tools import ToolRuntime, tool
from langchain_core.messages import ToolMessage
from langchain_core.tools import InjectedToolCallId
from langgraph.prebuilt import InjectedState
from langgraph.types import Command, interrupt

from agents import ADD, agent_of, calculator, result_of, thread
from fakes import called
from refunds import ASK, REFUNDS, Shop, add_refunds, tool_answers
from skill_functions import needs_sandbox
from skill_plugin.functions import FunctionLimits
from skill_plugin.store import calls_of, forbid_functions

pytestmark = needs_sandbox
REFUND = called("refund_duplicates", customer="anna")


@pytest.fixture
def shop():
    return Shop()


def events_of(stream):
    return [event for event in stream if event["type"] == "skill_plugin.offered"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_agent_calls_a_function_in_one_step(store, shop, is_async):
    skill = add_refunds(store)
    agent, model = agent_of(store, [REFUND, "done"], tools=shop.tools, functions=True)
    output = await agent.ainvoke(ASK, thread()) if is_async else agent.invoke(ASK, thread())

    assert model.bound == ["list_charges", "refund", "refund_duplicates"]
    assert tool_answers(output) == [("refund_duplicates", "success", '{"refunded": ["c2"]}')]
    assert shop.refunded == ["c2"]
    [call] = calls_of(store, result_of(agent)["run_id"])
    assert (call.skill, call.function, call.ok, call.tool_calls) == (skill.ref, "refund_duplicates", True, 2)


def test_a_function_that_was_not_allowed_is_not_offered_and_the_stream_says_why(store, shop):
    add_refunds(store, allow=False)
    agent, model = agent_of(store, [REFUND, "done"], tools=shop.tools, functions=True)
    [event] = events_of(agent.stream(ASK, thread(), stream_mode="custom"))

    assert model.bound == ["list_charges", "refund"]
    assert (event["functions"], shop.refunded) == ([], [])
    assert event["left_out"] == [
        "refunds.refund_duplicates: no operator has allowed version 1; look at it, then: skill-plugin skills allow refunds@1 --reason WHY"
    ]
    [answer] = [one for one in agent.get_state(thread()).values["messages"] if one.type == "tool"]
    assert "refund_duplicates is not a valid tool" in answer.text


def test_without_functions_an_agent_is_as_it_was(store, shop):
    add_refunds(store)
    agent, model = agent_of(store, ["done"], functions=False)
    agent.invoke(ASK, thread())

    assert "tools" not in agent.get_graph().nodes
    assert model.bound == []


@pytest.mark.parametrize(
    ("customer", "says"),
    [
        ("bert", "refund_duplicates raised KeyError: \"'bert'\" (scripts/refunds.py, line 5)"),
        (7, "refund_duplicates was given wrong arguments: at $.customer: 7 is not of type 'string'; see its parameters"),
    ],
)  # fmt: skip
async def test_what_goes_wrong_is_a_line_for_the_model(store, shop, customer, says):
    add_refunds(store)
    for name in ("sync", "async"):
        agent, _ = agent_of(
            store, [called("refund_duplicates", customer=customer), "no"], tools=shop.tools, functions=True
        )
        output = agent.invoke(ASK, thread(name)) if name == "sync" else await agent.ainvoke(ASK, thread(name))

        assert tool_answers(output) == [("refund_duplicates", "error", says)]
        [call] = calls_of(store, result_of(agent, thread(name))["run_id"])
        assert (call.ok, call.error) == (False, says)
        assert agent.get_state(thread(name)).values["skillp_calls"]["tool_errors"] == 1


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_tool_that_asks_a_person_interrupts_the_agent_and_the_function_goes_on_afterwards(
    store, shop, is_async
):
    lists, _ = shop.tools
    asked = []

    @tool
    def refund(charge: str) -> str:
        """Refunds a charge."""
        asked.append(charge)
        if not interrupt({"refund": charge}):
            raise PermissionError("a person said no")
        shop.refunded.append(charge)
        return "done"

    add_refunds(store)
    agent, _ = agent_of(store, [REFUND, "done"], tools=[lists, refund], functions=True)
    run = agent.ainvoke if is_async else lambda *given: asyncio.to_thread(agent.invoke, *given)
    stopped = await run(ASK, thread())

    assert [one.value for one in stopped["__interrupt__"]] == [{"refund": "c2"}]
    assert shop.refunded == []
    output = await run(Command(resume=True), thread())
    assert (shop.refunded, asked) == (["c2"], ["c2", "c2"])
    assert tool_answers(output)[0][1:] == ("success", '{"refunded": ["c2"]}')
    assert len(calls_of(store, result_of(agent)["run_id"])) == 1


def test_a_run_that_is_resumed_runs_the_version_that_it_began_with(store, shop):
    skill = add_refunds(store)
    lists, _ = shop.tools

    @tool
    def refund(charge: str) -> str:
        """Refunds a charge."""
        return str(interrupt(charge))

    agent, _ = agent_of(store, [REFUND, REFUND, "done"], tools=[lists, refund], functions=True)
    agent.invoke(ASK, thread())
    worse = REFUNDS.replace('{"refunded": done}', '{"refunded": ["nothing"]}')
    store.revise("refunds", files={"scripts/refunds.py": worse})
    store.promote("refunds")
    agent.invoke(Command(resume="yes"), thread())
    output = agent.invoke(Command(resume="yes"), thread())

    assert [text for _, _, text in tool_answers(output)] == ['{"refunded": ["c2"]}'] * 2
    assert {call.skill for call in calls_of(store, result_of(agent)["run_id"])} == {skill.ref}


def test_what_is_forbidden_while_a_run_waits_does_not_run(store, shop):
    add_refunds(store)

    def forbids(_):
        forbid_functions(store, "refunds", reason="somebody looked again")
        return REFUND

    replies = iter([forbids, lambda _: "done"])
    agent, _ = agent_of(store, lambda messages: next(replies)(messages), tools=shop.tools, functions=True)
    [answer] = tool_answers(agent.invoke(ASK, thread()))

    assert (answer[1], shop.refunded) == ("error", [])
    assert answer[2].startswith("no operator has allowed version 1")


def test_a_changed_tool_takes_the_function_out(store, shop):
    add_refunds(store)
    lists, _ = shop.tools

    @tool
    def refund(charge_id: str) -> str:
        """Refunds a charge."""
        return "done"

    agent_of(store, ["done"], tools=shop.tools, functions=True)[0].invoke(ASK, thread())
    agent, model = agent_of(store, ["done"], tools=[lists, refund], functions=True)
    [event] = events_of(agent.stream(ASK, thread("2"), stream_mode="custom"))

    assert model.bound == ["list_charges", "refund"]
    assert "the tool 'refund' takes other arguments than when the function was tested" in event["left_out"][0]


def test_a_middleware_behind_sees_the_calls_that_functions_make(store, shop):
    seen = []

    class Guard(AgentMiddleware):
        def wrap_tool_call(self, request, handler):
            seen.append((request.tool_call["name"], request.tool_call["args"]))
            if request.tool_call["name"] == "refund":
                return ToolMessage("not on a Sunday", tool_call_id=request.tool_call["id"], status="error")
            return handler(request)

    add_refunds(store)
    agent, _ = agent_of(store, [REFUND, "done"], tools=shop.tools, functions=True, extra=[Guard()])
    [answer] = tool_answers(agent.invoke(ASK, thread()))

    assert answer[1:] == (
        "error", "refund_duplicates raised RuntimeError: not on a Sunday (scripts/refunds.py, line 7)"
    )  # fmt: skip
    assert seen == [
        ("refund_duplicates", {"customer": "anna"}), ("list_charges", {"customer": "anna"}), ("refund", {"charge": "c2"}),
    ]  # fmt: skip
    assert shop.refunded == []


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_function_calls_tools_that_take_what_the_agent_puts_in(store, is_async):
    given = []

    @tool
    def list_charges(customer: str, state: Annotated[dict, InjectedState], runtime: ToolRuntime) -> list[dict]:
        """Lists charges."""
        given.append((state["messages"][0].text, runtime.tool_call_id))
        return [{"id": "a", "cents": 5}, {"id": "b", "cents": 5}]

    @tool
    def refund(charge: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
        """Refunds a charge."""
        given.append(tool_call_id)
        return "done"

    add_refunds(store)
    agent, _ = agent_of(store, [REFUND, "done"], tools=[list_charges, refund], functions=True)
    output = await agent.ainvoke(ASK, thread()) if is_async else agent.invoke(ASK, thread())

    assert tool_answers(output) == [("refund_duplicates", "success", '{"refunded": ["b"]}')]
    assert given == [(ASK["messages"][0][1], "call-1-0"), "call-1-0-refund-0"]


async def test_more_functions_than_the_event_loop_has_threads_wait_for_tools_at_once(store, shop):
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    add_refunds(store)
    agent, _ = agent_of(store, [REFUND * 3, "done"], tools=shop.tools, functions=True)
    output = await agent.ainvoke(ASK, thread())

    assert tool_answers(output) == [("refund_duplicates", "success", '{"refunded": ["c2"]}')] * 3
    assert len(calls_of(store, result_of(agent)["run_id"])) == 3


def test_tools_that_functions_may_not_call_leave_their_functions_out(store, shop):
    add_refunds(store)
    agent, model = agent_of(store, ["done"], tools=shop.tools, functions=True, function_tools=["list_charges"])
    [event] = events_of(agent.stream(ASK, thread(), stream_mode="custom"))

    assert model.bound == ["list_charges", "refund"]
    assert "needs the tool 'refund', which this agent does not have" in event["left_out"][0]


def test_a_function_is_offered_once_its_skill_was_loaded(store, shop):
    add_refunds(store)
    bound = []

    class Noting(AgentMiddleware):
        def wrap_model_call(self, request, handler):
            bound.append([one.name for one in request.tools])
            return handler(request)

    agent, _ = agent_of(
        store, [called("load_skill", name="refunds"), REFUND, "done"], tools=shop.tools, functions=True,
        load_skill=True, extra=[Noting()],
    )  # fmt: skip
    agent.invoke(ASK, thread())

    assert ["refund_duplicates" in names for names in bound] == [False, True, True]
    assert shop.refunded == ["c2"]


def test_limits_hold_and_are_said(store, shop):
    add_refunds(store)
    agent, _ = agent_of(
        store, [REFUND, "no"], tools=shop.tools, functions=True, function_limits=FunctionLimits(tool_calls=1)
    )
    [answer] = tool_answers(agent.invoke(ASK, thread()))

    assert "it called tools more than 1 times" in answer[2]


@pytest.mark.parametrize("bind", [True, ["list_charges", "refund"]])
def test_bound_tools_are_seen_while_their_skill_is_in_the_run(store, shop, skill, bind):
    add_refunds(store)
    tools = [*shop.tools, calculator]
    agent, model = agent_of(store, ["4"], tools=tools, bind_tools=bind)
    agent.invoke(ADD, thread())
    assert model.bound == ["calculator"]

    agent, model = agent_of(store, ["done"], tools=tools, bind_tools=bind)
    agent.invoke(ASK, thread("2"))
    assert model.bound == ["list_charges", "refund", "calculator"]


def test_a_bound_tool_that_is_called_without_its_skill_does_not_run(store, shop, skill):
    agent, _ = agent_of(
        store, [called("refund", charge="c1"), "4"], tools=shop.tools, bind_tools=["refund"], agent=None
    )
    [answer] = tool_answers(agent.invoke(ADD, thread()))

    assert (answer[1], shop.refunded) == ("error", [])
    assert answer[2] == "the tool 'refund' goes with a skill that is not in use here; go on without it"


async def test_an_agent_that_is_cancelled_ends_its_function(store, shop):
    lists, _ = shop.tools
    begun = asyncio.Event()

    @tool
    async def refund(charge: str) -> str:
        """Refunds a charge."""
        begun.set()
        await asyncio.sleep(3600)
        return "done"

    add_refunds(store)
    agent, _ = agent_of(store, [REFUND, "done"], tools=[lists, refund], functions=True)
    run = asyncio.create_task(agent.ainvoke(ASK, thread()))
    await begun.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert shop.refunded == []


def test_no_setting_runs_functions_in_the_agents_process(store, shop, monkeypatch):
    monkeypatch.setenv("SKILL_PLUGIN_FUNCTION_RUNNER", "nothing")
    with pytest.raises(Exception, match="no runner is called 'nothing'"):
        agent_of(store, [], functions=True)
