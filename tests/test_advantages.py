"""Advantages: by hand, and what holds for all of them."""

import math
from functools import partial
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill_plugin.training.advantages import (
    advantages_C_K,
    candidate_intra_C,
    inter_C,
    parts,
    rollout_intra_C_K,
    warning,
)
from skill_plugin.training.settings import AdvantageSettings

REWARDS = [[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0], [0.5, 0.5, 0.5, 0.5]]  # R = 3/4, 1/4, 1/2
BEFORE = [0.0, 0.0, 1.0, 0.0]  # mean 1/4

numbers = st.floats(0, 1, allow_subnormal=False)
some = st.lists(numbers, min_size=1, max_size=6)
groups = st.lists(some, min_size=1, max_size=6)
literal = partial(AdvantageSettings, credit="skill-r1")
settings = st.builds(
    literal,
    intra=st.sampled_from(["candidate", "rollout"]),
    inter_weight=st.floats(0, 4),
    first_inter=st.sampled_from(["baseline", "zero"]),
    scale=st.sampled_from(["none", "std"]),
)


def close(found, expected, abs_=1e-12):
    """Ragged lists of numbers, the same."""
    assert [len(one) for one in found] == [len(one) for one in expected]
    assert [*chain(*found)] == pytest.approx([*chain(*expected)], abs=abs_)


def test_candidates_are_compared_with_their_mean():
    assert candidate_intra_C(REWARDS) == [0.25, -0.25, 0.0]


def test_the_papers_wording_compares_rollouts_under_one_candidate():
    assert rollout_intra_C_K(REWARDS) == [[0.25, -0.75, 0.25, 0.25], [-0.25, -0.25, 0.75, -0.25], [0.0] * 4]


def test_a_generation_is_compared_with_the_population_before_it():
    assert inter_C(REWARDS, BEFORE, generation=2) == [0.5, 0.0, 0.25]


def test_the_first_edit_is_compared_with_generation_0_or_with_nothing():
    assert inter_C(REWARDS, BEFORE, generation=1, first_inter="baseline") == [0.5, 0.0, 0.25]
    assert inter_C(REWARDS, BEFORE, generation=1, first_inter="zero") == [0.0, 0.0, 0.0]
    assert inter_C(REWARDS, BEFORE, generation=2, first_inter="zero") == [0.5, 0.0, 0.25]
    assert inter_C(REWARDS, [], generation=2) == [0.0, 0.0, 0.0]


def test_both_terms_add_up_by_lambda():
    half = AdvantageSettings(inter_weight=0.5)
    paper = literal(intra="rollout", inter_weight=0.5)

    assert advantages_C_K(REWARDS, BEFORE, half, generation=1) == [[0.5] * 4, [-0.25] * 4, [0.125] * 4]
    assert advantages_C_K(REWARDS, BEFORE, paper, generation=1) == [
        [0.5, -0.5, 0.5, 0.5],
        [-0.25, -0.25, 0.75, -0.25],
        [0.125] * 4,
    ]


def test_scaled_the_intra_term_is_that_of_trl():
    """R = 3/4, 1/4, 1/2 has the sample standard deviation 1/4; the rollouts 1, 0, 1, 1 have 1/2; equal ones have 0."""
    assert candidate_intra_C(REWARDS, scale="std") == pytest.approx([0.25 / 0.2501, -0.25 / 0.2501, 0])
    assert rollout_intra_C_K(REWARDS, scale="std")[0] == pytest.approx(
        [0.25 / 0.5001, -0.75 / 0.5001] + [0.25 / 0.5001] * 2
    )
    assert rollout_intra_C_K(REWARDS, scale="std")[2] == [0.0] * 4
    assert advantages_C_K(REWARDS, BEFORE, AdvantageSettings(scale="std"), generation=1)[1] == pytest.approx(
        [-0.25 / 0.2501] * 4
    )  # lambda's term is not scaled


def test_candidates_may_have_different_numbers_of_rollouts():
    """R = 1, 1/2, none, 0: each candidate counts once in the mean, however many rollouts it has."""
    ragged = [[1.0], [1.0, 0.0], [], [0.0, 0.0, 0.0]]

    assert candidate_intra_C(ragged) == [0.5, 0.0, 0.0, -0.5]
    assert inter_C(ragged, [0.5], generation=1) == [0.5, 0.0, 0.0, -0.5]
    assert rollout_intra_C_K(ragged) == [[0.0], [0.5, -0.5], [], [0.0] * 3]
    assert advantages_C_K(ragged, [0.5], AdvantageSettings(), generation=1) == [[1.0], [0.0, 0.0], [], [-1.0] * 3]


def test_nothing_in_nothing_out():
    assert advantages_C_K([], [], AdvantageSettings(), generation=1) == []
    assert advantages_C_K([[]], [1.0], AdvantageSettings(scale="std"), generation=1) == [[]]
    assert parts([]) == (0.0, 0.0)


def test_one_candidate_in_the_papers_wording_pulls_and_pushes_alike():
    """What algorithms say of it: the K-sum collapses to lambda times the inter term."""
    alone = advantages_C_K([[1.0, 0.0, 0.0, 0.0]], BEFORE, literal(intra="rollout"), generation=1)
    better = advantages_C_K([[1.0, 0.0, 1.0, 0.0]], BEFORE, literal(intra="rollout"), generation=1)

    assert parts(alone[0]) == (0.1875, -0.1875)
    assert sum(parts(better[0])) == 0.25


def test_a_form_without_a_gradient_is_said():
    assert "intra is 'rollout'" in warning(literal(intra="rollout", inter_weight=0), 4)
    assert "one candidate a prompt" in warning(AdvantageSettings(inter_weight=0), 1)
    assert warning(AdvantageSettings(inter_weight=0), 2) is None
    assert warning(literal(intra="rollout"), 1) is None


@given(groups, some, settings, st.integers(1, 3))
def test_a_form_that_is_warned_of_has_no_gradient(rewards, before, given_, generation):
    if warning(given_, len(rewards)):
        for row in advantages_C_K(rewards, before, given_, generation=generation):
            assert sum(parts(row)) == pytest.approx(0, abs=1e-9)


@given(groups, st.sampled_from(["none", "std"]))
def test_intra_terms_sum_to_zero(rewards, scale):
    assert math.fsum(candidate_intra_C(rewards, scale=scale)) == pytest.approx(0, abs=1e-9)
    for row in rollout_intra_C_K(rewards, scale=scale):
        assert math.fsum(row) == pytest.approx(0, abs=1e-9)


@given(groups, some, settings, st.integers(1, 3), st.floats(-2, 2))
def test_what_is_added_to_all_rewards_changes_nothing(rewards, before, given_, generation, more):
    shifted = [[one + more for one in row] for row in rewards]
    close(
        advantages_C_K(shifted, [one + more for one in before], given_, generation=generation),
        advantages_C_K(rewards, before, given_, generation=generation),
        abs_=1e-9,
    )


@given(st.data(), groups, some, settings)
def test_the_order_of_candidates_and_rollouts_is_theirs_alone(data, rewards, before, given_):
    found = advantages_C_K(rewards, before, given_, generation=1)
    order = data.draw(st.permutations(range(len(rewards))))
    inner = [data.draw(st.permutations(range(len(row)))) for row in rewards]
    moved = lambda rows: [[rows[c][k] for k in inner[c]] for c in order]  # noqa: E731 - said twice

    close(advantages_C_K(moved(rewards), data.draw(st.permutations(before)), given_, generation=1), moved(found), 1e-9)


@given(groups, st.floats(1, 1000))
def test_scaled_the_intra_term_forgets_the_scale_of_the_rewards(rewards, factor):
    """Up to the 1e-4 that is added to the standard deviation: it is never larger, and `x / s` but for 1e-4 in s."""
    plain, scaled = candidate_intra_C(rewards), candidate_intra_C(rewards, scale="std")
    larger = candidate_intra_C([[one * factor for one in row] for row in rewards], scale="std")
    count = len(rewards)
    std = math.sqrt(math.fsum(one * one for one in plain) / (count - 1)) if count > 1 else 0.0

    assert scaled == pytest.approx([one / (std + 1e-4) for one in plain], abs=1e-9)
    for one, other in zip(scaled, larger, strict=True):
        assert abs(other - one) <= abs(one) * 1e-4 / (std + 1e-12) + 1e-9


@given(st.lists(some, min_size=2, max_size=6))
def test_with_one_candidate_a_generation_the_inter_terms_telescope(generations):
    """sum_g inter(g) = mean of the last - mean of the first."""
    gains = [inter_C([now], before, generation=g)[0] for g, (before, now) in enumerate(pairwise(generations), start=1)]
    first, last = (math.fsum(one) / len(one) for one in (generations[0], generations[-1]))

    assert math.fsum(gains) == pytest.approx(last - first, abs=1e-12)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20))
def test_pull_and_push_are_the_mean_by_sign(advantages):
    pull, push = parts(advantages)

    assert pull >= 0 >= push
    assert pull + push == pytest.approx(math.fsum(advantages) / len(advantages), abs=1e-12)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.floats(0.01, 10))
def test_pull_and_push_are_all_that_the_clipped_surrogate_needs(advantages, ratio):
    low, high = 0.8, 1.2
    pull, push = parts(advantages)
    whole = math.fsum(min(ratio * one, min(max(ratio, low), high) * one) for one in advantages) / len(advantages)

    assert pull * min(ratio, high) + push * max(ratio, low) == pytest.approx(whole, abs=1e-9)
