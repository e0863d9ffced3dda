"""The host comes first: whatever happens to the store, the agent answers, and what was not recorded is recorded later."""

import logging
import sqlite3
import threading
from contextlib import contextmanager

import pytest
from langchain.agents import create_agent
from langgraph.graph import END, START, MessagesState, StateGraph

from fakes import ASK, MACHINE, AgentChat, FingersAdder, ScriptedChat
from skill_plugin import generators, verifiers
from skill_plugin.errors import ConfigurationError, StoreUnavailableError
from skill_plugin.graphs import add_skills, create_skill_graph
from skill_plugin.integrations.langchain import SkillRetriever, skill_tools
from skill_plugin.integrations.middleware import SkillMiddleware
from skill_plugin.store.guard import StoreGuard

ADD = {"messages": [("user", "add 2 and 2")]}


@pytest.fixture
def impatient(patient, monkeypatch):
    monkeypatch.setattr("skill_plugin.store.guard.WAIT_S", 0.3)


def loop(store, **options):
    writer = generators.chat(ScriptedChat(lambda _: MACHINE))
    return create_skill_graph(
        store=store, llm=FingersAdder(), verifier=verifiers.exact_match(), generator=writer, **options
    ).compile()


def wired(store, **options):
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": [("ai", "3")]})
    builder.add_edge(START, "agent")
    builder.add_edge("agent", END)
    return add_skills(builder, store=store, before="agent", **options).compile()


def with_middleware(store, **options):
    return create_agent(AgentChat(["3"] * 2), [], middleware=[SkillMiddleware(store, **options)])


def answered(result):
    return result.get("answer") or result["messages"][-1].text


@contextmanager
def locked(store):
    """Somebody else holds the database's one place to write."""
    other = sqlite3.connect(store.database.engine.url.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def broken(*_, **__):
    raise StoreUnavailableError("no connection to the database")


def hung(ended):
    def wait(*_, **__):
        ended.wait(30)
        raise StoreUnavailableError("at last")

    return wait


WIRED = [(loop, ASK), (wired, ADD), (with_middleware, ADD)]


@pytest.mark.parametrize(("make", "given"), WIRED)
@pytest.mark.parametrize("way", ["broken", "hung"])
@pytest.mark.parametrize("at", ["search", "record"])
async def test_the_agent_answers_all_the_same(request, store, skill, monkeypatch, caplog, make, given, way, at):
    if way == "hung":
        request.getfixturevalue("impatient")
    ended = threading.Event()
    monkeypatch.setattr(store if at == "search" else store.runs, at, broken if way == "broken" else hung(ended))
    graph = make(store)
    with caplog.at_level(logging.WARNING, "skill_plugin"):
        results = [graph.invoke(given), await graph.ainvoke(given)]
    ended.set()

    assert [bool(answered(one)) for one in results] == [True, True]
    warnings = [record.message for record in caplog.records if "the store cannot answer" in record.message]
    assert len(warnings) == 1
    assert ("no connection" if way == "broken" else "did not answer within 0.3 s") in warnings[0]


@pytest.mark.parametrize(("make", "given"), WIRED)
@pytest.mark.parametrize("at", ["search", "record"])
def test_who_wants_the_error_gets_it(store, skill, monkeypatch, make, given, at):
    monkeypatch.setattr(store if at == "search" else store.runs, at, broken)

    with pytest.raises(StoreUnavailableError, match="no connection"):
        make(store, on_store_error="raise").invoke(given)
    with pytest.raises(ConfigurationError, match="give 'skip' or 'raise'"):
        make(store, on_store_error="ignore")


@pytest.mark.parametrize("population", [{}, {"candidates": 2, "rollouts": 2}])
@pytest.mark.parametrize("at", ["staged", "stage"])
def test_without_the_store_nothing_is_revised(store, skill, monkeypatch, population, at):
    monkeypatch.setattr(store.runs, at, broken)
    result = loop(store, max_generations=1, **population).invoke(ASK)

    assert (result["passed"], result["answer"] != "") == (False, True)
    assert len(store.versions("adding")) == 1


def test_the_reason_is_in_the_stream(store, skill, monkeypatch):
    monkeypatch.setattr(store, "search", broken)
    monkeypatch.setattr(store.runs, "record", broken)
    events = {event["type"]: event for event in loop(store, max_generations=0).stream(ASK, stream_mode="custom")}

    assert events["skill_plugin.retrieved"]["reason"] == "the store cannot answer: no connection to the database"
    assert events["skill_plugin.recorded"]["unrecorded"] == "the store cannot answer: no connection to the database"


def test_what_was_not_recorded_is_recorded_with_the_next_run(store, skill, monkeypatch):
    graph = wired(store, verifier=lambda task, answer: 1.0)
    run_ids = []

    def run():
        events = list(graph.stream(ADD, stream_mode="custom"))
        run_ids.extend(event["run_id"] for event in events if event["type"] == "skill_plugin.recorded")

    with monkeypatch.context() as patched:
        patched.setattr(store.runs._partition, "write", broken)
        run()
        run()
    assert len(store.runs.spool) == 2
    run()

    assert len(store.runs.spool) == 0
    assert [len(store.runs.rollouts(one)) for one in run_ids] == [1, 1, 1]
    assert store.get("adding").uses == 3


def test_or_when_the_store_is_closed(open_store, home, skill, store, monkeypatch):
    other = open_store()
    with monkeypatch.context() as patched:
        patched.setattr(other.runs._partition, "write", broken)
        wired(other, verifier=lambda task, answer: 1.0).invoke(ADD)
    other.close()

    assert store.get("adding").uses == 1


def test_a_database_that_somebody_else_has_locked(open_store, store, skill, impatient):
    other = open_store()
    with locked(store):
        assert answered(wired(other).invoke(ADD)) == "3"
        assert len(other.runs.spool) == 1


def test_the_retriever_finds_nothing_meanwhile(store, skill, monkeypatch):
    monkeypatch.setattr(store, "search", broken)

    assert SkillRetriever(store=store).invoke("add") == []
    with pytest.raises(StoreUnavailableError):
        SkillRetriever(store=store, on_store_error="raise").invoke("add")


def test_wrong_arguments_are_not_a_store_that_does_not_answer(store):
    def wrong():
        raise ConfigurationError("k is 0")

    with pytest.raises(ConfigurationError, match="k is 0"):
        StoreGuard(store, "skip").ask(wrong, lambda why: why)


def test_an_embedder_that_reads_its_weights_is_waited_for(store, skill, impatient):
    vectors = store._partition.vectors
    begun, go_on = threading.Event(), threading.Event()

    def slow():
        with vectors._work():
            begun.set()
            go_on.wait(30)
            return "found"

    threading.Timer(1.0, go_on.set).start()
    assert StoreGuard(store, "skip").ask(slow, lambda why: why) == "found"
    assert begun.is_set()


def test_a_tool_says_in_a_line_that_the_store_does_not_answer(store, skill, monkeypatch, impatient):
    ended = threading.Event()
    monkeypatch.setattr(store, "search", hung(ended))
    [search, *_] = skill_tools(store)
    said = search.invoke({"query": "add"})
    ended.set()

    assert "did not answer within 0.3 s" in said
