"""The order of tasks, and what the store says of how they went."""

from collections import Counter

import pytest

from fakes import MACHINE
from skill_plugin import Rollout
from skill_plugin.records import Revision, Task
from skill_plugin.tasks.curriculum import TaskRecord, order_tasks


def tasks(count):
    return [Task(f"add {number}", family="adding", split="train") for number in range(count)]


def ran(store, task, passed, *, run_id=None, k=0, **fields):
    rollout = Rollout(generation=0, answer="", k=k, reward=float(passed), passed=passed, **fields)
    store.runs.record(task, [rollout], run_id=run_id or task.id)


# The order


@pytest.mark.parametrize(
    ("record", "rate"),
    [
        (TaskRecord(), 0.5),
        (TaskRecord(passes=0, tries=8), 0.1),
        (TaskRecord(passes=8, tries=8), 0.9),
        (TaskRecord(passes=0, tries=8, moved=True), 0.5),
        (TaskRecord(passes=8, tries=8, moved=True), 0.9),
        (TaskRecord(passes=3, tries=8, moved=True), 0.4),
    ],
)
def test_the_rate_of_a_task_and_of_one_whose_family_has_moved(record, rate):
    assert record.pass_rate == rate


def test_a_seed_gives_one_order_of_all_tasks_whatever_the_file_s():
    some = tasks(30)
    assert order_tasks(some, {}, "ev_1") == order_tasks(some[::-1], {}, "ev_1")
    assert order_tasks(some, {}, "ev_1") != order_tasks(some, {}, "ev_2")
    assert {task.id for task in order_tasks(some, {}, "ev_1")} == {task.id for task in some}
    assert order_tasks([], {}, "ev_1") == []


def test_what_is_half_solved_comes_first_as_often_as_its_weight_says():
    half, never, always = tasks(3)
    records = {
        half.content_hash: TaskRecord(passes=9, tries=18),
        never.content_hash: TaskRecord(passes=0, tries=18),
        always.content_hash: TaskRecord(passes=18, tries=18),
    }
    first = Counter(order_tasks([half, never, always], records, str(seed))[0].input for seed in range(4000))

    edge = 0.05 * 0.95
    wanted = 0.9 * 0.25 / (0.25 + 2 * edge) + 0.1 / 3
    assert abs(first[half.input] / 4000 - wanted) < 0.03
    assert abs(first[never.input] - first[always.input]) / 4000 < 0.03


# What the store says


def test_only_verdicts_of_the_newest_runs_under_a_skill_count(store):
    one, other, heldout = Task("add 1"), Task("add 2"), Task("add 3", split="heldout")
    for k, passed in enumerate([False, True, False, True]):
        ran(store, one, passed, k=k)
    ran(store, one, True, k=4, arm="control")
    ran(store, other, False)
    ran(store, heldout, True, purpose="gate")
    store.runs.record(other, [Rollout(generation=0, answer="", k=1, error="no verdict")], run_id=other.id)

    assert store.tasks.records() == {
        one.content_hash: TaskRecord(passes=2, tries=4),
        other.content_hash: TaskRecord(passes=0, tries=1),
    }
    assert store.tasks.records(recent=1)[one.content_hash] == TaskRecord(passes=1, tries=1)


@pytest.mark.both_backends
def test_a_promotion_in_its_family_gives_a_task_that_never_passed_another_turn(store):
    never, sibling, stranger = (
        Task("add 1", family="adding"),
        Task("add 2", family="adding"),
        Task("send", family="post"),
    )
    for task in (never, stranger):
        ran(store, task, False)
    [staged] = store.runs.stage(
        sibling, [Revision(completion=MACHINE, text=MACHINE)], run_id="r", group_id="g", generation=1, parent=None
    )
    store.promote(staged.skill.ref, by="gate")
    ran(store, sibling, False, run_id="r")

    moved = {content_hash: record.moved for content_hash, record in store.tasks.records().items()}
    assert moved == {never.content_hash: True, stranger.content_hash: False, sibling.content_hash: False}


@pytest.mark.both_backends
def test_how_often_a_held_out_task_has_judged_is_in_the_gates_rollouts(store):
    task, other = Task("add 1", split="heldout"), Task("add 2", split="heldout")
    for run_id in ("ev_1:gate:none:a", "ev_1:gate:sk_a@1:a", "ev_2:gate:sk_b@1:a"):
        ran(store, task, True, run_id=run_id, purpose="gate")
    ran(store, task, True, run_id="ev_1:gate:none:a", k=1, purpose="gate")
    ran(store, other, True)

    assert store.tasks.times_judged() == {task.content_hash: 3}
    assert store.tasks.times_judged(without="ev_1:") == {task.content_hash: 1}
    assert store.tasks.times_judged(without="ev%") == {task.content_hash: 3}
