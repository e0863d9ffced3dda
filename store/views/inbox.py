"""What waits for a person: versions that nobody has decided on, and texts that the scanner holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlmodel import Session, col, select

from skill_plugin.errors import SkillNotFoundError
from skill_plugin.records import Skill, split_ref
from skill_plugin.store.health import held_versions
from skill_plugin.store.partition import Part
from skill_plugin.store.runs.waiting import staged_versions
from skill_plugin.store.skills import versions
from skill_plugin.store.skills.decisions import count_decisions
from skill_plugin.store.skills.versions import HELD, WRITTEN
from skill_plugin.store.tables import EventRow, RevisionRow, SkillRow, TaskRow

Why = Literal["undecided", "held", "quarantined"]

SHOWN = 50
"""What of each kind is shown; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """Something to decide.

    Args:
        why: `undecided` (neither the gate nor a person has decided on the version), `held` (by the scanner), or `quarantined` (by a
            person).
        skill: The skill, seen at the version that waits.
        live: The skill at its live version, to compare with; None without one.
        proposed: A client proposed it; no generator of ours wrote it.
        family: The family of the task that it was written from; empty if it is not known.
        findings: What the scanner found, each with `line`, `kind` and `excerpt`.
        reason: Why it is held, or what its writer said.
        decisions: How many decisions there were on the skill; see `store.skills.decisions`.
    """

    why: Why
    skill: Skill
    live: Skill | None
    proposed: bool
    family: str
    findings: Sequence[Mapping[str, Any]]
    reason: str
    decisions: int


@dataclass(frozen=True, slots=True)
class Inbox:
    """Matters to decide, the newest first, and how many there are of each kind in all."""

    matters: Sequence[Matter]
    total: Mapping[Why, int]


def inbox(store: Part) -> Inbox:
    """Returns what waits for a person."""
    namespace = store._namespace  # noqa: SLF001 - a store has as many names as one can keep in mind
    with store._partition.read() as session:  # noqa: SLF001
        lists = _lists(session, namespace)
        matters = [one for why, refs in lists.items() for one in _matters(session, namespace, why, refs[:SHOWN])]
    return Inbox(matters, {why: len(refs) for why, refs in lists.items()})


def inbox_counts(store: Part) -> Mapping[Why, int]:
    """Returns how much of each kind waits."""
    with store._partition.read() as session:  # noqa: SLF001
        return {why: len(refs) for why, refs in _lists(session, store._namespace).items()}  # noqa: SLF001


def findings_of(store: Part, skill: Skill) -> list[Mapping[str, Any]]:
    """Returns what the scanner last said of a version that is held or flagged."""
    with store._partition.read() as session:  # noqa: SLF001
        return _findings(session, skill.id, skill.version)[0]


def _lists(session: Session, namespace: str) -> dict[Why, list[str]]:
    held = [ref for ref in held_versions(session, namespace) if not _is_rejected(session, namespace, ref)]
    quarantined = [ref for ref in _quarantined(session, namespace) if ref not in held]
    return {"held": held, "quarantined": quarantined, "undecided": staged_versions(session, namespace)}


def _is_rejected(session: Session, namespace: str, ref: str) -> bool:
    """Returns whether a person has refused a version that the scanner holds, after which it waits for nobody."""
    name, number = split_ref(ref)
    skill = versions.find_skill(session, namespace, name)
    if skill.status == "quarantined":
        return False
    mine = select(EventRow.kind).where(EventRow.skill_id == skill.id, EventRow.version == number, versions.IS_DECIDED)
    return session.exec(mine.order_by(col(EventRow.id).desc()).limit(1)).first() == "refused"


def _matters(session: Session, namespace: str, why: Why, refs: Sequence[str]) -> Iterator[Matter]:
    for ref in refs:
        try:
            row, version = versions.resolve(session, namespace, ref)
        except SkillNotFoundError:  # erased a moment ago
            continue
        live = None
        if row.live_version not in (None, version.number):
            live = versions.view(session, row, versions.find_version(session, row, row.live_version))
        revision = session.get(RevisionRow, version.revision_id) if version.revision_id else None
        task = session.get(TaskRow, (namespace, revision.task_id)) if revision is not None else None
        findings, reason = _findings(session, row.id, version.number)
        yield Matter(
            why=why,
            skill=versions.view(session, row, version),
            live=live,
            proposed=version.author == "generator" and version.revision_id is None,
            family=task.family if task is not None else "",
            findings=findings,
            reason=reason or _said(session, row, version.number),
            decisions=count_decisions(session, row),
        )


def _findings(session: Session, skill_id: str, number: int) -> tuple[list[Mapping[str, Any]], str]:
    of_version = select(EventRow).where(EventRow.skill_id == skill_id, EventRow.version == number)
    found = session.exec(
        of_version.where(col(EventRow.kind).in_([HELD, "demoted"])).order_by(col(EventRow.id).desc())
    ).first()
    if found is None:
        return [], ""
    findings = found.evidence.get("findings")
    # A dump may hold anything.
    sound: list[Mapping[str, Any]] = (
        [one for one in findings if isinstance(one, dict)] if isinstance(findings, list) else []
    )
    return sound, found.reason


def _said(session: Session, skill: SkillRow, number: int) -> str:
    """Returns the reason in the newest event that is not the version's writing."""
    mine = select(EventRow.reason).where(
        EventRow.skill_id == skill.id,
        (col(EventRow.version) == number) | col(EventRow.version).is_(None),
        col(EventRow.kind).not_in(WRITTEN),
        EventRow.reason != "",
    )
    return session.exec(mine.order_by(col(EventRow.id).desc()).limit(1)).first() or ""


def _quarantined(session: Session, namespace: str) -> list[str]:
    mine = select(SkillRow).where(SkillRow.namespace == namespace, SkillRow.status == "quarantined")
    rows = session.exec(mine.order_by(col(SkillRow.created_at).desc())).all()
    return [f"{row.name}@{versions.find_version(session, row, None).number}" for row in rows]
