"""Grants and lowers the trust tiers of versions, within the caller's transaction; and says what a store shows."""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from skill_plugin.gates.decision import GateDecision
from skill_plugin.records import Skill, Tier
from skill_plugin.skills.tiers import LOWEST, granted_tier, may, rank
from skill_plugin.store.index.outbox import mark_changed
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import versions
from skill_plugin.store.tables import SkillRow, SkillVersionRow

DEMOTED = "demoted"
"""The event of a version whose tier fell to the lowest, where no other event of that moment says so."""


def least_tier(store: Part) -> Tier:
    """Returns the tier under which a store shows no skill: its `min_tier`."""
    return store._partition.min_tier  # noqa: SLF001


def is_shown(store: Part, skill: Skill) -> bool:
    """Returns whether a store shows a skill: it is live, and of a tier that is high enough."""
    return skill.status == "live" and may(skill.tier, "live", least_tier(store))


def why_hidden(tier: str, least: Tier) -> str:
    """Says why a tier is not enough."""
    return f"tier {tier} < {least}"


def grant(session: Session, skill: SkillRow, version: SkillVersionRow, tier: Tier) -> bool:
    """Raises a version's tier within a write; returns False if it has that one or a higher one."""
    if rank(version.tier) >= rank(tier):
        return False
    _set(session, skill, version, tier)
    return True


def let_through(
    session: Session,
    skill: SkillRow,
    version: SkillVersionRow,
    *,
    by: str,
    reason: str = "",
    decision: GateDecision | None = None,
) -> bool:
    """Grants the tier of a version that a person, or a gate with its decision, let through; returns whether that raised it."""
    by_person = by == "human"
    if not by_person and decision is None:
        return False
    return grant(session, skill, version, granted_tier(by_person=by_person, reason=reason))


def lower(session: Session, skill: SkillRow, number: int | None) -> str | None:
    """Takes a version's tier back within a write, and that its functions may run; returns the tier that it had, None if the lowest."""
    version = session.get(SkillVersionRow, (skill.id, number)) if number is not None else None
    if version is None:
        return None
    version.may_run = False
    session.add(version)
    if version.tier == LOWEST:
        return None
    had = version.tier
    _set(session, skill, version, LOWEST)
    return had


def demote(
    session: Session,
    skill: SkillRow,
    number: int | None,
    *,
    by: str,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
    always: bool = False,
) -> None:
    """Takes a version's tier back, and notes why; of one that has none to lose nothing is noted, unless `always`."""
    had = lower(session, skill, number)
    if had is not None or always:
        more = {"tier": had or LOWEST, **(evidence or {})}
        versions.log_event(session, skill, DEMOTED, by=by, version=number, reason=reason, evidence=more)


def _set(session: Session, skill: SkillRow, version: SkillVersionRow, tier: Tier) -> None:
    version.tier = tier
    session.add(version)
    session.flush()
    if skill.live_version == version.number:  # every copy in memory of what is shown is out of date
        mark_changed(session, skill.namespace, [skill.id])
