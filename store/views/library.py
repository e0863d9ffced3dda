"""What a table of skills shows beside each skill: its lift, the family that it serves; and the counts above the table."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, func
from sqlalchemy import select as rows_of
from sqlmodel import Session, col, select

from skill_plugin.records import Skill
from skill_plugin.store.partition import Part
from skill_plugin.store.skills.lift import Lift, lift_of
from skill_plugin.store.sql.database import fetch
from skill_plugin.store.tables import RevisionRow, RolloutRow, SkillRow, TaskRow

LOOKED_BACK = 50
"""Rollouts of a skill, the newest, that say which family it serves."""

MOST_FAMILIES = 200
"""Families that are offered to choose from."""


# Made once: a page asks them for each of its lines, and building one costs more than running it.
_USED = (
    rows_of(col(RolloutRow.task_id))
    .where(col(RolloutRow.skill_id) == bindparam("skill_id"))
    .order_by(col(RolloutRow.id).desc())
    .limit(LOOKED_BACK)
    .subquery()
)
_SERVED = (
    rows_of(col(TaskRow.family))
    .join(_USED, _USED.c.task_id == col(TaskRow.id))
    .where(col(TaskRow.namespace) == bindparam("namespace"))
    .group_by(col(TaskRow.family))
    .order_by(func.count().desc(), col(TaskRow.family))
)
_BORN = (
    rows_of(col(TaskRow.family))
    .join(RevisionRow, col(RevisionRow.task_id) == col(TaskRow.id))
    .where(col(RevisionRow.skill_id) == bindparam("skill_id"), col(TaskRow.namespace) == bindparam("namespace"))
    .limit(1)
)


class SkillLine(NamedTuple):
    """A line of the table: a skill, its lift, and the families that it serves, the most frequent first."""

    skill: Skill
    lift: Lift
    families: Sequence[str]


def skill_lines(store: Part, skills: Sequence[Skill]) -> list[SkillLine]:
    """Returns the lines of some skills, in their order."""
    namespace = store._namespace  # noqa: SLF001 - a store has as many names as one can keep in mind
    with store._partition.read() as session:  # noqa: SLF001
        return [
            SkillLine(skill, lift_of(session, namespace, skill.id), _families(session, namespace, skill.id))
            for skill in skills
        ]


def status_counts(store: Part) -> dict[str, int]:
    """Returns the number of skills of each status that there is."""
    counted = select(SkillRow.status, func.count()).where(SkillRow.namespace == store._namespace)  # noqa: SLF001
    with store._partition.read() as session:  # noqa: SLF001
        return dict(session.exec(counted.group_by(SkillRow.status)).all())


def task_families(store: Part) -> list[str]:
    """Returns the families of the tasks that were recorded, by name; the first 200."""
    # One look into the index for each family: a DISTINCT would read an entry for each task.
    found: list[str] = []
    with store._partition.read() as session:  # noqa: SLF001
        while len(found) < MOST_FAMILIES:
            following = select(func.min(TaskRow.family)).where(TaskRow.namespace == store._namespace)  # noqa: SLF001
            if found:
                following = following.where(TaskRow.family > found[-1])
            family: str | None = session.exec(following).one()
            if family is None:
                break
            found.append(family)
    return found


def _families(session: Session, namespace: str, skill_id: str) -> list[str]:
    """Returns the families of a skill's newest rollouts; of one that was never used, that of the task it was written for."""
    given = {"namespace": namespace, "skill_id": skill_id}
    return [row[0] for row in fetch(session, _SERVED, **given) or fetch(session, _BORN, **given)]
