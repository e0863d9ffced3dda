"""What the candidates of one prompt are worth beside each other: by hand, and what holds for all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill_plugin.credit import CREDITS, Credit
from skill_plugin.histories.worth import CandidateRewards, Later, Worth, has_signal, worths_of

R1, EVOLVING, SAGE = (CREDITS[name] for name in ("skill-r1", "evolving-rl", "sage"))


def on(task, *rewards, before=(), used=None):
    return Later(task, rewards, tuple(before), used=used)


ANSWER = CandidateRewards([1.0], [on("a", 0.0, before=[0.0]), on("b", 0.0, before=[0.5])])
RULE = CandidateRewards([0.5], [on("a", 1.0, before=[0.0]), on("b", 0.5, 1.0, before=[0.5])])


def worths(candidates, previous=(0.0,), credit=EVOLVING):
    return worths_of(candidates, previous, credit)


def test_each_mode_weighs_the_own_task_and_the_siblings():
    """R_own = 1 and 1/2; R_later = 0 and 7/8; R(parent) is 0 on their own task and 1/4 on the siblings."""
    assert worths([ANSWER, RULE], credit=R1).candidates == (Worth(1.0, 1.0, 1), Worth(0.5, 0.5, 1))
    assert worths([ANSWER, RULE]).candidates == (Worth(0.0, -0.25, 2), Worth(0.875, 0.625, 3))
    assert worths([ANSWER, RULE], credit=SAGE).candidates == (Worth(0.5, 0.375, 3), Worth(0.6875, 0.5625, 4))


def test_which_tasks_a_group_is_compared_on_is_said():
    assert worths([ANSWER, RULE]).siblings == ("a", "b")
    assert worths([ANSWER, RULE], credit=R1).siblings == ()


def test_fewer_than_two_siblings_leave_the_own_task_alone():
    few = [one._replace(later=[one.later[0], on("b")]) for one in (ANSWER, RULE)]

    for credit in (EVOLVING, SAGE):
        assert worths(few, credit=credit) == worths(few, credit=R1)


def test_all_are_compared_on_the_siblings_that_all_were_judged_on():
    more = RULE._replace(later=[*RULE.later, on("c", 0.0)])
    found = worths([ANSWER, more])

    assert (found.siblings, found.candidates[1]) == (("a", "b"), Worth(0.875, 0.625, 3))


def test_a_text_without_siblings_is_left_out_where_another_has_some():
    """By its own task it could be the one that holds the answer."""
    found = worths([ANSWER._replace(later=[]), RULE])

    assert found.candidates == (Worth(), Worth(0.875, 0.625, 3))


def test_without_siblings_in_common_all_go_by_their_own_task():
    other = CandidateRewards([1.0], [on("c", 0.0), on("d", 0.0)])

    assert worths([other, RULE]) == worths([other, RULE], credit=R1)


def test_a_malformed_text_is_worth_what_it_is_given_on_whatever_tasks():
    bad = CandidateRewards((), fixed=-1.0)

    assert worths([bad, RULE]).candidates[0] == Worth(-1.0, -1.25, 1)
    assert worths([bad, RULE], previous=[0.5], credit=R1).candidates[0] == Worth(-1.0, -1.5, 1)


def test_the_gain_is_of_the_siblings_whose_parent_is_known():
    """On a it gains 1, on b nothing is known: R = 7/8, gain 1."""
    half = RULE._replace(later=[RULE.later[0], RULE.later[1]._replace(before=())])

    assert worths([half]).candidates == (Worth(0.875, 1.0, 3),)
    assert worths([CandidateRewards([1.0], [on("a", 1.0), on("b", 1.0)])]).candidates == (Worth(1.0, None, 2),)


def test_a_copy_of_its_parent_gains_nothing():
    copy = CandidateRewards([], [on("a", 0.0, before=[0.0]), on("b", 0.5, before=[0.5])])

    assert worths([copy, RULE]).candidates[0] == Worth(0.25, 0.0, 2)
    assert worths([copy, RULE], credit=SAGE).candidates[0] == Worth()


@pytest.mark.parametrize(("own", "later", "used", "bonus"), [
    (1.0, 1.0, 1.0, 0.5), (1.0, 1.0, None, 0.0), (1.0, 1.0, 0.0, 0.0), (0.5, 1.0, 1.0, 0.0), (1.0, 0.0, 1.0, 0.0),
])  # fmt: skip
def test_the_bonus_is_for_a_solved_task_and_a_text_that_was_used_on_siblings(own, later, used, bonus):
    text = CandidateRewards([own], [on("a", later, before=[0.0], used=used), on("b", later, before=[0.0])])
    [found] = worths([text], credit=SAGE).candidates

    assert (found.reward, found.gain) == ((own + later) / 2 + bonus, (own + later) / 2 + bonus)


def test_a_group_says_something_by_the_tasks_that_it_is_compared_on():
    """Equal on their own task, not on siblings; and the other way round."""
    same = RULE._replace(own=[1.0])
    level = [CandidateRewards([own], [on("a", 1.0, before=[1.0]), on("b", 0.0, before=[0.0])]) for own in (0.0, 1.0)]

    assert has_signal(worths([ANSWER, same]).candidates)
    assert not has_signal(worths(level).candidates)
    assert has_signal(worths(level, credit=R1).candidates)


rewards = st.lists(st.sampled_from([0.0, 0.25, 1.0]), max_size=3).map(tuple)
laters = st.dictionaries(st.sampled_from("abcd"), st.tuples(rewards, rewards)).map(
    lambda found: [Later(task, own, before) for task, (own, before) in found.items()]
)
judged = st.builds(CandidateRewards, rewards, laters, st.none() | st.floats(-1, 1))
credits_ = st.builds(Credit, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5]))


@given(st.lists(judged, max_size=4), rewards, credits_)
def test_nobody_is_worth_anything_by_tasks_that_another_is_not_compared_on(candidates, previous, credit):
    found = worths_of(candidates, previous, credit)

    for one, worth in zip(candidates, found.candidates, strict=True):
        tasks = {later.task for later in one.later if later.rewards}
        if worth.reward is not None and one.fixed is None:
            assert tasks.issuperset(found.siblings)
            assert found.siblings or worth.rollouts == len(one.own)
        assert (worth.reward is None) == (worth.rollouts == 0)


@given(st.lists(judged, max_size=4), rewards)
def test_skill_r1_asks_for_no_siblings(candidates, previous):
    alone = [one._replace(later=[]) for one in candidates]

    assert worths_of(candidates, previous, R1) == worths_of(alone, previous, EVOLVING)
