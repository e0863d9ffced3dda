"""What is promoted is what users get: through search, on the next tasks, and not again and again."""

import re
from dataclasses import replace

import pytest

from fakes import MACHINE, FingersAdder, ScriptedChat, skill_text, system_text
from skill_plugin import verifiers
from skill_plugin.budget import Budget
from skill_plugin.graphs import EvolveSettings, create_skill_graph, evolve
from skill_plugin.records import Revision, Task

EXTRA = ("and ship it", "and sort them", "and refund it", "")
"""What makes tasks alike and no copies, to an embedder of topics."""

VAGUE = skill_text("careful-work", "How to sort", "Use a machine.")
FOUND = skill_text("careful-work", "How to add", "Use a machine.")


def sums(*numbers, split="train", family="sums"):
    return [
        Task(
            f"add {n} and 2 {EXTRA[n % 4]}",
            reference=str(n + 2),
            family=family,
            split=split,
            verifier={"name": "exact_match"},
        )
        for n in numbers
    ]


TASKS = [*sums(*range(1, 9)), *sums(*range(101, 105), split="heldout")]


class Writer:
    """Writes what a function of task, history and the number of the candidate says."""

    def __init__(self, write):
        self.write, self.asked = write, []

    def propose(self, task, history, *, n):
        self.asked.append((task, list(history), n))
        texts = [self.write(task, history, at) for at in range(n)]
        return [Revision(completion=text, prompt=({"role": "user", "content": task.input},)) for text in texts]


def run(store, tasks=TASKS, *, write, llm=None, **settings):
    writer = Writer(write)
    given = EvolveSettings(**{"generations": 2, "candidates": 2, "rollouts": 2, **settings})
    return evolve(tasks, store=store, llm=llm or FingersAdder(), generator=writer, settings=given), writer


def served(store, *numbers):
    """Of new tasks, whether each passes through the graph."""
    graph = create_skill_graph(store=store, llm=FingersAdder(), verifier=verifiers.exact_match()).compile()
    return [graph.invoke({"task": task.input, "reference": task.reference})["passed"] for task in sums(*numbers)]


def says_not_found(history):
    return any("description does not say when to use it" in (one.rejected or "") for one in history)


@pytest.mark.both_backends
def test_a_text_that_search_would_not_find_is_refused_and_its_writer_is_told_why(store):
    result, writer = run(store, write=lambda *_: VAGUE)

    assert (result.accepted, result.solved_after) == ([], 0)
    assert any(says_not_found(history) for _, history, _ in writer.asked)
    assert served(store, 50) == [False]


@pytest.mark.both_backends
def test_a_revision_of_the_description_alone_repairs_that(store):
    result, _ = run(store, write=lambda _task, history, _n: FOUND if says_not_found(history) else VAGUE)

    assert (store.get("careful-work").text, result.solved_after) == (FOUND, 8)
    assert served(store, 50, 51, 52) == [True] * 3


def leaking(messages):
    """Adds right under the machine, and where the guidance holds the answer of this very question."""
    number = int(re.findall(r"\d+", str(messages[-1].text))[0])
    leaked = f"{number} and 2 is {number + 2}" in system_text(messages)
    return str(number + 2) if leaked else FingersAdder._add(messages)


def test_a_text_that_holds_its_own_answer_is_worth_less_than_a_rule(store):
    def write(task, _history, at):
        number = int(re.findall(r"\d+", task.input)[0])
        leak = skill_text(f"answer-{number}", "How to add", f"{number} and 2 is {number + 2}.")
        return (leak, MACHINE)[at]

    result, _ = run(store, write=write, llm=ScriptedChat(leaking), adaptive=False)

    assert [store.get(row["ref"]).text for row in result.accepted] == [MACHINE]
    assert result.solved_after == 8


def test_tasks_of_one_family_do_not_pay_for_the_same_skill_each(store):
    llm = FingersAdder()
    result, writer = run(store, write=lambda *_: MACHINE, llm=llm, concurrency=8)

    assert (result.solved_before, result.solved_after, result.replayed) == (0, 8, 8)
    assert (len(writer.asked), result.candidates) == (1, 1)
    assert len(llm.seen) == result.spending.task.calls < 45


def test_a_prompt_shows_further_failing_tasks_that_do_not_judge_its_text(store):
    _, writer = run(store, write=lambda *_: MACHINE)
    task, history, _ = writer.asked[0]
    shown = {one.task for one in history if one.task is not None}
    [tried] = [event for event in store.history("adding") if event.kind == "tried"]
    judged = {one["task"] for one in tried.evidence["later"]}

    assert len(shown) == 2
    assert not judged & {one.content_hash for one in TASKS if one.input in shown or one == task}
    assert tried.reason == "worth 1.00 (before 0.00) with 4 sibling tasks, found by search for 4 of them"
    assert [(one["rewards"], one["before"]) for one in tried.evidence["later"]] == [([1.0], [0.0])] * 4


def test_training_reads_what_siblings_said_also_where_the_verifier_is_ones_own(store):
    tasks = [replace(task, verifier=None) for task in TASKS]
    settings = EvolveSettings(generations=1, candidates=1, rollouts=2)
    exact = verifiers.exact_match()
    result = evolve(
        tasks,
        store=store,
        llm=FingersAdder(),
        generator=Writer(lambda *_: MACHINE),
        verifier=lambda task, answer: exact.verify(task, answer),
        settings=settings,
    )
    [row] = [row for row in store.histories.rows() if row["kind"] == "revision"]

    assert (result.solved_after, row["rewards"], row["previous_rewards"]) == (8, [1.0, 1.0], [0.0, 0.0])
    assert [(one["rewards"], one["before"]) for one in row["later"]] == [([1.0], [0.0])] * 4


def test_what_no_judge_could_see_is_judged_again_when_it_comes_from_another_task(store):
    """The held-out tasks are all solved; the text repairs train tasks that none of them is like."""

    def answer(messages):
        number = int(re.findall(r"\d+", str(messages[-1].text))[0])
        return str(number + 2) if number > 100 else FingersAdder._add(messages)

    result, _ = run(store, write=lambda *_: MACHINE, llm=ScriptedChat(answer), siblings=0, gate_tasks=2)

    assert {row["reason"] for row in result.refused} == {
        "0 repaired because no held-out task fails today, 2 are solved without it"
    }
    assert "failing train tasks repaired and nothing held out regressed" in result.accepted[0]["reason"]
    assert result.solved_after == 8


def test_a_text_that_would_take_the_tasks_of_another_family_and_break_them_is_refused(store):
    store.add_text(skill_text("parcels", "How to ship and sort", "Say done."))
    ships = [
        Task(f"ship {n}", reference="done", family="ships", split="heldout", verifier={"name": "exact_match"})
        for n in range(4)
    ]

    def answer(messages):
        if "ship" in str(messages[-1].text) and "add" not in str(messages[-1].text):
            return "done" if "Say done." in system_text(messages) else "lost"
        return FingersAdder._add(messages)

    greedy = skill_text("all-work", "How to ship, ship, ship, ship and add", "Use a machine.")
    result, _ = run(store, [*sums(4, 8, 12, 16), *sums(100, 104, split="heldout"), *ships],
                    write=lambda *_: greedy, llm=ScriptedChat(answer), min_score=-1)  # fmt: skip

    assert result.accepted == []
    assert result.refused[0]["reason"].endswith("of which 4 regressed: the description says too much")
    assert store.search("ship 7", min_score=-1)[0].name == "parcels"


def test_the_report_names_failures_that_no_judge_covers(store):
    def answer(messages):
        number = int(re.findall(r"\d+", str(messages[-1].text))[0])
        return str(number + 2) if number > 100 else "?"

    result, _ = run(store, write=lambda *_: VAGUE, llm=ScriptedChat(answer), generations=1)

    assert {row["task"] for row in result.uncovered} == {task.input for task in TASKS if task.split == "train"}


@pytest.mark.both_backends
def test_a_thrifty_run_that_was_stopped_resumes_and_pays_for_nothing_twice(store):
    llm = FingersAdder()
    given = EvolveSettings(generations=2, candidates=2, rollouts=2)

    def once(budget=None):
        writer = Writer(lambda _task, history, _n: FOUND if says_not_found(history) else VAGUE)
        return evolve(TASKS, store=store, llm=llm, generator=writer, settings=given, budget=budget)

    stopped = once(Budget(calls=12))
    assert "of 12 calls are spent" in stopped.outcome
    result = once()

    assert (result.run_id, result.outcome, result.solved_after) == (stopped.run_id, "finished", 8)
    assert len(llm.seen) == result.spending.task.calls
    again = once()
    assert (len(llm.seen), again.accepted) == (result.spending.task.calls, result.accepted)
    events = [(event.kind, event.version) for event in store.history("careful-work") if event.kind == "tried"]
    assert len(events) == len(set(events))


@pytest.mark.both_backends
def test_a_copy_of_the_current_text_is_worth_what_that_text_is_worth(store):
    """Else a generator would learn to leave a right text for one that holds the answer of its own task."""
    half = skill_text("adding", "How to add", "Use a machine. Sometimes.")

    def sometimes(messages):
        """Is right under the text for every second number."""
        number = int(re.findall(r"\d+", str(messages[-1].text))[0])
        return str(number + 2) if "Sometimes." in system_text(messages) and number % 2 else "0"

    store.add_text(half)
    _, writer = run(store, write=lambda *_: half, llm=ScriptedChat(sometimes), adaptive=False, siblings=4)

    live = store.get("adding")
    rows = [row for row in store.histories.rows() if row["kind"] == "revision"]
    assert rows
    assert {(row["skill"], row["parent"], row["error"]) for row in rows} == {(live.ref, live.ref, None)}
    for row in rows:
        assert row["rewards"] == [0.0, 0.0]
        assert len(row["later"]) == 4
        assert all(one["rewards"] == one["before"] for one in row["later"])
    assert any("same as the current skill" in (one.error or "") for _, history, _ in writer.asked for one in history)
