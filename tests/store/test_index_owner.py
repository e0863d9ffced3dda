"""Who brings the index up to date: one process at a time, whatever else is open on the database."""

import multiprocessing
import shutil
import time

import pytest
from sqlalchemy import text

from fakes import TopicEmbedder
from indexes import engine, entries, fill, found, pending
from skill_plugin.store import SkillStore


@pytest.fixture
def store(open_store):
    return open_store(chroma=None)


def in_another_process(work, *args):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=work, args=(queue, *args))
    process.start()
    result = queue.get(timeout=120)
    process.join(60)
    return result


def _change(queue, home, chroma=None):
    """What a nightly job does to a live agent's store."""
    with SkillStore.open(home, chroma=chroma, embedder=TopicEmbedder()) as store:
        fill(store, "refund")
        store.revise("add", body="Better.")
        store.promote("add")
        caught_up = store.wait_for_index(10**6)  # it does not wait for an index that is not its own
        queue.put((found(store), found(store, "refund"), engine(store), caught_up, store._partition.index.problem))


def test_another_process_searches_sql_and_its_changes_are_seen_at_once(home, store):
    fill(store, "add")
    assert store.wait_for_index()  # this process owns the index from here on

    seen_there = in_another_process(_change, home)

    assert seen_there == ([("add", 2)], [("refund", 1)], "exact", False, "another process owns it")
    assert found(store) == [("add", 2)]
    assert found(store, "refund") == [("refund", 1)]
    assert store.wait_for_index()
    assert (engine(store), pending(store)) == ("chroma", False)


def _own(queue, where, done):
    """Brings the index up to date in a process of its own, and holds it until the test is done."""
    with SkillStore.open(**where, embedder=TopicEmbedder()) as store:
        fill(store, "add")
        queue.put(store.wait_for_index())
        done.wait(60)


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
def test_on_a_server_every_process_asks_chroma_and_one_writes_it(backend, open_store):
    context = multiprocessing.get_context("spawn")
    queue, done = context.Queue(), context.Event()
    owner = context.Process(target=_own, args=(queue, backend.options(), done))
    owner.start()
    assert queue.get(timeout=60)
    store = open_store(chroma=None)

    assert store.wait_for_index()
    assert (engine(store), store._partition.indexer.owned) == ("chroma", False)
    fill(store, "refund")
    assert found(store, "refund") == [("refund", 1)]
    eventually(lambda: store.wait_for_index(5) and engine(store, "refund") == "chroma")
    done.set()
    owner.join(60)
    eventually(lambda: store._partition.indexer.wait(5) and store._partition.indexer.owned)


def eventually(holds, seconds=40):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
def test_two_databases_with_one_namespace_share_a_server(new_database, chroma_url, open_store):
    stores = [open_store(new_database(), chroma=chroma_url) for _ in range(2)]
    for store, name in zip(stores, ("add", "refund"), strict=True):
        fill(store, name)
        assert store.wait_for_index()

    assert [entries(store) for store in stores] == [{store.list()[0].id} for store in stores]


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
def test_an_owner_whose_connection_breaks_lets_go_and_takes_it_again(open_store):
    store = open_store(chroma=None)
    fill(store, "add")
    assert store.wait_for_index()
    with store.database.write() as session:
        session.connection().execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        )
    fill(store, "refund")

    eventually(lambda: store.wait_for_index(5) and engine(store, "refund") == "chroma")
    assert store._partition.indexer.owned


def test_two_index_folders_on_one_database_do_not_swallow_each_others_changes(open_store, home, tmp_path):
    ours = open_store(chroma=None)
    fill(ours, "add")
    assert ours.wait_for_index()

    assert in_another_process(_change, home, tmp_path / "elsewhere")[4] == "another process owns it"
    assert ours.wait_for_index()
    assert entries(ours) == {skill.id for skill in ours.list()}


def test_a_stale_entry_is_found_though_nothing_is_missing(open_store, home, store):
    """A folder from a backup holds the right ids, and the vector of an older version."""
    fill(store, "add")
    assert store.wait_for_index()
    store.close()
    shutil.copytree(home / "chroma", home / "backup")
    later = open_store(chroma=None)
    later.revise("add", description="How to refund, refund and refund")
    later.promote("add")
    assert later.wait_for_index()
    later.close()
    shutil.rmtree(home / "chroma")
    (home / "backup").rename(home / "chroma")
    again = open_store(chroma=None)

    assert again.wait_for_index()
    assert again._partition.index.ids(signature="topics") == {again.get("add").id: 2}
    assert (found(again, "refund"), engine(again, "refund")) == ([("add", 2)], "chroma")
