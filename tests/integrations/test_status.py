"""`skill-plugin status`: what runs, what ran, what waits."""

import json
from datetime import UTC, datetime

import pytest

from adapters import adapter
from fakes import MACHINE, skill_text
from skill_plugin.integrations.status import status
from skill_plugin.store import SkillStore
from skill_plugin.training.files.metrics import MetricsLog

pytestmark = pytest.mark.usefixtures("hashing")


@pytest.fixture
def opened(home):
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        store.add_text(skill_text())
        yield store


def rows(cli):
    return dict(line.split("\t") for line in cli("status").splitlines())


def test_a_library_that_has_done_nothing_yet(cli, opened):
    assert rows(cli) == {
        "what": "is",
        "runs now": "nothing",
        "last night": "none yet",
        "last evolve": "none yet",
        "live checkpoint": "none: the base model writes",
        "skills": "1 live",
        "live skills by tier": "1 tested",
        "new histories": "0 revisions and 0 rollouts so far",
        "staged, undecided": "none",
        "runs without a reward": "0",
    }
    assert json.loads(cli("status", "--json"))["unfinished"] == []


def test_without_a_store_it_is_one_line(cli):
    assert "there is no store at" in cli("status", code=1)


def test_a_night_is_running_while_its_lock_is_held_and_interrupted_when_it_is_not(cli, home, opened):
    opened.runs.training.begin("tr_1", {})
    with MetricsLog(home / "training" / "tr_1") as log:
        log.write(7, {"loss": 0.5})
    with SkillStore.open(home, embedder="hashing", chroma=False) as other, other.runs.alone("retrain"):
        assert rows(cli)["runs now"].startswith("retrain tr_1, began 20")
        assert rows(cli)["runs now"].endswith(": 7 steps trained")
    now = rows(cli)

    assert now["runs now"] == "nothing"
    assert now["interrupted retrain"].endswith("7 steps trained; the same command resumes it")


def test_how_the_last_night_ended_and_what_is_new_since(cli, opened, tmp_path):
    opened.runs.training.begin("tr_1", {}, data_to=datetime.now(UTC))
    ended = {"reason": "no gain", "ended_at": "2026-11-30T03:00:00+00:00"}
    opened.runs.training.save("tr_1", ended, outcome="kept")
    live = opened.checkpoints.register(adapter(tmp_path / "night"), base_model="org/base")
    opened.checkpoints.promote(live.id, by="gate", reason="")
    opened.revise_text("adding", MACHINE)
    found = rows(cli)

    assert "tr_1" in found["last night"]
    assert found["last night"].endswith(
        f"ended {datetime.fromisoformat(ended['ended_at']).astimezone().isoformat()}: kept: no gain"
    )
    assert found["live checkpoint"] == live.id
    assert found["staged, undecided"] == "1: adding@2"
    assert found["new histories"].endswith("since the last night")


def test_an_evolve_that_was_stopped_is_named_until_a_later_one_has_finished(cli, home, opened):
    first = opened.runs.evolve.begin("digest", {}).id
    opened.runs.evolve.save(first, {"tasks": 4, "done": 1}, outcome="the budget of calls is spent")
    [run] = status(opened, home).unfinished
    assert (run.id, run.state, run.said) == (first, "interrupted", "the budget of calls is spent: 1 of 4 tasks done")
    with SkillStore.open(home, embedder="hashing", chroma=False) as other, other.runs.alone("evolve"):
        assert rows(cli)["runs now"].endswith(": 1 of 4 tasks done")

    second = opened.runs.evolve.begin("other", {}).id
    opened.runs.evolve.save(second, {"tasks": 2, "done": 2}, outcome="finished")
    found = status(opened, home)
    assert (found.unfinished, found.last_evolve.id) == ([], second)
