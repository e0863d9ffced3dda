"""The process that runs Chroma, so that nothing that happens to Chroma happens to its host.

A damaged folder can end the process that opens it with a segmentation fault, and on a full disk a write never returns
(both measured, chromadb 1.5.9). So the engine runs here, and `worker.py` on the other side keeps deadlines.

Frames on standard input and output: four bytes of length, then a pickle. A request is `(operation, arguments)`, a reply
`(True, result)` or `(False, what went wrong)`. Ends when its input ends, so it never outlives its host.
"""

import os
import pickle
import struct
import sys
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from filelock import FileLock

LOCK_SECONDS = 30.0

LENGTH = struct.Struct("!I")


def send(stream: BinaryIO, value: Any) -> None:
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Reads the next value.

    Raises:
        EOFError: the other side has ended.
    """
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (size,) = LENGTH.unpack(head)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)  # noqa: S301 - only ever from our own other half


class Engine:
    """A Chroma client, local or of a server, and its collections by name."""

    def __init__(self, location: str) -> None:
        import chromadb  # noqa: PLC0415 - inside, so that `import` of this file for its frames stays light
        from chromadb.config import Settings  # noqa: PLC0415

        settings = Settings(anonymized_telemetry=False)
        self._collections: dict[str, Any] = {}
        if "://" not in location:
            # The process of a host that was killed may still be at its last write.
            os.umask(0o077)  # the process is ours, and so is all that Chroma makes
            self._alone = FileLock(f"{location}.process.lock", timeout=LOCK_SECONDS)
            self._alone.acquire()
        if "://" in location:
            server = urlsplit(location)
            self._client: Any = chromadb.HttpClient(
                host=server.hostname or "localhost",
                port=server.port or (443 if server.scheme == "https" else 8000),
                ssl=server.scheme == "https",
                settings=settings,
            )
        else:
            self._client = chromadb.PersistentClient(location, settings=settings)
        self._step = self._client.get_max_batch_size()

    def ping(self) -> None:
        """Says that the client is open."""
        self._client.heartbeat()

    def _collection(self, name: str) -> Any:
        if name not in self._collections:
            self._collections[name] = self._client.get_or_create_collection(
                name,
                embedding_function=None,  # its default one would download a model
                configuration={"hnsw": {"space": "cosine"}},
            )
        return self._collections[name]

    def forget_collections(self) -> None:
        """Looks them up anew: a server may have lost or replaced what we hold."""
        self._collections.clear()

    def query(self, name: str, vector: Any, k: int) -> list[str]:
        found = self._collection(name).query(query_embeddings=[vector], n_results=k, include=[])
        return [str(skill_id) for skill_id in found["ids"][0]]

    def upsert(self, name: str, ids: list[str], versions: list[int], vectors: Any) -> None:
        metadata = [{"version": version} for version in versions]
        for start in range(0, len(ids), self._step):
            part = slice(start, start + self._step)
            self._collection(name).upsert(ids=ids[part], embeddings=vectors[part], metadatas=metadata[part])

    def delete(self, name: str, ids: list[str]) -> None:
        for start in range(0, len(ids), self._step):
            self._collection(name).delete(ids=ids[start : start + self._step])

    def ids(self, name: str) -> dict[str, int]:
        found = self._collection(name).get(include=["metadatas"])
        # An entry of an earlier release has no metadata; no version is 0, so it will be written again.
        versions = ((metadata or {}).get("version", 0) for metadata in found["metadatas"])
        return dict(zip(found["ids"], versions, strict=True))

    def mark_alike(self, name: str, count: int) -> None:
        """Notes that a new collection of so many entries did not find them all: another one would not either."""
        self._collection(name).modify(metadata={"alike": count})

    def marked_alike(self, name: str) -> int:
        return int((self._collection(name).metadata or {}).get("alike", 0))

    def drop(self, name: str) -> None:
        self._collections.pop(name, None)
        if name in {collection.name for collection in self._client.list_collections()}:
            self._client.delete_collection(name)


def main() -> None:
    # Whatever Chroma prints must not get between our frames.
    frames_in, frames_out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    engine: Engine | None = None
    while True:
        try:
            operation, arguments = receive(frames_in)
        except EOFError:
            os._exit(0)  # Chroma's threads would hold it for half a second more; what it acknowledged is on disk
        try:
            if engine is None:
                engine = Engine(sys.argv[1])
            reply = (True, getattr(engine, operation)(*arguments))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - a panic of Chroma's Rust engine is not an Exception
            if engine is not None:
                engine.forget_collections()
            reply = (False, f"{type(exc).__name__}: {' '.join(str(exc).split())[:300]}")
        send(frames_out, reply)


if __name__ == "__main__":
    main()
