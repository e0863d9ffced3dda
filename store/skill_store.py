"""SkillStore: the library of skills of one namespace, as its users see it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlmodel import Session, col, select

from skill_plugin import embedders, skill_md
from skill_plugin.errors import NamespaceError
from skill_plugin.gate import GateDecision
from skill_plugin.protocols import Embedder
from skill_plugin.records import (
    Author,
    Event,
    Revision,
    Rollout,
    Skill,
    SkillHit,
    SkillVersion,
    Task,
    Verdict,
    split_ref,
)
from skill_plugin.skill_md import SkillDocument
from skill_plugin.store import namespaces, outcomes, revisions, versions
from skill_plugin.store.database import Database
from skill_plugin.store.index import ChromaIndex
from skill_plugin.store.location import places
from skill_plugin.store.outbox import IndexSync
from skill_plugin.store.revisions import Candidate, StagedRevision
from skill_plugin.store.search import DEFAULT_K, QueryVectors, Search
from skill_plugin.store.tables import NamespaceRow, SkillRow, SkillVersionRow
from skill_plugin.store.upkeep import Check, Upkeep

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

DEFAULT_NAMESPACE = "default"
DEFAULT_EMBEDDER = "minilm"

DEFAULT_MIN_SCORE = 0.2
"""Cosine under which a skill is not about the query. See docs/store.md for how it was chosen."""

# The class has a method called `list`, which hides the type inside it.
Skills = list[Skill]
Versions = list[SkillVersion]
Events = list[Event]
Hits = list[SkillHit]
Rollouts = list[Rollout]
StagedRevisions = list[StagedRevision]
Checks = list[Check]


class SkillStore:
    """A library of skills: SQL rows are the truth, Chroma is a rebuildable index.

    Safe for any number of threads and processes. Open one with `SkillStore.open`, and close it, or use it as a context
    manager.
    """

    def __init__(self, database: Database, folder: Path, namespace: str, embedder: Embedder) -> None:
        self.namespace = namespace
        self.database = database
        self.index = ChromaIndex(folder, namespace)
        self._vectors = QueryVectors(embedder)
        self._sync = IndexSync(database, self.index, namespace)
        self._search = Search(database, self.index, self._sync, self._vectors)
        self._made = False
        self._upkeep = Upkeep(database, self.index, self._sync, self._vectors)

    @classmethod
    def open(
        cls,
        location: str | Path | None = None,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        embedder: "str | Embedder | Embeddings" = DEFAULT_EMBEDDER,
        chroma: str | Path | None = None,
        create: bool = True,
        check_embedder: bool = True,
    ) -> Self:
        """Opens a store, making it if it is not there.

        Args:
            location: A folder, a `.db` file or a SQL URL; by default the home folder.
            namespace: The tenant's partition. Nothing is ever read across it.
            embedder: `minilm`, `minilm:FOLDER`, `hashing`, a LangChain `Embeddings`, or an `Embedder`.
            chroma: The index's folder; by default beside the database.
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
        store = cls(database, Path(chroma) if chroma is not None else folder, namespace, made)
        try:
            store._check(create=create, embedder=check_embedder and embedder != DEFAULT_EMBEDDER)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        self.index.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Writing skills

    def add(self, *, name: str, description: str, body: str, author: Author = "human") -> Skill:
        """Adds a skill. What a person adds is live at once; what a generator writes is staged.

        Raises:
            InvalidSkillError: a part breaks the rules of SKILL.md.
            DuplicateSkillError: the name is taken.
        """
        return self.add_text(skill_md.render(SkillDocument(name, description, body)), author=author)

    def add_text(self, text: str, *, author: Author = "human") -> Skill:
        """As `add`, from a whole SKILL.md text, which is kept to the letter."""
        document = skill_md.parse(text)
        vector = self._vectors(document.embedded_text)
        with self._write() as session:
            skill = versions.new_skill(session, self.namespace, document, author=author)
            version = versions.new_version(
                session,
                skill,
                document,
                text,
                vector=vector,
                signature=namespaces.claim(session, self.namespace, self._vectors.signature),
                author=author,
                generation=0,
                parent=None,
            )
            if author != "generator":
                versions.go_live(session, skill, version)
            kind = "staged" if author == "generator" else "added"
            versions.log_event(session, skill, kind, by=author, version=version.number)
            added = versions.view(session, skill, version)
        self._index_now()
        return added

    def revise(self, name: str, *, body: str | None = None, description: str | None = None) -> Skill:
        """Writes a new immutable version of a skill. It is staged: `promote` makes it live."""
        current = skill_md.parse(self.get(name).text)
        document = SkillDocument(
            current.name,
            current.description if description is None else description,
            current.body if body is None else body,
            current.extra,
        )
        return self.revise_text(name, skill_md.render(document))

    def revise_text(self, name: str, text: str, *, author: Author = "human") -> Skill:
        """As `revise`, from a whole SKILL.md text."""
        document = skill_md.parse(text)
        vector = self._vectors(document.embedded_text)
        with self._write() as session:
            skill, parent = versions.resolve(session, self.namespace, name)
            version = versions.new_version(
                session,
                skill,
                document,
                text,
                vector=vector,
                signature=namespaces.claim(session, self.namespace, self._vectors.signature),
                author=author,
                generation=parent.generation + 1,
                parent=parent.number,
            )
            versions.log_event(session, skill, "revised", by=author, version=version.number)
            return versions.view(session, skill, version)

    def promote(
        self, name: str, version: int | None = None, *, by: str = "human", decision: GateDecision | None = None
    ) -> Skill:
        """Makes a version live: the one named (`name@2`, or `version=2`), else the newest.

        The gate passes its `decision` along; a person needs none.
        """
        with self._write() as session:
            skill, row = self._version_meant(session, name, version)
            if not (skill.status == "live" and skill.live_version == row.number):
                versions.go_live(session, skill, row)
                versions.log_event(session, skill, "promoted", by=by, version=row.number, decision=decision)
            promoted = versions.view(session, skill, row)
        self._index_now()
        return promoted

    def refuse(self, name: str, version: int | None = None, *, by: str = "gate", decision: GateDecision) -> Skill:
        """Notes that the gate refused a version; it stays staged."""
        with self._write() as session:
            skill, row = self._version_meant(session, name, version)
            versions.log_event(session, skill, "refused", by=by, version=row.number, decision=decision)
            return versions.view(session, skill, row)

    # Reading skills

    def get(self, name: str) -> Skill:
        """A skill by name, id, `name@2` or `id@2`; without a version the live one, else the newest.

        Raises:
            SkillNotFoundError: there is none in this namespace.
        """
        with self.database.read() as session:
            return versions.view(session, *versions.resolve(session, self.namespace, name))

    def list(self, status: str | None = None) -> Skills:
        """All skills of the namespace by name, each at its live version, else its newest."""
        versions.check_status(status)
        with self.database.read() as session:
            statement = select(SkillRow).where(SkillRow.namespace == self.namespace).order_by(col(SkillRow.name))
            if status is not None:
                statement = statement.where(SkillRow.status == status)
            rows = session.exec(statement).all()
            return [versions.view(session, row, versions.find_version(session, row, None)) for row in rows]

    def versions(self, name: str) -> Versions:
        """Every version of a skill, oldest first."""
        with self.database.read() as session:
            return versions.versions(session, versions.find_skill(session, self.namespace, name))

    def history(self, name: str) -> Events:
        """The life of a skill, oldest first: added, revised, promoted, refused."""
        with self.database.read() as session:
            return versions.events(session, versions.find_skill(session, self.namespace, name))

    def search(self, query: str, k: int = DEFAULT_K, *, min_score: float = DEFAULT_MIN_SCORE) -> Hits:
        """The live skills that are nearest to the query, nearest first; none whose cosine is under `min_score`.

        Raises:
            ConfigurationError: the query is empty, or `k` is not from 1 to 20.
        """
        return self._search(query, k=k, min_score=min_score)

    # What runs did

    def record(
        self,
        task: Task,
        rollouts: Sequence[Rollout],
        *,
        run_id: str,
        thread_id: str | None = None,
        chosen: Rollout | None = None,
    ) -> int:
        """Appends a run's rollouts and credits their skills, in one transaction; how many were new.

        Recording a run twice is recording it once.
        """
        with self._write() as session:
            outcomes.insert_task(session, self.namespace, task)
            return sum(
                outcomes.record_rollout(
                    session,
                    self.namespace,
                    task,
                    rollout,
                    run_id=run_id,
                    thread_id=thread_id,
                    chosen=rollout is chosen,
                )
                for rollout in rollouts
            )

    def record_outcome(self, run_id: str, reward: float, feedback: str = "") -> bool:
        """Takes feedback on a run that came later; False if the same feedback was there already.

        Raises:
            RunNotFoundError: no such run.
            VerifierError: the reward is no number from 0 to 1.
        """
        verdict = Verdict(reward, feedback=feedback)
        with self.database.write() as session:
            return outcomes.record_outcome(session, self.namespace, run_id, verdict)

    def run(self, run_id: str) -> Rollouts:
        """The rollouts that a run recorded, in order; none for an unknown run."""
        with self.database.read() as session:
            return list(outcomes.rollouts_of(session, self.namespace, run_id))

    def stage(
        self,
        task: Task,
        proposed: Sequence[Revision],
        *,
        run_id: str,
        group_id: str,
        generation: int,
        parent: str | None,
    ) -> StagedRevisions:
        """Appends what the generator wrote from one prompt; each well-formed text becomes a staged version.

        Args:
            task: The task it was written for.
            proposed: The candidates, in order.
            run_id: The run that asked.
            group_id: Names the prompt; a group that is there already is returned as it is.
            generation: The step g of the lineage, from 1.
            parent: `skill_id@version` that was revised; None for a first skill.
        """
        candidates = [self._candidate(revision) for revision in proposed]
        with self._write() as session:
            return revisions.find_group(session, self.namespace, group_id) or revisions.write_group(
                session,
                self.namespace,
                task,
                candidates,
                run_id=run_id,
                group_id=group_id,
                generation=generation,
                parent=parent,
                signature=namespaces.claim(session, self.namespace, self._vectors.signature),
            )

    def staged(self, group_id: str) -> StagedRevisions:
        """The candidates of a group that were written already; none for an unknown group."""
        with self.database.read() as session:
            return revisions.find_group(session, self.namespace, group_id)

    # Upkeep

    def rebuild_index(self) -> bool:
        """Throws the vector index away and fills it from SQL; False if Chroma failed or another process owns it."""
        row = self._namespace_row()
        return row is None or row.signature is None or self._sync.rebuild(row.signature)

    def reembed(self) -> int:
        """Embeds every version with this store's embedder, in place of the one before; how many were embedded."""
        return self._upkeep.reembed()

    def check(self) -> Checks:
        """What `skill-plugin doctor` says of this namespace; never raises."""
        return self._upkeep.check()

    # Inside

    def _candidate(self, revision: Revision) -> Candidate:
        if revision.text is None:
            return Candidate(revision, None, None)
        document = skill_md.parse(revision.text)
        return Candidate(revision, document, self._vectors(document.embedded_text))

    @contextmanager
    def _write(self) -> Iterator[Session]:
        """One transaction in a namespace that exists."""
        with self.database.write() as session:
            if not self._made:
                namespaces.ensure(session, self.namespace)
            yield session
        self._made = True

    def _version_meant(self, session: Session, name: str, version: int | None) -> tuple[SkillRow, SkillVersionRow]:
        """The skill, and the version named in `name@2` or in `version`, else its newest."""
        name, named = split_ref(name)
        skill = versions.find_skill(session, self.namespace, name, lock=True)
        number = version or named or versions.newest_version(session, skill.id)
        return skill, versions.find_version(session, skill, number)

    def _check(self, *, create: bool, embedder: bool) -> None:
        row = self._namespace_row()
        if row is None and not create:
            with self.database.read() as session:
                known = namespaces.known(session)
            raise NamespaceError(f"there is no namespace {self.namespace!r} in {self.database.where}; {known}")
        if row is not None and embedder:  # the default one is checked when its weights are first read
            namespaces.check_signature(self.namespace, row.signature, self._vectors.signature)

    def _index_now(self) -> None:
        """Brings the index up to date if this process owns it; if not, or if it fails, the outbox remembers."""
        self._sync.run(self._vectors.signature, pending=True)

    def _namespace_row(self) -> NamespaceRow | None:
        with self.database.read() as session:
            return session.get(NamespaceRow, self.namespace)
