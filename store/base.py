"""What every part of the store stands on: the database, the namespace, the embedder, and one way to write."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlmodel import Session

from skill_plugin.store import namespaces
from skill_plugin.store.database import Database
from skill_plugin.store.index.chroma import ChromaIndex
from skill_plugin.store.index.indexer import Indexer
from skill_plugin.store.index.outbox import CHANGED
from skill_plugin.store.items.items import Items
from skill_plugin.store.search.query_vectors import QueryVectors
from skill_plugin.store.search.search import Search
from skill_plugin.store.tables import NamespaceRow


class StoreBase:
    """One namespace of one database. Its index and indexer are None in a store that was opened without."""

    def __init__(
        self,
        database: Database,
        namespace: str,
        vectors: QueryVectors,
        index: ChromaIndex | None,
        indexer: Indexer | None,
        *,
        capacity: int,
    ) -> None:
        self.namespace = namespace
        self.database = database
        self.index = index
        self.capacity = capacity
        self._indexer = indexer
        self._vectors = vectors
        self._search = Search(database, namespace, index, vectors)
        self.items = Items(database, namespace, vectors, self._write)
        self._made = False

    @contextmanager
    def _write(self) -> Iterator[Session]:
        """One transaction in a namespace that exists; afterwards the indexer is told if entries have changed."""
        with self.database.write() as session:
            if not self._made:
                namespaces.ensure(session, self.namespace)
            namespaces.lock(session, self.namespace)
            yield session
        self._made = True
        if session.info.pop(CHANGED, False):
            self._notify()

    def _notify(self) -> None:
        if self._indexer is not None:
            self._indexer.notify()

    def _claim_signature(self, session: Session) -> str:
        """Our embedder's signature, which the namespace has or takes now."""
        return namespaces.claim(session, self.namespace, self._vectors.signature)

    def _namespace_row(self) -> NamespaceRow | None:
        with self.database.read() as session:
            return session.get(NamespaceRow, self.namespace)
