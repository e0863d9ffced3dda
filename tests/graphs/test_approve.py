"""A person decides whether a revision is tried: asked in a node of its own, answered in one form."""

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from fakes import ASK, MACHINE, FingersAdder, ScriptedChat, loop, skill_text
from skill_plugin.errors import InvalidTaskError
from skill_plugin.graphs import Approval, SkillState, approve_node

CONFIG = {"configurable": {"thread_id": "1"}}
ABACUS = skill_text(body="Use an abacus.")


def asked(graph):
    [interrupt] = [one for task in graph.get_state(CONFIG).tasks for one in task.interrupts]
    return interrupt.value


@pytest.fixture
def make(store, skill):
    def make(writer=(MACHINE,), **options):
        model = FingersAdder()
        graph = loop(store, writer=writer, llm=model, approve=True, **options).compile(checkpointer=InMemorySaver())
        graph.invoke(ASK, CONFIG)
        return graph, model

    return make


@pytest.mark.parametrize("answer", [{"approve": True}, Approval(approve=True, note="fine")])
def test_an_approved_revision_is_tried(store, make, answer):
    graph, model = make()
    request = asked(graph)
    result = graph.invoke(Command(resume=answer), CONFIG)

    assert (request["type"], request["skill"]) == ("skill_plugin.approval", store.get("adding@2").ref)
    assert "-Use your fingers." in request["diff"]
    assert "+Use a machine." in request["diff"]
    assert (result["answer"], result["passed"], len(model.seen)) == ("4", True, 2)
    assert store.get("adding@2").status == "staged"


async def test_async(make):
    graph, _ = make()

    assert (await graph.ainvoke(Command(resume={"approve": True}), CONFIG))["answer"] == "4"


def test_a_refused_revision_is_never_run_and_the_next_one_sees_why(store, make):
    writer = ScriptedChat([ABACUS, MACHINE])
    graph, model = make(writer)
    graph.invoke(Command(resume={"approve": False, "note": "we have no abacus"}), CONFIG)
    result = graph.invoke(Command(resume={"approve": True}), CONFIG)

    assert [len(model.seen), result["answer"], result["generations"]] == [2, "4", 2]
    assert "we have no abacus" in writer.seen[1][-1].text
    [refused] = [event for event in store.history("adding") if event.kind == "refused"]
    assert (refused.by, refused.version, refused.reason) == ("human", 2, "we have no abacus")


def test_a_refusal_of_the_last_revision_ends_the_run_with_what_there_was(store, make):
    graph, model = make(max_generations=1)
    result = graph.invoke(Command(resume={"approve": False}), CONFIG)

    assert (result["answer"], result["passed"], result["skill"]) == ("3", False, store.get("adding@1").ref)
    assert len(model.seen) == 1
    assert store.get("adding").uses == 1


def test_a_first_skill_is_asked_for_too(store):
    graph = loop(store, approve=True, max_generations=1).compile(checkpointer=InMemorySaver())
    graph.invoke(ASK, CONFIG)

    assert asked(graph)["diff"].startswith("--- no skill")
    assert graph.invoke(Command(resume={"approve": False}), CONFIG)["skill"] is None


@pytest.mark.parametrize("answer", ["yes", {"approve": "yes"}, {"ok": True}, {"approve": True, "extra": 1}, 1])
def test_an_answer_of_another_form_is_asked_for_again(make, answer):
    graph, model = make()
    graph.invoke(Command(resume=answer), CONFIG)

    assert asked(graph)["error"].startswith("the answer was ")
    assert len(model.seen) == 1
    assert graph.invoke(Command(resume={"approve": True}), CONFIG)["answer"] == "4"


def test_there_must_be_something_to_approve(store):
    builder = StateGraph(SkillState).add_node("approve", approve_node(store)).add_edge(START, "approve")

    with pytest.raises(InvalidTaskError, match="no revision to approve"):
        builder.compile().invoke(ASK)
