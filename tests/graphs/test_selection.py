"""Which variant is revised next."""

from collections import Counter

import pytest

from fakes import skill_text
from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs.evolution import selection
from skill_plugin.records import Generation, Rollout


def variant(number, *rewards, body="Use fingers.", controls=()):
    rollouts = [Rollout(generation=number, answer="", k=k, reward=reward) for k, reward in enumerate(rewards)]
    rollouts += [Rollout(generation=number, answer="", reward=reward, arm="control") for reward in controls]
    text = body and skill_text(body=body)
    return Generation(number=number, text=text, skill=f"sk@{number}", rollouts=tuple(rollouts))


def test_the_mean_leaves_out_controls_and_what_has_no_verdict():
    assert variant(0, 1.0, 0.0, None, controls=[1.0, 1.0]).mean_reward == 0.5
    assert variant(0, None).mean_reward is None


def test_the_best_mean_and_of_equals_the_newest():
    low, old, new = variant(0, 0.0), variant(1, 1.0, 0.0), variant(2, 0.5)

    assert selection.best_mean([low, old], "x") is old
    assert selection.best_mean([low, old, new], "x") is new


def test_the_frontier_holds_what_is_not_beaten_in_reward_and_brevity_and_draws_by_reward():
    short, long, beaten = variant(0, 0.2, body="a"), variant(1, 1.0, body="abc"), variant(2, 0.9, body="abcd")
    drawn = Counter(selection.frontier([short, long, beaten], str(seed)).number for seed in range(300))

    assert set(drawn) == {0, 1}
    assert drawn[1] > drawn[0]
    assert len({selection.frontier([short, long], "same").number for _ in range(20)}) == 1


def test_no_skill_at_all_is_not_drawn_while_there_is_a_text():
    nothing, text = variant(0, 0.5, body=None), variant(1, 0.0)

    assert selection.frontier([nothing, text], "x") is text
    assert selection.frontier([nothing], "x") is nothing


def test_names_and_functions():
    assert selection.load("frontier") is selection.frontier
    assert selection.load(selection.best_mean) is selection.best_mean
    with pytest.raises(
        ConfigurationError, match="'luck' is not a selection; use one of best-mean, frontier, or a function"
    ):
        selection.load("luck")
