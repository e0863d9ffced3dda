"""Any number of processes on one SQL file: nothing is lost, nothing is there twice, no limit is passed."""

import multiprocessing
import random
import sqlite3
from contextlib import closing

import crash_oracle
from skill_plugin import Rollout, Task
from skill_plugin.embedders import HashingEmbedder
from skill_plugin.errors import DuplicateSkillError
from skill_plugin.store import SkillStore

PROCESSES = 4
CAPACITY = 10


def opened(home, **options):
    return SkillStore.open(home, embedder=HashingEmbedder(), chroma=False, **options)


def add(store, name, **options):
    return store.add(name=name, description=f"How to {name}", body="Do it.", **options)


def all_at_once(work, *args, watch=None):
    """What each process returned, in their order; `watch` is called for as long as they run."""
    context = multiprocessing.get_context("spawn")
    together, results = context.Barrier(PROCESSES), context.Queue()
    processes = [
        context.Process(target=_begin_together, args=(together, results, work, number, *args))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    while watch is not None and any(process.is_alive() for process in processes):
        watch()
    returned = dict(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    return [returned[number] for number in range(PROCESSES)]


def _begin_together(together, results, work, number, *args):
    together.wait(120)
    try:
        results.put((number, work(number, *args)))
    except BaseException as exc:
        results.put((number, repr(exc)))
        raise


def _record(number, home, ref):
    rng = random.Random(number)
    with opened(home) as store:
        for run in range(100):
            reward = rng.random()
            used = Rollout(generation=0, answer="", skill=ref, reward=reward, passed=reward > 0.5)
            store.runs.record(Task(f"add {run}"), [used], run_id=f"{number}-{run}")


def test_utility_is_that_of_a_serial_replay_in_the_order_of_the_rollouts(home):
    with opened(home) as store:
        skill = add(store, "adding")
        all_at_once(_record, home, skill.ref)

        assert store.get("adding").uses == PROCESSES * 100
    assert list(crash_oracle.utilities_that_do_not_follow(home)) == []


def _add(number, home):
    won = []
    with opened(home) as store:
        for turn in range(20):
            add(store, f"own-{number}-{turn}")
            try:
                won.append(add(store, f"shared-{turn}").id)
            except DuplicateSkillError:
                won.append(None)
    return won


def test_one_of_those_who_take_a_name_at_once_gets_it(home):
    with opened(home) as store:
        won = all_at_once(_add, home)
        winners = [[skill_id for skill_id in turn if skill_id] for turn in zip(*won, strict=True)]

        assert winners == [[store.get(f"shared-{turn}").id] for turn in range(20)]
        assert len(store.list("live")) == 20 + 20 * PROCESSES


def _add_and_prune(number, home):
    """One prunes, the others add; what they have added is used enough to be evictable."""
    with opened(home, capacity=CAPACITY) as store:
        for turn in range(40):
            if number == 0:
                store.prune(capacity=CAPACITY - 2)
                continue
            skill = add(store, f"skill-{number}-{turn}", author="import")
            uses = [
                Rollout(generation=use, answer="", skill=skill.ref, reward=turn / 40, passed=False) for use in range(20)
            ]
            store.runs.record(Task("add"), uses, run_id=f"{number}-{turn}")


def test_a_namespace_is_never_seen_above_its_capacity(home):
    opened(home).close()
    seen = []
    with closing(sqlite3.connect(home / "skills.db")) as connection:
        live = "SELECT count(*) FROM skillp_skill WHERE status = 'live'"
        all_at_once(_add_and_prune, home, watch=lambda: seen.append(connection.execute(live).fetchone()[0]))

    assert max(seen) <= CAPACITY
    with opened(home) as store:
        assert len(store.list()) == (PROCESSES - 1) * 40
    assert list(crash_oracle.utilities_that_do_not_follow(home)) == []
