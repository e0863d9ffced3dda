"""SkillStore: one namespace's library, opened and closed."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from skill_plugin import embedders
from skill_plugin.errors import ConfigurationError, NamespaceError
from skill_plugin.settings import Settings
from skill_plugin.store import namespaces
from skill_plugin.store.checkpoints.registry import Checkpoints
from skill_plugin.store.database import Database
from skill_plugin.store.histories.histories import Histories
from skill_plugin.store.index.chroma import ChromaIndex
from skill_plugin.store.index.indexer import Indexer
from skill_plugin.store.location import places
from skill_plugin.store.locks import owner_of
from skill_plugin.store.runs.evolve_runs import Evolving
from skill_plugin.store.runs.runs import Ledger
from skill_plugin.store.runs.task_history import TaskHistory
from skill_plugin.store.runs.training_runs import TrainingRuns
from skill_plugin.store.search.query_vectors import QueryVectors
from skill_plugin.store.skills.files import Exchange
from skill_plugin.store.skills.keeping import Keeping
from skill_plugin.store.skills.pruning import CAPACITY
from skill_plugin.store.skills.query import Querying

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from skill_plugin.protocols import Embedder

DEFAULT_NAMESPACE = "default"
DEFAULT_EMBEDDER = "minilm"


class SkillStore(Exchange, Histories, Querying, Ledger, Evolving, Checkpoints, TrainingRuns, TaskHistory, Keeping):
    """A library of skills: SQL rows are the truth, Chroma is a rebuildable index.

    Safe for any number of threads and processes. Open one with `SkillStore.open`, and close it, or use it as a context
    manager.
    """

    @classmethod
    def open(
        cls,
        location: str | Path | None = None,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        embedder: "str | Embedder | Embeddings" = DEFAULT_EMBEDDER,
        chroma: str | Path | Literal[False] | None = None,
        capacity: int = CAPACITY,
        create: bool = True,
        check_embedder: bool = True,
    ) -> Self:
        """Opens a store, making it if it is not there.

        Args:
            location: A folder, a `.db` file or a SQL URL (`sqlite:///...`, `postgresql+psycopg://...`); by default the
                home folder.
            namespace: The tenant's partition. Nothing is ever read across it.
            embedder: `minilm`, `minilm:FOLDER`, `hashing`, a LangChain `Embeddings`, or an `Embedder`.
            chroma: The index's folder, or the URL of a Chroma server (`http://host:8000`); by default a folder beside the
                database. False does without: search uses the vectors in SQL.
            capacity: Live skills that the namespace may hold.
            create: Make a store or a namespace that is not there; off, both are errors.
            check_embedder: Refuse another embedder than the namespace's; off for `reembed`.

        Raises:
            StoreUnavailableError: the location cannot be opened or written.
            SchemaTooNewError: a newer release wrote it.
            NamespaceError: the namespace is malformed, or unknown with `create` off.
            EmbedderMismatchError: the namespace's vectors were made by another embedder than the one given here.
        """
        namespaces.check_namespace(namespace)
        made = embedders.load(embedder)
        url, folder = places(location)
        database = Database(url, create=create)
        index = indexer = None
        if chroma is not False:
            index = ChromaIndex(str(folder if chroma is None else chroma), namespace)
            indexer = Indexer(database, index, owner_of(database, index))
        store = cls(database, namespace, QueryVectors(made), index, indexer, capacity=capacity)
        try:
            store._check(create=create, embedder=check_embedder and embedder != DEFAULT_EMBEDDER)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def from_settings(
        cls, settings: Settings, *, create: bool = True, index: bool = True, check_embedder: bool = True
    ) -> Self:
        """Opens the store of the settings' home folder, or of the database that they name.

        Args:
            settings: Where the store is, its namespace, embedder, index and capacity.
            create: As in `open`.
            index: Off, search does without Chroma, which takes a second to start; exact search takes a millisecond.
            check_embedder: As in `open`.

        Raises:
            ConfigurationError: the database is not a SQL URL.
            StoreUnavailableError: and the others of `open`.
        """
        if settings.database is not None and "://" not in settings.database:
            raise ConfigurationError(
                f"{settings.database!r} is not a SQL URL; use sqlite:///FILE or postgresql+psycopg://..."
            )
        return cls.open(
            settings.database or settings.home,
            namespace=settings.namespace,
            embedder=settings.embedder,
            chroma=settings.chroma if index else False,
            capacity=settings.capacity,
            create=create,
            check_embedder=check_embedder,
        )

    def close(self) -> None:
        """Lets an index that is being brought up to date finish, then lets go of everything."""
        if self._indexer is not None:
            self._indexer.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, *, create: bool, embedder: bool) -> None:
        row = self._namespace_row()
        if row is None and not create:
            with self.database.read() as session:
                known = namespaces.known(session)
            raise NamespaceError(f"there is no namespace {self.namespace!r} in {self.database.where}; {known}")
        if row is not None and embedder:  # the default one is checked when its weights are first read
            namespaces.check_signature(self.namespace, row.signature, self._vectors.signature)
