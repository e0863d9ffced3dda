"""Decisions on skills that two people may take at once: one is taken, the other is told of it.

Who decides says how many decisions there were when they looked (`seen`); one more since is an error, and nothing is changed. The
count is compared within the write that decides, on a row that it locks.
"""

from sqlalchemy import func
from sqlmodel import Session, col, select

from skill_plugin.errors import AlreadyDecidedError
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import versions
from skill_plugin.store.skills.versions import HELD, RELEASED, WENT_LIVE
from skill_plugin.store.tables import EventRow, SkillRow

DECISIONS = (
    *WENT_LIVE, "refused", HELD, RELEASED, "retired", "quarantined", "restored", "pinned", "unpinned", "demoted", "certified",
)  # fmt: skip
"""The kinds of events that are a decision on a skill."""


def decisions_on(store: Part, name: str) -> int:
    """Returns how many decisions there were on a skill, to be passed on as `seen`."""
    namespace = store._namespace  # noqa: SLF001 - a store has as many names as one can keep in mind
    with store._partition.read() as session:  # noqa: SLF001
        return count_decisions(session, versions.find_skill(session, namespace, name))


def count_decisions(session: Session, skill: SkillRow) -> int:
    """Returns how many decisions there were on a skill, within a session."""
    mine = select(func.count()).where(EventRow.skill_id == skill.id, col(EventRow.kind).in_(DECISIONS))
    return session.exec(mine).one()


def check_seen(session: Session, skill: SkillRow, seen: int | None) -> None:
    """Checks, within the write that decides, that nobody has decided since.

    Raises:
        AlreadyDecidedError: somebody has.
    """
    if seen is None or count_decisions(session, skill) == seen:
        return
    mine = select(EventRow).where(EventRow.skill_id == skill.id, col(EventRow.kind).in_(DECISIONS))
    last = session.exec(mine.order_by(col(EventRow.id).desc()).limit(1)).first()
    said = "something was undone"
    if last is not None:
        version = f" version {last.version}" if last.version is not None else ""
        said = f"{last.kind}{version} by {last.by} at {last.at:%Y-%m-%d %H:%M:%S} UTC"
        said += f" ({last.reason})" if last.reason else ""
    raise AlreadyDecidedError(
        f"somebody has decided on {skill.name!r} since you looked: {said}; nothing more was changed, look again"
    )
