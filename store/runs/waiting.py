"""What waits for somebody: staged versions for a decision, runs for their reward, histories for the next night."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, func
from sqlmodel import Session, col, select

from skill_plugin.records import CUT_OFF
from skill_plugin.store.partition import Part
from skill_plugin.store.skills.versions import IS_DECIDED, WENT_LIVE
from skill_plugin.store.tables import EventRow, OutcomeRow, RevisionRow, RolloutRow, SkillRow, SkillVersionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Work that is not done.

    Args:
        rollouts: Rollouts that were recorded since the last night.
        revisions: Revisions that a generator has written since then.
        staged: Versions that are newer than what is live, and that neither a gate nor a person nor the scanner has decided on, as `name@2`; the
            newest first.
        without_reward: Runs under a skill that nobody has judged yet.
    """

    rollouts: int
    revisions: int
    staged: list[str] = field(default_factory=list)
    without_reward: int = 0


def waiting(session: Session, namespace: str, since: datetime | None) -> Waiting:
    """Counts what waits; histories since a moment, None is the beginning."""

    def counted(row: type[RolloutRow] | type[RevisionRow], *more: ColumnElement[bool]) -> int:
        mine = select(func.count()).select_from(row).where(row.namespace == namespace, col(row.source).is_(None), *more)
        return session.exec(mine if since is None else mine.where(col(row.created_at) >= since)).one()

    judged = select(OutcomeRow.id).where(
        OutcomeRow.namespace == namespace, col(OutcomeRow.run_id) == col(RolloutRow.run_id)
    )
    unjudged = select(func.count(col(RolloutRow.run_id).distinct())).where(
        RolloutRow.namespace == namespace,
        col(RolloutRow.skill_id).is_not(None),
        col(RolloutRow.reward).is_(None),
        col(RolloutRow.error).is_(None) | col(RolloutRow.error).startswith(CUT_OFF),
        col(RolloutRow.source).is_(None),
        ~judged.exists(),
    )
    return Waiting(
        rollouts=counted(RolloutRow),
        revisions=counted(RevisionRow),
        staged=staged_versions(session, namespace),
        without_reward=session.exec(unjudged).one(),
    )


def staged_versions(session: Session, namespace: str) -> list[str]:
    """Returns the versions that wait for a decision, as `Waiting.staged` has them."""
    decided = select(EventRow.id).where(
        EventRow.namespace == namespace,
        col(EventRow.skill_id) == col(SkillVersionRow.skill_id),
        col(EventRow.version) == col(SkillVersionRow.number),
        IS_DECIDED,
    )
    staged = (
        select(SkillRow.name, SkillVersionRow.number)
        .join(SkillVersionRow, col(SkillVersionRow.skill_id) == col(SkillRow.id))
        .where(
            SkillRow.namespace == namespace,
            col(SkillRow.status).in_(["live", "staged"]),
            SkillVersionRow.number > func.coalesce(SkillRow.live_version, 0),
            ~decided.exists(),
        )
        .order_by(col(SkillVersionRow.created_at).desc(), col(SkillRow.name))
    )
    return [f"{name}@{number}" for name, number in session.exec(staged).all()]


def versions_waiting(store: Part) -> list[str]:
    """Returns the versions that wait for a decision, as `Waiting.staged` has them, and counts nothing."""
    with store._partition.read() as session:  # noqa: SLF001 - a store has as many names as one can keep in mind
        return staged_versions(session, store._namespace)  # noqa: SLF001


def outcomes(store: Part) -> tuple[int, int, int]:
    """Returns a namespace's credited uses, those of them that passed, and the outcomes that were reported later."""
    namespace = store._namespace  # noqa: SLF001
    with store._partition.read() as session:  # noqa: SLF001
        mine = SkillRow.namespace == namespace
        sums = session.exec(select(func.sum(SkillRow.uses), func.sum(SkillRow.wins)).where(mine)).one()
        given = session.exec(select(func.count()).where(OutcomeRow.namespace == namespace)).one()
    return int(sums[0] or 0), int(sums[1] or 0), given


def proposals_waiting(store: Part) -> int:
    """Returns how many versions that a client proposed wait for a decision, held ones too; the generator's own have a revision."""
    namespace = store._namespace  # noqa: SLF001
    decided = select(EventRow.id).where(
        EventRow.namespace == namespace,
        col(EventRow.skill_id) == col(SkillVersionRow.skill_id),
        col(EventRow.version) == col(SkillVersionRow.number),
        col(EventRow.kind).in_([*WENT_LIVE, "refused"]),
    )
    proposed = (
        select(func.count())
        .select_from(SkillVersionRow)
        .join(SkillRow, col(SkillRow.id) == col(SkillVersionRow.skill_id))
        .where(
            SkillVersionRow.namespace == namespace,
            SkillVersionRow.author == "generator",
            col(SkillVersionRow.revision_id).is_(None),
            SkillRow.status != "retired",
            SkillVersionRow.number > func.coalesce(SkillRow.live_version, 0),
            ~decided.exists(),
        )
    )
    with store._partition.read() as session:  # noqa: SLF001
        return session.exec(proposed).one()
