"""What logs say of a generator that did not write them: by hand, and on a bandit whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill_plugin.errors import ConfigurationError
from skill_plugin.gates import bootstrap
from skill_plugin.gates.off_policy import OffPolicyEstimate, estimate, verdict

QUALITY = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
"""Chance that a text of each of five kinds solves the easiest task."""


def policy(sharpness):
    """How often each kind is written; the sharper, the more often the good ones."""
    odds = np.exp(sharpness * QUALITY)
    return odds / odds.sum()


LOGGED, LIVE, BETTER = policy(0), policy(0.6), policy(2)


def logged(rng, candidate, live, *, tasks, size=4):
    """What `estimate` takes: groups that the policy `LOGGED` wrote for tasks of different difficulty."""
    ease = rng.uniform(0.2, 1, size=(tasks, 1))
    kinds = rng.choice(5, size=(tasks, size), p=LOGGED)
    rewards = (rng.random((tasks, size)) < QUALITY[kinds] * ease).astype(float)
    logprobs = [np.log(one)[kinds].ravel().tolist() for one in (candidate, live, LOGGED)]
    return [*logprobs, rewards.ravel().tolist(), np.repeat(np.arange(tasks), size).tolist()]


def truth(candidate, live):
    return (candidate - live) @ QUALITY * 0.6  # the mean ease


def test_an_example_by_hand():
    # Two groups of two. The candidate doubles the odds of the better text of each and halves those of the worse.
    double, half = math.log(2), -math.log(2)
    found = estimate([double, half, double, half], [0] * 4, [0] * 4, [1, 0, 0.5, 0.25], ["a", "a", "b", "b"])

    # advantages: 1, -1, 0.25, -0.25; weights: 2, 0.5, 2, 0.5
    assert found.candidate == pytest.approx((2 - 0.5 + 0.5 - 0.125) / 5)
    assert (found.live, found.gain) == (0, found.candidate)
    assert found.candidate_ess == pytest.approx(25 / 8.5)
    assert found.live_ess == pytest.approx(4)
    assert (found.revisions, found.groups, found.tasks, found.capped) == (4, 2, 2, 0)


def test_weights_above_the_cap_are_cut():
    found = estimate([5, 0], [0, 0], [0, 0], [1, 0], ["a", "a"], cap=3)

    assert found.candidate == pytest.approx((3 - 1) / 4)
    assert found.capped == 0.5
    assert estimate([5, 0], [0, 0], [0, 0], [1, 0], ["a", "a"], cap=None).candidate == pytest.approx(math.tanh(2.5))


def test_the_generator_that_wrote_the_log_is_worth_nothing_more_than_itself():
    rng = np.random.default_rng(0)
    found = estimate(*logged(rng, LOGGED, LOGGED, tasks=10))

    assert (found.candidate, found.live, found.low, found.high) == pytest.approx((0, 0, 0, 0))
    assert found.candidate_ess == pytest.approx(40)


def test_a_group_of_one_is_compared_with_nothing_and_left_out():
    found = estimate([0, 0, 9], [0] * 3, [0] * 3, [1, 0, 1], ["a", "a", "b"])

    assert (found.revisions, found.groups) == (2, 1)


def test_groups_of_one_task_come_and_go_together():
    rng = np.random.default_rng(3)
    *numbers, groups = logged(rng, BETTER, LIVE, tasks=40)
    apart = estimate(*numbers, groups)
    together = estimate(*numbers, groups, tasks=[group // 8 for group in groups])

    assert (apart.tasks, together.tasks, together.groups) == (40, 5, 40)
    assert together.gain == pytest.approx(apart.gain)


@given(
    st.lists(st.tuples(st.floats(-900, 900), st.floats(0, 1)), min_size=2, max_size=8),
    st.floats(-50, 50),
    st.floats(0, 1),
)
def test_a_value_is_among_the_advantages_and_neither_a_policys_scale_nor_a_tasks_ease_moves_it(rows, scale, ease):
    n = len(rows)
    logprobs, rewards = [logprob for logprob, _ in rows], [reward for _, reward in rows]

    def value(logprobs, rewards):
        return estimate(logprobs, [0] * n, [0] * n, rewards, ["a"] * n, cap=None, draws=1)

    found = value(logprobs, rewards)
    assert -1 - 1e-9 <= found.candidate <= 1 + 1e-9
    assert 1 - 1e-9 <= found.candidate_ess <= n + 1e-9
    moved = value([one + scale for one in logprobs], [reward + ease for reward in rewards])
    assert moved.candidate == pytest.approx(found.candidate, abs=1e-9)


def test_without_a_cap_the_mean_of_many_estimates_is_the_truth_and_a_low_cap_hides_a_part_of_it():
    rng = np.random.default_rng(1)
    logs = [logged(rng, BETTER, LIVE, tasks=50) for _ in range(300)]
    free, capped = (np.array([estimate(*log, cap=cap, draws=1).gain for log in logs]) for cap in (None, 1.2))

    standard_error = free.std() / 300**0.5
    assert abs(free.mean() - truth(BETTER, LIVE)) < 3 * standard_error
    assert 0 < capped.mean() < truth(BETTER, LIVE) - 3 * standard_error


@pytest.mark.parametrize(("tasks", "least"), [(10, 0.88), (40, 0.91)])
def test_the_interval_holds_the_truth_about_95_times_of_100(tasks, least):
    rng = np.random.default_rng(1)
    found = [estimate(*logged(rng, BETTER, LIVE, tasks=tasks), draws=300, seed=run) for run in range(200)]

    held = np.mean([one.low <= truth(BETTER, LIVE) <= one.high for one in found])
    assert least <= held <= 0.99
    assert all(one.candidate_ess < one.live_ess < one.revisions for one in found)


def test_of_two_that_are_equally_good_the_wrong_one_is_rarely_promoted():
    # Both move away from the log, in ways that are worth the same.
    one, other = np.array([0.3, 0.1, 0.2, 0.1, 0.3]), np.array([0.1, 0.3, 0.2, 0.3, 0.1])
    assert truth(one, other) == pytest.approx(0)
    rng = np.random.default_rng(2)

    promoted = [verdict(estimate(*logged(rng, one, other, tasks=20), draws=300, seed=run))[0] for run in range(200)]
    assert np.mean(promoted) <= 0.06


def test_of_one_task_there_is_nothing_to_draw():
    found = estimate([1, 0], [0, 0], [0, 0], [1, 0], ["a", "a"])

    assert found.low == found.high == found.gain > 0
    assert verdict(found) == (False, "the held-back revisions are of 1 tasks, which is fewer than 5")


@pytest.mark.parametrize(
    ("freedom", "t"), [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (30, 2.042), (10**6, 1.960)]
)
def test_students_t(freedom, t):
    assert bootstrap._student(freedom, 0.025) == pytest.approx(t, rel=0.01)


@pytest.mark.parametrize(
    ("freedom", "tail", "t"),
    [(1, 0.0047, 67.721), (2, 0.0015625, 17.847), (4, 0.0015625, 6.364), (33, 0.0015625, 3.189), (99, 0.01875, 2.109)],
)
def test_students_t_further_out(freedom, tail, t):
    assert bootstrap._student(freedom, tail) == pytest.approx(t, rel=0.01)


def test_the_same_seed_gives_the_same_interval():
    log = logged(np.random.default_rng(0), BETTER, LIVE, tasks=10)

    assert estimate(*log, seed=4) == estimate(*log, seed=4)
    assert estimate(*log, seed=4).low != estimate(*log, seed=5).low


# The verdict


def test_a_clear_gain_on_enough_logs_is_promoted_with_its_interval():
    found = estimate(*logged(np.random.default_rng(0), BETTER, LIVE, tasks=100))

    promote, reason = verdict(found)
    assert promote
    assert reason == (
        f"estimated gain {found.gain:+.3f} [{found.low:+.3f}, {found.high:+.3f}] over 100 tasks: the whole interval is above 0"
    )


def test_a_loss_is_kept():
    found = estimate(*logged(np.random.default_rng(0), LIVE, BETTER, tasks=100))

    assert verdict(found)[0] is False
    assert verdict(found)[1].endswith("the interval is not above 0")


def test_too_little_to_go_by_is_no_reason_to_promote():
    log = logged(np.random.default_rng(0), BETTER, LIVE, tasks=100)
    found = estimate(*log)

    assert verdict(estimate([], [], [], [], [])) == (
        False,
        "no held-back group of two or more logged revisions to judge it by",
    )
    assert verdict(found, min_tasks=101) == (False, "the held-back revisions are of 100 tasks, which is fewer than 101")
    assert verdict(found, min_ess=1000) == (
        False,
        f"the logs say too little of the candidate: 400 revisions count as {found.candidate_ess:.1f}, which is fewer than 1000",
    )


def test_a_candidate_that_went_far_from_the_log_counts_as_few_revisions_and_is_kept():
    log = logged(np.random.default_rng(0), BETTER, LIVE, tasks=100)
    few = estimate([0.0, *([-2000.0] * 399)], *log[1:])
    assert few.candidate_ess == pytest.approx(1)
    assert verdict(few) == (
        False,
        "the logs say too little of the candidate: 400 revisions count as 1.0, which is fewer than 10",
    )


@pytest.mark.parametrize(
    ("log", "options", "says"),
    [
        (([0.0], [0.0], [0.0], [1.0], []), {}, r"logprobs_candidate has shape \(1,\)"),
        (
            ([0.0, math.nan], [0, 0], [0, 0], [1, 0], "aa"),
            {},
            r"logprobs_candidate\[1\] is nan; leave that revision out",
        ),
        (([0, 0], [0, 0], [-math.inf, 0], [1, 0], "aa"), {}, r"logprobs_behaviour\[0\] is -inf"),
        (([0, 0], [0, 0], [0, 0], [1, 0], "aa"), {"cap": 0}, "cap is 0; give a number above 0"),
        (([0, 0], [0, 0], [0, 0], [1, 0], "aa"), {"draws": 0}, "draws is 0"),
        (([0, 0], [0, 0], [0, 0], [1, 0], "aa"), {"tasks": "a"}, "2 revisions and 1 names of tasks"),
    ],
)
def test_what_is_no_log(log, options, says):
    with pytest.raises(ConfigurationError, match=says):
        estimate(*log, **options)


def test_an_estimate_is_plain_json():
    assert set(estimate([], [], [], [], []).to_json()) == set(OffPolicyEstimate.__dataclass_fields__)
