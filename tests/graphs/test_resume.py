"""Threads, checkpoints and kills: a run is pinned, and goes on where it was."""

import json
import subprocess
import sys

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from sqlmodel import select

from fakes import ASK, MACHINE, FingersAdder, ScriptedChat, loop, system_text
from skill_plugin import verifiers
from skill_plugin.graphs import create_skill_graph
from skill_plugin.store.tables import RolloutRow


def test_the_state_is_plain_json_and_pins_the_version(store, skill, monkeypatch):
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "true")
    graph = loop(store).compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    graph.invoke(ASK, config)
    values = graph.get_state(config).values

    assert json.loads(json.dumps(values)) == values
    assert values["skillp_skills"][0]["ref"] == f"{skill.id}@2"
    assert [generation["skill"] for generation in values["skillp_history"]] == [skill.ref, f"{skill.id}@2"]


def test_a_replayed_thread_reads_the_same_text(store, skill):
    llm = FingersAdder()
    graph = loop(store, llm=llm, writer=None).compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    graph.invoke(ASK, config)
    before_execute = next(state for state in graph.get_state_history(config) if state.next == ("execute",))
    store.revise_text("adding", MACHINE)
    store.promote("adding")
    replayed = graph.invoke(None, before_execute.config)

    assert (replayed["answer"], replayed["skill"]) == ("3", skill.ref)
    assert system_text(llm.seen[1]) == system_text(llm.seen[0])


def test_a_thread_that_is_used_again_starts_anew(store, skill):
    graph = loop(store, writer=[MACHINE] * 2, max_generations=1).compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    first = graph.invoke({**ASK, "family": "sums", "arm": "skill"}, config)
    second = graph.invoke({"task": "add 5 and 5", "verifier": {"name": "exact_match"}}, config)

    assert first["generations"] == 1
    assert second["run_id"] != first["run_id"]
    assert second["passed"] is False  # its reference is its own, not the first question's
    assert graph.get_state(config).values["skillp_run"]["task"]["family"] == "default"


def test_a_recorded_run_knows_its_thread(store, skill):
    loop(store, writer=None).compile(checkpointer=InMemorySaver()).invoke(ASK, {"configurable": {"thread_id": "t-7"}})
    with store.database.read() as session:
        assert session.exec(select(RolloutRow.thread_id)).all() == ["t-7"]


KILLED = """
import os, sys
from fakes import ASK, MACHINE, FingersAdder, ScriptedChat, TopicEmbedder
from langgraph.checkpoint.sqlite import SqliteSaver
from skill_plugin import generators, verifiers
from skill_plugin.graphs import create_skill_graph
from skill_plugin.store import SkillStore

home, saver, node = sys.argv[1:]
store = SkillStore.open(home, embedder=TopicEmbedder())
calls = []

def dying(name, function):
    def call(*args, **kwargs):
        result = function(*args, **kwargs)
        calls.append(name)
        if ":".join([name, str(calls.count(name))]) == node:
            os.kill(os.getpid(), 9)
        return result
    return call

store.search = dying("retrieve", store.search)
store.runs.stage = dying("revise", store.runs.stage)
store.runs.record = dying("record", store.runs.record)
llm = FingersAdder()
llm.__dict__["_generate"] = dying("execute", llm._generate)
verify = dying("verify", verifiers.exact_match().verify)
with SqliteSaver.from_conn_string(saver) as checkpointer:
    create_skill_graph(
        store=store, llm=llm, verifier=lambda task, answer: verify(task, answer),
        generator=generators.chat(ScriptedChat([MACHINE])),
    ).compile(checkpointer=checkpointer).invoke(
        {"task": "add 2 and 2", "reference": "4"}, {"configurable": {"thread_id": "1"}}, durability="sync"
    )
"""


@pytest.mark.parametrize(
    "node", ["retrieve:1", "execute:1", "verify:1", "revise:1", "execute:2", "verify:2", "record:1"]
)
def test_a_run_that_is_killed_goes_on_where_it_was(open_store, home, tmp_path, skill, store, node):
    """Killed after the node did its work and before LangGraph could note it: the worst moment for each."""
    store.close()
    saver = str(tmp_path / "checkpoints.db")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(home), saver, node],
        env={"PYTHONPATH": "tests", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    again = open_store()
    writer = ScriptedChat([MACHINE])
    with SqliteSaver.from_conn_string(saver) as checkpointer:
        graph = create_skill_graph(
            store=again, llm=FingersAdder(), verifier=verifiers.exact_match(), generator=writer
        ).compile(checkpointer=checkpointer)
        output = graph.invoke(None, {"configurable": {"thread_id": "1"}})

    assert (output["answer"], output["passed"], output["generations"]) == ("4", True, 1)
    assert [(rollout.generation, rollout.reward) for rollout in again.runs.rollouts(output["run_id"])] == [
        (0, 0.0),
        (1, 1.0),
    ]
    assert len(again.versions("adding")) == 2
    assert again.get("adding").uses == 1
    assert len(writer.seen) == (0 if node in ("revise:1", "execute:2", "verify:2", "record:1") else 1)
