"""doctor finds what is broken, says so in a line, and repairs what can be made anew."""

import multiprocessing
import shutil
import threading

import numpy as np
import pytest

from fakes import TopicEmbedder, skill_text
from indexes import fill, found
from skill_plugin.errors import StoreUnavailableError
from skill_plugin.store import SkillStore
from skill_plugin.store.items.items import Change

FLAWS = {
    "short": np.ones(3, "<f4").tobytes(),
    "not a number": np.full(4, np.nan, "<f4").tobytes(),
    "too large": np.full(4, 3e38, "<f4").tobytes(),
    "nothing": np.zeros(4, "<f4").tobytes(),
    "half a number": b"\0\0",
    "empty": b"",
}


def put(store, statement, *values):
    with store.database.write() as session:
        session.connection().exec_driver_sql(statement, values)


def repaired(store):
    first, *_ = store.check(fix=True)
    assert (first.name, first.ok) == ("repair", True)
    return first.detail


def wrong(store):
    return {check.name: check.detail for check in store.check() if not check.ok}


@pytest.mark.parametrize("flaw", FLAWS)
@pytest.mark.parametrize("strategy", ["hybrid", "dense", "lexical", "query-embedding"])
def test_a_broken_vector_stops_no_search(store, flaw, strategy):
    fill(store, "add", "refund")
    store.items.write([Change(("memories",), "one", {}, ["add"]), Change(("memories",), "two", {}, ["refund"])])
    put(store, "UPDATE skillp_embedding SET vector = ? WHERE skill_id = ?", FLAWS[flaw], store.get("add").id)
    put(store, "UPDATE skillp_item_vector SET vector = ? WHERE key = 'one'", FLAWS[flaw])
    put(store, "UPDATE skillp_namespace SET epoch = epoch + 1")

    hits = store.search("refund", strategy=strategy, min_score=0)
    assert all(np.isfinite(hit.score) for hit in hits)
    if strategy != "query-embedding":
        assert hits[0].name == "refund"
    with store.items.reading(vectors=True) as reading:
        assert reading.search(("memories",), vector=store.items.vector("refund"))[0].key == "two"


@pytest.mark.parametrize("flaw", FLAWS)
def test_doctor_names_a_broken_vector_and_makes_it_anew(store, flaw):
    fill(store, "add", "refund")
    store.items.write([Change(("memories",), "one", {}, ["add", "refund"])])
    put(store, "UPDATE skillp_embedding SET vector = ? WHERE skill_id = ?", FLAWS[flaw], store.get("add").id)
    put(store, "UPDATE skillp_item_vector SET vector = ? WHERE number = 0", FLAWS[flaw])

    assert "1 of them broken: add; run: skill-plugin doctor --fix" in wrong(store)["vectors"]
    assert repaired(store) == "broken embedding vectors: 1; broken item_vector vectors: 1; vectors made: 1"
    assert wrong(store) == {}
    assert found(store, "add") == [("add", 1)]
    with store.items.reading(vectors=True) as reading:
        assert reading.search(("memories",), vector=store.items.vector("add"))[0].score == pytest.approx(1)
    assert repaired(store) == "nothing to repair"


def test_doctor_names_a_missing_vector_and_makes_it_anew(store):
    fill(store, "add", "refund")
    put(store, "DELETE FROM skillp_embedding WHERE skill_id = ?", store.get("add").id)

    assert "1 of 2 live skills have a vector, 0 of them broken: add" in wrong(store)["vectors"]
    assert "vectors made: 1" in repaired(store)
    assert wrong(store) == {}


def test_doctor_names_a_text_and_a_name_that_were_changed_behind_the_store(store):
    fill(store, "add", "refund")
    put(store, "UPDATE skillp_skill_version SET text = text || 'Obey.' WHERE skill_id = ?", store.get("add").id)
    put(store, "UPDATE skillp_skill SET name = '../up' WHERE name = 'refund'")

    detail = wrong(store)["skills"]
    assert "add@1 (its text is not what was written)" in detail
    assert "'../up' (its name breaks the rules)" in detail


def test_the_indexer_outlives_a_broken_vector_and_what_it_does_not_expect(open_store, monkeypatch, caplog):
    store = open_store(chroma=None)
    fill(store, "add", "refund")
    assert store.wait_for_index()
    index = store._partition.index
    real = index.ids

    def broken(**_):
        raise ZeroDivisionError("a row that nobody thought of")

    monkeypatch.setattr(index, "ids", broken)
    store._indexer._checked.clear()
    assert not store.wait_for_index(20)
    assert store._indexer._thread.is_alive()
    assert caplog.text.count("Traceback") == 1
    assert "unexpected ZeroDivisionError" in wrong(store)["index"]
    assert found(store, "add") == [("add", 1)]

    monkeypatch.setattr(index, "ids", real)
    put(store, "UPDATE skillp_embedding SET vector = ? WHERE skill_id = ?", FLAWS["short"], store.get("add").id)
    store.pin("add")
    fill(store, "sort")
    assert store.wait_for_index()
    assert set(real(signature="topics")) >= {store.get("refund").id, store.get("sort").id}
    assert "vectors made: 1" in repaired(store)
    assert store.wait_for_index()
    assert wrong(store) == {}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_indexer_whose_thread_died_is_started_again_by_the_next_use(open_store, monkeypatch):
    store = open_store(chroma=None)
    fill(store, "add")
    assert store.wait_for_index()
    indexer = store._indexer
    monkeypatch.setattr(indexer, "_work", lambda: (_ for _ in ()).throw(SystemExit))
    indexer.notify()
    indexer._thread.join(60)
    assert not indexer._thread.is_alive()
    monkeypatch.undo()

    fill(store, "refund")
    assert store.wait_for_index()


def _write(home, stop):
    with SkillStore.open(home, embedder=TopicEmbedder(), chroma=False) as store:
        number = 0
        while not stop.is_set():
            store.add_text(skill_text(f"other-{number}"))
            store.retire(f"other-{number}") if number % 3 == 0 else None
            number += 1


@pytest.mark.parametrize("chroma", [None, False], ids=["with an index", "without"])
def test_doctor_raises_no_false_alarm_beside_writers(open_store, home, chroma):
    store = open_store(chroma=chroma)
    fill(store, "add")
    context = multiprocessing.get_context("spawn")
    stop, stop_thread = context.Event(), threading.Event()
    other = context.Process(target=_write, args=(home, stop))
    other.start()

    def write():
        number = 0
        while not stop_thread.is_set():
            store.add_text(skill_text(f"mine-{number}"))
            store.revise(f"mine-{number}", body="Better.")
            store.promote(f"mine-{number}@2")
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        alarms = [wrong(store) for _ in range(15)]
    finally:
        stop.set()
        stop_thread.set()
        thread.join()
        other.join()
    assert alarms == [{}] * 15
    assert other.exitcode == 0


def test_an_emptied_database_is_not_taken_for_a_new_one(open_store, home, tmp_path):
    store = open_store(chroma=None)
    fill(store, "add")
    assert store.wait_for_index()
    store.close()
    (home / "skills.db").write_bytes(b"")
    for rest in ("skills.db-wal", "skills.db-shm"):
        (home / rest).unlink(missing_ok=True)

    with pytest.raises(
        StoreUnavailableError, match=r"is empty, and a store was here; .*import FILE.*\.recover"
    ) as caught:
        open_store()
    assert "\n" not in str(caught.value)
    (home / "skills.db.before-0007").write_text("")
    with pytest.raises(StoreUnavailableError, match=r"the copy that a migration made \(.*before-0007\)"):
        open_store()
    shutil.rmtree(home)
    home.mkdir()
    (home / "skills.db").write_bytes(b"")  # and nothing else: the place of a new one
    assert open_store().list() == []


def test_a_damaged_database_names_the_ways_back(cli, hashing, home):
    cli("skills", "add", "--name", "a", "--description", "d", "--body", "b")
    (home / "skills.db").write_bytes(b"no database at all" * 1000)
    for words in (["skills", "list"], ["search", "a"], ["doctor"], ["doctor", "--fix"]):
        said = cli(*words, code=1)
        assert "is damaged" in said
        assert "skill-plugin import FILE" in said
        assert ".recover" in said
        assert len(said.splitlines()) == 1


def test_fix_on_the_command_line(cli, hashing, home):
    cli("skills", "add", "--name", "a", "--description", "d", "--body", "b")
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        put(store, "UPDATE skillp_embedding SET vector = ?", FLAWS["short"])

    cli("doctor", code=1)
    assert "broken embedding vectors: 1; vectors made: 1" in cli("doctor", "--fix")
    assert "WRONG" not in cli("doctor")
