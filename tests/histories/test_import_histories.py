"""Recorded runs in the store: each at most once, whatever happens in between."""

import signal
import subprocess
import sys
import time
from statistics import fmean

import pytest

from lineages import rows
from recorded import BY_FORMAT, GSM8K, LANGSMITH, SQL, TAU, TRIALS, run, sql, trial, write
from skill_plugin import Rollout, Task
from skill_plugin.errors import InvalidHistoryError


@pytest.fixture
def imported(store, tmp_path):
    def run(given, kind="auto"):
        return store.histories.import_from(write(tmp_path / "log.jsonl", given), kind)

    return run


@pytest.mark.both_backends
@pytest.mark.parametrize("kind", BY_FORMAT)
def test_importing_twice_is_importing_once(store, imported, kind):
    first = imported(BY_FORMAT[kind])
    before = rows(store), rows(store, "revision"), rows(store, "task")
    again = imported(BY_FORMAT[kind], kind)

    assert first.imported + sum(first.refused.values()) + first.already_there == first.read
    assert (again.read, again.imported, again.already_there) == (first.read, 0, first.imported + first.already_there)
    assert (again.refused, again.mean_reward) == (first.refused, first.mean_reward)
    assert (rows(store), rows(store, "revision"), rows(store, "task")) == before
    assert len(before[0]) == first.imported


@pytest.mark.both_backends
def test_what_is_kept_of_an_imported_rollout(store, imported):
    report = imported(TAU)
    first = rows(store)[0]

    assert (report.read, report.imported, report.refused, report.notes) == (4, 4, {}, {"header row": 1})
    assert report.mean_reward == {"gpt-4o": 0.5}
    assert (first["source"], first["model"], first["arm"], first["skill_id"]) == ("gpt-4o", "gpt-4o", "skill", None)
    assert {row["credited"] for row in rows(store)} <= {False}
    (task,) = rows(store, "task")
    assert task["id"] == Task(task["input"], family="tau-airline", reference=TAU[1]["gold_actions"]).id


@pytest.mark.both_backends
def test_a_mean_is_the_files_own_over_all_that_has_a_reward(imported):
    assert imported(GSM8K).mean_reward == {"175b": 1.0, "6b": fmean([0, 0, 1])}
    assert imported(LANGSMITH).mean_reward == {"support": 0.75}
    report = imported(SQL)
    assert report.refused == {"no step": 1}  # and its reward of 0 counts
    assert report.mean_reward["multi_gpt-4"] == fmean(row["reward"] for row in SQL if row["run"] == "multi_gpt-4")


@pytest.mark.both_backends
def test_the_same_row_again_is_there_already_and_other_content_under_its_id_is_refused(imported):
    report = imported([*SQL[:2], SQL[0]])
    assert (report.read, report.imported, report.already_there) == (3, 2, 1)

    report = imported([*TRIALS, {**TRIALS[0], "success": False}])
    assert report.refused == {"an id that exists, with other content": 1}
    assert report.imported == 5
    assert imported([run("a"), run("a", outputs={"output": "Other."})]).refused == report.refused


@pytest.mark.both_backends
def test_trials_can_be_told_as_a_history(store, imported):
    report = imported(TRIALS)
    lineages = {row["run_id"] for row in rows(store)}
    (two,) = [run_id for run_id in lineages if len(store.runs.rollouts(run_id)) == 3]

    assert report.notes == {"revisions imported": 2, "solved in an earlier trial, not tried again": 1}
    assert [(one.generation, one.reward) for one in store.runs.rollouts(two)] == [(0, 0.0), (1, 0.0), (2, 1.0)]
    (first,) = store.runs.staged(f"{two}/1")
    assert (first.revision.completion, first.skill) == (" I forgot the plate.", None)


@pytest.mark.both_backends
def test_an_import_moves_no_utility_and_a_run_of_ours_is_not_recorded_twice(store, skill, imported):
    store.runs.record(
        Task("add 2 and 2"), [Rollout(generation=0, answer="4", skill=skill.ref, reward=1.0)], run_id="ours"
    )
    before = store.get("adding")
    metadata = {"metadata": {"skill_plugin_run_id": "ours", "skill_plugin_skill": skill.ref}}
    other = {"metadata": {"skill_plugin_run_id": "theirs", "skill_plugin_skill": skill.ref}}
    report = imported([run("a", extra=metadata), run("b", extra=other)])

    assert (report.imported, report.already_there) == (1, 1)
    assert store.get("adding") == before
    assert [one.skill for one in store.runs.rollouts("theirs")] == [skill.ref]
    assert store.record_outcome("theirs", 0.0)
    assert store.get("adding") == before


@pytest.mark.both_backends
def test_texts_that_no_database_can_hold_are_imported_once(imported):
    nasty = [sql(0, 1, [{"action": "a\0b", "observation": "\ud800"}]), trial(0, "e\0", ["m\0"], True, run="r\udfff")]

    assert imported(nasty[:1]).imported == 1
    assert imported(nasty[1:]).imported == 1
    assert imported(nasty[:1]).already_there == 1
    assert imported(nasty[1:]).already_there == 1


@pytest.mark.both_backends
def test_namespaces_do_not_share_what_is_imported(open_store, tmp_path):
    path = write(tmp_path / "log.jsonl", TRIALS)
    here, there = open_store(), open_store(namespace="tenant")

    assert (here.histories.import_from(path).imported, there.histories.import_from(path).imported) == (5, 5)
    assert there.histories.import_from(path).notes == {"solved in an earlier trial, not tried again": 1}
    assert here.histories.stats().rollouts == there.histories.stats().rollouts == 5


def test_progress_is_told_by_bytes_and_rollouts(store, tmp_path):
    path = write(tmp_path / "log.jsonl.gz", [sql(number, 1) for number in range(1200)])
    told = []
    store.histories.import_from(path, progress=lambda *now: told.append(now))

    assert [count for _, count in told] == [500, 1000, 1200]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] <= path.stat().st_size


IMPORT = """
import os, signal, sys
from skill_plugin.embedders import HashingEmbedder
from skill_plugin.store import SkillStore

def stop(done, count):
    print(count, flush=True)
    if count >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

with SkillStore.open(sys.argv[1], embedder=HashingEmbedder(), chroma=False) as store:
    store.histories.import_from(sys.argv[2], progress=stop)
"""


def test_an_import_that_was_killed_goes_on(open_store, home, tmp_path):
    """Killed after a batch, and at any moment in between."""
    path = write(tmp_path / "log.jsonl", [sql(number % 3000, number % 2) for number in range(6000)])
    whole = open_store(tmp_path / "whole").histories.import_from(path)
    command = [sys.executable, "-c", IMPORT, str(home), str(path)]
    killed = subprocess.run([*command, "1500"], capture_output=True, text=True)
    assert (killed.returncode, killed.stdout.split()[-1]) == (-signal.SIGKILL, "1500")
    with open_store() as store:
        assert len(rows(store)) == 1500
    for _ in range(3):
        with subprocess.Popen([*command, "100000"], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout.readline()
            time.sleep(0.02)
            child.kill()
    store = open_store()
    report = store.histories.import_from(path)

    assert report.already_there > 0
    assert report.imported + report.already_there == whole.imported + whole.already_there == 6000
    assert report.mean_reward == whole.mean_reward
    assert len(rows(store)) == whole.imported


def test_a_file_of_another_kind_changes_nothing(store, tmp_path):
    with pytest.raises(InvalidHistoryError):
        store.histories.import_from(write(tmp_path / "x.jsonl", [{"a": 1}]))
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InvalidHistoryError, match="damaged"):
        store.histories.import_from(tmp_path / "x.parquet")

    assert rows(store) == []
