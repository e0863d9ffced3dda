"""What the next tasks said of a text: gathered from recorded rollouts, on both databases."""

import pytest
from sqlalchemy import text

from lineages import in_evolve, leaks, rolled, written
from skill_plugin import Task
from skill_plugin.store.tables import RevisionTaskRow

pytestmark = pytest.mark.both_backends


def task(number, **fields):
    return Task(f"add {number}", family="sums", **{"split": "train", **fields})


FIRST, SECOND, THIRD = (task(number) for number in range(3))


def told(store, of=FIRST):
    """`later` of the revisions of a task, and its task named by its number."""
    names = {one.content_hash: number for number, one in enumerate((FIRST, SECOND, THIRD))}
    rows = [row for row in store.history_rows() if row["kind"] == "revision" and row["task_id"] == of.id]
    return [sorted(({**one, "task": names[one["task"]]} for one in row["later"]), key=lambda one: one["task"])
            for row in rows]  # fmt: skip


def test_rewards_on_siblings_are_beside_those_of_what_was_revised_and_of_no_skill(store, skill):
    """The parent's rewards are of rollouts on siblings and of the sibling's own lineage; those of no skill likewise."""
    [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)], parent=skill.ref)
    in_evolve(store, THIRD, [written(2)], [(1.0,)], baseline=(0.25,), parent=skill.ref)
    rolled(store, SECOND, ref, (1.0, 0.0))
    rolled(store, SECOND, skill.ref, (0.5,))
    rolled(store, SECOND, None, (0.0,))
    rolled(store, THIRD, ref, (1.0,))

    assert told(store) == [[
        {"task": 1, "rewards": [1.0, 0.0], "before": [0.5], "none": [0.0], "used": None},
        {"task": 2, "rewards": [1.0], "before": [0.25], "none": [], "used": None},
    ]]  # fmt: skip


def test_a_text_without_a_parent_is_beside_no_skill(store):
    [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)])
    in_evolve(store, SECOND, [written(2)], [(1.0,)], baseline=(0.5, 0.0))
    rolled(store, SECOND, ref, (1.0,))

    assert told(store) == [[{"task": 1, "rewards": [1.0], "before": [0.5, 0.0], "none": [0.5, 0.0], "used": None}]]


def test_a_text_that_nobody_tried_on_a_sibling_says_so(store):
    in_evolve(store, FIRST, [written(1)], [(1.0,)])

    assert told(store) == [[]]


def test_the_tasks_that_a_text_was_written_from_say_nothing_of_it(store):
    [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)])
    copy = task(0, reference="the same question")
    with store.database.write() as session:
        session.add(
            RevisionTaskRow(namespace="default", group_id=f"ev_1:{FIRST.id}:1", content_hash=SECOND.content_hash)
        )
    for other in (copy, SECOND, THIRD):
        rolled(store, other, ref, (1.0,))

    assert [one["task"] for one in told(store)[0]] == [2]


def test_tasks_with_one_question_are_one_sibling(store):
    [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)])
    for other in (SECOND, task(1, reference="a copy of it")):
        rolled(store, other, ref, (1.0,))

    assert [(one["task"], one["rewards"]) for one in told(store)[0]] == [(1, [1.0, 1.0])]


def test_what_another_evolve_or_the_gate_ran_and_what_is_held_out_is_not_told(store):
    [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)])
    rolled(store, SECOND, ref, (1.0,), evolve="ev_2")
    rolled(store, SECOND, ref, (1.0,), purpose="gate")
    rolled(store, SECOND, ref, (1.0,), purpose="replay")
    rolled(store, task(9, split="heldout"), ref, (1.0,))

    assert told(store) == [[]]


def test_how_often_a_text_was_followed_is_told(store):
    [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)])
    rolled(store, SECOND, ref, (1.0,), adherence=0.5)
    rolled(store, THIRD, ref, (1.0,), adherence=0.25)

    assert [one["used"] for one in told(store)[0]] == [1.0, 0.0]


def test_a_text_that_two_lineages_wrote_is_judged_on_the_siblings_of_each(store):
    [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)])
    assert in_evolve(store, SECOND, [written(1)], [(1.0,)]) == [ref]
    for other in (FIRST, SECOND, THIRD):
        rolled(store, other, ref, (1.0,))

    assert [[one["task"] for one in told(store, of)[0]] for of in (FIRST, SECOND)] == [[1, 2], [0, 2]]


def test_another_namespace_has_its_own(open_store):
    one, other = open_store(), open_store(namespace="other")
    for store in (one, other):
        [ref] = in_evolve(store, FIRST, [written(1)], [(1.0,)])
    rolled(other, SECOND, ref, (1.0,))

    assert (told(one), len(told(other)[0])) == ([[]], 1)


def test_siblings_are_found_by_an_index(store, backend):
    """However many rollouts there are beside them."""
    leaks(store)
    question = (
        "SELECT id FROM skillp_rollout WHERE purpose = 'later' AND ((skill_id = 'a' AND version IN (1, 2)) OR "
        "(skill_id = 'b' AND version IN (3)))"
    )
    with store.database.read() as session:
        if backend.is_sqlite:
            plan = session.connection().execute(text(f"EXPLAIN QUERY PLAN {question}"))
        else:
            session.connection().execute(text("SET LOCAL enable_seqscan = off"))  # five rollouts are read as they are
            plan = session.connection().execute(text(f"EXPLAIN {question}"))
        steps = " ".join(map(str, plan))

    assert "ix_skillp_rollout_later" in steps
    assert "SCAN skillp_rollout" not in steps
