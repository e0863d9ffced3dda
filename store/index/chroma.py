"""The vector index: one Chroma collection per namespace and embedder.

Chroma is a cache of the vectors in SQL. It promises little on its own: two processes that write one folder corrupt it
without an error, and a reader never sees what another process wrote. So one process owns the folder, everyone else
searches the SQL vectors exactly, and what Chroma finds is only ever a list of candidates that SQL checks.
"""

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skill_plugin.records import sha256
from skill_plugin.store import forks
from skill_plugin.store.index.worker import BUSY_SECONDS, QUERY_SECONDS, WRITE_SECONDS, Worker, WorkerError
from skill_plugin.store.vectors import Entry, Vector
from skill_plugin.url_passwords import masked

logger = logging.getLogger(__name__)

MIN_FREE_BYTES = 16 * 2**20
"""With less left on the disk Chroma is left alone: a write that meets the end of the disk never returns."""

_CHROMA_SEGMENT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_workers: dict[tuple[int, str], tuple[Worker, int]] = {}
_workers_lock = threading.Lock()


class ChromaIndex:
    """One namespace's collections at a place: a folder, or the URL of a Chroma server.

    `query` never raises and never waits: where Chroma cannot say at once it returns None, and the caller searches SQL.
    The other methods are the indexer's; they raise `WorkerError`. `key` is the namespace's, from its row; the indexer sets
    it.
    """

    def __init__(self, place: str, namespace: str) -> None:
        self.place = place
        self.shown = masked(place)
        self.namespace = namespace
        self.key = ""
        self.problem: str | None = None
        self.is_server = "://" in place
        self.declined: dict[str, str] = {}
        self._serving: set[str] = set()
        self._worker: Worker | None = None

    def query(self, vector: Vector, k: int, *, signature: str) -> list[str] | None:
        """Returns the ids of the `k` nearest entries, nearest first; None if Chroma cannot say at once."""
        worker = self._worker
        if worker is None or signature not in self._serving or not worker.alive:
            return None
        try:
            name = self._collection(signature)
            found: list[str] = worker.call("query", name, vector, k, seconds=QUERY_SECONDS, patience=BUSY_SECONDS)
        except WorkerError as exc:
            if not exc.busy:
                self.fail(str(exc))
            return None
        return found

    def serve(self, signature: str) -> None:
        """Lets `query` answer for these vectors from now on, unless that was declined."""
        if signature not in self.declined:
            self._serving.add(signature)
        self.problem = None

    def serves(self, signature: str) -> bool:
        return signature in self._serving and self._worker is not None and self._worker.alive

    def decline(self, signature: str, reason: str) -> None:
        """Keeps the collection, but leaves every search to SQL."""
        self._serving.discard(signature)
        if self.declined.get(signature) != reason:
            logger.warning("the Chroma index at %s: %s", self.shown, reason)
        self.declined[signature] = reason

    def is_ready(self, signature: str) -> bool:
        """Returns whether the indexer has decided who answers, this index or SQL."""
        return self.serves(signature) or (
            signature in self.declined and self._worker is not None and self._worker.alive
        )

    def fail(self, problem: str) -> None:
        """Stops answering until the indexer has brought it up again."""
        self._serving.clear()
        if self.problem != problem:
            logger.warning("the Chroma index at %s: %s; searching SQL instead", self.shown, problem)
        self.problem = problem

    def start(self) -> None:
        """Starts the process that runs Chroma, or shares the one that another namespace started."""
        if not self.is_server:
            if not _may_be_ours(Path(self.place)):
                raise WorkerError("it holds other things than a Chroma index; choose another place", no_fault=True)
            if _free_bytes(Path(self.place)) < MIN_FREE_BYTES:
                raise WorkerError("the disk is full", no_fault=True)
        if self._worker is None:
            self._worker = _borrow(self.place)
        self._worker.start()

    def stop(self) -> None:
        self._serving.clear()
        if self._worker is not None:
            self._worker = None
            _give_back(self.place)

    def upsert(self, entries: Sequence[Entry], *, signature: str) -> None:
        if entries:
            ids, versions, vectors = zip(*entries, strict=True)
            matrix = np.stack([np.asarray(vector, dtype=np.float32) for vector in vectors])
            self._call("upsert", signature, list(ids), list(versions), matrix)

    def delete(self, ids: Sequence[str], *, signature: str) -> None:
        if ids:
            self._call("delete", signature, list(ids))

    def ids(self, *, signature: str) -> dict[str, int]:
        """Returns the skills that have an entry, each with its entry's version."""
        found: dict[str, int] = self._call("ids", signature)
        return found

    def mark_alike(self, count: int, *, signature: str) -> None:
        self._call("mark_alike", signature, count)

    def marked_alike(self, *, signature: str) -> int:
        """Returns of how many entries the indexer found that a new collection does not help; 0 if it never did."""
        marked: int = self._call("marked_alike", signature)
        return marked

    def drop(self, *, signature: str) -> None:
        """Forgets all entries, so that the collection can be built again."""
        self._serving.discard(signature)
        self._call("drop", signature)

    def nearest(self, vector: Vector, k: int, *, signature: str) -> list[str]:
        """Returns what `query` does, for the indexer: it waits, and raises where Chroma cannot say."""
        found: list[str] = self._call("query", signature, vector, k)
        return found

    def move_aside(self) -> Path | None:
        """Puts a damaged folder out of the way, so that a new one can be made; keeps only the latest such folder."""
        if self._worker is not None:
            self._worker.stop()  # also under the process's other namespaces: it must not go on writing what is moved
        self.stop()
        folder = Path(self.place)
        if self.is_server or not folder.exists():
            return None
        for old in folder.parent.glob(f"{folder.name}.damaged-*"):
            shutil.rmtree(old, ignore_errors=True)
        aside = folder.with_name(f"{folder.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        folder.rename(aside)
        return aside

    def _call(self, operation: str, signature: str, *arguments: Any) -> Any:
        if self._worker is None:
            raise WorkerError("it is not running", no_fault=True)
        return self._worker.call(operation, self._collection(signature), *arguments, seconds=WRITE_SECONDS)

    def _collection(self, signature: str) -> str:
        """Names a collection. Chroma allows few characters in a name; a hash is injective for all that matters."""
        return f"skills-{self.key}-{sha256(signature)[:24]}"


def _borrow(place: str) -> Worker:
    """Returns the worker of a place, which a process's namespaces share: only one process may have the folder open."""
    with forks.no_fork(), _workers_lock:
        worker, users = _workers.get((os.getpid(), place), (None, 0))
        worker = worker or Worker(place)
        _workers[os.getpid(), place] = (worker, users + 1)
        return worker


def _give_back(place: str) -> None:
    with forks.no_fork(), _workers_lock:
        worker, users = _workers.pop((os.getpid(), place), (None, 0))
        if worker is not None and users > 1:
            _workers[os.getpid(), place] = (worker, users - 1)
        elif worker is not None:
            worker.stop()


def _may_be_ours(place: Path) -> bool:
    """Returns whether the place is free or a Chroma folder: a damaged one is moved away, and nothing else may be."""
    if not place.is_dir():
        return not place.exists()
    return all(
        entry.name.startswith("chroma.sqlite3") or _CHROMA_SEGMENT.fullmatch(entry.name) for entry in place.iterdir()
    )


def _free_bytes(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
