"""Pruning: which skills to retire, and why. Retiring is a status; everything retired can be restored.

Two reasons, and no other. Over capacity: the lowest `utility + c * sqrt(ln(1 + N) / (1 + n))`, n being the skill's uses and N
all uses (D2Skill's rule, arXiv:2603.28716; Skill1's U * log n would always take the newest). Below capacity: evidence, a
lift not above 0 in three audits in a row and at least 30 uses (SLIM's test, arXiv:2605.10923). Protected from both: pinned
skills, those that a person wrote (unless asked), and those with fewer than 20 uses.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func
from sqlmodel import Session, col, select

from skill_plugin.errors import CapacityError
from skill_plugin.store.index.outbox import mark_changed
from skill_plugin.store.skills import tiers, versions
from skill_plugin.store.skills.lift import Lift, lift_of
from skill_plugin.store.tables import SkillRow, SkillVersionRow

CAPACITY = 5000
"""Live skills a namespace (Skill1, arXiv:2605.06130)."""

EXPLORATION = 0.05
PROTECTED_USES = 20
AUDITED_USES = 30
LOW_AUDITS = 3
USES_BETWEEN_AUDITS = 10
"""An audit counts only after so many new uses: three looks at the same evidence are one."""

UNUSED_UTILITY = 0.5


@dataclass(frozen=True)
class Decision:
    """The decision of pruning on one live skill."""

    skill_id: str
    name: str
    action: Literal["keep", "retire"]
    reason: str
    utility: float | None
    uses: int
    lift: float | None = None


def prune(session: Session, namespace: str, *, dry_run: bool, capacity: int, include_human: bool) -> list[Decision]:
    """Decides on every live skill, and carries it out unless `dry_run`; returns what is retired first."""
    skills = _live(session, namespace)
    human = _human_written(session, namespace)
    decisions: dict[str, Decision] = {}
    for skill in skills:
        shield = _shield(skill, human=skill.id in human and not include_human)
        decisions[skill.id] = _keep(skill, shield) if shield else _audit(session, skill, dry_run=dry_run)
    left = [skill for skill in skills if decisions[skill.id].action == "keep"]
    surplus = set()
    for skill, reason in _over_capacity(left, capacity, human, include_human=include_human):
        surplus.add(skill.id)
        decisions[skill.id] = _retire(skill, reason, decisions[skill.id].lift)
    if not dry_run:
        for skill in skills:
            if decisions[skill.id].action == "retire":
                if skill.id not in surplus:  # that is evidence against its text, and want of room is not
                    tiers.lower(session, skill, skill.live_version)
                retire(session, skill, by="prune", reason=decisions[skill.id].reason)
    return sorted(decisions.values(), key=lambda decision: (decision.action == "keep", decision.name))


def make_room(session: Session, namespace: str, *, capacity: int, newcomer: str) -> None:
    """Retires, within a write that made a skill live, what is over capacity, never the newcomer.

    Raises:
        CapacityError: everything else is protected.
    """
    count = session.exec(
        select(func.count()).select_from(SkillRow).where(SkillRow.namespace == namespace, SkillRow.status == "live")
    ).one()
    if count <= capacity:
        return
    skills = [skill for skill in _live(session, namespace) if skill.id != newcomer]
    human = _human_written(session, namespace)
    victims = _over_capacity(skills, capacity, human, include_human=False, joining=1)
    if len(victims) < count - capacity:
        raise CapacityError(
            f"namespace {namespace!r} holds {count - 1} live skills, its capacity is {capacity}, and all are protected "
            "(pinned, written by a person, or used under 20 times); unpin or retire some, or: skill-plugin prune --include-human"
        )
    for skill, reason in victims:
        retire(session, skill, by="capacity", reason=reason)


def retire(session: Session, skill: SkillRow, *, by: str, reason: str) -> None:
    """Retires a skill, within a write: search finds it no longer. Its versions and its record stay."""
    skill.status = "retired"
    session.add(skill)
    session.flush()
    mark_changed(session, skill.namespace, [skill.id])
    versions.log_event(session, skill, "retired", by=by, version=skill.live_version, reason=reason)


def eviction_score(utility: float | None, uses: int, total: int) -> float:
    """Returns a skill's score, the lowest of which goes first; the bonus for rarely used skills shrinks with use."""
    bonus = EXPLORATION * math.sqrt(math.log1p(total) / (1 + uses))
    return (UNUSED_UTILITY if utility is None else utility) + bonus


def _over_capacity(
    skills: Sequence[SkillRow], capacity: int, human: set[str], *, include_human: bool, joining: int = 0
) -> list[tuple[SkillRow, str]]:
    held = len(skills) + joining
    surplus = held - capacity
    if surplus <= 0:
        return []
    total = sum(skill.uses for skill in skills)
    evictable = [skill for skill in skills if not _shield(skill, human=skill.id in human and not include_human)]
    evictable.sort(key=lambda skill: (eviction_score(skill.utility, skill.uses, total), skill.name))
    return [
        (
            skill,
            f"over capacity ({held} of {capacity}); score {eviction_score(skill.utility, skill.uses, total):.3f}",
        )
        for skill in evictable[:surplus]
    ]


def _shield(skill: SkillRow, *, human: bool) -> str | None:
    """Returns why a skill may not be retired, or None."""
    if skill.pinned:
        return "pinned"
    if human:
        return "written by a person"
    if skill.uses < PROTECTED_USES:
        return f"only {skill.uses} uses, protected below {PROTECTED_USES}"
    return None


def _audit(session: Session, skill: SkillRow, *, dry_run: bool) -> Decision:
    if skill.uses < AUDITED_USES:
        return _keep(skill, f"only {skill.uses} uses, judged from {AUDITED_USES}")
    lift: Lift = lift_of(session, skill.namespace, skill.id)
    if lift.value is None:
        return _keep(skill, "no control rollouts to judge it by")
    if lift.value > 0:
        if not dry_run and skill.low_audits:
            skill.low_audits, skill.audited_uses = 0, skill.uses
            session.add(skill)
        return _keep(skill, f"lift {lift.value:+.2f}", lift)
    fresh = skill.uses - skill.audited_uses >= USES_BETWEEN_AUDITS or not skill.audited_uses
    audits = skill.low_audits + fresh
    if not dry_run and fresh:
        skill.low_audits, skill.audited_uses = audits, skill.uses
        session.add(skill)
    reason = f"lift {lift.value:+.2f} is not above 0 in {audits} of {LOW_AUDITS} audits, {skill.uses} uses"
    return _retire(skill, reason, lift.value) if audits >= LOW_AUDITS else _keep(skill, reason, lift)


def _keep(skill: SkillRow, reason: str, lift: Lift | None = None) -> Decision:
    return Decision(skill.id, skill.name, "keep", reason, skill.utility, skill.uses, lift.value if lift else None)


def _retire(skill: SkillRow, reason: str, lift: float | None) -> Decision:
    return Decision(skill.id, skill.name, "retire", reason, skill.utility, skill.uses, lift)


def _live(session: Session, namespace: str) -> list[SkillRow]:
    """Returns the live skills by name, so that decisions and events come in the same order everywhere."""
    statement = select(SkillRow).where(SkillRow.namespace == namespace, SkillRow.status == "live")
    return list(session.exec(statement.order_by(col(SkillRow.name))).all())


def _human_written(session: Session, namespace: str) -> set[str]:
    """Returns skills whose first version a person wrote; a generator's later revision does not end the protection."""
    first = (
        select(col(SkillVersionRow.skill_id), func.min(SkillVersionRow.number).label("number"))
        .where(SkillVersionRow.namespace == namespace)
        .group_by(col(SkillVersionRow.skill_id))
        .subquery()
    )
    statement = select(SkillVersionRow.skill_id).where(
        SkillVersionRow.author == "human",
        col(SkillVersionRow.skill_id) == first.c.skill_id,
        col(SkillVersionRow.number) == first.c.number,
    )
    return set(session.exec(statement).all())
