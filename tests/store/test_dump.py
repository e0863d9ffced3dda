"""A whole store as one file: the new database holds the same, or nothing new at all."""

import gzip
import json

import pytest
from sqlalchemy import text

from fakes import MACHINE, TopicEmbedder, loop, skill_text
from skill_plugin import Revision, Rollout, Task
from skill_plugin.errors import EmbedderMismatchError, StoreError
from skill_plugin.store import FunctionCall, allow_functions, record_calls
from skill_plugin.store.dumps.dump import TABLES, copy, dump, load
from skill_plugin.store.items.items import Change
from skill_plugin.store.sql.database import HEAD
from skill_plugin.store.tables import CheckpointEventRow, CheckpointRow, EvolveRunRow, Table, TrainingRunRow

COUNTERS = ("skillp_rollout", "skillp_outcome", "skillp_event", "skillp_checkpoint_event")
NOT_DUMPED = {"skillp_index_change", "skillp_key"}


def rows(store):
    """Every table as it is, but for numbers that count up, the epoch among them."""
    with store.database.read() as session:
        content = {}
        for table in TABLES:
            name = str(table.__tablename__)
            found = session.connection().execute(text(f"SELECT * FROM {name} ORDER BY 1, 2, 3")).mappings().all()
            left_out = {"id"} if name in COUNTERS else {"epoch", "index_key", "experience", "seq"}
            content[name] = [{key: value for key, value in row.items() if key not in left_out} for row in found]
    return content


def total(counts):
    return sum(counts.values())


@pytest.fixture
def full(store, open_store):
    """Something in every table, and a second namespace."""
    store.add_text(skill_text())
    output = (
        loop(store, max_generations=1)
        .compile()
        .invoke({"task": "add 2 and 2: é 漢 🙂", "reference": {"a": [4, None]}, "verifier": None})
    )
    store.record_outcome(output["run_id"], 0.5, "late\nfeedback")
    store.promote("adding")
    store.add_text(skill_text("resting", body="Rest."), files={"scripts/rest.py": "pass\n", "assets/a.bin": b"\xff"})
    allow_functions(store, "resting", reason="looked at")
    record_calls(store, "both", [FunctionCall(skill=store.get("resting").ref, function="rest", ok=False, error="é")])
    written = [Revision(completion="", text=skill_text("summing"))]
    shown = [Task("add 5 and 5", family="sums")]
    store.runs.stage(Task("add 4 and 4"), written, run_id="r", group_id="g", generation=1, parent=None, also=shown)
    both = Rollout(
        generation=0, answer="", skill=store.get("adding").ref, also={store.get("resting").ref: 0.5}, reward=1.0
    )
    store.runs.record(Task("add 6 and 6"), [both], run_id="both")
    store.retire("resting", reason="why not")
    store.pin("adding")
    passed = Rollout(generation=0, answer="5", skill=store.get("adding").ref, reward=1.0, passed=True)
    store.runs.record(Task("add 2 and 3"), [passed], run_id="passed")
    store.search("add 3", strategy="query-embedding")
    store.items.write([Change(("memories", "anna"), "é\0", {"text": "adds 漢"}, ["add", "漢"], ttl=60)])
    open_store(namespace="tenant").add_text(skill_text(body="Theirs."))
    with store.database.write() as session:
        session.add(
            CheckpointRow(
                id="c1", namespace="default", base_model="m", path="/p", sha256="x", metrics={"a": 1}, status="live"
            )
        )
        session.add(CheckpointEventRow(namespace="default", checkpoint_id="c1", kind="promoted", by="gate"))
        session.add(TrainingRunRow(id="t1", namespace="default", config={}, progress={"step": 3}))
        session.add(EvolveRunRow(id="e1", namespace="default", digest="d", config={"generations": 2}))
    return store


@pytest.fixture
def target(open_store, tmp_path):
    return open_store(tmp_path / "target")


def test_every_table_is_dumped_or_left_out_on_purpose():
    names = {str(table.__tablename__) for table in TABLES}

    assert names | NOT_DUMPED == set(Table.metadata.tables)


def test_everything_is_equal_in_the_new_database(full, target, tmp_path):
    written = dump(full.database, tmp_path / "all.gz")
    taken = load(target.database, tmp_path / "all.gz", keep_tiers=True)

    assert rows(target) == rows(full)
    assert taken == written == {name: len(found) for name, found in rows(full).items()}
    assert min(written.values()) > 0
    assert target.list() == full.list()
    assert target.history("adding") == full.history("adding")
    assert target.get("adding").created_at.tzinfo is not None
    assert [hit.ref for hit in target.search("add")] == [hit.ref for hit in full.search("add")]
    assert target.lift("adding") == full.lift("adding")
    assert target.runs.rollouts("both") == full.runs.rollouts("both")
    assert target.lift("resting") == full.lift("resting")
    assert [check.name for check in target.check() if not check.ok] == ["checkpoint"]  # adapters stay where they are


def test_loading_twice_is_loading_once(full, target, tmp_path):
    dump(full.database, tmp_path / "all.gz")
    load(target.database, tmp_path / "all.gz")
    before = rows(target)

    assert load(target.database, tmp_path / "all.gz") == {}
    assert rows(target) == before
    assert load(full.database, tmp_path / "all.gz") == {}


def test_a_copy_needs_no_file(full, target):
    assert total(copy(full.database, target.database)) == sum(len(found) for found in rows(full).values())
    assert copy(full.database, target.database) == {}
    assert rows(target) == rows(full)


def test_one_namespace_alone(full, target, tmp_path):
    dump(full.database, tmp_path / "one.gz", namespace="tenant")
    load(target.database, tmp_path / "one.gz")

    assert {row["namespace"] for row in rows(target)["skillp_skill"]} == {"tenant"}
    assert [row["name"] for row in rows(target)["skillp_namespace"]] == ["tenant"]
    assert target.list() == []


def test_an_item_that_is_there_keeps_its_value_and_its_own_vectors(full, target, tmp_path):
    dump(full.database, tmp_path / "all.gz")
    target.items.write([Change(("memories", "anna"), "é\0", {"text": "ships"}, ["ship"])])
    before = {name: found for name, found in rows(target).items() if "item" in name}
    taken = load(target.database, tmp_path / "all.gz")

    assert {name: found for name, found in rows(target).items() if "item" in name} == before
    assert "skillp_item" not in taken


def test_what_is_live_stays_live_and_another_live_checkpoint_comes_in_retired(full, target, tmp_path):
    dump(full.database, tmp_path / "all.gz")
    with target._partition.write() as session:
        session.add(CheckpointRow(id="c0", namespace="default", base_model="m", path="/p", sha256="y", status="live"))
    load(target.database, tmp_path / "all.gz")

    assert {one.id: one.status for one in target.checkpoints.list()} == {"c0": "live", "c1": "retired"}
    assert [event.kind for event in target.checkpoints.events("c1")] == ["promoted"]
    assert load(target.database, tmp_path / "all.gz") == {}
    assert len(target.checkpoints.events()) == 1


def test_life_goes_on_after_loading(full, target, tmp_path):
    dump(full.database, tmp_path / "all.gz")
    load(target.database, tmp_path / "all.gz")
    target.revise("adding", body="Better.")
    target.promote("adding")
    later = target.history("adding")

    assert load(target.database, tmp_path / "all.gz") == {}
    assert target.history("adding") == later
    assert target.get("adding").version == 3


def test_chroma_is_filled_from_what_was_loaded(full, open_store, tmp_path):
    dump(full.database, tmp_path / "all.gz")
    target = open_store(tmp_path / "target", chroma=None)
    load(target.database, tmp_path / "all.gz")

    assert target.search("add")[0].name == "adding"
    assert target.wait_for_index()
    assert set(target._partition.index.ids(signature="topics")) == {target.get("adding").id}


def test_a_namespace_without_vectors_takes_the_embedder_of_the_dump(full, target, tmp_path):
    loop(target, writer=None).compile().invoke({"task": "add 1 and 1", "reference": "2"})
    assert rows(target)["skillp_namespace"][0]["signature"] is None
    dump(full.database, tmp_path / "all.gz")
    load(target.database, tmp_path / "all.gz")

    assert target.search("add")[0].name == "adding"
    assert [check.name for check in target.check() if not check.ok] == ["checkpoint"]  # adapters stay where they are


def test_vectors_of_another_embedder_are_refused(full, open_store, tmp_path):
    other = open_store(tmp_path / "other", embedder=TopicEmbedder("another"))
    other.add_text(skill_text("theirs"))
    before = rows(other)
    dump(full.database, tmp_path / "all.gz")

    with pytest.raises(EmbedderMismatchError, match="nothing was taken in"):
        load(other.database, tmp_path / "all.gz")
    assert rows(other) == before


def test_a_namesake_is_not_overwritten_and_nothing_is_lost_in_silence(full, target, tmp_path):
    target.add_text(MACHINE)
    before = rows(target)
    dump(full.database, tmp_path / "all.gz")

    with pytest.raises(StoreError, match=r"'adding'.*has the name of another skill.*nothing was taken in") as caught:
        load(target.database, tmp_path / "all.gz")
    assert "\n" not in str(caught.value)
    assert rows(target) == before


@pytest.mark.parametrize("place", ["there.gz", "nowhere/x.gz", "file/x.gz"])
def test_a_place_that_cannot_be_written_is_one_line(full, tmp_path, place):
    tmp_path.joinpath("there.gz").write_text("mine")
    tmp_path.joinpath("file").write_text("")

    with pytest.raises(StoreError, match=r"exists; choose another name|cannot be written") as caught:
        dump(full.database, tmp_path / place)
    assert "\n" not in str(caught.value)
    assert tmp_path.joinpath("there.gz").read_text() == "mine"


def lines_of(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().splitlines(keepends=True)


HEADER = json.dumps({"format": "skill-plugin dump", "schema": HEAD, "namespace": None})
SKILL_ROW = {"id": "sk_1", "namespace": "default", "name": "x"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not a dump"),
        ("hello", "cannot be read"),
        ("[]", "not a dump"),
        ('{"format": "other"}', "not a dump"),
        ('{"format": "skill-plugin dump"}', "it has schema None"),
        (HEADER.replace(HEAD, "9999"), "it has schema '9999', this release has"),
        (f'{HEADER}\n["nonsense", {{}}]', "unknown table 'nonsense'"),
        (f'{HEADER}\n["sqlite_master", {{}}]', "unknown table"),
        (f"{HEADER}\n7", "cannot be read"),
        (f'{HEADER}\n["skillp_skill"]', "cannot be read"),
        (f'{HEADER}\n["skillp_skill", 3]', "cannot be read"),
        (f'{HEADER}\n[["skillp_skill"], {{}}]', "cannot be read"),
        (f'{HEADER}\n["skillp_skill", {{"surprise": 1}}]', "cannot be read"),
        (f"{HEADER}\n{json.dumps(['skillp_skill', SKILL_ROW])}", "cannot be read"),
        (f'{HEADER}\n["skillp_event", {{"kind": "x"}}]', "cannot be read"),
        (
            f'{HEADER}\n["skillp_namespace", {{"name": "x", "signature": null, "epoch": 0, "experience": 0, "created_at": "yesterday"}}]',
            "'yesterday' as its created_at",
        ),
        (
            f'{HEADER}\n["skillp_namespace", {{"name": null, "signature": null, "epoch": 0, "experience": 0, "created_at": null}}]',
            "None as its name",
        ),
    ],
)
def test_what_is_no_dump_is_one_line_and_takes_in_nothing(target, tmp_path, content, says):
    path = tmp_path / "x.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(content)

    with pytest.raises(StoreError, match=says) as caught:
        load(target.database, path)
    assert "\n" not in str(caught.value)
    assert not any(rows(target).values())


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x1f\x8b", b"\x1f\x8b\x08\x00" + b"\xff" * 50])
def test_a_file_that_is_no_gzip(target, tmp_path, content):
    tmp_path.joinpath("x.gz").write_bytes(content)

    with pytest.raises(StoreError) as caught:
        load(target.database, tmp_path / "x.gz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["nowhere.gz", "."])
def test_a_file_that_cannot_be_opened(target, tmp_path, place):
    with pytest.raises(StoreError, match=r"cannot be read: (No such file|it is a folder)"):
        load(target.database, tmp_path / place)


def test_a_dump_that_is_cut_or_damaged_anywhere_takes_in_nothing(full, target, tmp_path):
    dump(full.database, tmp_path / "all.gz")
    whole = tmp_path.joinpath("all.gz").read_bytes()
    bad = tmp_path / "bad.gz"
    for at in range(1, len(whole), len(whole) // 40):
        flipped = bytearray(whole)
        flipped[at] ^= 0xFF
        for content in (whole[:at], bytes(flipped)) if at > 10 else (whole[:at],):
            bad.write_bytes(content)
            with pytest.raises(StoreError) as caught:
                load(target.database, bad)
            assert "\n" not in str(caught.value)
    assert not any(rows(target).values())


def test_a_line_that_is_missing_or_doubled(full, target, tmp_path):
    dump(full.database, tmp_path / "all.gz")
    lines = lines_of(tmp_path / "all.gz")
    first = next(number for number, line in enumerate(lines) if line.startswith('["skillp_skill_version"'))
    bad = tmp_path / "bad.gz"
    with gzip.open(bad, "wt", encoding="utf-8") as file:
        file.writelines(lines[:first] + lines[first + 1 :])
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        load(target.database, bad, keep_tiers=True)
    assert not any(rows(target).values())
    with gzip.open(bad, "wt", encoding="utf-8") as file:
        file.writelines([*lines[: first + 1], *lines[first:]])

    load(target.database, bad, keep_tiers=True)
    assert rows(target) == rows(full)


def lines(path):
    """What a dump holds, without the number of changes that each database counts for itself."""
    content = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()[1:]]
    return [
        [name, {key: value for key, value in row.items() if key not in ("epoch", "experience", "seq")}]
        for name, row in content
    ]


def test_nothing_changes_on_the_way_to_postgresql_and_back(full, target, new_database, open_store, tmp_path):
    bigger = open_store(new_database())
    dump(full.database, tmp_path / "here.gz")
    load(bigger.database, tmp_path / "here.gz", keep_tiers=True)
    dump(bigger.database, tmp_path / "there.gz")
    load(target.database, tmp_path / "there.gz", keep_tiers=True)
    dump(target.database, tmp_path / "back.gz")

    assert lines(tmp_path / "there.gz") == lines(tmp_path / "here.gz") == lines(tmp_path / "back.gz")
    assert bigger.list() == full.list()
    assert [hit.ref for hit in bigger.search("add")] == [hit.ref for hit in full.search("add")]
    assert bigger.add_text(skill_text(name="afterwards")).status == "live"
