"""The registry of checkpoints: one live at most, every change whole, with an event, and undone by another."""

import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from adapters import BASE_MODEL, adapter
from skill_plugin.errors import (
    CheckpointNotFoundError,
    ConfigurationError,
    NamespaceError,
    StoreError,
)
from skill_plugin.models.adapter_files import adapter_sha256
from skill_plugin.store import SkillStore, migrations

ROOT = Path(__file__).parents[2]
YES, NO = {"promote": True, "tasks": 9}, {"promote": False, "tasks": 9}

both = pytest.mark.both_backends


def promote(store, *checkpoints):
    for one in checkpoints:
        store.checkpoints.promote(one.id, by="gate", reason="better", gate=YES)


def statuses(store, *checkpoints):
    return [store.checkpoints.get(one.id).status for one in checkpoints]


def life(store, checkpoint):
    return [event.kind for event in store.checkpoints.events(checkpoint.id)]


@both
def test_an_adapter_is_registered_once_with_all_that_is_known_of_it(store, register, tmp_path):
    first = register(base_revision="abc", metrics={"loss": 0.5})
    second = register(parent=first.id, by="retrain")

    digest = adapter_sha256(tmp_path / "night-0")
    assert (first.id, first.sha256, first.status) == (f"ckpt_{digest[:12]}", digest, "candidate")
    assert (first.base_model, first.base_revision, first.metrics) == (BASE_MODEL, "abc", {"loss": 0.5})
    assert (first.path, first.parent, second.parent) == (str(tmp_path / "night-0"), None, first.id)
    assert store.checkpoints.register(tmp_path / "night-0", base_model="other", metrics={"loss": 9}) == first
    assert store.checkpoints.list() == [second, first]
    assert store.checkpoints.get(first.id) == first
    assert [(event.kind, event.by) for event in store.checkpoints.events()] == [
        ("registered", "human"),
        ("registered", "retrain"),
    ]
    assert store.checkpoints.live() is None


@both
def test_a_promotion_retires_the_one_before_whatever_it_was_trained_on(store, register):
    first, second = register(), register(base_model="org/another")
    promote(store, first)
    assert store.checkpoints.live() == store.checkpoints.get(first.id)
    promoted = store.checkpoints.promote(second.id, by="gate", reason="3 > 1", gate=YES)

    assert (promoted.status, promoted.gate) == ("live", YES)
    assert store.checkpoints.live() == promoted
    assert store.checkpoints.live(BASE_MODEL) is None
    assert store.checkpoints.live("org/another") == promoted
    assert statuses(store, first, second) == ["retired", "live"]
    assert store.checkpoints.list("retired") == [store.checkpoints.get(first.id)]
    assert life(store, first) == ["registered", "promoted", "retired"]
    last = store.checkpoints.events(second.id)[-1]
    assert (last.kind, last.by, last.reason, last.evidence) == (
        "promoted", "gate", "3 > 1", {"instead_of": first.id, "gate": YES},
    )  # fmt: skip


@both
def test_promoting_what_is_live_changes_nothing(store, register):
    one = register()
    promote(store, one, one)

    assert life(store, one) == ["registered", "promoted"]


@both
def test_one_that_the_gate_refuses_stays_a_candidate_with_the_evidence(store, register):
    first, second = register(), register()
    promote(store, first)
    kept = store.checkpoints.keep(second.id, by="gate", reason="1 < 3", gate=NO)

    assert (kept.status, kept.gate) == ("candidate", NO)
    assert store.checkpoints.live().id == first.id
    assert life(store, second) == ["registered", "kept"]
    with pytest.raises(StoreError, match="is live; go back with"):
        store.checkpoints.keep(first.id, by="gate", reason="no", gate=NO)


@both
def test_going_back_goes_down_the_line_to_the_base_model(store, register):
    one, two, three = register(), register(), register()
    promote(store, one, two, three)

    assert store.checkpoints.rollback(by="human", reason="odd").id == two.id
    assert statuses(store, one, two, three) == ["retired", "live", "retired"]
    assert [(event.kind, event.evidence) for event in store.checkpoints.events()][-2:] == [
        ("rolled_back", {"to": two.id}),
        ("promoted", {"back_from": three.id}),
    ]
    assert store.checkpoints.rollback(by="human", reason="").id == one.id
    assert store.checkpoints.rollback(by="human", reason="") is None
    assert store.checkpoints.live() is None
    with pytest.raises(CheckpointNotFoundError, match="no checkpoint is live"):
        store.checkpoints.rollback(by="human", reason="")


@both
def test_going_back_to_a_named_one_to_the_base_model_and_forward_again(store, register):
    one, two, three, never = register(), register(), register(), register()
    promote(store, one, two, three)

    assert store.checkpoints.rollback(by="human", reason="", to=one.id).id == one.id
    assert store.checkpoints.rollback(by="human", reason="", to=three.id).id == three.id
    assert store.checkpoints.rollback(by="human", reason="").id == one.id
    assert store.checkpoints.rollback(by="human", reason="", to="base model") is None
    assert store.checkpoints.rollback(by="human", reason="", to="base model") is None
    assert store.checkpoints.rollback(by="human", reason="", to=two.id).id == two.id
    assert store.checkpoints.rollback(by="human", reason="", to=two.id).id == two.id
    assert store.checkpoints.rollback(by="human", reason="") is None
    with pytest.raises(StoreError, match="was never live; make it so with"):
        store.checkpoints.rollback(by="human", reason="", to=never.id)
    assert statuses(store, one, two, three, never) == ["retired", "retired", "retired", "candidate"]


def test_one_that_was_promoted_twice_is_gone_back_from_to_what_was_between(store, register):
    one, two = register(), register()
    promote(store, one, two, one)

    gone_back_to = [store.checkpoints.rollback(by="human", reason="") for _ in range(3)]
    assert [found and found.id for found in gone_back_to] == [two.id, one.id, None]


@settings(deadline=None, max_examples=40)
@given(moves=st.lists(st.sampled_from(["0", "1", "2", "back", "base", "to 0", "to 2"]), max_size=12))
def test_whatever_happens_one_is_live_at_most_and_going_back_ends_at_the_base_model(tmp_path_factory, moves):
    folder = tmp_path_factory.mktemp("moves")
    with SkillStore.open(folder / "skills.db", chroma=False, embedder="hashing") as store:
        ids = [store.checkpoints.register(adapter(folder / str(n), seed=n), base_model=BASE_MODEL).id for n in range(3)]
        for move in moves:
            if move.isdigit():
                store.checkpoints.promote(ids[int(move)], by="gate", reason="")
                assert store.checkpoints.live().id == ids[int(move)]
                continue
            to = ids[int(move[-1])] if move.startswith("to") else {"back": None, "base": "base model"}[move]
            try:
                now = store.checkpoints.rollback(by="human", reason="", to=to)
            except StoreError:
                continue
            assert store.checkpoints.live() == now
            assert len(store.checkpoints.list("live")) == (now is not None)
        for _ in range(len(moves) + 1):
            if store.checkpoints.live() is None:
                break
            store.checkpoints.rollback(by="human", reason="")
        assert store.checkpoints.live() is None


@pytest.mark.parametrize("damage", ["changed", "gone", "pickle"])
def test_files_that_are_not_what_was_registered_are_not_promoted_nor_gone_back_to(store, register, damage):
    one, two, three = register(), register(), register()
    promote(store, one, two)
    for broken in (one, three):
        weights = Path(broken.path, "adapter_model.safetensors")
        if damage == "changed":
            shutil.copy(Path(two.path, weights.name), weights)
        elif damage == "gone":
            shutil.rmtree(broken.path)
        else:
            weights.with_suffix(".bin").write_bytes(b"")

    for attempt in (
        lambda: store.checkpoints.promote(three.id, by="gate", reason=""),
        lambda: store.checkpoints.rollback(by="human", reason=""),
    ):
        with pytest.raises(
            ConfigurationError, match=r"has changed|is gone; put its folder back|can run code"
        ) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert store.checkpoints.live().id == two.id
    assert store.checkpoints.rollback(by="human", reason="", to="base model") is None


def test_an_adapter_whose_folder_was_moved_is_registered_at_its_new_place(store, register, tmp_path):
    one = register()
    promote(store, one)
    copy = shutil.copytree(one.path, tmp_path / "copy")
    assert store.checkpoints.register(copy, base_model=BASE_MODEL).path == one.path
    shutil.rmtree(one.path)

    moved = store.checkpoints.register(copy, base_model=BASE_MODEL)
    assert (moved.id, moved.path, moved.status) == (one.id, str(copy), "live")
    moved.verify()


def test_what_cannot_be_registered_is_one_line(store, register, tmp_path):
    folder = adapter(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    for path, given_, error in (
        (tmp_path / "empty", {}, ConfigurationError),
        (tmp_path / "nowhere", {}, ConfigurationError),
        (folder, {"base_model": ""}, ConfigurationError),
        (folder, {"metrics": {"loss": float("nan")}}, ConfigurationError),
        (folder, {"metrics": {"loss": object()}}, ConfigurationError),
        (folder, {"parent": "ckpt_none"}, CheckpointNotFoundError),
    ):
        with pytest.raises(error) as caught:
            store.checkpoints.register(path, **{"base_model": BASE_MODEL, **given_})
        assert "\n" not in str(caught.value)
    assert store.checkpoints.list() == []
    with pytest.raises(ConfigurationError, match="use one of candidate, live, retired"):
        store.checkpoints.list("alive")


def test_one_that_is_not_there_is_an_error_that_helps(store, register):
    with pytest.raises(CheckpointNotFoundError, match="known are none"):
        store.checkpoints.get("ckpt_1")
    one = register()
    with pytest.raises(LookupError, match=f"did you mean '{one.id}'"):
        store.checkpoints.events(one.id[:-1])


@both
def test_a_tenant_never_sees_the_others_though_both_have_the_same_adapter(open_store, tmp_path):
    ours, theirs = open_store(namespace="a"), open_store(namespace="b")
    folder = adapter(tmp_path / "a")
    one, same = (store.checkpoints.register(folder, base_model=BASE_MODEL) for store in (ours, theirs))
    assert one.id == same.id
    ours.checkpoints.promote(one.id, by="gate", reason="")
    ours.runs.training.begin("t", {})

    assert theirs.checkpoints.live() is None
    assert [event.kind for event in theirs.checkpoints.events()] == ["registered"]
    assert theirs.runs.training.list() == []
    theirs.runs.training.begin("t", {"theirs": True})
    with pytest.raises(CheckpointNotFoundError):
        theirs.checkpoints.get("ckpt_another")
    assert ours.runs.training.list()[0].config == {}
    with pytest.raises(NamespaceError):
        ours.erase(confirm="b")
    erased = ours.erase(confirm="a")
    assert (erased["skillp_checkpoint"], erased["skillp_checkpoint_event"], erased["skillp_training_run"]) == (1, 2, 1)
    assert theirs.checkpoints.get(same.id) == same


@both
def test_a_database_of_the_release_before_keeps_its_checkpoints(backend, open_store, tmp_path):
    url = backend.location
    if backend.is_sqlite:
        backend.location.mkdir()
        url = f"sqlite:///{backend.location / 'skills.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        migrations.upgrade(connection, "0004")
        connection.execute(
            text("INSERT INTO skillp_namespace (name, epoch, index_key, created_at) VALUES ('a', 0, '', '2026-01-01')")
        )
        connection.execute(
            text(
                "INSERT INTO skillp_checkpoint (id, namespace, base_model, path, sha256, metrics, status, created_at) "
                "VALUES ('c1', 'a', 'base', '/p', 'x', '{\"loss\": 0.5}', 'live', '2026-01-01')"
            )
        )
    engine.dispose()

    store = open_store(namespace="a")
    assert store.checkpoints.live().metrics == {"loss": 0.5}
    assert store.checkpoints.live().created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert store.checkpoints.rollback(by="human", reason="") is None  # it was promoted before there were events


OPERATIONS = {
    "register": "store.checkpoints.register(sys.argv[2], base_model='m')",
    "promote": "store.checkpoints.promote(sys.argv[3], by='gate', reason='')",
    "rollback": "store.checkpoints.rollback(by='human', reason='')",
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("point", ["before", "middle", "after"])
def test_a_kill_in_the_middle_leaves_it_as_before_or_as_after(open_store, home, register, tmp_path, operation, point):
    store = open_store()
    one, two, three = register(), register(), register()
    promote(store, one, two)
    new = adapter(tmp_path / "new", seed=99)
    before = statuses(store, one, two, three)
    events = store.checkpoints.events()
    code = f"""if True:
        import sys
        from skill_plugin.store import SkillStore
        with SkillStore.open(sys.argv[1], chroma=False, embedder="hashing") as store:
            {OPERATIONS[operation]}
    """
    command = [sys.executable, "-c", code, home, new, three.id]
    environment = {**os.environ, "SKILL_PLUGIN_CRASH_AT": f"checkpoint.{point}", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert ended.returncode == -signal.SIGKILL, ended.stderr
    if point != "after":
        assert (statuses(store, one, two, three), store.checkpoints.events()) == (before, events)
        assert len(store.checkpoints.list()) == 3
    elif operation == "register":
        assert store.checkpoints.list()[0].path == str(new)
        assert len(store.checkpoints.events()) == len(events) + 1
    else:
        expected = ["retired", "retired", "live"] if operation == "promote" else ["live", "retired", "candidate"]
        assert statuses(store, one, two, three) == expected
        assert len(store.checkpoints.events()) == len(events) + 2
