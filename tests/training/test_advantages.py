"""Advantages: by hand, and what holds for all of them."""

import math
from functools import partial
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill_plugin.credit import Credit
from skill_plugin.errors import ConfigurationError
from skill_plugin.histories.worth import Worth
from skill_plugin.training.data.advantages import (
    advantages_C_K,
    candidate_intra_C,
    credited_C,
    inter_C,
    parts,
    rollout_intra_C_K,
    warning,
)
from skill_plugin.training.options import parts as parts_of
from skill_plugin.training.plan import TrainPlan
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


WORTHS = [Worth(0.75, 0.5, 4), Worth(), Worth(0.25, 0.0, 4), Worth(-1.0, None, 1)]


def test_texts_that_siblings_judged_are_compared_with_their_mean_and_with_what_they_revise():
    """The mean of 3/4, 1/4 and -1 is 0; who was not judged is in no mean; lambda is 1, or 2 from the second generation on."""
    late = AdvantageSettings(inter_weight=2.0, first_inter="zero")

    assert credited_C(WORTHS, AdvantageSettings(), generation=1) == [1.25, 0.0, 0.25, -1.0]
    assert credited_C(WORTHS, late, generation=1) == [0.75, 0.0, 0.25, -1.0]
    assert credited_C(WORTHS, late, generation=2) == [1.75, 0.0, 0.25, -1.0]


def test_texts_that_siblings_judged_are_scaled_as_others_are():
    scaled = credited_C(WORTHS, AdvantageSettings(scale="std", inter_weight=0), generation=1)

    assert scaled == pytest.approx(candidate_intra_C([[0.75], [], [0.25], [-1.0]], scale="std"))


@pytest.mark.parametrize(
    ("given_", "weights"),
    [({}, (1, 0)), ({"credit": "skill-r1"}, (0, 0)), ({"credit": "sage"}, (0.5, 0.5)),
     ({"later_weight": 0.5}, (0.5, 0)), ({"credit": "sage", "bonus": 0.0}, (0.5, 0))],
)  # fmt: skip
def test_a_credit_has_a_name_and_its_weights_may_be_set(given_, weights):
    assert AdvantageSettings(**given_).weights == Credit(*weights)


def test_a_credit_is_chosen_on_the_command_line_by_name_or_by_weights():
    assert parts_of({"credit": "sage", "malformed_reward": "-1"})["advantage"] == AdvantageSettings(
        credit="sage", malformed_reward=-1
    )
    assert parts_of({"later_weight": "0.5", "bonus": "none"})["advantage"] == AdvantageSettings(later_weight=0.5)


def test_a_plan_from_before_siblings_counted_goes_by_the_own_task():
    old = TrainPlan(base_model="m").to_json()
    for name in ("credit", "later_weight", "bonus"):
        del old["advantage"][name]

    assert TrainPlan.from_json(old).advantage == AdvantageSettings(credit="skill-r1")
    assert TrainPlan.from_json(TrainPlan(base_model="m").to_json()) == TrainPlan(base_model="m")


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"credit": "grpo"}, "credit is 'grpo'; give one of skill-r1, evolving-rl, sage"),
        ({"later_weight": 1.5}, "later_weight is 1.5; give a number from 0 to 1"),
        ({"malformed_reward": -1.5}, "malformed_reward is -1.5; give a number from -1 to 1, or None"),
        ({"intra": "rollout"}, "intra is 'rollout' and credit is 'evolving-rl'; .* set credit to 'skill-r1'"),
        ({"intra": "rollout", "credit": "skill-r1", "bonus": 1}, "rollouts of a text's own task alone"),
    ],
)
def test_a_form_that_cannot_be_is_said(given_, said):
    with pytest.raises(ConfigurationError, match=said):
        AdvantageSettings(**given_)


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
