"""The index is a cache: deleted, broken, behind or owned by another process, search stays right."""

import multiprocessing
import shutil

import pytest
from sqlmodel import select

from fakes import TopicEmbedder
from skill_plugin.store import SkillStore
from skill_plugin.store.tables import IndexChangeRow


def fill(store, *names):
    for name in names:
        store.add(name=name, description=f"How to {name}", body="Do it.")


def found(store, query="add"):
    return [(hit.name, hit.version) for hit in store.search(query, k=5, min_score=0.9)]


def engine(store, query="add"):
    return store.search(query, k=1)[0].why["engine"]


def pending(store):
    with store.database.read() as session:
        return len(session.exec(select(IndexChangeRow)).all())


def test_every_change_of_what_is_live_goes_through_the_outbox(store):
    fill(store, "add")
    store.revise("add", body="Better.", description="How to refund, refund and refund")

    assert pending(store) == 0
    assert found(store, "refund") == []
    store.promote("add")
    assert found(store, "refund") == [("add", 2)]
    assert store.index.ids(signature="topics") == {store.get("add").id}


def test_a_deleted_index_is_rebuilt_without_loss(open_store, home):
    store = open_store()
    fill(store, "add", "refund", "sort", "ship")
    store.close()
    shutil.rmtree(home / "chroma")
    again = open_store()

    assert found(again, "refund") == [("refund", 1)]
    assert len(again.index.ids(signature="topics")) == 4


def test_rebuild_makes_the_index_what_sql_says(store):
    fill(store, "add", "refund")
    store.index.apply([("sk_ghost", [1.0, 0.0, 0.0, 0.0])], [store.get("refund").id], signature="topics")

    assert store.rebuild_index()
    assert store.index.ids(signature="topics") == {skill.id for skill in store.list()}


def test_entries_that_were_lost_or_left_over_are_repaired_when_the_store_is_opened(open_store):
    store = open_store()
    fill(store, "add", "refund")
    ids = {skill.id for skill in store.list()}
    store.index.apply([("sk_ghost", [1.0, 0.0, 0.0, 0.0])], [store.get("add").id], signature="topics")
    store.close()
    again = open_store()

    assert found(again) == [("add", 1)]
    assert again.index.ids(signature="topics") == ids


def test_an_index_that_fails_does_not_fail_a_write_or_a_search(open_store, tmp_path, caplog):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    store = open_store(chroma=blocked)
    fill(store, "add", "refund")

    assert found(store) == [("add", 1)]
    assert engine(store) == "exact"
    assert pending(store) == 2
    assert "searching SQL instead" in caplog.text
    store.close()
    blocked.unlink()
    healed = open_store(chroma=blocked)
    assert (found(healed), engine(healed), pending(healed)) == ([("add", 1)], "chroma", 0)


def test_an_index_that_lost_an_entry_while_open_does_not_hide_a_skill(store):
    fill(store, "add", "refund")
    store.index.apply([], [store.get("add").id], signature="topics")

    assert found(store) == [("add", 1)]


def test_a_hit_is_what_sql_says_whatever_the_index_holds(store):
    """The vector of a live skill in the index is wrong, and one entry is of no skill at all."""
    fill(store, "add", "refund", "sort")
    vector = [0.0, 1.0, 0.0, 0.0]
    store.index.apply([(store.get("add").id, vector), ("sk_ghost", vector)], [], signature="topics")
    hits = store.search("refund", k=3)

    assert hits[0].name == "refund"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert "sk_ghost" not in {hit.skill_id for hit in hits}


def in_another_process(work, *args):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=work, args=(queue, *args))
    process.start()
    result = queue.get(timeout=120)
    process.join(60)
    return result


def _change(queue, home):
    """What a nightly job does to a live agent's store."""
    with SkillStore.open(home, embedder=TopicEmbedder()) as store:
        fill(store, "refund")
        store.revise("add", body="Better.")
        store.promote("add")
        queue.put((found(store), found(store, "refund"), engine(store)))


def test_another_process_searches_sql_and_its_changes_are_seen_at_once(open_store, home):
    store = open_store()
    fill(store, "add")
    assert engine(store) == "chroma"  # this process owns the index from here on

    seen_there = in_another_process(_change, home)

    assert seen_there == ([("add", 2)], [("refund", 1)], "exact")
    assert found(store) == [("add", 2)]
    assert found(store, "refund") == [("refund", 1)]
    assert (engine(store), pending(store)) == ("chroma", 0)


def test_two_namespaces_of_one_process_share_the_folder(open_store):
    ours, theirs = open_store(namespace="ours"), open_store(namespace="theirs")
    fill(ours, "add")
    fill(theirs, "add")

    assert (engine(ours), engine(theirs)) == ("chroma", "chroma")
    ours.close()
    assert engine(theirs) == "chroma"


@pytest.mark.parametrize("count", [1, 300])
def test_chroma_and_exact_search_agree(store, count):
    for number in range(count):
        words = " ".join(["add"] * (number % 7) + ["refund"] * (number % 5) + ["sort"] * (number % 3))
        store.add(name=f"skill-{number}", description=f"How to {words} {number}", body="Do it.")
    by_chroma = store.search("add and refund", k=10)
    store.index.problem = "switched off"
    by_sql = store.search("add and refund", k=10)

    assert [round(hit.score, 5) for hit in by_chroma] == [round(hit.score, 5) for hit in by_sql]
    assert by_chroma[0].why["engine"] != by_sql[0].why["engine"] or count == 1
