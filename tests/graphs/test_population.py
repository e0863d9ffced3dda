"""C candidates and K rollouts of each, side by side: what is tried, what is chosen, what a failure costs."""

import threading
from collections import Counter

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from fakes import ASK, MACHINE, FingersAdder, ScriptedChat, skill_text, system_text
from skill_plugin import generators, verifiers
from skill_plugin.errors import ConfigurationError, ModelError
from skill_plugin.graphs import create_skill_graph

ABACUS = skill_text(body="Use an abacus.")
CONFIG = {"configurable": {"thread_id": "1"}}


def population(store, *, writer=(ABACUS, MACHINE, "no skill"), llm=None, **options):
    options = {"candidates": 3, "rollouts": 2, "max_generations": 1, "verifier": verifiers.exact_match(), **options}
    generator = generators.chat(writer if isinstance(writer, ScriptedChat) else ScriptedChat(writer))
    return create_skill_graph(store=store, llm=llm or FingersAdder(), generator=generator, **options)


def test_the_best_candidate_answers_and_every_rollout_is_recorded(store, skill):
    result = population(store).compile().invoke(ASK)

    best = store.get("adding@3")
    assert (result["answer"], result["passed"], result["skill"], result["generations"]) == ("4", True, best.ref, 1)
    assert best.text == MACHINE
    rollouts = store.runs.rollouts(result["run_id"])
    tried = [(rollout.generation, rollout.skill.partition("@")[2], rollout.reward) for rollout in rollouts]
    assert tried == [(0, "1", 0.0)] * 2 + [(1, "2", 0.0)] * 2 + [(1, "3", 1.0)] * 2
    assert [rollout.k for rollout in rollouts] == [0, 1, 0, 1, 2, 3]
    assert store.get("adding@1").uses == 2


async def test_async_and_streaming(store, skill):
    graph = population(store).compile()
    steps = Counter([event["type"] async for event in graph.astream(ASK, stream_mode="custom")])

    assert steps["skill_plugin.executed"] == steps["skill_plugin.verified"] == 6
    assert (steps["skill_plugin.selected"], steps["skill_plugin.proposed"], steps["skill_plugin.recorded"]) == (2, 1, 1)


def test_a_task_that_is_solved_at_once_costs_k_rollouts(store):
    store.add_text(MACHINE)
    llm = FingersAdder()
    result = population(store, llm=llm).compile().invoke(ASK)

    assert (result["passed"], result["generations"], len(llm.seen)) == (True, 0, 2)


def test_it_begins_without_a_skill_too(store):
    result = population(store).compile().invoke(ASK)

    assert result["passed"]
    assert [rollout.skill for rollout in store.runs.rollouts(result["run_id"])][:2] == [None, None]


def test_the_next_generation_starts_from_the_best_so_far_even_if_it_is_an_older_one(store):
    store.add_text(MACHINE)
    writer = ScriptedChat(
        [ABACUS, ABACUS.replace("an abacus", "two abacuses"), MACHINE.replace("machine", "small machine")] * 2
    )
    half = verifiers.as_verifier(lambda task, answer: 0.5 if answer == "4" else 0.0)
    result = population(store, writer=writer, candidates=1, max_generations=2, verifier=half).compile().invoke(ASK)

    assert "Use a machine." in writer.seen[1][-1].text.split("# Current skill")[1].split("# History")[0]
    assert (result["skill"], result["generations"], result["reward"]) == (store.get("adding@1").ref, 2, 0.5)
    assert [version.parent for version in store.versions("adding")][1:] == [1, 1]


@pytest.mark.parametrize("options", [{"split": "heldout"}, {"arm": "control"}])
def test_held_out_tasks_and_control_runs_are_never_shown_to_the_generator(store, skill, options):
    writer = ScriptedChat([])
    result = population(store, writer=writer).compile().invoke({**ASK, **options})

    assert (result["passed"], writer.seen) == (False, [])


def test_candidates_that_are_no_skill_are_a_failed_generation_that_the_next_prompt_shows(store, skill):
    writer = ScriptedChat(["no skill", "nor this", MACHINE, ABACUS])
    result = population(store, writer=writer, candidates=2, max_generations=2).compile().invoke(ASK)

    assert (result["passed"], result["generations"]) == (True, 2)
    assert "Your text was refused" in writer.seen[2][-1].text


def test_an_agent_that_fails_costs_its_own_rollout_only(store, skill):
    def flaky(messages):
        calls.append(1)
        if len(calls) == 2:
            raise ConnectionError("gone")
        return FingersAdder._add(messages)

    calls = []
    graph = population(store, llm=ScriptedChat(flaky)).compile()
    events = list(graph.stream(ASK, {"max_concurrency": 2}, stream_mode=["custom", "values"]))

    [failed] = [event for mode, event in events if mode == "custom" and event["type"].endswith("rollout_failed")]
    result = events[-1][1]
    assert failed["error"] == "ConnectionError: gone"
    assert result["passed"]
    assert len(store.runs.rollouts(result["run_id"])) == 5
    assert store.get("adding@1").uses == 1


def test_if_every_rollout_fails_nothing_is_recorded_and_one_line_says_so(store, skill):
    def gone(messages):
        raise ConnectionError("gone")

    with pytest.raises(ModelError, match="all 2 rollouts of generation 0 failed: ConnectionError: gone"):
        population(store, llm=ScriptedChat(gone)).compile().invoke(ASK)
    assert store.get("adding").uses == 0
    assert len(store.versions("adding")) == 1


def test_rollouts_run_side_by_side_up_to_the_limit(store, skill):
    barrier = threading.Barrier(2, timeout=20)
    running, most = [], []

    def together(messages):
        running.append(1)
        most.append(len(running))
        barrier.wait()  # passes only if two are in here at once
        running.pop()
        return FingersAdder._add(messages)

    result = population(store, llm=ScriptedChat(together)).compile().invoke(ASK, {"max_concurrency": 2})

    assert result["passed"]
    assert max(most) == 2


class Killed(BaseException):
    """What a process that is killed looks like from inside: nothing catches it."""


def test_a_run_that_was_killed_goes_on_with_the_rollouts_that_had_not_ended(store, skill, tmp_path):
    answered = []

    def answer(messages):
        if len(answered) == 4 and not killed:
            killed.append(1)
            raise Killed
        answered.append(system_text(messages))
        return FingersAdder._add(messages)

    killed = []
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
        graph = population(store, llm=ScriptedChat(answer)).compile(checkpointer=saver)
        config = {**CONFIG, "max_concurrency": 1}
        with pytest.raises(Killed):
            graph.invoke(ASK, config)
        result = graph.invoke(None, config)

    assert result["passed"]
    assert len(answered) == 6
    assert len(store.runs.rollouts(result["run_id"])) == 6
    assert len(store.versions("adding")) == 3


def test_a_thread_that_is_used_again_begins_anew(store, skill):
    graph = population(store, writer=ScriptedChat(lambda _: MACHINE)).compile(checkpointer=InMemorySaver())
    first = graph.invoke(ASK, CONFIG)
    second = graph.invoke({"task": "add 3 and 3", "reference": "6"}, CONFIG)

    assert first["run_id"] != second["run_id"]
    assert len(store.runs.rollouts(first["run_id"])) == len(store.runs.rollouts(second["run_id"])) == 4


@pytest.mark.parametrize("options", [{"candidates": 0}, {"rollouts": 1.5}, {"rollouts": True}, {"max_generations": -1}])
def test_numbers_that_make_no_population_are_refused(store, options):
    with pytest.raises(ConfigurationError, match=r"give a whole number from [01]"):
        population(store, **options)


@pytest.mark.parametrize("options", [{"approve": True}, {"k": 2}])
def test_what_a_population_cannot_do_is_refused(store, options):
    with pytest.raises(ConfigurationError, match="need approve=False and k=1"):
        population(store, **options)


def test_without_a_generator_it_only_tries_k_times(store, skill):
    graph = create_skill_graph(store=store, llm=FingersAdder(), verifier=verifiers.exact_match(), rollouts=3)
    result = graph.compile().invoke(ASK)

    assert (result["passed"], result["generations"]) == (False, 0)
    assert len(store.runs.rollouts(result["run_id"])) == 3
