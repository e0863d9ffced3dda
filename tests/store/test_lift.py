import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill_plugin import Rollout, Task
from skill_plugin.store.skills.lift import Lift, paired_interval, unpaired_interval

pytestmark = pytest.mark.both_backends


def with_skill(store, task, reward, run):
    skill = store.get("adding")
    store.runs.record(
        task, [Rollout(generation=0, answer="", skill=skill.ref, reward=reward, passed=reward >= 1)], run_id=run
    )


def without(store, task, reward, run, *, withheld=True):
    ref = store.get("adding").ref if withheld else None
    rollout = Rollout(generation=0, answer="", arm="control", withheld=ref, reward=reward, passed=reward >= 1)
    store.runs.record(task, [rollout], run_id=run)


def test_lift_is_the_mean_difference_over_tasks_done_both_ways(store, skill):
    for number in range(8):
        task = Task(f"task {number}")
        with_skill(store, task, 1.0, f"w{number}")
        without(store, task, float(number < 4), f"c{number}", withheld=False)
    lift = store.lift("adding")

    assert (lift.method, lift.pairs, lift.uses, lift.controls, lift.value) == ("paired", 8, 8, 8, 0.5)
    assert 0 < lift.low < 0.5 < lift.high < 1
    assert lift.sentence.startswith("It helps: +0.50 reward (95 % interval +0.0")


def test_without_pairs_withheld_runs_are_the_control(store, skill):
    for number in range(20):
        with_skill(store, Task(f"with {number}"), 1.0, f"w{number}")
        without(store, Task(f"without {number}"), 0.0, f"c{number}")
    lift = store.lift("adding")

    assert (lift.method, lift.pairs, lift.value) == ("control", 0, 1.0)
    assert 0.6 < lift.low < lift.high <= 1


def test_a_skill_that_harms_is_said_to(store, skill):
    for number in range(30):
        task = Task(f"task {number}")
        with_skill(store, task, 0.0, f"w{number}")
        without(store, task, 1.0, f"c{number}")

    assert store.lift("adding").sentence.startswith("It harms: -1.00")


def test_too_little_is_said_to_be_too_little(store, skill):
    with_skill(store, Task("one"), 1.0, "w")
    without(store, Task("one"), 0.0, "c")
    lift = store.lift("adding")

    assert (lift.method, lift.value, lift.low, lift.high) == ("none", None, None, None)
    assert "too few to compare" in lift.sentence


def test_an_interval_around_0_is_no_sure_effect():
    assert Lift("paired", 9, 9, 9, 0.1, -0.2, 0.4).sentence.startswith("No sure effect: +0.10")


def test_intervals_by_hand():
    """Agresti and Min: two imagined pairs in four halves; Agresti and Caffo: one success and one failure to each side."""
    value, low, high = paired_interval([1.0, 1.0, 0.0, -1.0])
    mean, variance = 1 / 6, (3 + 1) / 6 - (1 / 6) ** 2
    half = 1.96 * math.sqrt(variance / 6)
    assert (value, low, high) == pytest.approx((0.25, mean - half, mean + half))

    value, low, high = unpaired_interval([1.0, 1.0, 1.0], [0.0])
    spread = 1.96 * math.sqrt(0.8 * 0.2 / 5 + (1 / 3) * (2 / 3) / 3)
    assert (value, low, high) == pytest.approx((1.0, 0.8 - 1 / 3 - spread, min(1.0, 0.8 - 1 / 3 + spread)))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_a_paired_interval_is_never_a_point_and_stays_in_range(differences):
    _, low, high = paired_interval(differences)

    assert -1 <= low < high <= 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_an_unpaired_interval_turns_over_with_its_sides(treated, control):
    value, low, high = unpaired_interval(treated, control)
    turned = unpaired_interval(control, treated)

    assert low < high
    assert turned == pytest.approx((-value, -high, -low), abs=1e-9)


def test_adherence_weighs_the_credit(store, skill):
    followed = Rollout(generation=0, answer="", skill=skill.ref, reward=1.0, passed=True)
    store.runs.record(Task("a"), [followed], run_id="a")
    ignored = Rollout(generation=0, answer="", skill=skill.ref, reward=0.0, passed=False, adherence=0.0)
    half = Rollout(generation=0, answer="", skill=skill.ref, reward=0.0, passed=False, adherence=0.5)

    store.runs.record(Task("b"), [ignored], run_id="b")
    assert store.get("adding").utility == 1.0
    store.runs.record(Task("c"), [half], run_id="c")
    assert store.get("adding").utility == pytest.approx(0.75)
    assert store.runs.rollouts("c") == [half]
