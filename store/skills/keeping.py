"""Keeping the library: retiring and restoring, evidence, and looking after the index."""

from sqlmodel import Session

from skill_plugin.errors import ConfigurationError, NamespaceError
from skill_plugin.records import Skill
from skill_plugin.store import namespaces
from skill_plugin.store.base import StoreBase
from skill_plugin.store.crashpoints import crashpoint
from skill_plugin.store.doctor import Check, Upkeep
from skill_plugin.store.index.outbox import mark_changed
from skill_plugin.store.skills import pruning, versions
from skill_plugin.store.skills.lift import Lift, lift_of
from skill_plugin.store.skills.pruning import Decision
from skill_plugin.store.tables import SkillRow

INDEX_SECONDS = 120.0


class Keeping(StoreBase):
    """What an operator does. Nothing here deletes: everything can be undone."""

    def prune(
        self, *, dry_run: bool = False, capacity: int | None = None, include_human: bool = False
    ) -> list[Decision]:
        """Retires what the evidence is against, and what is over capacity; every live skill with its reason.

        Args:
            dry_run: Decide, and change nothing.
            capacity: Live skills to keep; by default the store's own.
            include_human: Also skills that a person wrote.
        """
        limit = self.capacity if capacity is None else capacity
        if limit < 0:
            raise ConfigurationError(f"the capacity is {limit}; give a number from 0")
        crashpoint("prune.before")
        with self.database.read() if dry_run else self._write() as session:
            decisions = pruning.prune(
                session, self.namespace, dry_run=dry_run, capacity=limit, include_human=include_human
            )
            crashpoint("prune.middle")
        crashpoint("prune.after")
        return decisions

    def retire(self, name: str, *, reason: str = "") -> Skill:
        """Takes a skill out of search; `restore` brings it back."""
        return self._set_status(name, "retired", "retired", reason)

    def quarantine(self, name: str, *, reason: str = "") -> Skill:
        """Takes a skill that is not to be trusted out of search; `restore` brings it back."""
        return self._set_status(name, "quarantined", "quarantined", reason)

    def restore(self, name: str, *, reason: str = "") -> Skill:
        """Brings a retired or quarantined skill back: live if it ever was, else staged.

        Raises:
            CapacityError: the namespace is full of protected skills.
        """
        with self._write() as session:
            skill = versions.find_skill(session, self.namespace, name, lock=True)
            if skill.status in ("retired", "quarantined"):
                skill.status = "staged" if skill.live_version is None else "live"
                skill.low_audits, skill.audited_uses = 0, skill.uses
                session.add(skill)
                session.flush()
                mark_changed(session, self.namespace, [skill.id])
                if skill.status == "live":
                    pruning.make_room(session, self.namespace, capacity=self.capacity, newcomer=skill.id)
                versions.log_event(session, skill, "restored", by="human", version=skill.live_version, reason=reason)
            return self._view(session, skill)

    def pin(self, name: str) -> Skill:
        """Protects a skill from pruning."""
        return self._set_pinned(name, pinned=True)

    def unpin(self, name: str) -> Skill:
        return self._set_pinned(name, pinned=False)

    def lift(self, name: str) -> Lift:
        """Does the skill help? Reward with it minus reward of paired control rollouts, with an interval."""
        with self.database.read() as session:
            skill = versions.find_skill(session, self.namespace, name)
            return lift_of(session, self.namespace, skill.id)

    def wait_for_index(self, seconds: float = INDEX_SECONDS) -> bool:
        """Waits until the vector index has everything that is committed; False if it cannot, or not in time.

        Nobody has to: until then search uses the vectors in SQL.
        """
        return self._indexer is not None and self._indexer.wait(seconds)

    def rebuild_index(self, seconds: float = INDEX_SECONDS) -> bool:
        """Throws the vector index away and fills it from SQL; False if Chroma failed or another process owns it."""
        return self._indexer is not None and self._indexer.rebuild(seconds)

    def reembed(self) -> int:
        """Embeds every version with this store's embedder, in place of the one before; how many were embedded.

        Goes on where it was if it is interrupted. The old vectors answer until all new ones are there.
        """
        embedded = self._upkeep().reembed()
        self._notify()
        return embedded

    def erase(self, *, confirm: str) -> dict[str, int]:
        """Deletes the whole namespace for good, from SQL and from the index, and gives its room on disk back; rows by table.

        Copies elsewhere are not reached: exports, backups, the copy that a migration made, an index that was put aside.

        Args:
            confirm: The namespace's own name, so that no other is erased by accident.

        Raises:
            NamespaceError: `confirm` is another name.
        """
        if confirm != self.namespace:
            raise NamespaceError(f"this store is namespace {self.namespace!r}, not {confirm!r}; nothing was erased")
        if self._indexer is not None:
            self._indexer.drop()
        with self.database.write() as session:
            namespaces.lock(session, self.namespace)
            counts = namespaces.erase(session, self.namespace)
        self._made = False
        self.database.vacuum()
        return counts

    def check(self) -> list[Check]:
        """What `skill-plugin doctor` says of this namespace; never raises."""
        return self._upkeep().check()

    def _upkeep(self) -> Upkeep:
        return Upkeep(self.database, self.namespace, self.index, self._indexer, self._vectors)

    def _set_status(self, name: str, status: str, kind: str, reason: str) -> Skill:
        with self._write() as session:
            skill = versions.find_skill(session, self.namespace, name, lock=True)
            if skill.status != status:
                skill.status = status
                session.add(skill)
                session.flush()
                mark_changed(session, self.namespace, [skill.id])
                versions.log_event(session, skill, kind, by="human", version=skill.live_version, reason=reason)
            return self._view(session, skill)

    def _set_pinned(self, name: str, *, pinned: bool) -> Skill:
        with self._write() as session:
            skill = versions.find_skill(session, self.namespace, name, lock=True)
            if skill.pinned != pinned:
                skill.pinned = pinned
                session.add(skill)
                versions.log_event(session, skill, "pinned" if pinned else "unpinned", by="human")
            return self._view(session, skill)

    @staticmethod
    def _view(session: Session, skill: SkillRow) -> Skill:
        return versions.view(session, skill, versions.find_version(session, skill, None))
