"""The index is a cache: deleted, broken, behind or owned by another process, search stays right."""

import os
import shutil
import signal
import time

import pytest

from indexes import engine, entries, fill, found, pending
from skill_plugin.store.index.worker import WorkerError

both_backends = pytest.mark.both_backends

ONE = [1.0, 0.0, 0.0, 0.0]


@pytest.fixture
def store(open_store):
    return open_store(chroma=None)


@both_backends
def test_a_write_does_not_wait_for_chroma_and_is_found_at_once(store):
    started = time.monotonic()
    fill(store, "add")

    assert found(store) == [("add", 1)]
    assert time.monotonic() - started < 30  # waiting would be for ever, or until a timeout of a minute
    assert store.wait_for_index()
    assert (found(store), engine(store), pending(store)) == ([("add", 1)], "chroma", False)


@both_backends
def test_every_change_of_what_is_live_reaches_the_index(store):
    fill(store, "add")
    store.revise("add", body="Better.", description="How to refund, refund and refund")
    assert store.wait_for_index()
    assert found(store, "refund") == []

    store.promote("add")
    assert found(store, "refund") == [("add", 2)]
    assert store.wait_for_index()
    assert (found(store, "refund"), engine(store, "refund")) == ([("add", 2)], "chroma")
    assert entries(store) == {store.get("add").id}
    store.retire("add")
    assert store.wait_for_index()
    assert entries(store) == set()


def test_a_deleted_index_is_rebuilt_without_loss(open_store, home, store):
    fill(store, "add", "refund", "sort", "ship")
    assert store.wait_for_index()
    store.close()
    assert (home / "chroma" / "chroma.sqlite3").is_file()
    shutil.rmtree(home / "chroma")
    again = open_store(chroma=None)

    assert found(again, "refund") == [("refund", 1)]
    assert again.wait_for_index()
    assert (len(entries(again)), engine(again)) == (4, "chroma")


@both_backends
def test_rebuild_makes_the_index_what_sql_says(store):
    fill(store, "add", "refund")
    assert store.wait_for_index()
    store._partition.index.upsert([("sk_ghost", 1, ONE)], signature="topics")
    store._partition.index.delete([store.get("refund").id], signature="topics")

    assert store.rebuild_index()
    assert entries(store) == {skill.id for skill in store.list()}


@both_backends
def test_entries_that_were_lost_or_left_over_are_repaired_when_the_store_is_opened(open_store, store):
    fill(store, "add", "refund")
    assert store.wait_for_index()
    ids = {skill.id for skill in store.list()}
    store._partition.index.upsert([("sk_ghost", 1, ONE)], signature="topics")
    store._partition.index.delete([store.get("add").id], signature="topics")
    store.close()
    again = open_store(chroma=None)

    assert again.wait_for_index()
    assert (found(again), entries(again)) == ([("add", 1)], ids)


def test_an_index_that_cannot_be_does_not_fail_a_write_or_a_search(open_store, tmp_path, caplog):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    store = open_store(chroma=blocked)
    fill(store, "add", "refund")

    assert not store.wait_for_index(3)
    assert (found(store), engine(store), pending(store)) == ([("add", 1)], "exact", True)
    assert "searching SQL instead" in caplog.text
    store.close()
    blocked.unlink()
    healed = open_store(chroma=blocked)
    assert healed.wait_for_index()
    assert (found(healed), engine(healed), pending(healed)) == ([("add", 1)], "chroma", False)


@both_backends
def test_a_hit_is_what_sql_says_whatever_the_index_holds(store):
    """The vector of a live skill in the index is wrong, and one entry is of no skill at all."""
    fill(store, "add", "refund", "sort")
    assert store.wait_for_index()
    wrong = [0.0, 1.0, 0.0, 0.0]
    store._partition.index.upsert([(store.get("add").id, 1, wrong), ("sk_ghost", 1, wrong)], signature="topics")
    hits = store.search("refund", k=3, strategy="dense", min_score=-1)

    assert hits[0].name == "refund"
    assert [hit.why["dense"] for hit in hits] == sorted((hit.why["dense"] for hit in hits), reverse=True)
    assert "sk_ghost" not in {hit.skill_id for hit in hits}


def kill_chroma(store):
    os.kill(store._partition.index._worker._process.pid, signal.SIGKILL)


@both_backends
def test_when_chroma_dies_search_goes_on_and_chroma_comes_back(store):
    fill(store, "add", "refund")
    assert store.wait_for_index()
    kill_chroma(store)

    assert (found(store), engine(store)) == ([("add", 1)], "exact")
    assert store.wait_for_index()
    assert engine(store) == "chroma"
    assert len(entries(store)) == 2


@both_backends
def test_when_chroma_hangs_it_is_ended_and_search_goes_on(store, monkeypatch):
    """SIGSTOP is the hang that was measured on a full disk: no error, no answer, for ever."""
    fill(store, "add")
    assert store.wait_for_index()
    monkeypatch.setattr("skill_plugin.store.index.chroma.QUERY_SECONDS", 0.3)
    os.kill(store._partition.index._worker._process.pid, signal.SIGSTOP)
    started = time.monotonic()

    assert (found(store), engine(store)) == ([("add", 1)], "exact")
    assert time.monotonic() - started < 30  # it would not answer for ever
    assert store.wait_for_index()
    assert engine(store) == "chroma"


@both_backends
def test_a_busy_index_is_not_waited_for(store):
    fill(store, "add")
    assert store.wait_for_index()
    with store._partition.index._worker._lock:
        started = time.monotonic()
        assert engine(store) == "exact"
    assert time.monotonic() - started < 30  # waiting would be for ever, or until a timeout of a minute
    assert engine(store) == "chroma"


def test_a_full_disk_leaves_chroma_alone(open_store, monkeypatch):
    monkeypatch.setattr("skill_plugin.store.index.chroma._free_bytes", lambda _: 1000)
    store = open_store(chroma=None)
    fill(store, "add")

    assert not store.wait_for_index(1)
    assert (store._partition.index.problem, engine(store)) == ("the disk is full", "exact")
    monkeypatch.undo()
    store._partition.indexer._not_before = 0.0
    assert store.wait_for_index()


def test_what_cannot_be_asked_says_so(store):
    with pytest.raises(WorkerError, match="not running"):
        entries(store)


@both_backends
def test_two_namespaces_of_one_process_share_the_folder(open_store):
    ours, theirs = (open_store(namespace=name, chroma=None) for name in ("ours", "theirs"))
    fill(ours, "add")
    fill(theirs, "add")

    assert ours.wait_for_index()
    assert theirs.wait_for_index()
    assert (engine(ours), engine(theirs)) == ("chroma", "chroma")
    assert ours._partition.index._worker is theirs._partition.index._worker
    ours.close()
    assert engine(theirs) == "chroma"


@both_backends
def test_a_store_without_an_index_searches_sql(open_store):
    store = open_store(chroma=False)
    fill(store, "add")

    assert (found(store), engine(store), store._partition.index) == ([("add", 1)], "exact", None)
    assert not store.wait_for_index()
    assert not store.rebuild_index()


@both_backends
def test_chroma_and_exact_search_agree(store):
    for number in range(300):
        words = " ".join(["add"] * (number % 7) + ["refund"] * (number % 5) + ["sort"] * (number % 3))
        store.add(name=f"skill-{number}", description=f"How to {words} {number}", body="Do it.")
    assert store.wait_for_index()
    by_chroma = store.search("add and refund", k=10, strategy="dense")
    store._partition.index.fail("switched off")
    by_sql = store.search("refund and add", k=10, strategy="dense")

    assert (by_chroma[0].why["engine"], by_sql[0].why["engine"]) == ("chroma", "exact")
    assert [round(hit.score, 5) for hit in by_chroma] == [round(hit.score, 5) for hit in by_sql]


@pytest.mark.parametrize("content", ["a file", "a folder of something else"])
def test_what_is_no_index_is_left_alone(open_store, tmp_path, content):
    place = tmp_path / "precious"
    if content == "a file":
        place.write_text(content)
    else:
        place.mkdir()
        (place / "thesis.txt").write_text(content)
    store = open_store(chroma=place)
    fill(store, "add")

    assert not store.wait_for_index(2)
    assert (found(store), "other things" in store._partition.index.problem) == ([("add", 1)], True)
    assert place.exists()
    assert not list(tmp_path.glob("precious.damaged-*"))
