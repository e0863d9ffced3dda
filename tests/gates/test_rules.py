"""Rules of the gate as objects: by name, and of users."""

import pytest

from evolving import Writer, adding, run
from fakes import MACHINE
from skill_plugin.errors import ConfigurationError
from skill_plugin.gates.checkpoints import decide
from skill_plugin.gates.versions import GATES, GateDecision, judge_version, load_rule, paired_gate
from skill_plugin.graphs import EvolveSettings
from skill_plugin.records import Revision


class Never:
    name = "never"

    def __init__(self):
        self.asked = []

    def decide(self, before, after):
        self.asked.append((list(before), list(after)))
        return paired_gate(before, after).refused("never")


def test_no_regression_refuses_what_a_paired_gain_takes():
    before, after = [0, 0, 1], [1, 1, 0]

    assert GATES["paired"].decide(before, after).promote
    refused = GATES["no-regression"].decide(before, after)
    assert (refused.promote, refused.repairs, refused.regressions) == (False, 2, 1)
    assert refused.reason.endswith(", and none may regress")
    assert GATES["no-regression"].decide([0, 1], [1, 1]).promote


def test_a_rule_of_ones_own_decides_on_versions_and_on_checkpoints():
    never = Never()

    assert not judge_version([0], [1], found=1, of_kind=1, rule=never).promote
    text = Revision(completion=MACHINE, text=MACHINE)
    decision = decide(before=[0, 0], after=[1, 1], candidate=[text], live=[text], rule=never)
    assert (decision.promote, decision.gain) == (False, 1)
    assert never.asked == [([0], [1]), ([0, 0], [1, 1])]


def test_evolve_asks_it_with_every_judge_both_ways(store, monkeypatch):
    never = Never()
    tasks = [*adding(1), *adding(2, 3, 4, 5, 6, split="heldout")]
    run(store, tasks, writer=Writer(MACHINE), settings=EvolveSettings(generations=1, rule=never))

    assert {skill.status for skill in store.list()} == {"staged"}
    assert {len(before) for before, _ in never.asked} == {5}
    monkeypatch.setitem(GATES, "never", never)
    assert EvolveSettings(rule="never").deciding()["rule"] == "never"


@pytest.mark.parametrize("wrong", ["strict", None, object(), 1])
def test_what_is_not_a_rule_is_refused(wrong):
    for make in (lambda: load_rule(wrong), lambda: EvolveSettings(rule=wrong)):
        with pytest.raises(ConfigurationError, match="use one of paired, no-regression"):
            make()


def test_the_reason_of_a_refusal_is_added():
    assert GateDecision(True, "1 repaired", 1, 1, 0, 0.0, 1.0).refused("too few").reason == "1 repaired, too few"
