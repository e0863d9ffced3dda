"""Recorded runs in the store: each at most once, whatever happens in between; and out again without loss."""

import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from fakes import MACHINE, loop, skill_text
from lineages import in_evolve, noted, rolled
from recorded import BY_FORMAT, GSM8K, LANGSMITH, SQL, TAU, TRIALS, run, sql, trial, write
from skill_plugin import Revision, Rollout, Task
from skill_plugin.errors import ConfigurationError, InvalidHistoryError
from skill_plugin.histories import columns
from skill_plugin.histories.worth import Later
from skill_plugin.store.tables import RevisionTaskRow, SharedUseRow

ROOT = Path(__file__).parents[2]


def rows(store, table="rollout"):
    order = "run_id, generation, k" if table == "rollout" else "id"
    with store.database.read() as session:
        found = session.connection().execute(text(f"SELECT * FROM skillp_{table} ORDER BY {order}")).mappings().all()
    return [dict(row) for row in found]


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
def test_imported_control_rollouts_say_nothing_of_a_skill_here(evolved, tmp_path):
    before = evolved.lift("adding")
    found = [
        row
        for row in plain(evolved.histories.rows())
        if row["kind"] == "rollouts" and row["rollouts"][0]["arm"] == "control"
    ]
    judged = [{**row["rollouts"][0], "reward": 1.0, "k": k} for row in found[:1] for k in range(9)]
    path = write(tmp_path / "x.jsonl", [{**found[0], "run_id": "elsewhere", "rollouts": judged}])

    assert evolved.histories.import_from(path).imported == 9
    assert evolved.lift("adding") == before


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


def candidate(number, **fields):
    body = skill_text(body=f"Add {number}.")
    return Revision(
        completion=body, text=body, prompt=({"role": "user", "content": "Improve é 漢"},), model="base",
        sampling={"temperature": 0.7}, prompt_token_ids=(1, 2, 3), completion_token_ids=(4, 5), logprobs=(-0.25, -1e-3), **fields
    )  # fmt: skip


@pytest.fixture
def evolved(store, skill):
    """Three lineages: starting skill, control arm, two candidates with one text and one malformed one."""
    for number in range(3):
        task = Task(
            f"add {number}: 🙂", family=f"family-{number % 2}", reference={"a": [number, None]} if number else "text",
            verifier={"name": "numeric", "params": {}}, split="train",
        )  # fmt: skip
        rollouts = [
            Rollout(generation=0, answer=f"{k}", skill=skill.ref, k=k, reward=k / 2, feedback=f"why {k}", latency_s=0.1)
            for k in range(3)
        ]
        rollouts.append(Rollout(generation=0, answer="c", arm="control", withheld=skill.ref, k=3, error="it hung"))
        written = [candidate(number), candidate(number), candidate(number + 10), Revision(completion="?", error="no")]
        ids = {"run_id": f"run-{number}", "group_id": f"group-{number}", "generation": 1}
        staged = store.runs.stage(task, written, parent=skill.ref, **ids)
        for k, ref in enumerate([staged[0].skill.ref, staged[2].skill.ref] * 2):
            rollouts.append(Rollout(generation=1, answer="z", skill=ref, k=k, reward=float(k % 2), adherence=1.0))
        store.runs.record(task, rollouts, run_id=ids["run_id"], thread_id="thread", chosen=rollouts[-1])
    return store


def plain(found):
    """Rows as JSON, without what an import changes on purpose."""
    made = json.loads(json.dumps(list(found), default=lambda value: value.isoformat()))
    for row in made:
        for one in (row, *row["rollouts"]):
            one["source"] = None
    return made


@pytest.mark.both_backends
@pytest.mark.parametrize("ending", columns.ENDINGS)
def test_our_own_histories_come_back_without_loss(evolved, open_store, backend, tmp_path, ending):
    path = tmp_path / f"own{ending}"
    counts = evolved.histories.export_to(path)
    other = open_store(tmp_path / "other") if backend.is_sqlite else open_store(namespace="other")
    report = other.histories.import_from(path)

    assert counts == {"rows": 18, "revisions": 12, "rollouts": 24}
    assert (report.read, report.imported, report.refused) == (24, 24, {})
    assert report.notes == {"revisions imported": 12}
    assert plain(other.histories.rows()) == plain(evolved.histories.rows())
    assert {row["source"] for row in rows(other) if row["namespace"] == other.namespace} == {"own"}
    assert other.histories.import_from(path).already_there == 24
    assert evolved.histories.import_from(path).already_there == 24  # at home they are known
    assert evolved.histories.stats().by_source == {"own": 24, "imported": 0}
    assert other.list() == []  # histories bring no skills into a library


@pytest.mark.both_backends
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_what_the_next_tasks_said_comes_back_too(store, open_store, backend, tmp_path, ending):
    """Chains, siblings, the further tasks of a prompt, what a rollout was run for and which further skills it showed."""
    first, second, third = (
        Task(f"add {n}", family="sums", split="train", chain="c" if n else None, position=n or None) for n in range(3)
    )
    [ref] = in_evolve(store, first, [candidate(1)], [(1.0,)])
    for other in (second, third):
        rolled(store, other, ref, (1.0, 0.0), adherence=0.75, also={"sk_9@2": 0.5, "sk_8@1": None})
        rolled(store, other, None, (0.0,))
        rolled(store, other, ref, (1.0,), purpose="gate")
    noted(store, first, ref, Later(second.content_hash, (1.0, 0.0), before=(0.0,), none=(0.0,), used=1.0))
    with store.database.write() as session:
        use = {"namespace": "default", "run_id": f"ev_1:later:{second.id}:{ref}", "generation": 0, "k": 0}
        session.merge(SharedUseRow(**use, skill_id="sk_9", version=2, adherence=0.5))
        session.merge(SharedUseRow(**use, skill_id="sk_8", version=1))
        session.add(
            RevisionTaskRow(namespace="default", group_id=f"ev_1:{first.id}:1", content_hash=third.content_hash)
        )
    path = tmp_path / f"own{ending}"
    store.histories.export_to(path)
    other = open_store(tmp_path / "other") if backend.is_sqlite else open_store(namespace="other")
    reports = [other.histories.import_from(path) for _ in range(2)]
    found = plain(store.histories.rows())

    assert [(report.imported, report.refused) for report in reports] == [(10, {}), (0, {})]
    assert plain(other.histories.rows()) == found
    revision = next(row for row in found if row["kind"] == "revision")
    assert revision["later"] == [
        {"task": second.content_hash, "rewards": [1.0, 0.0], "before": [0.0], "none": [0.0], "used": 1.0}
    ]
    assert revision["prompt_tasks"] == [third.content_hash]
    said = {json.dumps([one["purpose"], one["also"]]) for row in found for one in row["rollouts"]}
    assert said == {
        '["run", {}]', '["gate", {}]', '["later", {}]', '["later", {"sk_8@1": null, "sk_9@2": 0.5}]'
    }  # fmt: skip


def test_a_file_of_the_first_format_is_imported_with_the_purposes_that_its_run_ids_say(evolved, open_store, tmp_path):
    rows = plain(evolved.histories.rows())
    for row in rows:
        row["format"] = columns.FIRST
        for name in ("chain", "position", "prompt_tasks", "later"):
            row.pop(name, None)
        for one in row["rollouts"]:
            del one["purpose"], one["also"]
    rows[0]["run_id"] = "ev_0:gate:none:task_0"
    other = open_store(tmp_path / "other")
    report = other.histories.import_from(write(tmp_path / "old.jsonl", rows))

    assert (report.imported, report.refused) == (24, {})
    assert {row["purpose"]: row["rollouts"] for row in other.histories.stats().by_purpose} == {"run": 22, "gate": 2}


@pytest.mark.both_backends
def test_one_row_is_one_training_example(evolved, tmp_path):
    evolved.histories.export_to(tmp_path / "all.parquet")
    found = [row for row in pq.read_table(tmp_path / "all.parquet").to_pylist() if row["run_id"] == "run-0"]
    revisions = [row for row in found if row["kind"] == "revision"]
    first = revisions[0]

    assert (first["prompt_token_ids"], first["completion_token_ids"], first["logprobs"]) == (
        [1, 2, 3],
        [4, 5],
        [-0.25, -1e-3],
    )
    assert json.loads(first["prompt"]) == [{"role": "user", "content": "Improve é 漢"}]
    assert [row["rewards"] for row in revisions] == [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], []]
    assert [len(row["rollouts"]) for row in revisions] == [2, 0, 2, 0]  # each rollout once
    assert {tuple(row["previous_rewards"]) for row in revisions} == {(0.0, 0.5, 1.0)}
    assert (first["parent_name"], first["parent_text"], first["text"]) == (
        "adding",
        skill_text(),
        skill_text(body="Add 0."),
    )
    assert (first["checkpoint"], first["base_model"], first["candidate"], first["group_id"]) == (
        None,
        "base",
        0,
        "group-0",
    )
    assert revisions[3]["error"] == "no"
    others = [row for row in found if row["kind"] == "rollouts"]
    assert [(row["generation"], row["rewards"], row["rollouts"][0]["arm"]) for row in others] == [
        (0, [0.0, 0.5, 1.0], "skill"),
        (0, [], "control"),
    ]
    assert others[1]["rollouts"][0]["withheld"] == others[0]["skill"] == first["parent"]


@pytest.mark.both_backends
def test_an_export_can_be_narrowed_to_a_family_and_to_a_time(evolved, tmp_path):
    assert evolved.histories.export_to(tmp_path / "a.jsonl", family="family-0")["revisions"] == 8
    assert evolved.histories.export_to(tmp_path / "b.jsonl", since="2020-01-01")["revisions"] == 12
    assert evolved.histories.export_to(tmp_path / "c.jsonl.gz", since="2999-01-01")["rows"] == 0
    assert evolved.histories.export_to(tmp_path / "d.parquet", until="2020-01-01")["rows"] == 0
    assert pq.read_table(tmp_path / "d.parquet").num_rows == 0
    assert gzip.decompress((tmp_path / "c.jsonl.gz").read_bytes()) == b""


def test_what_cannot_be_written_says_why_and_leaves_nothing(evolved, tmp_path):
    (tmp_path / "there.jsonl").write_text("mine", encoding="utf-8")
    for name, message in (
        ("a.csv", "no known ending"),
        ("there.jsonl", "exists; choose another name"),
        ("no/a.jsonl", "cannot be written"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            evolved.histories.export_to(tmp_path / name)
    with pytest.raises(ConfigurationError, match="since is 'soon'"):
        evolved.histories.export_to(tmp_path / "b.jsonl", since="soon")

    assert (tmp_path / "there.jsonl").read_text(encoding="utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir() if "jsonl" in path.name] == ["there.jsonl"]


def test_a_run_of_the_graph_is_exported_as_it_was_recorded(store, skill, tmp_path):
    loop(store, max_generations=1).compile().invoke({"task": "add 2 and 2", "reference": "4"})
    found = list(store.histories.rows())

    assert [(row["kind"], row["generation"], row["rewards"]) for row in found] == [
        ("revision", 1, [1.0]),
        ("rollouts", 0, [0.0]),
    ]
    assert found[0]["text"] == MACHINE


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": 7}, {"input": ""}, {"split": "other"}, {"generation": -1}, {"prompt_token_ids": "x"}, {"rollouts": None},
        {"position": 1}, {"prompt_tasks": 7}, {"skill": "nobody"}, {"prompt": ["x"]}, {"group_id": None}, {"sampling": [1]},
    ],
)  # fmt: skip
def test_a_row_of_ours_that_was_spoilt_is_refused(evolved, open_store, tmp_path, change):
    good = plain(evolved.histories.rows())[:2]
    report = open_store(tmp_path / "other").histories.import_from(
        write(tmp_path / "x.jsonl", [good[1], {**good[0], **change}])
    )

    assert set(report.refused) == {"not a row that histories export wrote"}
    assert report.read == report.imported + sum(report.refused.values())


SPOILT = {"reward": 7, "arm": "leg", "k": "x", "answer": 1, "purpose": "fun", "also": {"sk_1@1": 2}}


def test_a_rollout_of_ours_that_was_spoilt_costs_itself_only(evolved, open_store, tmp_path):
    good = plain(evolved.histories.rows())[0]
    bad = [{**good["rollouts"][0], key: value} for key, value in SPOILT.items()]
    path = write(tmp_path / "x.jsonl", [{**good, "rollouts": [*good["rollouts"], *bad]}])
    report = open_store(tmp_path / "other").histories.import_from(path)

    assert (report.read, report.imported, sum(report.refused.values())) == (8, 2, 6)
    assert report.refused["reward is not a number from 0 to 1"] == 1


def test_a_file_of_another_kind_changes_nothing(store, tmp_path):
    with pytest.raises(InvalidHistoryError):
        store.histories.import_from(write(tmp_path / "x.jsonl", [{"a": 1}]))
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InvalidHistoryError, match="damaged"):
        store.histories.import_from(tmp_path / "x.parquet")

    assert rows(store) == []
