"""The disk fills up, loses the end of a file, is read-only or gone; the clock goes backwards."""

import os
import random
import resource
import shutil
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import crash_driver
import crash_oracle
from crash_oracle import Reference
from disks import add, alone, opened, refused
from skill_plugin import Rollout, Task
from skill_plugin.embedders import HashingEmbedder

STEPS = 60
SEED = 34
"""Of a run that never closes its store, so that all of it is in the WAL."""

CUTS = 30


@pytest.fixture
def killed(tmp_path):
    """A store that died with everything still in its WAL, and the states that it went through."""
    home = tmp_path / "killed"
    run = crash_oracle.run(home, SEED, last=STEPS, crash_at="promote.before:9")
    assert run.killed
    reference = Reference(tmp_path / "reference", SEED)
    states = [reference.after(steps) for steps in range(len(run.acknowledged) + 2)]
    reference.close()
    return home, states


def test_a_wal_that_was_cut_or_damaged_anywhere_opens_as_a_prefix_of_what_was_acknowledged(killed, tmp_path):
    """Cut, it is what a power failure leaves of unsynced writes; every third is also overwritten somewhere."""
    home, states = killed
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    wal = (home / "skills.db-wal").read_bytes()
    reached = set()
    for number in range(CUTS):
        copy = tmp_path / f"cut-{number}"
        copy.mkdir()
        shutil.copy(home / "skills.db", copy)
        cut = bytearray(wal[: rng.randrange(len(wal))])
        if number % 3 == 0 and len(cut) > 64:
            place = rng.randrange(len(cut) - 64)
            cut[place : place + 64] = rng.randbytes(64)
        (copy / "skills.db-wal").write_bytes(cut)
        told = f"seed {seed}, copy {number}"

        assert crash_oracle.rows(copy, "PRAGMA integrity_check") == [["ok"]], told
        found = crash_oracle.state(copy)
        assert found in states, told
        reached.add(states.index(found))
        driver = crash_driver.Driver(copy, SEED)
        assert all(check.ok for check in driver.store.check()), told
        driver.step(states.index(found))
        driver.close()
        assert list(crash_oracle.utilities_that_do_not_follow(copy)) == [], told
    assert len(reached) > 5, f"seed {seed}"


def _on_a_full_disk(home):
    store = opened(home)
    for number in range(5):
        add(store, f"skill-{number}")
    before = crash_oracle.state(home)
    full = max(path.stat().st_size for path in home.iterdir())  # of the WAL, which every write makes longer
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
    for _ in range(3):
        refused(lambda: add(store, "one-too-many"))
        refused(lambda: store.retire("skill-1"))
        refused(lambda: store.runs.record(Task("add"), [Rollout(generation=0, answer="4")], run_id="run"))
        refused(lambda: store.erase(confirm=store.namespace))
        assert len(store.list("live")) == 5
        assert store.search("skill-2")[0].name == "skill-2"
        assert opened(home).get("skill-3").name == "skill-3"
    assert crash_oracle.state(home) == before

    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert add(store, "one-too-many").status == "live"
    assert store.retire("skill-1").status == "retired"
    assert all(check.ok for check in store.check())
    store.close()
    assert crash_oracle.rows(home, "PRAGMA integrity_check") == [["ok"]]


def test_on_a_full_disk_a_write_fails_at_once_and_everything_else_goes_on(home):
    alone(_on_a_full_disk, home)


def test_when_chroma_meets_the_end_of_the_disk_search_goes_on_and_it_heals(home, monkeypatch, caplog):
    monkeypatch.setattr("skill_plugin.store.index.chroma.WRITE_SECONDS", 2)
    with opened(home, chroma=None) as store:
        add(store, "skill-0")
        assert store.wait_for_index()
        chroma = store._partition.index._worker._process.pid
        limits = resource.prlimit(chroma, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        for number in range(1, 50):
            started = time.monotonic()
            add(store, f"skill-{number}")
            assert store.search(f"skill-{number}", k=1)[0].name == f"skill-{number}"
            assert time.monotonic() - started < 30
        assert "searching SQL instead" in caplog.text
        with suppress(ProcessLookupError):  # if it was ended, the next one has no limit
            resource.prlimit(chroma, resource.RLIMIT_FSIZE, limits)

        assert store.wait_for_index()
        assert set(store._partition.index.ids(signature=HashingEmbedder().signature)) == {
            skill.id for skill in store.list()
        }


def _where_nothing_may_be_written(home):
    with opened(home.parent / "scratch") as scratch:  # imports what is imported late, while that may still be read
        add(scratch, "any")
        scratch.check()
    if os.geteuid() == 0:
        os.setuid(65534)
    store = opened(home)
    add(store, "skill-0")
    store.database.engine.dispose()
    for path in home.iterdir():
        path.chmod(0o444)
    home.chmod(0o555)
    assert "readonly database" in refused(lambda: add(store, "skill-1"))
    with opened(home) as later:  # a new process may still look
        assert len(later.list()) == 1
        assert "is open for reading only" in refused(lambda: add(later, "skill-1"))

    home.chmod(0o755)
    for path in home.iterdir():
        path.chmod(0o644)
    store.database.engine.dispose()
    assert add(store, "skill-1").status == "live"
    store.close()


def test_a_file_that_became_read_only_is_told_in_one_line():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        Path(folder).chmod(0o777)
        alone(_where_nothing_may_be_written, Path(folder, "home"))


def test_no_write_is_acknowledged_into_a_file_that_was_removed(home, open_store):
    store = open_store()
    add(store, "skill-0")
    shutil.rmtree(home)

    for use in (lambda: add(store, "skill-1"), store.list, lambda: store.search("skill")):
        assert "removed or replaced while it was open" in refused(use)


class Backwards(datetime):
    """A clock that goes back an hour each time it is read."""

    hours = 0

    @classmethod
    def now(cls, tz=None):
        cls.hours += 1
        return datetime(2026, 1, 1, tzinfo=UTC) - timedelta(hours=cls.hours)


def test_a_clock_that_runs_backwards_changes_no_order_and_no_victim(tmp_path, monkeypatch):
    def worked(home):
        driver = crash_driver.Driver(home, 1)
        said = [driver.step(number) for number in range(80)]
        names = [skill.name for skill in driver.store.list()]
        lives = [[(event.kind, event.version) for event in driver.store.history(name)] for name in names]
        numbers = [[version.number for version in driver.store.versions(name)] for name in names]
        driver.close()
        return said, lives, numbers, crash_oracle.state(home)

    forwards = worked(tmp_path / "forwards")
    monkeypatch.setattr("skill_plugin.store.tables.datetime", Backwards)
    backwards = worked(tmp_path / "backwards")

    assert Backwards.hours > 100
    assert any(name == "prune" and retired for name, retired in forwards[0])
    assert backwards == forwards
    times = [at for (at,) in crash_oracle.rows(tmp_path / "backwards", "SELECT at FROM skillp_event ORDER BY id")]
    assert times == sorted(times, reverse=True)
