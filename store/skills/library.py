"""The library as its users see it: adding, revising, promoting, looking up, searching."""

import time

from sqlmodel import Session, col, select

from skill_plugin.errors import StoreError
from skill_plugin.gates.decision import GateDecision
from skill_plugin.hits import SkillHits
from skill_plugin.protocols import Strategy
from skill_plugin.records import Author, Event, Skill, SkillVersion, split_ref
from skill_plugin.skills import skill_md
from skill_plugin.skills.skill_md import SkillDocument
from skill_plugin.skills.trees import Files, make_tree
from skill_plugin.store.crashpoints import crashpoint
from skill_plugin.store.partition import Part, Partition
from skill_plugin.store.search import experience_rows
from skill_plugin.store.search.drafts import Draft
from skill_plugin.store.search.retrieval import DEFAULT_EXPERIENCE, DEFAULT_MIN_SCORE, DEFAULT_STRATEGY
from skill_plugin.store.search.search import DEFAULT_K, Search
from skill_plugin.store.skills import pruning, screening, tiers, tree_rows, versions
from skill_plugin.store.skills.decisions import check_seen
from skill_plugin.store.skills.screening import Content
from skill_plugin.store.tables import SkillRow, SkillVersionRow

# The class has a method called `list`, which hides the type inside it.
Skills = list[Skill]
Versions = list[SkillVersion]
Events = list[Event]


class Library(Part):
    """Skills and their versions."""

    def __init__(self, partition: Partition) -> None:
        super().__init__(partition)
        self._search = Search(
            partition.database,
            partition.namespace,
            partition.index,
            partition.vectors,
            min_tier=partition.min_tier,
        )

    def add(
        self, *, name: str, description: str, body: str, author: Author = "human", files: Files | None = None
    ) -> Skill:
        """Adds a skill. What a person adds is live at once; what a generator writes is staged; what the scanner holds is quarantined.

        Args:
            name: Lower-case letters, digits and single hyphens.
            description: When to use it.
            body: The procedure.
            author: Who wrote it.
            files: The files beside its text, by path: `{"scripts/totals.py": b"..."}`.

        Raises:
            InvalidSkillError: a part breaks the rules of SKILL.md, or the scanner refuses it.
            DuplicateSkillError: the name is taken.
            CapacityError: the namespace is full of protected skills.
        """
        return self.add_text(skill_md.render(SkillDocument(name, description, body)), author=author, files=files)

    def add_text(self, text: str, *, author: Author = "human", files: Files | None = None) -> Skill:
        """Adds a skill from a whole SKILL.md text, which is kept to the letter; see `add`."""
        document = skill_md.parse(text)
        tree = make_tree(files or {}, self._partition.limits)
        held = screening.screened(self._partition.screen, Content(text, tree)).check()
        vector = self._partition.vectors(document.embedded_text)
        crashpoint("add.before")
        with self._partition.write() as session:
            skill = versions.new_skill(session, self._namespace, document)
            version = versions.new_version(
                session,
                skill,
                document,
                text,
                vector=vector,
                signature=self._partition.claim_signature(session),
                author=author,
                generation=0,
                parent=None,
                tree=tree,
            )
            crashpoint("add.middle")
            if author != "generator" and not held:
                self._go_live(session, skill, version)
            kind = "staged" if author == "generator" or held else "added"
            versions.log_event(session, skill, kind, by=author, version=version.number)
            screening.settle(session, skill, version, held, is_first=True)
            added = versions.view(session, skill, version)
        crashpoint("add.after")
        return added

    def revise(
        self, name: str, *, body: str | None = None, description: str | None = None, files: Files | None = None
    ) -> Skill:
        """Writes a new immutable version of a skill. It is staged: `promote` makes it live.

        What is not given stays as it is; `files` are all that the new version has.
        """
        current = skill_md.parse(self.get(name).text)
        document = SkillDocument(
            current.name,
            current.description if description is None else description,
            current.body if body is None else body,
            current.extra,
        )
        return self.revise_text(name, skill_md.render(document), files=files)

    def revise_text(self, name: str, text: str, *, author: Author = "human", files: Files | None = None) -> Skill:
        """Writes a new version of a skill from a whole SKILL.md text; see `revise`."""
        document = skill_md.parse(text)
        vector = self._partition.vectors(document.embedded_text)
        crashpoint("revise.before")
        with self._partition.write() as session:
            skill, parent = versions.resolve(session, self._namespace, name, lock=True)
            tree = tree_rows.read_tree(session, parent)
            if files is not None:
                tree = make_tree(files, self._partition.limits, like=tree)
            known = screening.known_content(session, skill.id, parent.number)
            held = screening.screened(self._partition.screen, Content(text, tree), known).check()
            version = versions.new_version(
                session,
                skill,
                document,
                text,
                vector=vector,
                signature=self._partition.claim_signature(session),
                author=author,
                generation=parent.generation + 1,
                parent=parent.number,
                tree=tree,
            )
            crashpoint("revise.middle")
            versions.log_event(session, skill, "revised", by=author, version=version.number)
            screening.settle(session, skill, version, held, is_first=False)
            revised = versions.view(session, skill, version)
        crashpoint("revise.after")
        return revised

    def promote(
        self,
        name: str,
        version: int | None = None,
        *,
        by: str = "human",
        decision: GateDecision | None = None,
        reason: str = "",
        seen: int | None = None,
    ) -> Skill:
        """Makes a version live: the one named (`name@2`, or `version=2`), else the newest that waits and is not held.

        The gate passes its `decision` along; a person needs none. Either makes the version's trust tier `tested`, a person's `reason`
        makes it `vetted`. A person who names a held version releases it. `seen` is how many decisions they knew of
        (`store.skills.decisions`).

        Raises:
            AlreadyDecidedError: there were more.
            StoreError: the version is held, and it was not a person who named it; or none is named, and versions of several authors
                wait.
        """
        return self._make_live(name, version, "promoted", by=by, decision=decision, reason=reason, seen=seen)

    def refuse(
        self,
        name: str,
        version: int | None = None,
        *,
        by: str = "gate",
        decision: GateDecision | None = None,
        reason: str = "",
        seen: int | None = None,
    ) -> Skill:
        """Notes that the gate, with its `decision`, or a person refused a version; it stays staged. For `seen` see `promote`."""
        with self._partition.write() as session:
            skill, row = self._version_meant(session, name, version)
            check_seen(session, skill, seen)
            row.may_run = False
            session.add(row)
            versions.log_event(session, skill, "refused", by=by, version=row.number, reason=reason, decision=decision)
            return versions.view(session, skill, row)

    def rollback(self, name: str, version: int | None = None, *, reason: str = "", seen: int | None = None) -> Skill:
        """Makes an earlier version live again: the one named, else the parent of the live one.

        A live version that its generator wrote without seeing another has no parent; then it is the one that was live before. For
        `seen` see `promote`.

        Raises:
            SkillNotFoundError: the version does not exist, or nothing was before the live one.
        """
        if version is None and split_ref(name)[1] is None:
            with self._partition.read() as session:
                version = versions.before_live(session, versions.find_skill(session, self._namespace, name))
        return self._make_live(name, version, "rolled back", by="human", reason=reason, seen=seen)

    def get(self, name: str) -> Skill:
        """Returns a skill by name, id, `name@2` or `id@2`; without a version the live one, else the newest.

        Raises:
            SkillNotFoundError: this namespace has no such skill.
        """
        with self._partition.read() as session:
            return versions.view(session, *versions.resolve(session, self._namespace, name))

    def list(self, status: str | None = None) -> Skills:
        """Returns all skills of the namespace by name, each at its live version, else its newest."""
        versions.check_status(status)
        with self._partition.read() as session:
            statement = select(SkillRow).where(SkillRow.namespace == self._namespace).order_by(col(SkillRow.name))
            if status is not None:
                statement = statement.where(SkillRow.status == status)
            rows = session.exec(statement).all()
            return [versions.view(session, row, versions.find_version(session, row, None)) for row in rows]

    def versions(self, name: str) -> Versions:
        """Returns every version of a skill, oldest first."""
        with self._partition.read() as session:
            return versions.versions(session, versions.find_skill(session, self._namespace, name))

    def history(self, name: str) -> Events:
        """Returns the events of a skill's life, oldest first: added, revised, promoted, refused, retired, ..."""
        with self._partition.read() as session:
            return versions.events(session, versions.find_skill(session, self._namespace, name))

    def search(
        self,
        query: str,
        k: int = DEFAULT_K,
        *,
        min_score: float = DEFAULT_MIN_SCORE,
        strategy: str | Strategy = DEFAULT_STRATEGY,
        family: str | None = None,
        instead: str | Draft | None = None,
        experience: float = DEFAULT_EXPERIENCE,
    ) -> SkillHits:
        """Finds the live skills for a task, best first; an empty result says why in its `reason`.

        A skill whose trust tier is under the store's `min_tier` is not a hit; `held_back` names it.

        Args:
            query: The task, in words.
            k: The most skills to return, up to 20.
            min_score: The floor: a skill whose cosine is under it is left out, unless half of the query's words are its own.
            strategy: An object with `rank(lookup)`, or a name in `store.STRATEGIES`: `hybrid` (text and meaning),
                `dense` (meaning), `lexical` (text), `same-family` (skills that served tasks of `family`),
                `query-embedding` or `query-ngram` (skills that served the tasks nearest to this one, by meaning or by
                words in common).
            family: The task's family, for `same-family`.
            instead: A version that counts as its skill's live one in this search, staged or not (`name@2`); or
                `Draft(text)` for a text that is not in the store. The hits are those after its promotion by a gate, but for
                the tasks that it passed while it was staged.
            experience: How much the tasks that a skill has passed count in `hybrid`, from 0 (not at all) to 1.

        Raises:
            ConfigurationError: the query is empty, `k` is not from 1 to 20, no strategy has this name, or `instead` does
                not name a version.
            EmbedderMismatchError: the namespace's vectors were made by another embedder.
            SkillNotFoundError: `instead` names a skill or a version that does not exist.
            InvalidSkillError: the text of `instead` breaks the rules of SKILL.md.
            StoreError: the skill of `instead` is retired or quarantined.
        """
        began = time.perf_counter()
        hits = self._search(
            query, k=k, min_score=min_score, strategy=strategy, family=family, instead=instead, experience=experience
        )
        self._partition.searches.add(time.perf_counter() - began)
        self._partition.notify()
        return hits

    def _make_live(
        self,
        name: str,
        version: int | None,
        kind: str,
        *,
        by: str,
        reason: str = "",
        decision: GateDecision | None = None,
        seen: int | None = None,
    ) -> Skill:
        crashpoint("promote.before")
        with self._partition.write() as session:
            skill, row = self._version_meant(session, name, version)
            check_seen(session, skill, seen)
            is_named = version is not None or split_ref(name)[1] is not None
            if not (by == "human" and is_named):
                screening.check_open(session, skill, row.number)
            if by != "human" and skill.status in ("retired", "quarantined"):
                raise StoreError(
                    f"skill {skill.name!r} is {skill.status}; only a person restores it: skill-plugin skills restore"
                )
            if by == "human":
                screening.release(session, skill, row.number, reason=reason, otherwise=f"{kind} by a person")
            is_live = skill.status == "live" and skill.live_version == row.number
            was_live = None if is_live else skill.live_version
            if kind == "rolled back" and was_live is not None:
                why = f"rolled back to version {row.number}" + (f": {reason}" if reason else "")
                tiers.demote(session, skill, was_live, by=by, reason=why)
            # A reason to go back is not one to trust the other text.
            said = reason if kind == "promoted" else ""
            is_granted = tiers.let_through(session, skill, row, by=by, reason=said, decision=decision)
            if not is_live:
                self._go_live(session, skill, row)
            if is_granted or not is_live:
                crashpoint("promote.middle")
                versions.log_event(session, skill, kind, by=by, version=row.number, reason=reason, decision=decision)
            promoted = versions.view(session, skill, row)
        crashpoint("promote.after")
        return promoted

    def _go_live(self, session: Session, skill: SkillRow, version: SkillVersionRow) -> None:
        versions.go_live(session, skill, version)
        experience_rows.note_promotion(session, self._namespace, skill.id, version.number, self._partition.vectors)
        pruning.make_room(session, self._namespace, capacity=self._partition.capacity, newcomer=skill.id)

    def _version_meant(self, session: Session, name: str, version: int | None) -> tuple[SkillRow, SkillVersionRow]:
        """Returns the skill, and the version named in `name@2` or in `version`, else the one that waits."""
        name, named = split_ref(name)
        skill = versions.find_skill(session, self._namespace, name, lock=True)
        number = named if version is None else version
        return skill, versions.find_version(
            session, skill, versions.newest_waiting(session, skill) if number is None else number
        )
