import json

import pytest

from skill_plugin.errors import ConfigurationError
from skill_plugin.gates.versions import GateDecision, choose, judge_version, paired_gate, replay_score
from skill_plugin.graphs.evolution.variants import NOT_FOUND


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


def judged(before=(0, 0, 1), after=(1, 1, 1), **evidence):
    return judge_version(before, after, **{"found": 3, "of_kind": 3, **evidence})


def test_what_search_finds_is_a_part_of_the_decision():
    assert judged().reason == "2 repaired > 0 regressed of 3 held-out tasks"
    few = judged(found=1)
    assert (few.promote, few.reason) == (
        False,
        f"2 repaired > 0 regressed of 3 held-out tasks; {NOT_FOUND.format(found=1, asked=3)}",
    )
    assert judged(found=2).promote
    assert judged(found=0, of_kind=2).promote  # two tasks of its kind are too few to refuse it for that alone


def test_tasks_of_other_families_that_it_would_take_are_a_part_too():
    assert judged(elsewhere=[(0, 1)]).promote
    harmed = judged(elsewhere=[(1, 0), (1, 1)])
    assert (harmed.promote, harmed.shown_elsewhere) == (False, 2)
    assert harmed.reason.endswith(
        "search would show it for 2 tasks of other families, of which 1 regressed: the description says too much"
    )


def test_failing_train_tasks_count_where_nothing_held_out_regresses():
    same = {"before": (1, 1), "after": (1, 1), "found": 2, "of_kind": 2}
    assert not judged(**same).promote
    assert judged(**same, train_repairs=1).promote
    assert not judged(before=(1, 0), after=(0, 1), train_repairs=3).promote


def test_judges_that_need_not_be_run_are_named():
    refused = judged(before=(), after=(), found=0, of_kind=0, easy=4)

    assert (refused.promote, refused.unseen) == (False, True)
    assert refused.reason == "0 repaired because no held-out task fails today, 4 are solved without it"
    assert (
        judged(before=(0,), after=(0,), easy=2).reason
        == "0 repaired of 1 held-out tasks that fail today, 2 are solved without it"
    )


def test_a_decision_is_read_back_as_it_was_written():
    decision = judged(judges=["a", "b"], task="c")

    assert GateDecision.from_json(json.loads(json.dumps(decision.to_json()))) == decision
