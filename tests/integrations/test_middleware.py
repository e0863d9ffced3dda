"""Skills for `create_agent`: the real agent of LangChain with a simulated model."""

import asyncio
import json
import operator
import subprocess
import sys
import threading
from typing import Annotated, NotRequired

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, AgentState, hook_config
from langchain.tools import tool
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel
from sqlmodel import select

from agents import ADD, agent_of, calculator, result_of, rollout_of, thread
from fakes import MACHINE, AgentChat, TopicEmbedder, skill_text, system_text
from skill_plugin import Task, verifiers
from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs import SkillOutput, skill_guidance
from skill_plugin.integrations.middleware import SkillMiddleware
from skill_plugin.store.tables import RolloutRow


def test_the_quickstart_agent_gets_skills_by_four_lines(open_store, home, monkeypatch):
    monkeypatch.chdir(home.parent)
    open_store("skills").add_text(skill_text("weather-talk", "How to add the weather to an answer", "Say it in rhyme."))
    model = AgentChat([[("get_weather", {"city": "San Francisco"})], "Sunny in the city, is it not pretty?"])
    quickstart = """
from langchain.agents import create_agent

def get_weather(city: str) -> str:
    '''Get weather for a given city.'''
    return f"It's always sunny in {city}!"

agent = create_agent(model=model, tools=[get_weather], system_prompt="You are a helpful assistant")
output = agent.invoke({"messages": [{"role": "user", "content": "add what is the weather in San Francisco"}]})
"""
    added = (
        "from skill_plugin.store import SkillStore\n"
        "from skill_plugin.integrations.middleware import SkillMiddleware\n"
        "store = SkillStore.open('skills', embedder=embedder, chroma=False)\n"
    )
    changed = quickstart.replace("system_prompt=", "middleware=[SkillMiddleware(store)], system_prompt=")
    names = {"model": model, "embedder": TopicEmbedder()}
    exec(added + changed, names)
    names["store"].close()

    assert [message.type for message in names["output"]["messages"]] == ["human", "ai", "tool", "ai"]
    assert list(names["output"]) == ["messages"]
    assert all("Say it in rhyme." in system_text(seen) for seen in model.seen)


def test_the_skill_is_at_the_end_of_the_system_message_and_a_text_stays_a_text(store, skill):
    agent, model = agent_of(store, ["4"])
    agent.invoke(ADD, thread())
    content = model.seen[0][0].content

    assert content == "You are helpful.\n\n" + skill_guidance(agent.get_state(thread()).values)
    assert f'name="adding" id="{skill.ref}">\nUse your fingers.\n</skill-' in content


def test_the_blocks_before_keep_their_cache_marks(store, skill):
    blocks = [
        {"type": "text", "text": "A long handbook.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Be brief.", "vendor": {"x": 1}},
    ]
    before = json.dumps(blocks)
    agent, model = agent_of(store, ["4"], system=SystemMessage(blocks, id="sys"))
    agent.invoke(ADD, thread())
    system = model.seen[0][0]

    assert json.dumps(system.content[:2]) == before == json.dumps(blocks)
    assert (len(system.content), system.id) == (3, "sys")


def test_an_agent_without_a_system_prompt_gets_one_and_without_a_skill_none(store, skill):
    agent, model = agent_of(store, ["4", "sent"], system=None)
    agent.invoke(ADD, thread())
    agent.invoke({"messages": [("user", "ship a parcel")]}, thread("2"))

    assert "Use your fingers." in model.seen[0][0].content
    assert [message.type for message in model.seen[1]] == ["human"]


def test_the_conversation_is_never_touched(store, skill):
    plain = create_agent(AgentChat([[("calculator", {"expression": "2+2"})], "4"]), [calculator]).invoke(ADD)
    agent, _ = agent_of(store, [[("calculator", {"expression": "2+2"})], "4"], tools=[calculator])
    output = agent.invoke(ADD, thread())

    def told(messages):
        return [(type(m), m.content, m.additional_kwargs, m.response_metadata, m.name) for m in messages]

    assert told(output["messages"]) == told(plain["messages"])


def test_the_system_message_is_the_same_for_every_model_call_of_a_run(store, skill):
    def promotes(_):
        store.revise_text("adding", MACHINE)
        store.promote("adding")
        return [("calculator", {"expression": "2+2"})]

    replies = iter([promotes, lambda _: "4"])
    agent, model = agent_of(store, lambda messages: next(replies)(messages), tools=[calculator])
    agent.invoke(ADD, thread())

    assert model.seen[0][0] == model.seen[1][0]


def test_the_state_is_plain_json_and_in_no_schema(store, skill, monkeypatch):
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "true")
    agent, _ = agent_of(store, ["4"])
    output = agent.invoke(ADD, thread())
    values = {key: value for key, value in agent.get_state(thread()).values.items() if key != "messages"}

    assert set(values) <= {f"skillp_{key}" for key in ("run", "skills", "attempt", "history", "result", "calls")}
    assert json.loads(json.dumps(values)) == values
    assert list(output) == ["messages"]
    for schema in (agent.get_input_jsonschema(), agent.get_output_jsonschema()):
        assert "skillp" not in json.dumps(schema)


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_one_rollout_is_recorded_however_the_agent_is_run(store, skill, how):
    replies = [[("calculator", {"expression": "2+2"}), ("calculator", {"expression": "1+1"})], "4"]
    agent, _ = agent_of(store, replies, tools=[calculator])
    match how:
        case "invoke":
            agent.invoke(ADD, thread("t-7"))
        case "ainvoke":
            await agent.ainvoke(ADD, thread("t-7"))
        case "stream":
            list(agent.stream(ADD, thread("t-7")))
        case "astream":
            assert [part async for part in agent.astream(ADD, thread("t-7"), stream_mode="messages")]
    rollout = rollout_of(store, agent, thread("t-7"))
    calls = agent.get_state(thread("t-7")).values["skillp_calls"]

    assert (rollout.answer, rollout.skill, rollout.arm, rollout.model) == ("4", skill.ref, "skill", "scripted")
    assert (rollout.input_tokens, rollout.output_tokens, rollout.reward, rollout.error) == (20, 4, None, None)
    assert 0 < rollout.latency_s < 60
    assert (calls["steps"], calls["tool_calls"], calls["tool_errors"]) == (2, 2, 0)
    with store.database.read() as session:
        assert session.exec(select(RolloutRow.thread_id)).all() == ["t-7"]


def test_progress_is_told_on_the_custom_stream(store, skill):
    agent, _ = agent_of(store, [[("calculator", {"expression": "2+2"})], "4"], tools=[calculator])
    events = list(agent.stream(ADD, thread(), stream_mode="custom"))

    assert [event["type"].removeprefix("skill_plugin.") for event in events] == [
        "retrieved", "executed", "verified", "recorded",
    ]  # fmt: skip
    assert {event["run_id"] for event in events} == {result_of(agent)["run_id"]}
    assert (events[0]["skills"], events[1]["steps"], events[1]["tool_calls"]) == ([skill.ref], 2, 1)


async def test_progress_is_told_to_async_callers_too(store, skill):
    agent, _ = agent_of(store, ["4"])
    events = [event async for event in agent.astream(ADD, thread(), stream_mode="custom")]

    assert [event["type"] for event in events][-1] == "skill_plugin.recorded"


def test_the_updates_stream_keeps_its_shape(store, skill):
    agent, _ = agent_of(store, ["4"])
    [update] = [part["model"] for part in agent.stream(ADD, thread(), stream_mode="updates") if "model" in part]

    assert [message.text for message in update["messages"]] == ["4"]


def test_tool_errors_are_counted(store, skill):
    @tool
    def fails() -> str:
        """Fails."""
        return ""

    class Answers(AgentMiddleware):
        def wrap_tool_call(self, request, handler):
            return ToolMessage("no", tool_call_id=request.tool_call["id"], status="error")

    agent, _ = agent_of(store, [[("fails", {}), ("fails", {})], [("fails", {})], "4"], tools=[fails], extra=[Answers()])
    agent.invoke(ADD, thread())
    calls = agent.get_state(thread()).values["skillp_calls"]

    assert (calls["steps"], calls["tool_calls"], calls["tool_errors"]) == (3, 3, 3)


def test_a_verifier_judges_the_answer_and_credits_the_skill(store, skill):
    agent, _ = agent_of(store, ["4"], verifier=lambda task, answer: answer == "4")
    agent.invoke(ADD, thread())
    rollout = rollout_of(store, agent)

    assert (rollout.reward, rollout.passed) == (1.0, True)
    assert rollout.verifier_hash
    assert (store.get("adding").utility, store.get("adding").uses) == (1.0, 1)


async def test_a_verifier_that_crashes_is_recorded_as_an_error_without_a_reward(store, skill):
    def crashes(task, answer):
        raise RuntimeError("judge is ill")

    agent, _ = agent_of(store, ["4"], verifier=crashes)
    await agent.ainvoke(ADD, thread())
    rollout = rollout_of(store, agent)

    assert rollout.reward is None
    assert "judge is ill" in rollout.error
    assert store.get("adding").utility is None


def test_the_outcome_may_come_later(store, skill):
    agent, _ = agent_of(store, ["4"])
    agent.invoke(ADD, thread())
    run_id = result_of(agent)["run_id"]

    assert store.record_outcome(run_id, 1.0, "thanks") is True
    assert store.record_outcome(run_id, 1.0, "thanks") is False
    assert (store.get("adding").utility, store.get("adding").uses) == (1.0, 1)


def test_a_state_class_that_names_the_result_gets_it_in_the_output(store, skill):
    class State(AgentState):
        skillp_result: NotRequired[SkillOutput | None]

    agent = create_agent(AgentChat(["4"]), [], middleware=[SkillMiddleware(store)], state_schema=State)
    run_id = agent.invoke(ADD)["skillp_result"]["run_id"]

    assert store.record_outcome(run_id, 0.5) is True


def test_a_state_class_that_gives_our_key_a_reducer_is_named(store, skill):
    class State(AgentState):
        skillp_skills: NotRequired[Annotated[list, operator.add]]

    agent, _ = agent_of(store, ["3", "4"], agent={"state_schema": State})
    agent.invoke(ADD, thread())
    with pytest.raises(ConfigurationError, match="declares 'skillp_skills' with a reducer"):
        agent.invoke(ADD, thread())


def test_a_control_run_withholds_the_skill_and_says_which(store, skill):
    agent, model = agent_of(store, ["4"], control_share=1.0, verifier=lambda task, answer: True)
    agent.invoke(ADD, thread())
    rollout = rollout_of(store, agent)

    assert model.seen[0][0].content == "You are helpful."
    assert (rollout.arm, rollout.skill, rollout.withheld, rollout.reward) == ("control", None, skill.ref, 1.0)
    assert store.get("adding").uses == 0


def test_a_task_of_ones_own_brings_its_reference_and_its_verifier(store, skill):
    class State(AgentState):
        gold: NotRequired[str]

    def task_from(state):
        return Task(state["messages"][0].text, reference=state["gold"], family="sums", verifier={"name": "exact_match"})

    agent, _ = agent_of(store, ["4"], task_from=task_from, agent={"state_schema": State})
    agent.invoke({**ADD, "gold": "4"}, thread())

    assert result_of(agent)["passed"] is True
    assert agent.get_state(thread()).values["skillp_run"]["task"]["family"] == "sums"


def test_several_skills_are_shown_and_the_floor_holds(store, skill):
    store.add_text(skill_text("add-and-sort", "How to add and sort numbers", "Carry."))
    agent, model = agent_of(store, ["4", "sent"], k=2, strategy="dense")
    agent.invoke(ADD, thread())
    agent.invoke({"messages": [("user", "ship a parcel")]}, thread("2"))

    assert "Use your fingers." in system_text(model.seen[0])
    assert "Carry." in system_text(model.seen[0])
    assert system_text(model.seen[1]) == "You are helpful."
    assert rollout_of(store, agent, thread("2")).skill is None


def test_a_message_without_text_is_no_task(store, skill):
    picture = {"messages": [HumanMessage([{"type": "image", "url": "https://example.org/a.png"}])]}
    agent, model = agent_of(store, ["4", "a cat"])
    agent.invoke(ADD, thread())
    [event] = agent.stream(picture, thread(), stream_mode="custom")

    assert (event["type"], event["reason"]) == ("skill_plugin.retrieved", "the last human message has no text")
    assert model.seen[1][0].content == "You are helpful."
    assert agent.get_state(thread()).values["skillp_result"] is None


def test_an_agent_that_ends_before_its_model_records_nothing(store, skill):
    class Guard(AgentMiddleware):
        @hook_config(can_jump_to=["end"])
        def before_agent(self, state, runtime):
            return {"jump_to": "end", "messages": [AIMessage("no")]}

    agent, _ = agent_of(store, ["4"], extra=[Guard()])
    assert agent.invoke(ADD, thread())["messages"][-1].text == "no"
    assert result_of(agent) is None


def test_a_structured_response_is_the_answer(store, skill):
    class Sum(BaseModel):
        value: int

    agent, _ = agent_of(store, [[("Sum", {"value": 4})]], agent={"response_format": Sum}, verifier=verifiers.json_schema({
        "type": "object", "required": ["value"],
    }))  # fmt: skip
    agent.invoke(ADD, thread())

    assert (rollout_of(store, agent).answer, rollout_of(store, agent).reward) == ('{"value":4}', 1.0)


def test_used_twice_in_one_agent_is_one_clear_error(store):
    with pytest.raises(AssertionError, match="Please remove duplicate middleware instances"):
        create_agent(AgentChat([]), [], middleware=[SkillMiddleware(store), SkillMiddleware(store, k=2)])


async def test_one_middleware_serves_several_agents_at_once(store, skill):
    shared = SkillMiddleware(store)
    agents = [
        create_agent(AgentChat([str(n)]), [], middleware=[shared], checkpointer=InMemorySaver()) for n in range(3)
    ]

    await asyncio.gather(*(agent.ainvoke(ADD, thread()) for agent in agents))

    assert [result_of(agent)["answer"] for agent in agents] == ["0", "1", "2"]
    assert len({result_of(agent)["run_id"] for agent in agents}) == 3


def test_without_langchain_the_extra_is_named():
    code = "import sys; sys.modules['langchain'] = None; import skill_plugin.integrations.middleware"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)

    assert result.stderr.splitlines()[-1] == (
        "skill_plugin.errors.MissingExtraError: SkillMiddleware needs packages that are not installed; "
        "run: pip install 'skill-plugin[langchain]'"
    )


@pytest.mark.parametrize(
    ("options", "says"), [({"control_share": 2}, "control_share"), ({"verifier": 3}, "is not a verifier")]
)
def test_a_wrong_argument_is_named_at_once(store, options, says):
    with pytest.raises(ConfigurationError, match=says):
        SkillMiddleware(store, **options)


def test_a_path_is_no_store():
    with pytest.raises(ConfigurationError, match="is not a SkillStore"):
        SkillMiddleware("skills")


async def test_whatever_waits_runs_off_the_event_loop(store, skill):
    """A search, a verifier and a record that only know how to block, and a model that only knows how to be called."""
    threads = {}

    def noted(name, function):
        def call(*args, **options):
            threads[name] = threading.get_ident()
            return function(*args, **options)

        return call

    store.search, store.get = noted("search", store.search), noted("get", store.get)
    store.runs.record = noted("record", store.runs.record)
    replies = iter([[("load_skill", {"name": "shipping"})], "4"])
    model = AgentChat(noted("model", lambda _: next(replies)))
    verifier = noted("verify", lambda task, answer: True)
    agent = create_agent(model, [], middleware=[SkillMiddleware(store, verifier=verifier, load_skill=True)])
    await agent.ainvoke(ADD)

    assert set(threads) == {"search", "get", "model", "verify", "record"}
    assert threading.get_ident() not in threads.values()


def test_every_skill_that_was_shown_is_credited_by_as_much_as_it_was_followed(store, skill):
    second = store.add_text(skill_text("adding-twice", "How to add and sort"))
    followed = {skill.text: 1.0, second.text: 0.5}
    agent, _ = agent_of(store, ["4", "5"], k=2, verifier=lambda t, a: a == "4", adherence=lambda t, a, s: followed[s])
    for name in ("1", "2"):
        agent.invoke(ADD, thread(name))

    assert (rollout_of(store, agent).skill, rollout_of(store, agent).also) == (skill.ref, {second.ref: 0.5})
    assert [store.get(one.ref).utility for one in (skill, second)] == [0.5, 0.75]


async def test_a_run_that_withheld_two_skills_credits_none(store, skill):
    store.add_text(skill_text("adding-twice", "How to add and sort"))
    agent, _ = agent_of(store, ["4"], k=2, verifier=lambda t, a: True, control_share=1.0)
    await agent.ainvoke(ADD, thread())

    assert (rollout_of(store, agent).withheld, rollout_of(store, agent).also) == (skill.ref, {})
    assert {one.uses for one in store.list()} == {0}
