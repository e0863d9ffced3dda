"""A store that was open when its process forked (a preloading web server) works on both sides."""

import multiprocessing
import os

import pytest

from indexes import engine, entries, fill, found
from skill_plugin import Rollout, Task

pytestmark = [
    pytest.mark.both_backends,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def _use(store, queue, worker):
    """What a worker does with the store that it inherited."""
    ref = store.get("add").ref
    for number in range(50):
        rollout = Rollout(generation=0, answer="", skill=ref, reward=1.0, passed=True)
        store.record(Task(f"{worker} {number}"), [rollout], run_id=f"{worker}-{number}")
    fill(store, f"refund-{worker}")
    store.wait_for_index(2)
    queue.put((worker, found(store), engine(store), store._indexer.owned))


def test_children_use_the_store_that_they_inherit(open_store, backend):
    store = open_store(chroma=None)
    fill(store, "add")
    assert store.wait_for_index()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_use, args=(store, queue, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for number in range(50):
        rollout = Rollout(generation=0, answer="", skill=store.get("add").ref, reward=1.0, passed=True)
        store.record(Task(f"parent {number}"), [rollout], run_id=f"parent-{number}")
    seen = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    expected = (("add", 1),)
    assert all((tuple(hits), owned) == (expected, False) for _, hits, _, owned in seen)
    assert {who for _, _, who, _ in seen} <= ({"exact"} if backend.is_sqlite else {"exact", "chroma"})
    assert store.get("add").uses == 200
    assert store.wait_for_index()
    assert (engine(store), entries(store)) == ("chroma", {skill.id for skill in store.list()})
    assert [check.name for check in store.check() if not check.ok] == []
