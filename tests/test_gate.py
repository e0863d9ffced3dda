import pytest

from skill_plugin.errors import ConfigurationError
from skill_plugin.gate import GateDecision, paired_gate


def test_more_repairs_than_regressions_promote():
    assert paired_gate([0, 0, 1, 1], [1, 1, 0, 1]) == GateDecision(
        True, "2 repaired > 1 regressed of 4 held-out tasks", 4, 2, 1, 0.5, 0.75
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
