"""What a failed call of a model costs: one clear error, few calls, and no trace in the library.

Real `ChatOpenAI` against a local server that fails as it is told (stub_llm.py).
"""

import asyncio
import logging
import re

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langgraph.graph import END, START, MessagesState, StateGraph
from sqlalchemy import select

from fakes import ASK, MACHINE, FingersAdder, ScriptedChat, loop
from skill_plugin import verifiers
from skill_plugin.errors import ModelError
from skill_plugin.graphs import create_skill_graph, record_node, retrieve_node, verify_node
from skill_plugin.integrations.cli.batch import run_tasks
from skill_plugin.records import Task
from skill_plugin.store.tables import RevisionRow, RolloutRow, Table
from stub_llm import HALF, HANG, RESET, Reply, completion, fails, says, stub_llm

SOON = {"retry_after_ms": "1"}

RETRIED = {
    "a server that hangs": (HANG, openai.APITimeoutError),
    "a reset connection": (RESET, openai.APIConnectionError),
    "half a reply": (HALF, openai.APIConnectionError),
    "429": (fails(429, **SOON), openai.RateLimitError),
    "500": (fails(500, **SOON), openai.InternalServerError),
    "503 in HTML": (Reply(b"<html>", 503, {"retry-after-ms": "1"}), openai.InternalServerError),
}

REFUSED = {
    "a wrong key": (fails(401), openai.AuthenticationError),
    "too long a prompt": (fails(400, "maximum context length"), openai.BadRequestError),
    "malformed JSON": (Reply(b'{"id": '), ModelError),
    "a page of HTML": (Reply(b"<html>hello</html>"), ModelError),
    "no choices": (completion(choices=[]), ModelError),
    "choices that are null": (completion(choices=None), ModelError),
    "choices of a wrong type": (completion(choices="abc"), ModelError),
    "a choice without a message": (completion(choices=[{"index": 0, "finish_reason": "stop"}]), ModelError),
    "content of a wrong type": (says(5), ModelError),
    "usage of a wrong type": (completion(**{**says("4").body, "usage": "many"}), ModelError),
    "an error in a reply of 200": (Reply({"error": {"message": "overloaded"}}), ModelError),
}

NO_ANSWER = {
    "empty": (says(""), "no text"),
    "null": (says(None), "no text"),
    "blank": (says(" \n"), "no text"),
    "a filter": (says("", "content_filter"), "content_filter"),
    "a refusal": (says(None, refusal="I will not."), "I will not"),
}

CUT_SKILL = says(MACHINE, "length")


def tables(store):
    """Every row of every table."""
    with store.database.read() as session:
        found = {
            table.name: [tuple(row) for row in session.execute(select(table))] for table in Table.metadata.sorted_tables
        }
    assert len(found["skillp_skill_version"]) == 1  # there is something that could change
    return found


def graph_of(store, role, model, **options):
    """The loop, with the model in one of its two roles."""
    if role == "task LLM":
        return loop(store, llm=model, writer=None, **options).compile()
    return create_skill_graph(
        store=store, llm=FingersAdder(), generator=model, verifier=verifiers.exact_match(), **options
    ).compile()


def run(graph, how, given=ASK):
    return graph.invoke(given) if how == "invoke" else asyncio.run(graph.ainvoke(given))


BOTH = pytest.mark.parametrize("role", ["task LLM", "generator"])
HOW = pytest.mark.parametrize("how", ["invoke", "ainvoke"])
BOTH_EACH_ITS_WAY = pytest.mark.parametrize(("role", "how"), [("task LLM", "ainvoke"), ("generator", "invoke")])


@BOTH_EACH_ITS_WAY
@pytest.mark.parametrize("fault", RETRIED)
def test_a_fault_that_stays_is_retried_as_often_as_set_and_leaves_no_trace(store, skill, fault, role, how):
    reply, error = RETRIED[fault]
    before = tables(store)

    with stub_llm(reply) as server:
        graph = graph_of(store, role, server.model(timeout=0.2, max_retries=1))
        with pytest.raises(error):
            run(graph, how)

        assert len(server.calls) == 2
    assert tables(store) == before


@BOTH_EACH_ITS_WAY
@pytest.mark.parametrize("fault", REFUSED)
@pytest.mark.filterwarnings(
    "ignore:Pydantic serializer warnings"
)  # the oldest langchain-openai dumps such a reply aloud
def test_what_another_call_would_not_change_is_not_retried_and_leaves_no_trace(store, skill, fault, role, how):
    reply, error = REFUSED[fault]
    before = tables(store)

    with stub_llm(reply) as server:
        graph = graph_of(store, role, server.model())
        with pytest.raises(error) as caught:
            run(graph, how)

        assert len(server.calls) == 1
    assert tables(store) == before
    if error is ModelError:
        assert "cannot be read" in str(caught.value)
        assert "\n" not in str(caught.value)


@HOW
@pytest.mark.parametrize("fault", NO_ANSWER)
def test_a_reply_that_is_no_answer_is_a_failed_call_and_no_reward_of_0(store, skill, fault, how):
    reply, said = NO_ANSWER[fault]
    before = tables(store)

    with stub_llm(reply) as server:
        graph = graph_of(store, "task LLM", server.model())
        with pytest.raises(ModelError, match=said):
            run(graph, how)

        assert len(server.calls) == 1
    assert tables(store) == before


@HOW
@pytest.mark.parametrize("reply", [says(""), says(None), CUT_SKILL], ids=["empty", "null", "cut"])
def test_a_completion_that_is_no_skill_is_a_failed_revision_that_the_next_prompt_shows(store, skill, reply, how):
    with stub_llm(reply, says(MACHINE)) as server:
        result = run(graph_of(store, "generator", server.model()), how)
        shown = server.calls[1]["messages"][-1]["content"]

    assert (result["passed"], result["generations"], len(server.calls)) == (True, 2, 2)
    assert "Your text was refused:\n```\nthe model" in shown
    assert len(store.versions("adding")) == 2
    with store.database.read() as session:
        errors = sorted(session.execute(select(RevisionRow.error)).scalars(), key=bool)
    assert errors[0] is None
    assert "the model" in errors[1]


def test_a_skill_that_was_cut_off_is_never_staged(store, skill):
    with stub_llm(CUT_SKILL) as server:
        result = run(graph_of(store, "generator", server.model(), max_generations=2), "invoke")

        assert len(server.calls) == 2
    assert (result["passed"], result["answer"], result["skill"]) == (False, "3", skill.ref)
    assert len(store.versions("adding")) == 1


@BOTH
@pytest.mark.parametrize("fault", ["a reset connection", "half a reply", "429", "500"])
def test_a_fault_that_passes_costs_a_call_and_nothing_else(store, skill, fault, role):
    good = says("4" if role == "task LLM" else MACHINE)

    with stub_llm(RETRIED[fault][0], good) as server:
        result = run(graph_of(store, role, server.model()), "invoke")

        assert len(server.calls) == 2
    assert result["passed"] is True
    assert len(store.runs.rollouts(result["run_id"])) == (1 if role == "task LLM" else 2)


def test_the_server_says_when_to_come_back(store, skill, caplog):
    caplog.set_level(logging.INFO, "openai")

    with stub_llm(fails(429, retry_after="1"), fails(429, retry_after_ms="20"), says("4")) as server:
        assert run(graph_of(store, "task LLM", server.model()), "invoke")["passed"]

    waits = [record.getMessage() for record in caplog.records if "Retrying request" in record.getMessage()]
    assert [re.search(r"in ([\d.]+) seconds", wait)[1] for wait in waits] == ["1.000000", "0.020000"]


def test_a_later_run_is_not_harmed_by_a_failed_one(store, skill):
    with stub_llm(says(""), says("4")) as server:
        graph = graph_of(store, "task LLM", server.model())
        with pytest.raises(ModelError):
            graph.invoke(ASK)
        graph.invoke(ASK)

    found = store.get("adding")
    assert (found.uses, found.utility) == (1, 1.0)


def test_streamed_replies_are_judged_alike(store, skill):
    before = tables(store)

    with stub_llm(says("")) as server, pytest.raises(ModelError, match="no text"):
        list(graph_of(store, "task LLM", server.model()).stream(ASK, stream_mode="messages"))

    assert server.calls[0]["stream"] is True
    assert tables(store) == before
    with stub_llm(says("4", "length")) as server:
        list(graph_of(store, "task LLM", server.model()).stream(ASK, stream_mode="messages"))
    assert store.get("adding").utility == 1.0


class TestAgents:
    """A whole agent ends with a message that is judged like a chat model's; what is no message is the agent's own affair."""

    @staticmethod
    def agent(message):
        builder = StateGraph(MessagesState)
        builder.add_node("model", lambda _: {"messages": [message]})
        builder.add_edge(START, "model")
        builder.add_edge("model", END)
        return builder.compile()

    @pytest.mark.parametrize(
        "message",
        [
            AIMessage(""),
            AIMessage([{"type": "reasoning", "reasoning": "hm"}]),
        ],
        ids=repr,
    )
    def test_a_last_message_that_is_no_answer(self, store, skill, message):
        before = tables(store)

        with pytest.raises(ModelError):
            graph_of(store, "task LLM", self.agent(message)).invoke(ASK)

        assert tables(store) == before

    @pytest.mark.parametrize(
        "message",
        [
            AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "1"}]),
            HumanMessage(""),
        ],
        ids=repr,
    )
    def test_an_agent_that_ends_without_an_answer_has_no_reward(self, store, skill, message):
        result = graph_of(store, "task LLM", self.agent(message), max_generations=0).invoke(ASK)

        assert (result["answer"], result["reward"]) == ("", None)
        assert "ended without an answer" in result["error"]

    def test_a_finished_message_is_an_answer(self, store, skill):
        message = AIMessage("4", response_metadata={"finish_reason": "stop", "incomplete_details": None})
        result = graph_of(store, "task LLM", self.agent(message), max_generations=0).invoke(ASK)

        assert (result["answer"], result["reward"]) == ("4", 1.0)

    def test_an_empty_string_of_a_function_or_a_chain_is_its_answer(self, store, skill):
        for llm in (lambda _: "", ScriptedChat(["", ""]) | StrOutputParser()):
            assert graph_of(store, "task LLM", llm).invoke(ASK)["reward"] == 0

    def test_an_own_from_output_decides_itself(self, store, skill):
        with stub_llm(says("4", "length")) as server:
            graph = graph_of(store, "task LLM", server.model(), from_output=lambda message: message.text)

            assert graph.invoke(ASK)["passed"] is True

    def test_an_error_of_an_agents_own_code_stays_what_it_is(self, store):
        def broken(_):
            raise KeyError("mine")

        for llm in (broken, ScriptedChat(["4"]) | broken):
            with pytest.raises(KeyError, match="mine"):
                graph_of(store, "task LLM", llm).invoke(ASK)


def test_a_failed_call_in_a_hosts_own_node_earns_no_reward_and_costs_the_skill_nothing(store, skill):
    with stub_llm(says("")) as server:
        model = server.model()
        builder = StateGraph(MessagesState)
        builder.add_sequence(
            [
                ("retrieve", retrieve_node(store)),
                ("agent", lambda state: {"messages": [model.invoke(state["messages"])]}),
                ("verify", verify_node(lambda _, answer: answer == "4")),
                ("record", record_node(store)),
            ]
        )
        builder.add_edge(START, "retrieve")
        builder.compile().invoke({"messages": [HumanMessage("add 2 and 2")]})

    with store.database.read() as session:
        ((reward, error),) = session.execute(select(RolloutRow.reward, RolloutRow.error))
    assert reward is None
    assert "the model" in error
    assert (store.get("adding").uses, store.get("adding").utility) == (0, None)


class TestJudges:
    """A judge whose score may have lost its end gives none."""

    def test_a_cut_verdict_is_a_failed_verifier(self, store, skill):
        with stub_llm(says("Good.\nSCORE: 0", "length")) as server:
            judge = verifiers.llm_judge(server.model())
            graph = create_skill_graph(store=store, llm=FingersAdder(), verifier=judge).compile()
            result = graph.invoke(ASK)

        assert result["reward"] is None
        assert "max_tokens" in result["error"]
        assert store.get("adding").uses == 0


def test_one_empty_answer_does_not_end_a_run_over_many_tasks(store, skill):
    tasks = [Task("add 1 and 3", reference="4"), Task("add 2 and 2", reference="4"), Task("add 4 and 0", reference="4")]

    with stub_llm(says("4"), says(""), says("4")) as server:
        summary = run_tasks(store, graph_of(store, "task LLM", server.model()), tasks, concurrency=1)

    assert [row["error"].split(":")[0] for row in summary.failed] == ["ModelError"]
    assert summary.solved["first_attempt"] == pytest.approx(2 / 3)
