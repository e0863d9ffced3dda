"""Where a prompt shows several skills, every one of them gathers evidence."""

import pytest

from fakes import loop, skill_text
from skill_plugin import Revision, Rollout, Task

pytestmark = pytest.mark.both_backends


@pytest.fixture
def second(store):
    return store.add_text(skill_text("adding-twice", "How to add and sort"))


def record(store, run, skill, also, reward, **more):
    passed = None if reward is None else reward >= 1
    rollout = Rollout(
        generation=0, answer="", skill=skill and skill.ref, also=also, reward=reward, passed=passed, **more
    )
    store.runs.record(Task(f"task {run}"), [rollout], run_id=run)
    return rollout


def numbers(store, skill):
    seen = store.get(skill.id)
    return seen.utility, seen.uses, seen.wins


def test_each_is_credited_by_as_much_as_it_was_followed(store, skill, second):
    record(store, "a", skill, {second.ref: None}, 1.0)
    last = record(store, "b", skill, {second.ref: 0.5}, 0.0)

    assert numbers(store, skill) == (0.5, 2, 1)
    assert numbers(store, second) == (0.75, 2, 1)
    assert store.runs.rollouts("b") == [last]


def test_recording_twice_is_recording_once(store, skill, second):
    for _ in range(2):
        record(store, "a", skill, {second.ref: None}, 1.0)

    assert numbers(store, second) == (1.0, 1, 1)


@pytest.mark.parametrize(
    ("adherence", "reward", "more"),
    [(0.0, 1.0, {}), (None, None, {}), (None, 1.0, {"arm": "control"})],
)
def test_what_was_ignored_or_not_judged_is_not_credited(store, skill, second, adherence, reward, more):
    made = record(store, "a", skill, {second.ref: adherence}, reward, **more)

    assert numbers(store, second) == (None, 0, 0)
    assert store.runs.rollouts("a") == [made]


def test_a_further_skill_counts_where_the_first_was_ignored(store, skill, second):
    record(store, "a", skill, {second.ref: None}, 1.0, adherence=0.0)
    record(store, "b", skill, {second.ref: None}, None, adherence=0.0)
    store.record_outcome("b", 0.0)

    assert numbers(store, skill) == (None, 0, 0)
    assert numbers(store, second) == (0.5, 2, 1)


def test_only_what_is_live_and_never_on_the_task_that_it_was_written_from(store, skill, second):
    text = skill_text("adding-twice", body="Once more.")
    revision = Revision(completion=text, text=text)
    where = {"run_id": "r", "group_id": "g", "generation": 1, "parent": second.ref}
    born = store.runs.stage(Task("task a"), [revision], **where)[0].skill
    record(store, "staged", skill, {born.ref: None}, 1.0)
    store.promote(born.ref)
    for run in ("a", "b"):
        record(store, run, skill, {born.ref: None, second.ref: None}, 1.0)

    assert numbers(store, second) == (1.0, 1, 1)


def test_later_feedback_goes_to_all_of_them_and_corrects_their_records(store, skill, second):
    for run, reward in (("a", None), ("b", 1.0)):
        record(store, run, skill, {second.ref: None}, reward)
        store.record_outcome(run, 0.5)
        store.record_outcome(run, 0.5)

    assert numbers(store, second) == numbers(store, skill)
    assert numbers(store, second)[1:] == (2, 1)


def test_lift_and_pruning_see_their_uses(store, skill):
    second = store.promote(store.add_text(skill_text("adding-twice", "How to add"), author="generator").ref)
    for audit in range(3):
        for number in range(30 if not audit else 10):
            run = f"{audit}-{number}"
            record(store, run, skill, {second.ref: None}, 0.5)
            control = Rollout(generation=0, answer="", arm="control", reward=0.5)
            store.runs.record(Task(f"task {run}"), [control], run_id=f"{run}-control")
        decisions = {one.name: one.action for one in store.prune()}

    assert (store.lift("adding-twice").method, store.lift("adding-twice").uses) == ("paired", 50)
    assert store.lift("adding-twice") == store.lift("adding")
    assert decisions == {"adding": "keep", "adding-twice": "retire"}


def test_a_graph_with_two_skills_credits_both_and_asks_the_judge_about_each(store, skill, second):
    asked = []

    def judge(task, answer, text):
        asked.append(text)
        return 1.0 if text == skill.text else 0.5

    graph = loop(store, writer=None, k=2, adherence=judge).compile()
    runs = [graph.invoke({"task": f"add {number} and 2", "reference": str(number + 1)}) for number in range(6)]
    runs.append(graph.invoke({"task": "add 9 and 2", "reference": "11"}))
    rollouts = [store.runs.rollouts(run["run_id"])[0] for run in runs]

    shown = {skill.ref: 1.0, second.ref: 0.5}
    assert [{one.skill: one.adherence, **one.also} for one in rollouts] == [shown] * 7
    assert asked.count(skill.text) == asked.count(second.text) == 7
    assert (numbers(store, skill)[1:], numbers(store, second)[1:]) == ((7, 6), (7, 6))
    assert store.lift("adding-twice").uses == 7


def test_a_control_run_of_a_graph_has_none(store, skill, second):
    output = loop(store, writer=None, k=2).compile().invoke({"task": "add 2 and 2", "reference": "3", "arm": "control"})

    assert [(one.skill, one.also) for one in store.runs.rollouts(output["run_id"])] == [(None, {})]
