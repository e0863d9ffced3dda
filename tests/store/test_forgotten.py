"""Stores that nobody closes, and stores that are closed while Chroma starts."""

import gc
import subprocess
import sys
import threading
import time

from skill_plugin.store import SkillStore

PROGRAM = """
import sys, threading
unhandled = []
threading.excepthook = unhandled.append
from skill_plugin.store import SkillStore
with SkillStore.open(sys.argv[1], embedder="hashing") as store:
    store.add(name="parcels", description="pack a box", body="1. Fold it.")
    while store._partition.index._worker is None or not store._partition.index._worker.alive:
        pass  # until Chroma's process is there, which will not answer
print(unhandled, store._partition.index.serves(store._partition.vectors.signature))
"""
SLOW = "import sys, time\nif any('chroma_process' in word for word in sys.orig_argv): time.sleep(3600)\n"


def indexers():
    return [thread for thread in threading.enumerate() if thread.name == "skill-plugin-indexer" and thread.is_alive()]


def test_a_store_that_is_not_closed_goes_with_its_last_user(home):
    """As in a page that is run again at every click."""
    before = set(indexers())
    with SkillStore.open(home, embedder="hashing") as store:
        store.add(name="parcels", description="pack a box", body="1. Fold it.")
    for _ in range(10):
        assert SkillStore.open(home, embedder="hashing").search("pack a box")
    gc.collect()

    while set(indexers()) - before:
        time.sleep(0.05)


def test_a_part_of_a_store_keeps_it_open(home):
    runs = SkillStore.open(home, embedder="hashing", chroma=False).runs
    gc.collect()

    assert runs.staged("none") == []


def test_a_store_can_be_closed_while_chroma_starts(tmp_path, monkeypatch):
    """Chroma would answer in an hour; the store does not wait for it, and its thread ends without an error."""
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    ran = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "home")], capture_output=True, text=True)

    assert (ran.stdout, ran.stderr) == ("[] False\n", "")
