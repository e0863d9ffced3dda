"""A reply that its token limit cut off is an answer: judged as it stands, noted, and no sign that the model is gone."""

import asyncio
import json
from typing import Annotated

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from sqlalchemy import select
from typing_extensions import TypedDict

from evolving import ABACUS, Writer, adding, run
from fakes import ASK, MACHINE, FingersAdder, loop
from gating import gate
from skill_plugin import verifiers
from skill_plugin.graphs import EvolveSettings, add_skills, create_skill_graph, gate_version, record_node, retrieve_node
from skill_plugin.histories import columns
from skill_plugin.integrations.cli.batch import run_tasks
from skill_plugin.records import Task
from skill_plugin.store.tables import RolloutRow
from stub_llm import says, stub_llm

CUT = {
    "finish_reason": AIMessage("4", response_metadata={"finish_reason": "length"}),
    "gemini": AIMessage("4", response_metadata={"finish_reason": "MAX_TOKENS"}),
    "anthropic": AIMessage("4", response_metadata={"stop_reason": "max_tokens"}),
    "ollama": AIMessage("4", response_metadata={"done_reason": "length"}),
    "responses": AIMessage("4", response_metadata={"incomplete_details": {"reason": "max_output_tokens"}}),
}
THINKING = AIMessage([{"type": "reasoning", "reasoning": "hm"}], response_metadata={"finish_reason": "length"})
SETTINGS = EvolveSettings(generations=1, candidates=1, rollouts=1, concurrency=2)


def agent(message):
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda _: {"messages": [message]})
    builder.add_edge(START, "model")
    builder.add_edge("model", END)
    return builder


def recorded(store):
    with store.database.read() as session:
        return session.execute(select(RolloutRow.answer, RolloutRow.reward, RolloutRow.error)).all()


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
@pytest.mark.parametrize(("text", "reward"), [("4", 1.0), ("4 and then", 0.0), ("", 0.0), (None, 0.0)])
def test_a_chat_models_cut_reply_is_judged_as_it_stands(store, skill, text, reward, how):
    with stub_llm(says(text, "length")) as server:
        graph = loop(store, llm=server.model(), writer=None).compile()
        result = graph.invoke(ASK) if how == "invoke" else asyncio.run(graph.ainvoke(ASK))

        assert len(server.calls) == 1
    assert (result["answer"], result["reward"]) == (text or "", reward)
    assert result["error"] == "the model's reply was cut off by its token limit (finish_reason 'length')"
    [rollout] = store.runs.rollouts(result["run_id"])
    assert rollout.is_cut
    assert store.get("adding").utility == reward


@pytest.mark.parametrize("message", CUT.values(), ids=CUT)
def test_so_is_an_agents_whatever_its_provider_calls_the_end(store, skill, message):
    result = loop(store, llm=agent(message).compile(), writer=None).compile().invoke(ASK)

    assert (result["answer"], result["reward"], "cut off" in result["error"]) == ("4", 1.0, True)


def test_thinking_that_never_ended_is_an_empty_answer(store, skill):
    result = loop(store, llm=agent(THINKING).compile(), writer=None).compile().invoke(ASK)

    assert (result["answer"], result["reward"], "cut off" in result["error"]) == ("", 0.0, True)


class Talk(TypedDict):
    talk: Annotated[list[AnyMessage], add_messages]


@pytest.mark.parametrize(("state", "key"), [(MessagesState, "messages"), (Talk, "talk")])
def test_in_a_hosts_graph_it_is_judged_too(store, skill, state, key):
    builder = StateGraph(state)
    builder.add_node("model", lambda _: {key: [CUT["finish_reason"]]})
    builder.add_edge(START, "model")
    builder.add_edge("model", END)
    add_skills(builder, before="model", store=store, verifier=lambda _, answer: answer == "4", messages_key=key)
    builder.compile().invoke({key: [HumanMessage("add 2 and 2")]})

    [(answer, reward, error)] = recorded(store)
    assert (answer, reward, "cut off" in error) == ("4", 1.0, True)


def test_a_verifier_that_fails_on_it_is_still_a_failure_and_both_are_noted(store, skill):
    with stub_llm(says("4", "length")) as server:
        graph = create_skill_graph(store=store, llm=server.model(), verifier=lambda *_: 1 / 0).compile()
        result = graph.invoke(ASK)

    assert result["reward"] is None
    assert "ZeroDivisionError" in result["error"]
    assert result["error"].endswith("cut off by its token limit (finish_reason 'length')")


def test_without_a_verifier_it_waits_for_its_outcome(store, skill):
    builder = StateGraph(MessagesState)
    builder.add_sequence(
        [
            ("retrieve", retrieve_node(store)),
            ("model", lambda _: {"messages": [CUT["ollama"]]}),
            ("record", record_node(store)),
        ]
    )
    builder.add_edge(START, "retrieve")
    builder.compile().invoke({"messages": [HumanMessage("add 2 and 2")]})

    assert store.runs.waiting().without_reward == 1


def test_a_model_whose_every_reply_is_cut_is_not_gone(store, tmp_path):
    tasks = [*adding(*range(1, 6)), *adding(11, 12, split="heldout")]

    with stub_llm(says("I think that", "length")) as server:
        result = run(store, tasks, llm=server.model(), writer=Writer(MACHINE), settings=SETTINGS)
        again = run_tasks(store, loop(store, llm=server.model(), writer=None).compile(), tasks, concurrency=2)

    assert (result.outcome, result.done, result.failed) == ("finished", 5, [])
    assert result.cut == store.runs.evolve.list()[0].progress["cut"] >= 5
    assert (again.cut, again.failed, again.without_verdict) == (7, [], 0)
    columns.write(tmp_path / "rows.jsonl", store.histories.rows())
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {one["reward"] for row in rows for one in row["rollouts"]} == {0.0}
    assert all("cut off by its token limit" in one["error"] for row in rows for one in row["rollouts"])


class TestTheGatesReason:
    TASKS = adding(*range(3), split="heldout")

    def test_says_how_many_judges_failed_or_were_cut(self, store):
        def odd(task, answer):
            if task.input == self.TASKS[0].input:
                raise KeyError("oops")
            return verifiers.exact_match().verify(task, answer)

        tasks = [Task(one.input, reference=one.reference) for one in self.TASKS]
        first = store.add_text(MACHINE, author="generator")
        graph = create_skill_graph(store=store, llm=FingersAdder(), verifier=odd).compile()
        assert gate_version(store, graph, first.ref, tasks).reason == (
            "2 repaired > 0 regressed of 2 held-out tasks; 1 of 3 judges left out, because the agent or the verifier failed"
        )

    def test_in_the_version_gate(self, store):
        first = store.add_text(MACHINE, author="generator")
        with stub_llm(says("4", "length")) as server:
            graph = create_skill_graph(store=store, llm=server.model()).compile()
            decision = gate_version(store, graph, first.ref, self.TASKS)

        assert decision.reason.endswith("; the token limit cut off answers to 3 of 3 judges")

    def test_in_evolve(self, store):
        def broken(task, answer):
            if "1 and" in task.input:
                raise KeyError("oops")
            return answer.startswith("I") and task.split == "train"

        tasks = [Task("add 4 and 2", split="train", family="adding")] + [
            Task(f"add {n} and 2", split="heldout", family="adding") for n in (11, 12)
        ]
        replies = [says("no"), says("I think", "length")]
        with stub_llm(*replies) as server:
            result = run(store, tasks, llm=server.model(), writer=Writer(MACHINE), settings=SETTINGS, verifier=broken)

        [row] = result.refused
        assert "1 of 2 judges left out, because the agent or the verifier failed" in row["reason"]
        assert "the token limit cut off answers to 2 of 2 judges" in row["reason"]

    def test_in_the_gate_of_generators(self, store):
        with stub_llm(says("4", "length")) as server:
            decision = gate(store, Writer(MACHINE), Writer(ABACUS), tasks=self.TASKS, llm=server.model())

        assert "; the token limit cut off 14 of 14 answers" in decision.reason
