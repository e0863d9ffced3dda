"""What a run is credited for is what reached a model."""

import logging

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from fakes import ASK, AgentChat, FingersAdder, skill_text
from skill_plugin import Rollout, Task, verifiers
from skill_plugin.graphs import add_skills, create_skill_graph
from skill_plugin.graphs.watch import REMEMBERED, SkillWatch
from skill_plugin.integrations.middleware import SkillMiddleware
from skill_plugin.prompts import guidance

ADD = {"messages": [("user", "add 2 and 2")]}


@pytest.fixture
def model():
    return AgentChat(lambda messages: "4")


def wired(store, agent, **options):
    builder = StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent").add_edge("agent", END)
    return add_skills(builder, store=store, before="agent", verifier=lambda task, answer: 1.0, **options).compile()


def run(graph, given=ADD):
    events = [event for event in graph.stream(given, stream_mode="custom") if isinstance(event, dict)]
    return {event["type"].removeprefix("skill_plugin."): event for event in events}


def recorded(store, events):
    [rollout] = store.runs.rollouts(events["recorded"]["run_id"])
    return rollout.seen, rollout.adherence


def test_a_skill_that_the_model_saw_is_credited(store, skill, model):
    events = run(wired(store, lambda state: {"messages": [model.invoke(state["messages"])]}))

    assert recorded(store, events) == (True, None)
    assert (events["verified"]["seen"], store.get("adding").uses) == (True, 1)


def test_a_host_that_makes_its_own_prompt_is_not_credited_and_warned(store, skill, model, caplog):
    """Google's quickstart: a helper joins human and AI messages only."""

    def agent(state):
        topic = "\n".join(
            message.text for message in state["messages"] if isinstance(message, HumanMessage | AIMessage)
        )
        model.invoke(f"Research this: {topic}")
        return {"messages": [model.invoke(f"Write about: {topic}")]}

    graph = wired(store, agent)
    with caplog.at_level(logging.WARNING):
        events = run(graph)
        run(graph)

    assert recorded(store, events) == (False, 0.0)
    assert (events["verified"]["seen"], store.get("adding").uses, store.get("adding").utility) == (False, 0, None)
    [warning] = [record.message for record in caplog.records if "saw the skill" in record.message]
    assert f"none of 2 model calls in agent saw the skill {skill.ref}" in warning
    store.record_outcome(events["recorded"]["run_id"], reward=0.0)
    assert store.get("adding").utility is None


def test_and_shown_in_the_request_it_is_seen_there_too(store, skill, model):
    def agent(state):
        topic = "\n".join(
            message.text for message in state["messages"] if isinstance(message, HumanMessage | AIMessage)
        )
        return {"messages": [model.invoke(f"Research this: {topic}")]}

    assert recorded(store, run(wired(store, agent, show_in="human"))) == (True, None)


def test_one_call_of_several_is_enough(store, skill, model):
    def agent(state):
        model.invoke("unrelated")
        return {"messages": [model.invoke(state["messages"])]}

    assert recorded(store, run(wired(store, agent)))[0] is True


async def test_async_and_in_a_later_node(store, skill, model):
    async def plan(state):
        return {"messages": [await model.ainvoke("plan")]}

    async def act(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState).add_node("plan", plan).add_node("act", act)
    builder.add_edge(START, "plan").add_edge("plan", "act").add_edge("act", END)
    graph = add_skills(builder, store=store, before="plan", after="act", verifier=lambda task, answer: 1.0).compile()
    await graph.ainvoke(ADD)

    assert store.get("adding").uses == 0  # only `plan` is shown it, and makes a prompt of its own


def test_a_model_that_is_not_called_through_langchain_is_not_known(store, skill):
    assert recorded(store, run(wired(store, lambda state: {"messages": [("ai", "4")]}))) == (None, None)
    assert store.get("adding").uses == 1


def test_an_agent_inside_the_loop_is_watched_too(store, skill, model, caplog):
    inner = StateGraph(MessagesState)
    inner.add_node("own", lambda state: {"messages": [model.invoke("my own prompt")]}).add_edge(START, "own").add_edge(
        "own", END
    )
    graph = create_skill_graph(store=store, llm=inner.compile(), verifier=verifiers.exact_match()).compile()
    with caplog.at_level(logging.WARNING):
        events = run(graph, ASK)

    assert recorded(store, events) == (False, 0.0)
    assert "saw the skill" in caplog.text
    assert recorded(
        store, run(create_skill_graph(store=store, llm=FingersAdder(), verifier=verifiers.exact_match()).compile(), ASK)
    )[0]


def test_every_skill_for_itself():
    watch = SkillWatch("here", "look")
    watch.handler("r", ["a@1", "b@2"]).on_llm_start({}, [guidance([("b@2", "b", skill_text())])], run_id=None)

    assert watch.unseen("r", ["a@1", "b@2"]) == ["a@1"]
    assert watch.unseen("r", ["a@1"]) is None  # it is forgotten
    for number in range(REMEMBERED + 10):
        watch.note(str(number), [])
    assert (watch.unseen("0", ["a@1"]), watch.unseen(str(REMEMBERED), ["a@1"])) == (None, ["a@1"])


def test_a_text_that_shows_another_skills_tag_does_not_make_that_one_seen():
    watch = SkillWatch("here", "look")
    forged = skill_text(body=guidance([("b@2", "b", skill_text())]))
    watch.handler("r", ["a@1", "b@2"]).on_llm_start({}, [guidance([("a@1", "a", forged)])], run_id=None)

    assert watch.unseen("r", ["a@1", "b@2"]) == ["b@2"]


def test_it_goes_through_an_export(store, open_store, tmp_path, skill):
    used = Rollout(generation=0, answer="4", skill=skill.ref, reward=1.0, passed=True, seen=False, adherence=0.0)
    store.runs.record(Task("t"), [used], run_id="r")
    store.histories.export_to(tmp_path / "h.jsonl")
    other = open_store(tmp_path / "other")
    other.histories.import_from(tmp_path / "h.jsonl")

    assert [one.seen for one in store.runs.rollouts("r")] == [False]
    assert [row["rollouts"][0]["seen"] for row in other.histories.rows()] == [False]


def test_the_middleware_shows_it_itself(store, skill, model):
    agent = create_agent(model, [], middleware=[SkillMiddleware(store, verifier=lambda task, answer: 1.0)])

    assert recorded(store, run(agent)) == (None, None)
    assert store.get("adding").uses == 1
