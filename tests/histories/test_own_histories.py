"""Our own histories: exported, and back without loss."""

import gzip
import json

import pyarrow.parquet as pq
import pytest

from fakes import MACHINE, loop, skill_text
from lineages import in_evolve, noted, rolled, rows
from recorded import write
from skill_plugin import Revision, Rollout, Task
from skill_plugin.errors import ConfigurationError
from skill_plugin.histories import columns
from skill_plugin.histories.worth import Later
from skill_plugin.store.tables import RevisionTaskRow, SharedUseRow


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
