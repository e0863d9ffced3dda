import pytest

from skill_plugin.errors import ConfigurationError
from skill_plugin.gate import GateDecision, choose, paired_gate, replay_score


def test_more_repairs_than_regressions_promote():
    assert paired_gate([0, 0, 1, 1], [1, 1, 0, 1]) == GateDecision(
        True, "2 repaired > 1 regressed of 4 held-out tasks", 4, 2, 1, 0.5, 0.75, pytest.approx(2 / 3)
    )


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ([0, 1], [1, 0], "1 repaired = 1 regressed of 2 held-out tasks"),
        ([1, 1], [1, 1], "0 repaired = 0 regressed of 2 held-out tasks"),
        ([1, 1], [0, 1], "0 repaired < 1 regressed of 2 held-out tasks"),
        ([], [], "no held-out tasks to judge it by"),
    ],
)
def test_anything_else_is_refused(before, after, reason):
    decision = paired_gate(before, after)

    assert (decision.promote, decision.reason) == (False, reason)


def test_graded_rewards_count_by_pair_not_by_mean():
    assert paired_gate([0.0, 0.9, 0.9], [1.0, 0.8, 0.8]).promote is False


def test_unpaired_rewards_are_refused():
    with pytest.raises(ConfigurationError, match="pairs"):
        paired_gate([1], [])


def test_replay_weighs_hard_and_easy_tasks_by_their_product():
    before = [0, 0, 0, 1, 1, 1, 1]

    assert replay_score(before, [1, 1, 1, 1, 1, 1, 1]) == 1
    assert replay_score(before, [1, 1, 0, 1, 1, 1, 1]) == pytest.approx(3 / 4)
    assert replay_score(before, [1, 1, 1, 1, 0, 0, 0]) == pytest.approx(2 / 5)
    assert replay_score(before, [0.5, 0.5, 0, 1, 1, 1, 1]) == pytest.approx(2 / 4)
    assert replay_score([], []) == 1


def test_of_those_that_pass_the_best_replay_is_chosen_not_the_newest():
    before = [0, 0, 0, 0, 1, 1]
    afters = {
        "s@2": [1, 1, 1, 0, 1, 1],
        "s@3": [1, 1, 1, 1, 0, 0],
        "s@4": [1, 1, 1, 0, 1, 1],
        "s@5": [0, 0, 0, 0, 0, 1],
    }
    decisions = choose({ref: paired_gate(before, after) for ref, after in afters.items()})

    assert [ref for ref, decision in decisions.items() if decision.promote] == ["s@2"]
    assert (
        decisions["s@3"].reason == "4 repaired > 2 regressed of 6 held-out tasks, but s@2 replays better (0.80 to 0.33)"
    )
    assert decisions["s@5"].reason == "0 repaired < 1 regressed of 6 held-out tasks"
