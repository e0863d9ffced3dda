"""The proofs of what users get, in small: what the rows say, and that they can say no."""

import json
import sys

import conventions
import families
import judges
import passes
import pytest
import sums
import what_users_get as proofs
from serving import Options, interval


class Topics:
    """Near are texts about the same thing; a text about none of the things is near nothing."""

    signature = "topics"
    THINGS = ("add ", "invoice", "vaccin", "flight", "rose", "bridge", "violin", "bread", "server", "visa")

    def embed(self, texts):
        return [self._vector(text.lower()) for text in texts]

    def _vector(self, text):
        about = [2.0 * (thing in text) for thing in self.THINGS]
        own = [float(any(about) and len(text) % 8 == n) for n in range(8)] + [float(not any(about))]
        length = sum(x * x for x in [*about, *own]) ** 0.5
        return [x / length for x in [*about, *own]]


SMALL = Options(seeds=1, embedder=Topics())
QUICK = SMALL.settings(generations=2, candidates=1, rollouts=1, controls=0)


def test_many_easy_tasks_are_all_solved_by_what_is_live_afterwards():
    found = sums.at_once(SMALL, tasks=8)

    assert set(found) == {"candidates", "task_calls", "reported", "replayed", "of", "promotions"}
    assert (found["replayed"], found["of"]) == (4, 4)
    assert proofs.ROWS["at-once"].short(found).endswith("4 replayed of 4")


def test_a_writer_that_never_helps_reaches_no_target():
    found = sums.at_once(SMALL, tasks=8, helps=False)

    assert (found["reported"], found["replayed"], found["promotions"]) == (0, 0, 0)
    assert not proofs.ROWS["at-once"].reached(found)


def test_families_with_names_of_their_own_are_all_solved():
    found = families.one_name(SMALL, families=2, train=2, heldout=2, unseen=1, name=None)

    assert (found["families_solved"], found["live_skills"]) == (2, 2)


def test_a_writer_that_does_not_mend_its_description_leaves_new_tasks_unsolved():
    found = sums.vague_description(SMALL, train=2, heldout=2, unseen=2, mends=False)["told"]

    assert (found["passed"], found["of"]) == (0, 2)


def test_without_a_rule_none_is_live():
    found = sums.leak(SMALL, tasks=8, kinds=("leak", "useless"))

    assert [(one["rule_live"], one["rule_above_leak"]["seeds"]) for one in found.values()] == [(0, 0), (0, 0)]
    assert not proofs.ROWS["leak"].reached(found)


def test_passes_say_at_how_many_calls_the_unseen_tasks_were_solved():
    world = conventions.house(0, families=1, train=4, heldout=4, unseen=1)
    found = passes.ours(world, error=0.0, seed=0, settings=QUICK, passes=4)

    assert found["calls"] == found["agent"] + found["writer"] > 0
    assert found["solved"] == (found["share"] == 1.0)


def test_a_writer_that_spoils_everything_never_gets_there():
    world = conventions.house(0, families=1, train=4, heldout=4, unseen=4)
    found = passes.ours(world, error=1.0, seed=0, settings=QUICK, passes=2)

    assert (found["solved"], found["passes"], found["share"]) == (False, 2, 0.0)


def test_the_writer_adds_at_most_two_rules_and_keeps_the_others():
    feedback = [f"the invoice {name} is wrong: the house wants style-{n}" for n, name in enumerate("abc")]
    rules = conventions.wrote({"invoice z": "style-9"}, feedback, error=0.0, draw=conventions.luck(0))

    assert (len(rules), rules["invoice z"]) == (3, "style-9")


@pytest.mark.parametrize("seed", range(3))
def test_one_held_out_task_in_twenty_shows_the_rare_convention_and_not_among_the_first_eight(seed):
    ordered = sorted(judges.rare_house(seed).heldout, key=lambda task: task.content_hash)
    shows = [place for place, task in enumerate(ordered) if f"{judges.PAPER} {judges.RARE}" in task.reference]

    assert len(ordered) == 20
    assert len(shows) == 1
    assert shows[0] >= judges.FIRST


def test_a_stream_says_what_each_part_is_ahead():
    world = families.World(families=1, nights=1, train=2, heldout=2, unseen=2, right=1.0, bad=0.0)
    found = families.stream(SMALL, parts=["none", "defaults"], world=world)

    assert set(found) == {"none", "defaults"}
    assert (found["none"]["solved"], found["none"]["ahead"], found["none"]["live"]) == (1.0, 0.0, 1.0)


def test_an_interval_is_the_mean_and_half_its_width():
    assert interval([1.0, 1.0, 1.0]) == (1.0, 0.0)
    assert interval([0.0, 1.0])[1] == pytest.approx(6.353, abs=1e-3)


def test_a_row_that_cannot_be_measured_says_why(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["what_users_get.py", "--rows", "retrieval", "--json", str(out)])
    proofs.main()

    assert capsys.readouterr().out.startswith("retrieval: left out: it needs --data\n")
    assert json.loads(out.read_text())["rows"] == {"retrieval": {"left_out": "it needs --data"}}
