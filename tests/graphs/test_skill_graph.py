"""The loop as one graph: what comes out, what is kept, and what happens when something breaks."""

import asyncio
import json
import time

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from fakes import ASK, MACHINE, FingersAdder, ScriptedChat, loop, skill_text, system_text
from skill_plugin import Revision, Verdict, generators, verifiers
from skill_plugin.errors import ConfigurationError, GeneratorError, InvalidTaskError, SkillNotFoundError
from skill_plugin.graphs import create_skill_graph


def test_it_retrieves_fails_is_revised_and_passes(store, skill):
    output = loop(store).compile().invoke(ASK)

    assert {key: value for key, value in output.items() if key != "run_id"} == {
        "answer": "4",
        "reward": 1.0,
        "passed": True,
        "feedback": "",
        "skill": f"{skill.id}@2",
        "generations": 1,
        "error": None,
    }
    before, after = store.runs.rollouts(output["run_id"])
    assert (before.answer, before.skill, before.reward, before.generation) == ("3", skill.ref, 0.0, 0)
    assert (after.answer, after.skill, after.reward, after.generation) == ("4", f"{skill.id}@2", 1.0, 1)
    assert (before.input_tokens, before.output_tokens, before.model) == (10, 2, "scripted")
    assert before.verifier_hash == verifiers.fingerprint(verifiers.exact_match())
    assert store.get("adding@2").status == "staged"
    assert store.get("adding").uses == 1


async def test_async_gives_the_same(store, skill):
    output = await loop(store).compile().ainvoke(ASK)

    assert (output["answer"], output["skill"], output["generations"]) == ("4", f"{skill.id}@2", 1)
    assert len(store.runs.rollouts(output["run_id"])) == 2


def test_a_promoted_skill_is_used_at_once(store, skill):
    graph = loop(store, writer=None).compile()
    store.revise_text("adding", MACHINE)
    store.promote("adding")
    output = graph.invoke({"task": "add 3 and 4", "reference": "7"})

    assert (output["answer"], output["skill"], output["generations"]) == ("7", f"{skill.id}@2", 0)


def test_without_a_skill_a_first_one_is_written(store):
    output = loop(store).compile().invoke(ASK)

    assert (output["passed"], output["generations"]) == (True, 1)
    assert output["skill"] == store.get("adding").ref
    assert store.list("staged")[0].generation == 1


def test_revision_ends_after_max_generations_and_the_best_answer_is_kept(store, skill):
    writer = [skill_text(body=f"Try {number}.") for number in range(9)]
    rewards = iter([0.2, 0.6, 0.4, 0.6])
    graph = loop(store, writer=writer, max_generations=3, verifier=lambda task, answer: next(rewards))
    output = graph.compile().invoke(ASK)

    assert (output["reward"], output["passed"], output["generations"]) == (0.6, False, 3)
    assert output["skill"] == f"{skill.id}@2"
    assert [rollout.reward for rollout in store.runs.rollouts(output["run_id"])] == [0.2, 0.6, 0.4, 0.6]


def test_max_generations_0_revises_nothing(store, skill):
    graph = loop(store, max_generations=0).compile()

    assert "revise" not in graph.nodes
    assert graph.invoke(ASK)["generations"] == 0


def test_a_malformed_revision_is_a_recorded_failure(store, skill):
    writer = ScriptedChat(["I would rather not.", MACHINE])
    graph = create_skill_graph(store=store, llm=FingersAdder(), verifier=verifiers.exact_match(), generator=writer)
    output = graph.compile().invoke(ASK)

    assert (output["passed"], output["generations"], output["skill"]) == (True, 2, f"{skill.id}@2")
    [(failed, none)] = store.runs.staged(f"{output['run_id']}:1")
    assert (failed.completion, none) == ("I would rather not.", None)
    assert "no front matter" in failed.error
    assert "Your text was refused:\n```\nno front matter" in writer.seen[1][-1].text


def test_a_generator_that_only_fails_ends_the_run(store, skill):
    output = loop(store, writer=["no"] * 3).compile().invoke(ASK)

    assert (output["answer"], output["passed"], output["generations"]) == ("3", False, 3)
    assert len(store.versions("adding")) == 1


class Stubborn:
    """A generator that answers with the skill as it is."""

    def propose(self, task, history, *, n):
        return [Revision(completion="x", text=history[0].text)]


def test_a_generator_that_changes_nothing_ends_the_run(store, skill):
    graph = create_skill_graph(store=store, llm=FingersAdder(), verifier=verifiers.exact_match(), generator=Stubborn())
    output = graph.compile().invoke(ASK)

    assert (output["passed"], output["generations"]) == (False, 3)


@pytest.mark.parametrize("proposed", [None, [], ["text"], "text"])
def test_a_generator_that_returns_no_revision_is_an_error(store, skill, proposed):
    class Odd:
        def propose(self, task, history, *, n):
            return proposed

    graph = create_skill_graph(store=store, llm=FingersAdder(), verifier=verifiers.exact_match(), generator=Odd())
    with pytest.raises(GeneratorError, match="Odd returned"):
        graph.compile().invoke(ASK)
    assert len(store.versions("adding")) == 1


def crash(task, answer):
    raise KeyError("oops")


def hang(task, answer):
    time.sleep(20)


@pytest.mark.parametrize(
    ("verifier", "says"), [(crash, "KeyError"), (hang, "within 0.2 s"), (lambda task, answer: float("nan"), "nan")]
)
def test_a_broken_verifier_is_recorded_and_is_no_reward(store, skill, verifier, says):
    output = loop(store, verifier=verifier, verifier_timeout=0.2).compile().invoke(ASK)

    assert (output["answer"], output["reward"], output["passed"], output["generations"]) == ("3", None, None, 0)
    assert says in output["error"]
    [rollout] = store.runs.rollouts(output["run_id"])
    assert (rollout.reward, rollout.error) == (None, output["error"])
    assert (store.get("adding").utility, store.get("adding").uses) == (None, 0)
    assert len(store.versions("adding")) == 1


def test_without_a_verifier_the_outcome_may_come_later(store, skill):
    output = loop(store, verifier=None).compile().invoke({"task": "add 2 and 2"})

    assert (output["answer"], output["reward"], output["passed"]) == ("3", None, None)
    store.record_outcome(output["run_id"], 1.0, "good enough")
    assert store.get("adding").utility == 1.0


def test_a_task_may_bring_its_own_verifier_and_it_is_logged(store, skill):
    own = {"name": "numeric", "params": {"tolerance": 1.0}}
    output = loop(store).compile().invoke({**ASK, "verifier": own, "family": "sums"})

    assert (output["answer"], output["passed"]) == ("3", True)


def test_a_model_that_fails_raises_and_records_nothing(store, skill):
    class Down(ScriptedChat):
        def _generate(self, *args, **kwargs):
            raise ConnectionError("no route")

    with pytest.raises(ConnectionError, match="no route"):
        loop(store, llm=Down([])).compile().invoke(ASK)
    assert store.get("adding").uses == 0


def test_a_control_run_sees_no_skill_and_is_not_revised(store, skill):
    llm = FingersAdder()
    output = loop(store, llm=llm).compile().invoke({**ASK, "arm": "control"})

    assert (output["answer"], output["skill"], output["generations"]) == ("3", None, 0)
    assert system_text(llm.seen[0]) == ""
    [rollout] = store.runs.rollouts(output["run_id"])
    assert (rollout.arm, rollout.skill) == ("control", None)
    assert store.get("adding").uses == 0


def test_a_held_out_task_is_never_shown_to_the_generator(store, skill):
    writer = ScriptedChat([MACHINE])
    graph = create_skill_graph(store=store, llm=FingersAdder(), verifier=verifiers.exact_match(), generator=writer)
    output = graph.compile().invoke({**ASK, "split": "heldout"})

    assert (output["passed"], output["generations"]) == (False, 0)
    assert writer.seen == []


def test_a_pinned_run_uses_that_version_whatever_is_live(store, skill):
    store.revise_text("adding", MACHINE)
    graph = loop(store, writer=None).compile()

    assert graph.invoke({**ASK, "pin": f"{skill.id}@2"})["answer"] == "4"
    assert graph.invoke({**ASK, "pin": "adding@1"})["answer"] == "3"
    with pytest.raises(SkillNotFoundError):
        graph.invoke({**ASK, "pin": "adding@9"})


def test_none_is_an_explicit_result_with_its_reason(store, skill):
    graph = loop(store, writer=None).compile()
    reasons = [
        event["reason"]
        for task in ("ship a parcel", "add 2 and 2")
        for event in graph.stream({"task": task, "reference": "x"}, stream_mode="custom")
        if event["type"] == "skill_plugin.retrieved"
    ]

    assert reasons == ["the nearest skill, 'adding', has a cosine of 0.14, under the floor of 0.25", ""]


def test_progress_is_told_on_the_custom_stream(store, skill):
    events = list(loop(store).compile().stream(ASK, stream_mode="custom"))

    assert [event["type"].removeprefix("skill_plugin.") for event in events] == [
        "retrieved", "executed", "verified", "revised", "executed", "verified", "recorded",
    ]  # fmt: skip
    assert len({event["run_id"] for event in events}) == 1
    assert events[0]["skills"] == [skill.ref]
    assert (events[2]["reward"], events[5]["reward"]) == (0.0, 1.0)
    assert events[3]["skill"] == f"{skill.id}@2"
    json.dumps(events)


async def test_progress_is_told_to_async_callers_too(store, skill):
    events = [event async for event in loop(store).compile().astream(ASK, stream_mode="custom")]

    assert [event["type"].removeprefix("skill_plugin.") for event in events][-1] == "recorded"


async def test_the_event_loop_is_never_blocked(store, skill):
    """A verifier and a generator that only know how to block, while a heartbeat runs beside them."""

    def sleep():
        before = len(beats)
        time.sleep(0.3)
        beats_meanwhile.append(len(beats) - before)

    def slow_verifier(task, answer):
        sleep()
        return answer == "4"

    class Slow:
        def propose(self, task, history, *, n):
            sleep()
            return generators.chat(ScriptedChat([MACHINE])).propose(task, history, n=n)

    beats, beats_meanwhile = [], []
    graph = create_skill_graph(store=store, llm=FingersAdder(), verifier=slow_verifier, generator=Slow()).compile()

    async def heartbeat():
        while True:
            beats.append(1)
            await asyncio.sleep(0.01)

    beating = asyncio.create_task(heartbeat())
    output = await graph.ainvoke(ASK)
    beating.cancel()

    assert output["passed"]
    assert len(beats_meanwhile) == 3  # two verdicts and a revision
    assert min(beats_meanwhile) > 0


def test_the_schemas_are_narrow_and_the_private_keys_prefixed(store):
    graph = loop(store).compile()
    public_in = {"task", "reference", "family", "verifier", "split", "pin", "arm"}
    public_out = {"answer", "reward", "passed", "feedback", "skill", "generations", "run_id", "error"}

    assert set(graph.get_input_jsonschema()["properties"]) == public_in
    assert set(graph.get_output_jsonschema()["properties"]) == public_out
    ours = {key for key in graph.channels if not key.startswith(("__", "branch:"))} - public_in - public_out
    assert {key for key in ours if not key.startswith("skillp_")} == {"messages"}


class Parent(TypedDict):
    task: str
    reference: str
    answer: str
    notes: list[str]


def test_it_is_a_subgraph_that_leaves_the_hosts_keys_alone(store, skill):
    """A parallel sibling writes a key of the host at the same time; a wide output schema would clash with it."""
    builder = StateGraph(Parent)
    builder.add_node("skills", loop(store, writer=[MACHINE] * 2).compile())
    builder.add_node("sibling", lambda state: {"notes": [*state["notes"], "seen"]})
    builder.add_edge(START, "skills")
    builder.add_edge(START, "sibling")
    graph = builder.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    output = graph.invoke({**ASK, "notes": ["mine"]}, config)

    assert output == {**ASK, "notes": ["mine", "seen"], "answer": "4"}
    assert graph.invoke({**ASK, "notes": []}, config)["answer"] == "4"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"store": "a path"}, "is not a SkillStore"),
        ({"llm": 3}, "cannot execute"),
        ({"verifier": 3}, "is not a verifier"),
        ({"generator": "gpt"}, "is not a generator"),
        ({"max_generations": -1}, "max_generations"),
    ],
)
def test_a_wrong_part_is_named_when_the_graph_is_made(store, options, says):
    parts = {"store": store, "llm": FingersAdder(), "generator": ScriptedChat([]), **options}

    with pytest.raises(ConfigurationError, match=says):
        create_skill_graph(**parts)


@pytest.mark.parametrize("task", ["", " ", None])
def test_an_empty_task_is_an_error(store, task):
    with pytest.raises(InvalidTaskError):
        loop(store).compile().invoke({"task": task})


def test_a_verdict_may_pass_below_full_reward(store, skill):
    graph = loop(store, verifier=lambda task, answer: Verdict(0.8, passed=True))

    assert graph.compile().invoke(ASK)["passed"] is True
