"""Partition: one namespace of one database, and what the parts of a store share."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from sqlmodel import Session

from skill_plugin import workers
from skill_plugin.records import Tier
from skill_plugin.scanning.scanners import Screen
from skill_plugin.skills.tiers import LOWEST
from skill_plugin.skills.tree_limits import DEFAULT_LIMITS, TreeLimits
from skill_plugin.store import namespaces
from skill_plugin.store.index.chroma import ChromaIndex
from skill_plugin.store.index.indexer import Indexer
from skill_plugin.store.index.outbox import CHANGED
from skill_plugin.store.search.query_vectors import QueryVectors
from skill_plugin.store.sql.database import Database
from skill_plugin.store.tables import NamespaceRow


class SearchTally:
    """Counts the searches of this process, and their seconds in all. Safe for threads."""

    def __init__(self) -> None:
        self.count, self.seconds = 0, 0.0
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        with self._lock:
            self.count += 1
            self.seconds += seconds


class Partition:
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
        screen: Screen | None = None,
        min_tier: Tier = LOWEST,
        limits: TreeLimits = DEFAULT_LIMITS,
        read_only_tools: frozenset[str] = frozenset(),
        function_packages: tuple[str, ...] = (),
    ) -> None:
        self.database = database
        self.namespace = namespace
        self.vectors = vectors
        self.index = index
        self.indexer = indexer
        self.capacity = capacity
        self.screen = screen or Screen()
        self.searches = SearchTally()
        self.min_tier = min_tier
        self.limits = limits
        self.read_only_tools = read_only_tools
        self.function_packages = function_packages
        self._exists = False
        # A store that nobody closes (a script that is run again at every click, a notebook's cell) goes with its last user.
        self._forgotten = weakref.finalize(self, workers.start, partial(_let_go, database, indexer))
        self._forgotten.atexit = False  # the process's end does it all

    def read(self) -> AbstractContextManager[Session]:
        """Opens a session that reads; see `Database.read`."""
        return self.database.read()

    @contextmanager
    def write(self, *, bulk: bool = False, frees: bool = False) -> Iterator[Session]:
        """Opens one transaction in the namespace, made if need be; then tells the indexer if entries have changed.

        Args:
            bulk: See `Database.write`.
            frees: It is there to make room, so on a full disk it gets what is kept in reserve.
        """
        if frees:
            self.database.make_room()
        with self.database.write(bulk=bulk) as session:
            if not self._exists:
                namespaces.ensure(session, self.namespace)
            namespaces.lock(session, self.namespace)
            yield session
        self._exists = True
        if session.info.pop(CHANGED, False):
            self.notify()

    def notify(self) -> None:
        """Tells the indexer that there may be something to do."""
        if self.indexer is not None:
            self.indexer.notify()

    def close(self) -> None:
        """Lets go of the index and the database, within two seconds."""
        self._forgotten.detach()
        _let_go(self.database, self.indexer)

    def claim_signature(self, session: Session) -> str:
        """Returns our embedder's signature, which the namespace has or takes now."""
        return namespaces.claim(session, self.namespace, self.vectors.signature)

    def row(self) -> NamespaceRow | None:
        """Returns the namespace's row; None where nothing was ever written."""
        with self.read() as session:
            return session.get(NamespaceRow, self.namespace)

    def erase(self) -> dict[str, int]:
        """Deletes every row of the namespace, and its index; returns how many rows, by table."""
        if self.indexer is not None:
            self.indexer.drop()
        self.database.make_room()
        with self.database.write(bulk=True) as session:
            namespaces.lock(session, self.namespace)
            counts = namespaces.erase(session, self.namespace)
        self._exists = False
        self.database.vacuum()
        return counts


def _let_go(database: Database, indexer: Indexer | None) -> None:
    if indexer is not None:
        indexer.close()
    database.close()


class Part:
    """A part of a store: what it does, it does in its partition."""

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._namespace = partition.namespace
