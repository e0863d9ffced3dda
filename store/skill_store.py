"""SkillStore: one namespace's library, opened and closed."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from skill_plugin import embedders
from skill_plugin.errors import ConfigurationError, NamespaceError, StoreError, VerifierError
from skill_plugin.notebook import html_table
from skill_plugin.records import Tier, Verdict
from skill_plugin.scanning.scanners import Scanner, Screen
from skill_plugin.secrets_found import Redact, Redactor
from skill_plugin.settings import Settings
from skill_plugin.skills.tiers import LOWEST, rank
from skill_plugin.skills.tree_limits import DEFAULT_LIMITS, TreeLimits
from skill_plugin.store import namespaces
from skill_plugin.store.checkpoints.registry import Checkpoints
from skill_plugin.store.doctor import Check, Upkeep
from skill_plugin.store.histories.histories import Histories
from skill_plugin.store.index.chroma import ChromaIndex
from skill_plugin.store.index.indexer import Indexer
from skill_plugin.store.items.items import Items
from skill_plugin.store.locks import owner_of
from skill_plugin.store.partition import Partition
from skill_plugin.store.runs import outcomes
from skill_plugin.store.runs.runs import Runs
from skill_plugin.store.runs.tasks import Tasks
from skill_plugin.store.search.query_vectors import QueryVectors
from skill_plugin.store.skills.files import SkillExchange
from skill_plugin.store.skills.lifecycle import Lifecycle
from skill_plugin.store.skills.pruning import CAPACITY
from skill_plugin.store.skills.query import SkillQuery
from skill_plugin.store.sql.database import Database
from skill_plugin.store.sql.location import places

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from skill_plugin.protocols import Embedder

DEFAULT_NAMESPACE = "default"
DEFAULT_EMBEDDER = "minilm"

INDEX_SECONDS = 120.0

_log = logging.getLogger(__name__)

MOVED = {
    **dict.fromkeys(["record", "record_all", "stage", "staged", "alone"], "runs"),
    **dict.fromkeys(["acceptance", "check_live"], "checkpoints"),
    **dict.fromkeys(["claim_splits", "times_judged", "times_judged_checkpoints", "cosine"], "tasks"),
    "run": "runs.rollouts",
    "evolve_runs": "runs.evolve.list",
    "training_runs": "runs.training.list",
    "held_out": "tasks.is_held_out",
    "task_records": "tasks.records",
    "checkpoint": "checkpoints.get",
    "checkpoint_events": "checkpoints.events",
    "live_checkpoint": "checkpoints.live",
    "register_checkpoint": "checkpoints.register",
    "promote_checkpoint": "checkpoints.promote",
    "keep_checkpoint": "checkpoints.keep",
    "rollback_checkpoint": "checkpoints.rollback",
    "import_histories": "histories.import_from",
    "export_histories": "histories.export_to",
    "history_rows": "histories.rows",
    "history_stats": "histories.stats",
}
"""The new places of methods that the store itself had before 0.1.0."""


class SkillStore(SkillExchange, SkillQuery, Lifecycle):
    """A library of skills: SQL rows are the truth, Chroma is a rebuildable index.

    Safe for any number of threads and processes. Open one with `SkillStore.open`, and close it, or use it as a context
    manager. The store itself has the skills; `runs`, `tasks`, `histories`, `checkpoints` and `items` have the rest.
    """

    def __init__(self, partition: Partition) -> None:
        super().__init__(partition)
        self._indexer = partition.indexer
        self.runs = Runs(partition)
        self.tasks = Tasks(partition)
        self.histories = Histories(partition)
        self.checkpoints = Checkpoints(partition)
        self.items = Items(partition)

    def __repr__(self) -> str:
        return f"SkillStore({self.database.where!r}, namespace={self.namespace!r})"

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [("store", self.database.where), ("namespace", self.namespace)]
        try:
            counts = Counter(skill.status for skill in self.list())
            live = self.checkpoints.live()
        except StoreError as exc:  # what is only looked at raises nothing
            return html_table([*rows, ("state", exc)])
        rows += [(f"{status} skills", counts[status]) for status in sorted(counts)]
        return html_table([*rows, ("generator", live.id if live else "base model")])

    @property
    def namespace(self) -> str:
        """The tenant's partition that this store is."""
        return self._namespace

    @property
    def capacity(self) -> int:
        """Live skills that the namespace may hold."""
        return self._partition.capacity

    @property
    def database(self) -> Database:
        """The database's engine and sessions."""
        return self._partition.database

    @classmethod
    def open(
        cls,
        location: str | Path | None = None,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        embedder: "str | Embedder | Embeddings" = DEFAULT_EMBEDDER,
        chroma: str | Path | Literal[False] | None = None,
        capacity: int = CAPACITY,
        scanners: Sequence[str | Scanner] | None = None,
        min_tier: Tier = LOWEST,
        create: bool = True,
        check_embedder: bool = True,
        redact: Redact = True,
        redact_patterns: Mapping[str, str] | None = None,
        limits: TreeLimits = DEFAULT_LIMITS,
        read_only_tools: Collection[str] = (),
        function_packages: Collection[str] = (),
    ) -> Self:
        """Opens a store, making it if it does not exist. One whose file cannot be written is opened for reading, without an index.

        Args:
            location: A folder, a `.db` file or a SQL URL (`sqlite:///...`, `postgresql+psycopg://...`); by default the
                home folder.
            namespace: The tenant's partition. Nothing is ever read across it.
            embedder: `minilm`, `minilm:FOLDER`, `hashing`, a LangChain `Embeddings`, or an `Embedder`.
            chroma: The index's folder, or the URL of a Chroma server (`http://host:8000`); by default a folder beside the
                database. False does without: search uses the vectors in SQL.
            capacity: Live skills that the namespace may hold.
            scanners: What looks at every text before it is written: names and functions (see `scanning.scanners`); by default our
                own and those of installed packages. An empty list looks at nothing.
            min_tier: The trust tier that a live skill needs to be shown to anybody: `unvetted` (all are), `tested`, `vetted` or
                `certified`.
            create: Make a store or a namespace that does not exist; off, both are errors.
            check_embedder: Refuse another embedder than the namespace's; off for `reembed`.
            redact: Put `[redacted:KIND]` in place of secrets in what is recorded; `"all"` also of e-mail addresses and telephone numbers.
            redact_patterns: Regular expressions of your own to redact, by their kind.
            limits: How many files a skill may have beside its text, and how many bytes.
            read_only_tools: Tools of the agents that only read, by name. Functions that call no other tool run without that somebody
                allowed their version, if it is live and their tests pass; see docs/functions.md. By default there is none such.
            function_packages: Installed packages that functions may import, besides Python's library.

        Raises:
            StoreUnavailableError: the location cannot be opened or written.
            SchemaTooNewError: a newer release wrote it.
            ConfigurationError: a tier or a scanner is unknown, or the tools or the packages are one text.
            NamespaceError: the namespace is malformed, or unknown with `create` off.
            EmbedderMismatchError: the namespace's vectors were made by another embedder than the one given here.
        """
        namespaces.check_namespace(namespace)
        rank(min_tier)
        for what, names in (("read_only_tools", read_only_tools), ("function_packages", function_packages)):
            if isinstance(names, str):
                raise ConfigurationError(f"{what} is the text {names!r:.80}; give a list of names")
        screen = Screen(scanners)
        made = embedders.load(embedder)
        url, folder = places(location)
        database = Database(url, create=create, redactor=Redactor(redact, redact_patterns))
        index = indexer = None
        if chroma is not False and database.read_only is None:
            index = ChromaIndex(str(folder if chroma is None else chroma), namespace)
            indexer = Indexer(database, index, owner_of(database, index))
        store = cls(
            Partition(
                database,
                namespace,
                QueryVectors(made),
                index,
                indexer,
                capacity=capacity,
                screen=screen,
                min_tier=min_tier,
                limits=limits,
                read_only_tools=frozenset(read_only_tools),
                function_packages=tuple(function_packages),
            )
        )
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
            create: See `open`.
            index: Off, search does without Chroma, which takes a second to start; exact search takes a millisecond.
            check_embedder: See `open`.

        Raises:
            ConfigurationError: the database is not a SQL URL.
            StoreUnavailableError: and the others of `open`.
        """
        if settings.database is not None and "://" not in settings.database:
            raise ConfigurationError(
                f"{settings.database!r} is not a SQL URL; use sqlite:///FILE or postgresql+psycopg://..."
            )
        store = cls.open(
            settings.database or settings.home,
            namespace=settings.namespace,
            embedder=settings.embedder,
            chroma=settings.chroma if index else False,
            capacity=settings.capacity,
            scanners=settings.scanners,
            min_tier=settings.min_tier,
            create=create,
            check_embedder=check_embedder,
            redact=settings.redact,
            redact_patterns=settings.redact_patterns,
            limits=settings.tree_limits,
            read_only_tools=settings.read_only_tools,
            function_packages=settings.function_packages,
        )
        if settings.retention_days is not None and store.database.read_only is None:
            store.runs.empty_old(settings.retention_days)
        return store

    def record_outcome(self, run_id: str, reward: float, feedback: str | None = "", *, source: str = "") -> bool:
        """Takes feedback on a run that came later; returns False if the same feedback exists.

        All of it is kept. Of one source the newest counts, however often it says something; a run that is a client's claim (see
        docs/mcp.md) counts for nothing.

        Args:
            run_id: The id that the graph returned.
            reward: From 0 to 1.
            feedback: Why.
            source: Who says so, such as `user` or `ticket system`. Two sources are two rewards of the run, so name what you know,
                and nothing that a caller may choose.

        Raises:
            RunNotFoundError: no such run.
            VerifierError: the reward is not a number from 0 to 1.
        """
        verdict = Verdict(reward, feedback=feedback or "")
        with self._partition.write() as session:
            return outcomes.record_outcome(
                session, self._partition.namespace, run_id, verdict, source=source, vectors=self._partition.vectors
            )

    def record_feedback(
        self,
        run_id: str,
        *,
        key: str,
        score: float | bool | None,
        value: object = None,
        comment: str = "",
        source: str | None = None,
    ) -> bool:
        """Takes feedback in the form that LangSmith and its like give it; see `record_outcome`.

        Args:
            run_id: Ours, which the run's metadata has as `skill_plugin_run_id`.
            key: The quality that was judged, such as `correctness`; it begins the feedback's text.
            score: From 0 to 1, or a bool.
            value: What the judge chose where the score is a number of it, such as `thumbs up`.
            comment: Why; the generator reads it.
            source: Who says so; by default the key, so that each quality counts once.

        Raises:
            RunNotFoundError: no such run.
            VerifierError: the score is missing, or it is not from 0 to 1.
        """
        if score is None:
            raise VerifierError(f"the feedback {key!r} has no score, so it is not an outcome; give a score from 0 to 1")
        said = [str(part) for part in (value, comment) if part not in (None, "")]
        return self.record_outcome(run_id, score, ": ".join([key, *said]), source=key if source is None else source)

    def wait_for_index(self, seconds: float = INDEX_SECONDS) -> bool:
        """Waits until the vector index has everything that is committed; returns False if it cannot, or not in time.

        Nobody has to: until then search uses the vectors in SQL.
        """
        return self._indexer is not None and self._indexer.wait(seconds)

    def rebuild_index(self, seconds: float = INDEX_SECONDS) -> bool:
        """Builds the vector index anew from SQL; returns False if Chroma failed or another process owns it."""
        return self._indexer is not None and self._indexer.rebuild(seconds)

    def reembed(self) -> int:
        """Embeds every version with this store's embedder, in place of the one before; returns how many were embedded.

        Resumes if it was interrupted. The old vectors answer until all new ones are there.
        """
        embedded = Upkeep(self._partition).reembed()
        self._partition.notify()
        return embedded

    def check(self, *, fix: bool = False) -> list[Check]:
        """Returns what `skill-plugin doctor` says of this namespace; never raises.

        Args:
            fix: First make missing and broken vectors anew, and an index that differs from SQL; and take the trust tier of
                texts in which the scanner finds something now. A text that was changed behind the store's back cannot be made again.
        """
        return Upkeep(self._partition).check(fix=fix)

    def erase(self, *, confirm: str) -> dict[str, int]:
        """Deletes the whole namespace for good, from SQL and from the index, and gives its room on disk back.

        Copies elsewhere are not reached: exports, backups, the copy that a migration made, an index that was put aside.

        Args:
            confirm: The namespace's own name, so that no other is erased by accident.

        Returns:
            The rows that were deleted, by table.

        Raises:
            NamespaceError: `confirm` is another name.
        """
        if confirm != self.namespace:
            raise NamespaceError(f"this store is namespace {self.namespace!r}, not {confirm!r}; nothing was erased")
        return self._partition.erase()

    def close(self) -> None:
        """Gives an index that is being brought up to date a second to finish, then lets go of everything.

        Takes two seconds at most; what the index lacks then is in SQL, and it is given the next time. A store that nobody closes
        is closed when nothing refers to it any more.
        """
        self.runs.spool.flush()
        if left := len(self.runs.spool):
            _log.warning("%d runs were not recorded: the store did not take them", left)
        self._partition.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, *, create: bool, embedder: bool) -> None:
        row = self._partition.row()
        if row is None and not create:
            with self.database.read() as session:
                known = namespaces.known(session)
            raise NamespaceError(f"there is no namespace {self.namespace!r} in {self.database.where}; {known}")
        if row is not None and embedder:  # the default one is checked when its weights are first read
            namespaces.check_signature(self.namespace, row.signature, self._partition.vectors.signature)

    if not TYPE_CHECKING:  # a checker that saw it would believe in any name

        def __getattr__(self, name: str) -> None:
            hint = ""
            if name in MOVED:
                place = MOVED[name]
                hint = f"; it is store.{place if '.' in place else f'{place}.{name}'} now"
            raise AttributeError(f"SkillStore has no {name!r}{hint}")
