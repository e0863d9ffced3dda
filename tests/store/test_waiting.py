"""What waits for somebody, and who holds a job."""

from datetime import UTC, datetime

import pytest

from fakes import MACHINE, skill_text
from lineages import lineage, written
from skill_plugin import Rollout, Task

pytestmark = pytest.mark.both_backends


def test_a_version_waits_until_a_gate_or_a_person_has_decided(store):
    store.add_text(skill_text())
    store.revise_text("adding", MACHINE)
    store.revise_text("adding", skill_text(body="Use an abacus."))
    store.add_text(skill_text("sorting", "How to sort"), author="generator")
    store.add_text(skill_text("gone", "How to go"), author="generator")
    store.retire("gone")

    assert sorted(store.runs.waiting().staged) == ["adding@2", "adding@3", "sorting@1"]
    store.refuse("adding@2", reason="1 < 2")
    assert sorted(store.runs.waiting().staged) == ["adding@3", "sorting@1"]
    store.promote("adding@3")
    store.rollback("adding")
    assert store.runs.waiting().staged == ["sorting@1"]


def test_a_run_waits_for_its_reward_until_it_has_one(store, skill):
    store.runs.record(Task("add 1"), [Rollout(generation=0, answer="", skill=skill.ref)], run_id="a")
    store.runs.record(Task("add 2"), [Rollout(generation=0, answer="", skill=skill.ref, reward=1.0)], run_id="b")
    store.runs.record(Task("add 3"), [Rollout(generation=0, answer="")], run_id="c")
    store.runs.record(Task("add 4"), [Rollout(generation=0, answer="", skill=skill.ref, error="down")], run_id="d")

    assert store.runs.waiting().without_reward == 1
    store.record_outcome("a", 1.0)
    assert store.runs.waiting().without_reward == 0


def test_histories_are_counted_since_a_moment(store, skill):
    lineage(store, 0, [written(0), written(1)], [(1.0,), (0.0,)])

    found = store.runs.waiting()
    assert found.revisions == 2
    assert found.rollouts > 1
    later = store.runs.waiting(datetime.now(UTC))
    assert (later.revisions, later.rollouts) == (0, 0)


def test_a_job_is_running_as_long_as_a_process_holds_it(store, open_store):
    assert not store.runs.is_running("retrain")
    with open_store().runs.alone("retrain"):
        assert store.runs.is_running("retrain")
        assert not store.runs.is_running("evolve")
    assert not store.runs.is_running("retrain")
