"""The life of a skill in the library: pruned, retired, quarantined, restored, pinned."""

from sqlmodel import Session

from skill_plugin.limits import AT_LEAST_0, check_number
from skill_plugin.records import Skill, split_ref
from skill_plugin.store.crashpoints import crashpoint
from skill_plugin.store.index.outbox import mark_changed
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import pruning, screening, tiers, versions
from skill_plugin.store.skills.decisions import check_seen
from skill_plugin.store.skills.permissions import forbid_all
from skill_plugin.store.skills.pruning import Decision
from skill_plugin.store.tables import SkillRow


class Lifecycle(Part):
    """The actions of an operator on skills. Nothing here deletes: everything can be undone.

    `seen` is how many decisions on the skill they knew of (`store.skills.decisions`); one more is an `AlreadyDecidedError`.
    """

    def prune(
        self, *, dry_run: bool = False, capacity: int | None = None, include_human: bool = False
    ) -> list[Decision]:
        """Retires what the evidence is against, and what is over capacity; returns every live skill with its reason.

        Args:
            dry_run: Decide, and change nothing.
            capacity: Live skills to keep; by default the store's own.
            include_human: Also skills that a person wrote.
        """
        limit = self._partition.capacity if capacity is None else capacity
        check_number("capacity", limit, AT_LEAST_0)
        crashpoint("prune.before")
        with self._partition.read() if dry_run else self._partition.write(frees=True) as session:
            decisions = pruning.prune(
                session, self._namespace, dry_run=dry_run, capacity=limit, include_human=include_human
            )
            crashpoint("prune.middle")
        crashpoint("prune.after")
        return decisions

    def retire(self, name: str, *, reason: str = "", seen: int | None = None) -> Skill:
        """Takes a skill out of search; `restore` brings it back."""
        return self._set_status(name, "retired", "retired", reason, seen)

    def quarantine(self, name: str, *, reason: str = "", seen: int | None = None) -> Skill:
        """Takes a skill that is not to be trusted out of search; `restore` brings it back."""
        return self._set_status(name, "quarantined", "quarantined", reason, seen)

    def restore(self, name: str, *, reason: str = "", seen: int | None = None) -> Skill:
        """Brings a retired or quarantined skill back: live if it ever was, else staged. What the scanner held of it is released.

        Of a skill that is in use, `name@2` releases that version.

        Raises:
            CapacityError: the namespace is full of protected skills.
        """
        name, number = split_ref(name)
        with self._partition.write() as session:
            skill = versions.find_skill(session, self._namespace, name, lock=True)
            check_seen(session, skill, seen)
            stopped = versions.held(session, skill)
            shown = versions.find_version(session, skill, number).number
            if number is not None or skill.status == "quarantined":
                screening.release(session, skill, shown, reason=reason)
            if skill.status == "quarantined":
                row = versions.find_version(session, skill, shown)
                tiers.let_through(session, skill, row, by="human", reason=reason)
            if skill.status in ("retired", "quarantined"):
                skill.status = "staged" if skill.live_version is None else "live"
                skill.low_audits, skill.audited_uses = 0, skill.uses
                session.add(skill)
                session.flush()
                mark_changed(session, self._namespace, [skill.id])
                if skill.status == "live":
                    pruning.make_room(session, self._namespace, capacity=self._partition.capacity, newcomer=skill.id)
                versions.log_event(session, skill, "restored", by="human", version=skill.live_version, reason=reason)
            if stopped and number is not None:
                return versions.view(session, skill, versions.find_version(session, skill, number))
            return self._view(session, skill)

    def pin(self, name: str, *, reason: str = "", seen: int | None = None) -> Skill:
        """Protects a skill from pruning."""
        return self._set_pinned(name, reason, seen, pinned=True)

    def unpin(self, name: str, *, reason: str = "", seen: int | None = None) -> Skill:
        """Lets pruning retire a skill again."""
        return self._set_pinned(name, reason, seen, pinned=False)

    def _set_status(self, name: str, status: str, kind: str, reason: str, seen: int | None) -> Skill:
        with self._partition.write(frees=True) as session:
            skill = versions.find_skill(session, self._namespace, name, lock=True)
            check_seen(session, skill, seen)
            if skill.status != status:
                skill.status = status
                session.add(skill)
                session.flush()
                mark_changed(session, self._namespace, [skill.id])
                if status == "quarantined":
                    tiers.lower(session, skill, skill.live_version)
                    forbid_all(session, skill)
                versions.log_event(session, skill, kind, by="human", version=skill.live_version, reason=reason)
            return self._view(session, skill)

    def _set_pinned(self, name: str, reason: str, seen: int | None, *, pinned: bool) -> Skill:
        with self._partition.write() as session:
            skill = versions.find_skill(session, self._namespace, name, lock=True)
            check_seen(session, skill, seen)
            if skill.pinned != pinned:
                skill.pinned = pinned
                session.add(skill)
                versions.log_event(session, skill, "pinned" if pinned else "unpinned", by="human", reason=reason)
            return self._view(session, skill)

    @staticmethod
    def _view(session: Session, skill: SkillRow) -> Skill:
        return versions.view(session, skill, versions.find_version(session, skill, None))
