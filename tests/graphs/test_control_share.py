"""A withheld share of runs: something to measure a skill against."""

import random

import pytest

from fakes import MACHINE, FingersAdder, loop, skill_text, system_text
from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs import create_skill_graph
from skill_plugin.graphs.nodes.retrieve import retrieve_node


@pytest.fixture
def machine(store):
    return store.add_text(MACHINE)


def ask(graph, number, **more):
    return graph.invoke({"task": f"add {number} and {number}", "reference": str(2 * number), **more})


def arms(store, outputs):
    rollouts = [store.runs.rollouts(output["run_id"])[0] for output in outputs]
    return [rollout.arm for rollout in rollouts]


def test_nothing_is_withheld_by_default(store, machine):
    graph = loop(store, writer=None).compile()

    assert arms(store, [ask(graph, number) for number in range(1, 31)]) == ["skill"] * 30


def test_about_its_share_of_the_runs_is_withheld(store, machine, monkeypatch):
    monkeypatch.setattr(random, "random", random.Random(3).random)
    graph = loop(store, writer=None, control_share=0.25).compile()
    drawn = arms(store, [ask(graph, number) for number in range(1, 121)])

    assert 20 <= drawn.count("control") <= 40
    assert 0 < drawn[:30].count("control") < 30


def test_a_control_rollout_names_what_was_withheld_and_credits_nothing(store, machine):
    model = FingersAdder()
    output = ask(loop(store, llm=model, control_share=1.0).compile(), 2)
    [rollout] = store.runs.rollouts(output["run_id"])

    assert (rollout.arm, rollout.skill, rollout.withheld, rollout.reward) == ("control", None, machine.ref, 0.0)
    assert (output["answer"], output["skill"], output["generations"]) == ("3", None, 0)
    assert system_text(model.seen[0]) == ""
    assert (store.get("adding").uses, store.get("adding").utility) == (0, None)
    assert len(store.versions("adding")) == 1


async def test_async_withholds_too(store, machine):
    graph = loop(store, writer=None, control_share=1.0).compile()
    output = await graph.ainvoke({"task": "add 2 and 2", "reference": "4"})

    assert store.runs.rollouts(output["run_id"])[0].withheld == machine.ref


def test_the_withheld_runs_measure_the_lift(store, machine):
    for share, numbers in ((0.0, range(1, 9)), (1.0, range(11, 19))):
        graph = loop(store, writer=None, control_share=share).compile()
        for number in numbers:
            ask(graph, number)
    lift = store.lift("adding")

    assert (lift.method, lift.uses, lift.controls, lift.value) == ("control", 8, 8, 1.0)
    assert lift.sentence.startswith("It helps: +1.00 reward")


def test_where_nothing_was_found_there_is_nothing_to_withhold(store):
    output = ask(loop(store, control_share=1.0).compile(), 2)
    first, *_ = store.runs.rollouts(output["run_id"])

    assert (first.arm, first.withheld) == ("skill", None)
    assert output["passed"]


def test_a_pinned_skill_is_never_withheld(store, machine):
    graph = loop(store, writer=None, control_share=1.0).compile()

    assert ask(graph, 2, pin=machine.ref)["skill"] == machine.ref


def test_a_control_arm_that_is_asked_for_names_what_was_withheld_too(store, machine):
    output = ask(loop(store, writer=None).compile(), 2, arm="control")

    assert store.runs.rollouts(output["run_id"])[0].withheld == machine.ref


def test_of_several_skills_the_first_is_the_one_withheld(store, machine):
    store.add_text(skill_text("refunding", "How to refund and add"))
    model = FingersAdder()
    output = ask(loop(store, writer=None, llm=model, k=2, min_score=-1, control_share=1.0).compile(), 2)

    assert store.runs.rollouts(output["run_id"])[0].withheld == machine.ref
    assert system_text(model.seen[0]) == ""


@pytest.mark.parametrize("share", [-0.01, 1.01, 25, float("nan"), "half", None, True])
def test_a_share_that_is_none_is_refused_where_the_graph_is_made(store, share):
    for make in (
        lambda: create_skill_graph(store=store, llm=FingersAdder(), control_share=share),
        lambda: retrieve_node(store, control_share=share),
    ):
        with pytest.raises(ConfigurationError, match=r"control_share is .*; give a number from 0 to 1") as caught:
            make()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.0, 0.1, 1, 1.0])
def test_a_share_may_be_whole(store, share):
    assert create_skill_graph(store=store, llm=FingersAdder(), control_share=share).compile()
