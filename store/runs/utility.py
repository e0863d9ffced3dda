"""Crediting a version for a use: its skill's utility and counters, and the fall-back where the record says that it is worse.

Within the caller's transaction. Counting is one UPDATE a row, because a read and a write from two processes lose half of the
updates.
"""

from typing import Any, NamedTuple

from sqlalchemy import Float, Integer, bindparam, case, cast, func
from sqlmodel import Session, col, select, update

from skill_plugin.store.skills import tiers, versions
from skill_plugin.store.skills.lift import Sample, interval_of_samples
from skill_plugin.store.tables import RevisionRow, RevisionTaskRow, SkillRow, SkillVersionRow, TaskRow

UTILITY_RATE = 0.05
"""Weight of one new reward in the moving average (Skill1, arXiv:2605.06130). The first twenty make a plain mean."""

FALL_BACK_USES = 20
"""Uses that both versions must have; the live one is looked at when it has so many, twice, four times, ... so many."""

FALL_BACK_GAP = 0.1
"""How far a live version's mean reward must at least be below the other's."""

FALL_BACK_Z = 2.58
"""The z of a 99 % interval: each further look is one more chance to be wrong, and there are few."""


class Use(NamedTuple):
    """A version that was used on a task."""

    namespace: str
    skill_id: str
    version: int
    content_hash: str

    def bound(self) -> dict[str, str | int]:
        """Returns the use as parameters; SQLAlchemy keeps the bare names of columns for itself."""
        return {f"b_{key}": value for key, value in self._asdict().items()}


def may_credit(session: Session, use: Use) -> bool:
    """Returns whether this use says something of the skill.

    Only the live version moves the skill's utility, because a staged one is judged by the gate; and never on a task whose
    failures the prompt of it, or of a version before it, showed: there its success says nothing.
    """
    return session.connection().execute(_MAY_CREDIT, use.bound()).scalar() is not None


def credit(
    session: Session,
    use: Use,
    reward: float,
    *,
    won: int,
    adherence: float | None,
    before: float | None,
    replaced: float | None = None,
    alone: bool = False,
) -> None:
    """Counts a use: utility <- utility + max(1 / n, 0.05) * adherence * (reward - utility), n being the uses with this one.

    A reward that takes the place of another moves it by max(1 / n, 0.05) * adherence * (reward - replaced), so that it stays where
    it would be if only the last of them had come, however many there were; exactly so while it is a plain mean.

    The utility begins at the first reward. Where the record of the version is clearly worse than that of the one before it,
    that one is live again.

    Args:
        session: The caller's.
        use: The version and its task.
        reward: The reward, in [0, 1].
        won: The wins that it adds: 1, 0, or -1 where a win is taken back.
        adherence: How far the skill was followed, in [0, 1]; None is not judged.
        before: The reward that this use was counted with until now; None for a new use. A use that has been counted moves the
            utility once more, and its reward is replaced in the version's total.
        replaced: The reward from the same source that this one takes the place of; None where it is the source's first.
        alone: Whether that was the use's first reward, and not one beside a verifier's.
    """
    new = before is None
    given = {
        **use.bound(),
        "reward": reward,
        "weight": 1.0 if adherence is None else adherence,
        "use": int(new),
        "win": won,
        "change": reward if before is None else reward - before,
        "replaced": replaced,
        "further": int(replaced is None or not alone),
    }
    connection = session.connection()
    connection.execute(_CREDIT_SKILL, given)
    uses, total = connection.execute(_CREDIT_VERSION, given).one()
    if is_due(uses - int(new), uses):
        _fall_back(session, use, _sample(uses, total))


def is_worse(record: Sample, earlier: Sample) -> bool:
    """Returns whether a version's rewards are so far below those of the one before it that it gives way."""
    gap, _, high = interval_of_samples(record, earlier, z=FALL_BACK_Z)
    return gap <= -FALL_BACK_GAP and high < 0


def is_due(before: int, after: int) -> bool:
    """Returns whether one of 20, 40, 80, ... lies above `before` and not above `after`."""
    look = FALL_BACK_USES
    while look <= before:
        look *= 2
    return look <= after


def _fall_back(session: Session, use: Use, record: Sample) -> None:
    """Makes the version before this one live again if its mean reward is clearly higher, both having been used enough."""
    skill = session.exec(select(SkillRow).where(SkillRow.id == use.skill_id).with_for_update()).one()
    session.refresh(skill)
    if (
        skill.status != "live" or skill.live_version != use.version
    ):  # one that was taken out must not come back by itself
        return
    for number in versions.before(session, skill, use.version):
        earlier = versions.find_version(session, skill, number)
        session.refresh(earlier)
        if earlier.uses >= FALL_BACK_USES:
            break
    else:
        return
    known = _sample(earlier.uses, earlier.total_reward)
    if not is_worse(record, known):
        return
    gap, low, high = interval_of_samples(record, known, z=FALL_BACK_Z)
    reason = (
        f"version {use.version} has a mean reward of {record.mean:.2f} over {record.number} uses, version {number} had "
        f"{known.mean:.2f} over {known.number}: {gap:+.2f} (99 % interval {low:+.2f} to {high:+.2f})"
    )
    tiers.demote(session, skill, use.version, by="evidence", reason=reason)
    versions.go_live(session, skill, earlier)
    versions.log_event(session, skill, "rolled back", by="evidence", version=number, reason=reason)


def _sample(uses: int, total: float) -> Sample:
    """Returns a version's record. Feedback on a run that was not counted may have moved the total a little too far."""
    return Sample(uses, min(max(total, 0.0), uses))


def _counted(table: type[SkillRow] | type[SkillVersionRow]) -> dict[str, Any]:
    """Returns expressions for the new utility and counters of a row."""
    utility, uses = col(table.utility), col(table.uses)
    count = uses + bindparam("further", type_=Integer)
    rate = case((count < 1, 1.0), (count < 1 / UTILITY_RATE, 1.0 / cast(count, Float)), else_=UTILITY_RATE)
    known = func.coalesce(bindparam("replaced", type_=Float), utility)
    moved = utility + rate * bindparam("weight", type_=Float) * (bindparam("reward", type_=Float) - known)
    used = uses + bindparam("use", type_=Integer)
    wins = col(table.wins) + bindparam("win", type_=Integer)
    return {
        "utility": case((utility.is_(None), bindparam("reward")), (moved < 0, 0.0), (moved > 1, 1.0), else_=moved),
        "uses": used,
        "wins": case((wins < 0, 0), (wins > used, used), else_=wins),
    }


# Made once: building a statement costs more than running it, and a run is recorded for every answer of every agent.
_IS_LIVE = (
    col(SkillRow.id) == bindparam("b_skill_id"),
    col(SkillRow.namespace) == bindparam("b_namespace"),
    col(SkillRow.live_version) == bindparam("b_version"),
)

_WRITTEN = (
    col(RevisionRow.namespace) == bindparam("b_namespace"),
    col(RevisionRow.skill_id) == bindparam("b_skill_id"),
    col(RevisionRow.version) <= bindparam("b_version"),
)

_BORN_FROM = (
    select(RevisionRow.id)
    .join(
        TaskRow, (col(TaskRow.id) == col(RevisionRow.task_id)) & (col(TaskRow.namespace) == col(RevisionRow.namespace))
    )
    .where(*_WRITTEN, col(TaskRow.content_hash) == bindparam("b_content_hash"))
)

_SHOWN_TO_ITS_WRITER = (
    select(RevisionRow.id)
    .join(
        RevisionTaskRow,
        (col(RevisionTaskRow.namespace) == col(RevisionRow.namespace))
        & (col(RevisionTaskRow.group_id) == col(RevisionRow.group_id)),
    )
    .where(*_WRITTEN, col(RevisionTaskRow.content_hash) == bindparam("b_content_hash"))
)

_MAY_CREDIT = select(SkillRow.id).where(*_IS_LIVE, ~_BORN_FROM.exists(), ~_SHOWN_TO_ITS_WRITER.exists())

_CREDIT_SKILL = update(SkillRow).where(*_IS_LIVE).values(**_counted(SkillRow))

_CREDIT_VERSION = (
    update(SkillVersionRow)
    .where(
        col(SkillVersionRow.skill_id) == bindparam("b_skill_id"), col(SkillVersionRow.number) == bindparam("b_version")
    )
    .values(**_counted(SkillVersionRow), total_reward=col(SkillVersionRow.total_reward) + bindparam("change"))
    .returning(col(SkillVersionRow.uses), col(SkillVersionRow.total_reward))
)
