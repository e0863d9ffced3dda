"""The middleware's runs over time: threads, replays, interrupts, failures and kills."""

import subprocess
import sys
from pathlib import Path

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from sqlmodel import select

from agents import ADD, agent_of, calculator, result_of, rollout_of, thread
from fakes import MACHINE, AgentChat, system_text
from skill_plugin.integrations.middleware import SkillMiddleware
from skill_plugin.store.tables import RolloutRow


def test_a_skill_that_changed_in_mid_thread_is_seen_at_the_next_turn(store, skill):
    agent, model = agent_of(store, ["3", "4"])
    agent.invoke(ADD, thread())
    store.revise_text("adding", MACHINE)
    store.promote("adding")
    first = result_of(agent)
    agent.invoke(ADD, thread())
    second = result_of(agent)

    assert "Use your fingers." in system_text(model.seen[0])
    assert "Use a machine." in system_text(model.seen[1])
    assert (first["skill"], second["skill"]) == (skill.ref, f"{skill.id}@2")
    assert first["run_id"] != second["run_id"]


def test_a_replayed_thread_keeps_its_skill_and_its_run(store, skill):
    agent, model = agent_of(store, ["3", "3"])
    agent.invoke(ADD, thread())
    before = next(state for state in agent.get_state_history(thread()) if state.next == ("model",))
    run_id = result_of(agent)["run_id"]
    store.revise_text("adding", MACHINE)
    store.promote("adding")
    agent.invoke(None, before.config)

    assert system_text(model.seen[1]) == system_text(model.seen[0])
    assert result_of(agent)["run_id"] == run_id
    assert len(store.runs.rollouts(run_id)) == 1


def test_an_interrupt_and_its_resumption_are_one_run(store, skill):
    human = HumanInTheLoopMiddleware(interrupt_on={"calculator": True})
    replies = [[("calculator", {"expression": "2+2"})], "4"]
    agent, model = agent_of(store, replies, tools=[calculator], extra=[human])
    agent.invoke(ADD, thread())
    waiting = agent.get_state(thread()).values
    assert store.runs.rollouts(waiting["skillp_run"]["run_id"]) == []
    store.revise_text("adding", MACHINE)
    store.promote("adding")
    agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), thread())
    rollout = rollout_of(store, agent)

    assert result_of(agent)["run_id"] == waiting["skillp_run"]["run_id"]
    assert (rollout.skill, rollout.input_tokens, rollout.output_tokens) == (skill.ref, 20, 4)
    assert system_text(model.seen[1]) == system_text(model.seen[0])


def test_a_failed_model_call_raises_its_own_error_and_writes_nothing(store, skill):
    error = ConnectionError("no route")
    agent, _ = agent_of(store, [error, [("calculator", {"expression": "2+2"})], error], tools=[calculator])
    for name in ("1", "2"):
        with pytest.raises(ConnectionError) as caught:
            agent.invoke(ADD, thread(name))
        assert caught.value is error
    with store.database.read() as session:
        assert session.exec(select(RolloutRow)).all() == []
    assert store.get("adding").uses == 0


def test_an_empty_reply_is_no_answer_and_a_cut_one_is_judged_as_it_stands(store, skill):
    cut = AIMessage("2 + 2 is", response_metadata={"finish_reason": "length"})
    agent, _ = agent_of(store, [AIMessage(""), cut], verifier=lambda task, answer: 0.0)
    agent.invoke(ADD, thread())

    rollout = rollout_of(store, agent)
    assert rollout.reward is None
    assert rollout.error.startswith("the model returned no text")
    assert store.get("adding").uses == 0

    agent.invoke(ADD, thread())
    rollout = rollout_of(store, agent)
    assert (rollout.answer, rollout.reward, rollout.is_cut) == ("2 + 2 is", 0.0, True)
    assert store.get("adding").uses == 1


def test_a_run_that_failed_goes_on_with_its_skill_and_a_new_message_starts_a_new_run(store, skill):
    agent, _ = agent_of(store, [ConnectionError("no route"), "3", ConnectionError("no route"), "4"])
    with pytest.raises(ConnectionError):
        agent.invoke(ADD, thread())
    run_id = agent.get_state(thread()).values["skillp_run"]["run_id"]
    store.revise_text("adding", MACHINE)
    store.promote("adding")
    agent.invoke(None, thread())
    assert (result_of(agent)["run_id"], result_of(agent)["skill"]) == (run_id, skill.ref)

    with pytest.raises(ConnectionError):
        agent.invoke(ADD, thread())
    agent.invoke(ADD, thread())
    assert result_of(agent)["skill"] == f"{skill.id}@2"
    assert len(store.runs.rollouts(result_of(agent)["run_id"])) == 1


KILLED = """
import os, sys
from fakes import AgentChat, TopicEmbedder
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from skill_plugin.integrations.middleware import SkillMiddleware
from skill_plugin.store import SkillStore

home, saver, where = sys.argv[1:]
store = SkillStore.open(home, embedder=TopicEmbedder(), chroma=False)

def dying(name, function):
    def call(*args, **kwargs):
        result = function(*args, **kwargs)
        if name == where:
            os.kill(os.getpid(), 9)
        return result
    return call

store.runs.record = dying("record", store.runs.record)
with SqliteSaver.from_conn_string(saver) as checkpointer:
    create_agent(
        AgentChat(dying("model", lambda _: "3")), [], middleware=[SkillMiddleware(store)], checkpointer=checkpointer
    ).invoke({"messages": [("user", "add 2 and 2")]}, {"configurable": {"thread_id": "1"}}, durability="sync")
"""


@pytest.mark.parametrize("where", ["model", "record"])
def test_a_run_that_is_killed_goes_on_as_the_same_run_and_is_recorded_once(
    open_store, home, tmp_path, skill, store, where
):
    store.close()
    saver = str(tmp_path / "checkpoints.db")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(home), saver, where],
        env={"PYTHONPATH": ":".join([str(Path(__file__).parents[1]), *sys.path]), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    again = open_store()
    again.revise_text("adding", MACHINE)
    again.promote("adding")
    model = AgentChat(["3"])
    with SqliteSaver.from_conn_string(saver) as checkpointer:
        agent = create_agent(model, [], middleware=[SkillMiddleware(again)], checkpointer=checkpointer)
        run_id = agent.get_state(thread()).values["skillp_run"]["run_id"]
        agent.invoke(None, thread())
        assert result_of(agent)["run_id"] == run_id
    with again.database.read() as session:
        assert session.exec(select(RolloutRow.run_id)).all() == [run_id]
    assert len(model.seen) == (1 if where == "model" else 0)
