"""A disk that is full before the process begins: reading goes on, and what makes room has a reserve."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from disks import add, alone, opened, refused
from skill_plugin.embedders import HashingEmbedder
from skill_plugin.errors import StoreUnavailableError
from skill_plugin.store import SkillStore
from skill_plugin.store.sql import reserve

FULL = 2**15 - 1
"""Bytes that a file may have: less than SQLite's shared memory."""


def _reads_on_a_full_disk(home):
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, resource.RLIM_INFINITY))
    store = opened(home, chroma=None)
    assert store.database.read_only is not None
    assert len(store.list("live")) == 5
    assert store.search("skill-2")[0].name == "skill-2"
    assert [check.name for check in store.check() if not check.ok] == []
    assert "is open for reading only" in refused(lambda: add(store, "one-too-many"))
    store.close()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with opened(home) as store:
        assert add(store, "one-more").status == "live"


def test_a_new_process_reads_on_a_full_disk(home):
    with opened(home) as store:
        for number in range(5):
            add(store, f"skill-{number}")
    alone(_reads_on_a_full_disk, home)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 100 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.name == "nt" or not mount or not umount:
        pytest.skip("nothing can be mounted here")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=100m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    yield place
    subprocess.run([umount, "-l", place], check=True)


def fill_up(place):
    with (place / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_on_a_full_disk_the_reserve_lets_a_new_process_retire_and_erase(small_disk):
    home = small_disk / "home"
    with opened(home) as store:
        for number in range(20):
            store.add(name=f"skill-{number}", description=f"How to do {number}", body="x" * 60_000)
    opened(home).close()
    kept = Path(f"{home / 'skills.db'}.reserve")
    assert kept.stat().st_size == reserve.BYTES
    fill_up(small_disk)

    with opened(home) as store:
        assert store.database.read_only is not None
        assert store.search("skill-2")
        assert "is open for reading only" in refused(lambda: add(store, "one-too-many"))
        assert kept.exists()
        assert store.retire("skill-1").status == "retired"
        assert not kept.exists()
        assert store.get("skill-1").status == "retired"
        assert [check.name for check in store.check() if not check.ok] == []
    (small_disk / "ballast").unlink()
    with opened(home) as store:
        assert add(store, "one-more").status == "live"
    assert kept.exists()


def test_a_small_store_has_no_reserve(home):
    with opened(home) as store:
        add(store, "skill-0")
    opened(home).close()

    assert not Path(f"{home / 'skills.db'}.reserve").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no limits")
def test_what_was_written_last_before_a_kill_is_said_to_be_out_of_reach(home):
    store = opened(home)
    add(store, "skill-0")
    copy = home.parent / "copy"
    shutil.copytree(home, copy)
    store.close()
    (copy / "skills.db-shm").unlink()
    alone(_says_where_the_changes_are, copy)


def _says_where_the_changes_are(home):
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, resource.RLIM_INFINITY))
    with pytest.raises(StoreUnavailableError, match=r"its last changes are in skills\.db-wal; .* room"):
        SkillStore.open(home, embedder=HashingEmbedder(), chroma=False)
