"""Stores on disks that fail: opened, used and refused."""

import multiprocessing
import time

import pytest

from skill_plugin.embedders import HashingEmbedder
from skill_plugin.errors import StoreUnavailableError
from skill_plugin.store import SkillStore


def opened(home, **options):
    return SkillStore.open(home, embedder=HashingEmbedder(), **{"chroma": False, **options})


def add(store, name):
    return store.add(name=name, description=f"How to {name}", body="Do it.")


def refused(write):
    """The one line that a write fails with, at once: waiting would be for a minute."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError) as caught:
        write()
    assert time.monotonic() - started < 30
    assert "\n" not in str(caught.value)
    return str(caught.value)


def alone(work, *args):
    """In a process of its own, which may give up rights and be limited."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=args)
    process.start()
    process.join(120)
    assert process.exitcode == 0
