"""A store that was open when its process forked (a preloading web server) works on both sides."""

import itertools
import multiprocessing
import os
import threading

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
        store.runs.record(Task(f"{worker} {number}"), [rollout], run_id=f"{worker}-{number}")
    fill(store, f"refund-{worker}")
    store.wait_for_index(2)
    queue.put((worker, found(store), engine(store), store._partition.indexer.owned))


def test_a_fork_in_the_midst_of_other_threads_work_leaves_no_lock_behind(open_store):
    """SQLite's own mutexes are copied by a fork: one that another thread held would be held for ever in the child."""
    store = open_store(chroma=None)
    fill(store, "add")
    stop = threading.Event()

    def work(name):
        for number in itertools.count():
            if stop.is_set():
                return
            store.runs.record(Task(f"{name} {number}"), [_rollout(store)], run_id=f"{name}-{number}")

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in "ab"]
    for thread in threads:
        thread.start()
    context = multiprocessing.get_context("fork")
    hung = 0
    for number in range(40):
        child = context.Process(target=_record_one, args=(store, number), daemon=True)
        child.start()
        child.join(20)
        hung += child.exitcode != 0
        child.kill()
        if hung:
            break
    stop.set()
    for thread in threads:
        thread.join(20)
    assert hung == 0
    assert all(store.runs.rollouts(f"child-{number}") for number in range(40))


def _record_one(store, number):
    store.runs.record(Task(f"child {number}"), [_rollout(store)], run_id=f"child-{number}")


def _rollout(store):
    return Rollout(generation=0, answer="", skill=store.get("add").ref, reward=1.0, passed=True)


def test_children_use_the_store_that_they_inherit(open_store, backend):
    store = open_store(chroma=None)
    fill(store, "add")
    assert store.wait_for_index()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_use, args=(store, queue, worker), daemon=True) for worker in range(3)]
    for worker in workers:
        worker.start()
    for number in range(50):
        rollout = Rollout(generation=0, answer="", skill=store.get("add").ref, reward=1.0, passed=True)
        store.runs.record(Task(f"parent {number}"), [rollout], run_id=f"parent-{number}")
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
