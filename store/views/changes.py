"""What changed in a namespace, the newest first: the decisions on its skills."""

from datetime import datetime
from typing import NamedTuple

from sqlmodel import col, select

from skill_plugin.store.partition import Part
from skill_plugin.store.skills.decisions import DECISIONS
from skill_plugin.store.tables import EventRow, SkillRow

MOST = 100


class SkillChange(NamedTuple):
    """A decision on a skill: which one, by whom and why."""

    name: str
    version: int | None
    kind: str
    by: str
    reason: str
    at: datetime


def newest_changes(store: Part, *, since: datetime | None = None, limit: int = MOST) -> list[SkillChange]:
    """Returns the newest decisions: what went live, was refused, held, retired, restored, ..."""
    mine = (
        select(EventRow, SkillRow.name)
        .join(SkillRow, col(SkillRow.id) == col(EventRow.skill_id))
        .where(EventRow.namespace == store._namespace, col(EventRow.kind).in_(DECISIONS))  # noqa: SLF001
        .order_by(col(EventRow.id).desc())
        .limit(limit)
    )
    if since is not None:
        mine = mine.where(EventRow.at >= since)
    with store._partition.read() as session:  # noqa: SLF001
        rows = session.exec(mine).all()
    return [SkillChange(name, row.version, row.kind, row.by, row.reason, row.at) for row, name in rows]
