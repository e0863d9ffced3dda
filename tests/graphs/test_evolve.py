"""Evolve: generations over a set of tasks, what is kept, what goes live, what it may cost, and going on after a stop."""

import re
import threading
from collections import Counter
from dataclasses import replace

import pytest
from langchain_core.messages import AIMessage

from evolving import ABACUS, SMALL, Writer, adding, run
from fakes import MACHINE, FingersAdder, ScriptedChat, skill_text
from skill_plugin import generators, verifiers
from skill_plugin.budget import Budget, Prices
from skill_plugin.errors import ConfigurationError, InvalidTaskError, ModelError
from skill_plugin.generators.prompt import revise_prompt
from skill_plugin.graphs import EvolveReport, EvolveSettings, aevolve, create_skill_graph
from skill_plugin.records import Task


@pytest.mark.both_backends
def test_what_helps_on_other_tasks_goes_live_and_everything_is_recorded(store):
    result = run(store, [*adding(1, 2, 3), *adding(11, 12, split="heldout")])

    assert (result.outcome, result.tasks, result.heldout, result.done) == ("finished", 3, 2, 3)
    assert (result.solved_before, result.solved_after) == (0, 3)
    live = store.get("adding")
    assert (live.text, live.status) == (MACHINE, "live")
    assert [row["ref"] for row in result.accepted] == [live.ref]
    [event] = [event for event in store.history("adding") if event.kind == "promoted"]
    assert (event.by, event.reason) == (f"evolve {result.run_id}", "2 repaired > 0 regressed of 2 held-out tasks")
    first = store.runs.rollouts(f"{result.run_id}:{adding(1)[0].id}")
    assert [(one.generation, one.k, one.reward) for one in first][:2] == [(0, 0, 0.0), (0, 1, 0.0)]
    assert store.runs.evolve.list()[0].outcome == "finished"
    assert store.runs.evolve.list()[0].progress["solved_after"] == 3


def test_a_generation_is_one_group_of_candidates_from_one_prompt_each_tried_k_times(store):
    result = run(store, adding(1))
    run_id = f"{result.run_id}:{adding(1)[0].id}"

    staged = store.runs.staged(f"{run_id}:1")
    assert [revision.text for revision, _ in staged] == [ABACUS, MACHINE]
    tried = Counter((one.generation, one.skill) for one in store.runs.rollouts(run_id))
    assert tried == {(0, None): 2, (1, staged[0].skill.ref): 2, (1, staged[1].skill.ref): 2}


def test_without_held_out_tasks_nothing_goes_live(store):
    result = run(store, adding(1))

    assert (result.solved_by_text, result.accepted, store.get("adding").status) == (1, [], "staged")


def test_a_task_that_is_solved_at_once_costs_k_rollouts_and_its_controls(store):
    store.add_text(MACHINE)
    llm, writer = FingersAdder(), Writer()
    result = run(store, adding(1), llm=llm, writer=writer)

    assert (result.solved_before, result.solved_after, len(llm.seen), writer.seen) == (1, 1, 3, [])
    rollouts = store.runs.rollouts(f"{result.run_id}:{adding(1)[0].id}")
    assert [(one.arm, one.reward, one.withheld) for one in rollouts] == [
        ("skill", 1.0, None),
        ("skill", 1.0, None),
        ("control", 0.0, store.get("adding").ref),
    ]


def test_all_generations_are_used_up_when_they_are_wanted_for_the_histories(store):
    settings = EvolveSettings(generations=3, candidates=1, rollouts=1, stop_when_solved=False)
    result = run(store, adding(1), settings=settings, writer=Writer(MACHINE, ABACUS, skill_text(body="Use toes.")))

    assert sorted(result.generations) == [0, 1, 2, 3]


def test_what_the_gate_refuses_is_shown_as_a_rejected_edit_and_is_not_revised_further(store):
    def answer(messages):  # the abacus is right for what is trained on only
        number = int(re.findall(r"\d+", messages[-1].text)[0])
        knows = "abacus" in messages[0].text and number < 10
        return str(number + 2 - (not knows) + (0 if number < 10 else 1))

    writer = Writer(ABACUS, skill_text(body="Use toes."), skill_text(body="Use pebbles."))
    result = run(
        store,
        [*adding(1), *adding(11, split="heldout")],
        llm=ScriptedChat(answer),
        writer=writer,
        settings=replace(SMALL, candidates=1, rollouts=1),
    )

    assert (result.accepted, [row["ref"] for row in result.refused]) == ([], [store.get("adding@1").ref])
    _, history = writer.seen[1]
    [rejected] = [one for one in history if one.rejected]
    assert (rejected.text, rejected.rejected) == (
        ABACUS,
        "0 repaired because no held-out task fails today, 1 are solved without it",
    )
    assert history[-1].text is None
    assert "0 repaired because" in revise_prompt(adding(1)[0], history)[1]["content"]


def test_the_generator_never_sees_a_held_out_task(store):
    judges = adding(*range(20, 40), split="heldout")
    writer = ScriptedChat([ABACUS, MACHINE] * 20)
    run(store, [*adding(*range(8)), *judges], writer=generators.chat(writer))

    prompts = "".join(str(message.text) for messages in writer.seen for message in messages)
    assert f"{adding(0)[0].input}\n" in prompts  # which is how a task would be seen there
    assert not [judge.input for judge in judges if f"{judge.input}\n" in prompts]


def test_a_question_stays_in_the_split_that_it_had_first(store):
    run(store, [*adding(1), *adding(2, split="heldout")])

    with pytest.raises(
        InvalidTaskError, match="'add 2 and 2' was held out in namespace 'default' and cannot be trained on"
    ):
        run(store, adding(3, 2))
    with pytest.raises(
        InvalidTaskError, match="'add 1 and 2' was trained on in namespace 'default' and cannot be held out"
    ):
        run(store, [*adding(3), *adding(1, split="heldout")])


@pytest.mark.parametrize("population", [{}, {"candidates": 4, "rollouts": 4}])
def test_nor_does_it_see_one_that_somebody_asks_the_agent(store, population):
    run(store, [*adding(1), *adding(2, split="heldout")], writer=Writer(ABACUS))
    writer = Writer(MACHINE)
    graph = create_skill_graph(
        store=store,
        llm=FingersAdder(),
        generator=writer,
        verifier=verifiers.exact_match(),
        max_generations=1,
        **population,
    )
    result = graph.compile().invoke({"task": "add 2 and 2", "reference": "4"})

    assert (result["passed"], writer.seen) == (False, [])


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        ([*adding(1), *adding(1, split="heldout")], "is there as train and as heldout"),
        ([*adding(1), *adding(1, family="sums")], "is there twice"),
        (adding(1, split="heldout"), "none of the 1 tasks is a train task"),
        ([], "none of the 0 tasks"),
        ([Task("add 1 and 1", split="train")], "names no verifier"),
    ],
)
def test_tasks_that_cannot_be_evolved_on(store, tasks, says):
    with pytest.raises(InvalidTaskError, match=says):
        run(store, tasks)


@pytest.mark.parametrize(
    "wrong",
    [{"rollouts": 0}, {"candidates": -1}, {"concurrency": True}, {"generations": 1.5}, {"selection": "luck"}],
)
def test_settings_that_cannot_work(wrong):
    with pytest.raises(ConfigurationError, match=str(next(iter(wrong.values())))):
        EvolveSettings(**wrong)


@pytest.mark.parametrize(
    "written",
    ["", "\x00\ud800", "no skill", "---\nname: x\n", "x" * 200_000, "=== replace: ## Steps\nx\n=== end"],
)
def test_a_text_that_is_no_skill_is_a_refused_candidate_and_not_the_end(store, written):
    result = run(store, adding(1), writer=Writer(written, MACHINE))

    assert (result.outcome, result.candidates, result.malformed, result.solved_by_text) == ("finished", 2, 1, 1)


def test_candidates_that_are_all_malformed_use_up_a_generation_that_the_next_prompt_shows(store):
    writer = Writer("no skill")
    result = run(store, adding(1), writer=writer)

    assert (result.malformed, result.candidates, sorted(result.generations)) == (4, 4, [0])
    assert "no skill" not in [one.text for one in writer.seen[1][1]]
    assert writer.seen[1][1][0].error is not None


def test_a_generator_that_breaks_costs_its_own_task_only(store):
    class Broken(Writer):
        def propose(self, task, history, *, n):
            if task == adding(1)[0]:
                raise OSError("disk on fire")
            return super().propose(task, history, n=n)

    result = run(store, adding(1, 2), writer=Broken(ABACUS, MACHINE))

    assert [row["error"] for row in result.failed] == ["the generator failed: OSError: disk on fire"]
    assert (result.outcome, result.solved_by_text) == ("finished, with failures", 1)


def test_a_generator_that_is_not_there_stops_the_run(store):
    class Gone(Writer):
        def propose(self, task, history, *, n):
            self.seen.append(task)
            raise ConnectionError("refused")

    writer = Gone()
    with pytest.raises(ModelError, match=r"3 calls of the generator failed in a row, the last with ConnectionError"):
        run(store, adding(*range(20)), writer=writer)
    assert len(writer.seen) <= 3 + SMALL.concurrency


# The budget


def test_a_budget_of_calls_is_never_exceeded_and_a_bigger_one_goes_on(store):
    llm = FingersAdder()
    first = run(store, adding(*range(6)), llm=llm, budget=Budget(calls=20))
    spent = first.spending
    assert "of 20 calls are spent" in first.outcome
    assert spent.task.calls + spent.generator.calls <= 20
    assert len(llm.seen) == spent.task.calls

    again = run(store, adding(*range(6)), llm=llm)
    assert (again.run_id, again.outcome, again.solved_by_text) == (first.run_id, "finished", 6)
    assert again.recorded_before == spent.task.calls
    assert len(llm.seen) == again.spending.task.calls == 6 * (2 + 4)


def test_tokens_and_dollars(store):
    result = run(store, adding(*range(6)), budget=Budget(tokens=60))
    assert "of 60 tokens are spent" in result.outcome
    assert result.spending.task.calls < 12

    prices = Prices(1e6, 0)  # a dollar a token in; each call takes 10 of them
    result = run(store, adding(*range(6)), budget=Budget(dollars=95, prices=prices), new=True)
    assert re.fullmatch(r"\d+\.00 of 95.00 dollars are spent", result.outcome)


@pytest.mark.parametrize("limit", [{"calls": 0}, {"tokens": -1}, {"minutes": 0.0}, {"dollars": float("nan")}])
def test_a_budget_of_nothing_is_refused(limit):
    with pytest.raises(
        ConfigurationError, match=r"(calls|tokens|minutes|dollars) is .*; give a .*number (from 1|above 0), or None"
    ):
        Budget(**limit)


# Async, and side by side


async def test_async_models_and_generators_and_progress_that_can_be_watched(store):
    class Async(Writer):
        async def apropose(self, task, history, *, n):
            return super().propose(task, history, n=n)

    async def answer(given):
        seen.append(progress.run_id)
        return AIMessage(FingersAdder._add([*given["messages"]]))

    seen, progress = [], EvolveReport()
    writer = Async(ABACUS, MACHINE)
    result = await aevolve(adding(1, 2), store=store, llm=answer, generator=writer, settings=SMALL, progress=progress)

    assert result is progress
    assert set(seen) == {result.run_id}
    assert (result.solved_by_text, len(writer.seen)) == (2, 2)


async def test_evolve_says_what_to_call_where_an_event_loop_runs(store):
    with pytest.raises(ConfigurationError, match=r"await aevolve"):
        run(store, adding(1))


def test_a_sync_model_runs_as_often_at_once_as_is_allowed(store):
    barrier = threading.Barrier(8, timeout=60)

    def together(messages):
        barrier.wait()
        return FingersAdder._add(messages)

    settings = replace(SMALL, generations=0, rollouts=8, concurrency=8)
    result = run(store, adding(1), llm=ScriptedChat(together), settings=settings)

    assert result.generations[0].rollouts == 8
