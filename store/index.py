"""The vector index: one Chroma collection per namespace and embedder. The only file that imports chromadb.

Chroma is a cache of the vectors in SQL. It promises little on its own: two processes that write one folder corrupt it
without an error, and a reader never sees what another process wrote. So one process owns the folder (a file lock),
everyone else searches the SQL vectors exactly, and what Chroma finds is only ever a list of candidates that SQL checks.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from skill_plugin.records import canonical_json, sha256
from skill_plugin.store.vectors import Vector

logger = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_LOCK_SECONDS = 5.0


class ChromaIndex:
    """One namespace's collection in a Chroma folder, opened at the first use.

    No method raises for Chroma's sake: where it fails, `query` returns None and the caller searches SQL. What failed
    stands in `problem`.
    """

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder = folder
        self.namespace = namespace
        self.problem: str | None = None
        self._lock = threading.RLock()
        self._file_lock = FileLock(folder / "owner.lock", timeout=0, is_singleton=True, thread_local=False)
        self._owned = False
        self._next_try = 0.0
        self._client: Any = None
        self._collections: dict[str, Any] = {}

    def own(self) -> bool:
        """Whether this process owns the folder; tries to become its owner, at most every few seconds."""
        with self._lock:
            if not self._owned and time.monotonic() >= self._next_try:
                self._next_try = time.monotonic() + RETRY_LOCK_SECONDS
                try:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self._file_lock.acquire()
                    self._owned = True
                except Timeout:
                    logger.info("another process owns the index in %s; searching SQL instead", self.folder)
                except OSError as exc:
                    self._fail("open", exc)
            return self._owned

    def query(self, vector: Vector, k: int, *, signature: str) -> list[str] | None:
        """The ids of the `k` nearest entries, nearest first; None if Chroma cannot say."""

        def ask() -> list[str]:
            collection = self._collection(signature)
            found = collection.query(query_embeddings=[vector], n_results=k, include=[])
            return [str(skill_id) for skill_id in found["ids"][0]]

        return self._try("query", ask)

    def apply(self, upserts: Sequence[tuple[str, Vector]], deletes: Sequence[str], *, signature: str) -> bool:
        """Brings entries up to date; whether it worked. Doing it twice is doing it once."""

        def write() -> bool:
            collection = self._collection(signature)
            step = self._client.get_max_batch_size()
            for batch in _batches(upserts, step):
                collection.upsert(ids=[skill_id for skill_id, _ in batch], embeddings=[vector for _, vector in batch])
            for ids in _batches(deletes, step):
                collection.delete(ids=list(ids))
            return True

        return bool(self._try("write", write))

    def ids(self, *, signature: str) -> set[str] | None:
        """Every entry's id; None if Chroma cannot say."""
        return self._try("read", lambda: set(self._collection(signature).get(include=[])["ids"]))

    def drop(self, *, signature: str) -> bool:
        """Forgets all entries, so that the collection can be built again; whether it worked."""

        def delete() -> bool:
            self._collections.pop(signature, None)
            with suppress(Exception):  # there may be none
                self._open().delete_collection(_collection_name(self.namespace, signature))
            return True

        with self._lock:
            self.problem = None
            return bool(self._try("drop", delete))

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                with suppress(Exception):
                    self._client.close()
                self._client = None
                self._collections.clear()
            if self._owned:
                self._file_lock.release()
                self._owned = False

    def _open(self) -> Any:
        if self._client is None:
            import chromadb  # noqa: PLC0415 - most of a second
            from chromadb.config import Settings  # noqa: PLC0415

            self._client = chromadb.PersistentClient(str(self.folder), settings=Settings(anonymized_telemetry=False))
        return self._client

    def _collection(self, signature: str) -> Any:
        if signature not in self._collections:
            self._collections[signature] = self._open().get_or_create_collection(
                _collection_name(self.namespace, signature),
                embedding_function=None,  # its default one would download a model
                configuration={"hnsw": {"space": "cosine"}},
                metadata={"namespace": self.namespace, "signature": signature},
            )
        return self._collections[signature]

    def _try(self, doing: str, call: Callable[[], T]) -> T | None:
        with self._lock:
            if self.problem is not None or not self.own():
                return None
            try:
                return call()
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except BaseException as exc:  # noqa: BLE001 - a panic of Chroma's Rust engine is no Exception
                self._fail(doing, exc)
                return None

    def _fail(self, doing: str, exc: BaseException) -> None:
        self.problem = f"cannot {doing}: {type(exc).__name__}: {' '.join(str(exc).split())[:300]}"
        logger.warning("the Chroma index in %s %s; searching SQL instead", self.folder, self.problem)


def _collection_name(namespace: str, signature: str) -> str:
    """Chroma allows few characters in a name; a hash is injective for all that matters."""
    return f"skills-{sha256(canonical_json([namespace, signature]))[:40]}"


def _batches(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
