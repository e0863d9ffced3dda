"""What runs did: rollouts, outcomes that came later, and the utility that follows from both.

All within the caller's transaction. Everything is recorded at most once, however often it is sent.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, case, func
from sqlmodel import Session, col, select, update

from skill_plugin.errors import RunNotFoundError
from skill_plugin.records import Rollout, Task, Verdict, canonical_json, sha256, split_ref
from skill_plugin.store import experience_rows, versions
from skill_plugin.store.database import insert_if_absent
from skill_plugin.store.query_vectors import QueryVectors
from skill_plugin.store.tables import (
    OutcomeRow,
    RevisionRow,
    RolloutRow,
    SkillRow,
    SkillVersionRow,
    TaskRow,
    utc_now,
)

UTILITY_RATE = 0.05
"""Weight of one new reward in the moving average (Skill1, arXiv:2605.06130)."""

FALL_BACK_DROP = 0.2
"""How far a live version's utility must be below its parent's: 2.5 standard deviations of the average of a fair coin."""

FALL_BACK_USES = 20
"""Uses that both versions must have before they are compared."""

_SAME_IN_ROW = [key for key in Rollout.__dataclass_fields__ if key not in ("skill", "withheld", "also")]


def insert_task(session: Session, namespace: str, task: Task) -> None:
    insert_if_absent(session, TaskRow, task_values(namespace, task))


def task_values(namespace: str, task: Task) -> dict[str, Any]:
    """A task as a row."""
    return {
        "namespace": namespace,
        "id": task.id,
        "family": task.family,
        "input": task.input,
        "reference": task.reference,
        "verifier": task.verifier,
        "split": task.split,
        "chain": task.chain,
        "position": task.position,
        "content_hash": task.content_hash,
        "created_at": utc_now(),
    }


def record_rollout(
    session: Session,
    namespace: str,
    task: Task,
    rollout: Rollout,
    *,
    run_id: str,
    thread_id: str | None,
    chosen: bool,
    vectors: QueryVectors,
) -> bool:
    """Appends one rollout and credits its skill; False if it was there already."""
    skill_id, version = split_ref(rollout.skill) if rollout.skill else (None, None)
    withheld_skill_id, withheld_version = split_ref(rollout.withheld) if rollout.withheld else (None, None)
    use = None
    if skill_id and version and rollout.arm == "skill" and rollout.reward is not None and rollout.adherence != 0:
        use = Use(namespace, skill_id, version, task.content_hash)
    credited = use is not None and _may_credit(session, use)
    inserted = insert_if_absent(
        session,
        RolloutRow,
        {
            **{key: getattr(rollout, key) for key in _SAME_IN_ROW},
            "namespace": namespace,
            "task_id": task.id,
            "skill_id": skill_id,
            "version": version,
            "withheld_skill_id": withheld_skill_id,
            "withheld_version": withheld_version,
            "run_id": run_id,
            "thread_id": thread_id,
            "chosen": chosen,
            "credited": credited,
            "created_at": utc_now(),
        },
    )
    if inserted and use is not None and credited:
        _credit(session, use, rollout.reward or 0.0, bool(rollout.passed), new_use=True, adherence=rollout.adherence)
        if rollout.passed:
            experience_rows.note_pass(session, namespace, use.skill_id, task, vectors=vectors)
    return inserted


class Use(NamedTuple):
    """A version that was used on a task."""

    namespace: str
    skill_id: str
    version: int
    content_hash: str

    def bound(self) -> dict[str, str | int]:
        """As parameters; SQLAlchemy keeps the bare names of columns for itself."""
        return {f"b_{key}": value for key, value in self._asdict().items()}


def _may_credit(session: Session, use: Use) -> bool:
    """Whether this use says something of the skill.

    Only the live version moves the skill's utility, because a staged one is judged by the gate; and never on the task
    that it, or a version before it, was written from: there its success says nothing.
    """
    return session.connection().execute(_MAY_CREDIT, use.bound()).scalar() is not None


def _credit(
    session: Session, use: Use, reward: float, passed: bool, *, new_use: bool, adherence: float | None = None
) -> None:
    """Utility <- utility + 0.05 * adherence * (reward - utility), started at the first observation.

    One UPDATE for the skill and one for its version, because a read and a write from two processes lose half of the
    updates. Where the version has fallen far behind its parent, the parent is live again.
    """
    rate = UTILITY_RATE * (1.0 if adherence is None else adherence)
    given = {**use.bound(), "reward": reward, "rate": rate, "use": int(new_use), "win": int(new_use and passed)}
    connection = session.connection()
    connection.execute(_CREDIT_SKILL, given)
    utility, uses, parent = connection.execute(_CREDIT_VERSION, given).one()
    if parent is not None and utility is not None and uses >= FALL_BACK_USES:
        _fall_back(session, use, utility, parent)


def _fall_back(session: Session, use: Use, utility: float, parent: int) -> None:
    """Makes the parent live again if the version's utility is clearly lower, both having been used enough."""
    before = session.get(SkillVersionRow, (use.skill_id, parent))
    if (
        before is None
        or before.utility is None
        or before.uses < FALL_BACK_USES
        or utility >= before.utility - FALL_BACK_DROP
    ):
        return
    skill = session.exec(select(SkillRow).where(SkillRow.id == use.skill_id).with_for_update()).one()
    if skill.live_version == use.version:
        session.refresh(skill)
        versions.go_live(session, skill, before)
        reason = f"utility of version {use.version} fell to {utility:.2f}, version {parent} had {before.utility:.2f}"
        versions.log_event(session, skill, "rolled back", by="utility", version=parent, reason=reason)


def _counted(table: type[SkillRow] | type[SkillVersionRow]) -> dict[str, Any]:
    """The new utility and counters of a row."""
    utility = col(table.utility)
    moved = utility + bindparam("rate") * (bindparam("reward") - utility)
    return {
        "utility": case((utility.is_(None), bindparam("reward")), else_=moved),
        "uses": col(table.uses) + bindparam("use"),
        "wins": col(table.wins) + bindparam("win"),
    }


# Made once: building a statement costs more than running it, and a run is recorded for every answer of every agent.
_IS_LIVE = (
    col(SkillRow.id) == bindparam("b_skill_id"),
    col(SkillRow.namespace) == bindparam("b_namespace"),
    col(SkillRow.live_version) == bindparam("b_version"),
)

_BORN_FROM = (
    select(RevisionRow.id)
    .join(
        TaskRow, (col(TaskRow.id) == col(RevisionRow.task_id)) & (col(TaskRow.namespace) == col(RevisionRow.namespace))
    )
    .where(
        col(RevisionRow.namespace) == bindparam("b_namespace"),
        col(RevisionRow.skill_id) == bindparam("b_skill_id"),
        col(RevisionRow.version) <= bindparam("b_version"),
        col(TaskRow.content_hash) == bindparam("b_content_hash"),
    )
)

_MAY_CREDIT = select(SkillRow.id).where(*_IS_LIVE, ~_BORN_FROM.exists())

_CREDIT_SKILL = update(SkillRow).where(*_IS_LIVE).values(**_counted(SkillRow))

_CREDIT_VERSION = (
    update(SkillVersionRow)
    .where(
        col(SkillVersionRow.skill_id) == bindparam("b_skill_id"), col(SkillVersionRow.number) == bindparam("b_version")
    )
    .values(**_counted(SkillVersionRow))
    .returning(col(SkillVersionRow.utility), col(SkillVersionRow.uses), col(SkillVersionRow.parent))
)


def record_outcome(session: Session, namespace: str, run_id: str, verdict: Verdict, *, vectors: QueryVectors) -> bool:
    """Appends feedback on a run's answer and credits its skill; False if the same feedback was there already.

    Raises:
        RunNotFoundError: no such run.
    """
    rollout = session.exec(
        select(RolloutRow)
        .where(RolloutRow.namespace == namespace, RolloutRow.run_id == run_id)
        .order_by(col(RolloutRow.chosen).desc(), col(RolloutRow.generation).desc())
    ).first()
    if rollout is None:
        raise RunNotFoundError(f"no run {run_id!r} in namespace {namespace!r}; pass the run_id that the graph returned")
    known = select(func.count()).select_from(OutcomeRow)
    earlier = session.exec(known.where(OutcomeRow.namespace == namespace, OutcomeRow.run_id == run_id)).one()
    inserted = insert_if_absent(
        session,
        OutcomeRow,
        {
            "namespace": namespace,
            "run_id": run_id,
            "digest": sha256(canonical_json([verdict.reward, verdict.feedback])),
            "reward": verdict.reward,
            "feedback": verdict.feedback,
            "created_at": utc_now(),
        },
    )
    task = session.get(TaskRow, (namespace, rollout.task_id))
    # It was not used, or not followed, or another system ran it.
    if rollout.arm != "skill" or rollout.adherence == 0 or rollout.source is not None:
        return inserted
    if inserted and task is not None and rollout.skill_id and rollout.version:
        use = Use(namespace, rollout.skill_id, rollout.version, task.content_hash)
        if _may_credit(session, use):
            if verdict.passed:
                experience_rows.note_pass(session, namespace, use.skill_id, task, vectors=vectors)
            new_use = rollout.reward is None and not earlier
            _credit(session, use, verdict.reward, bool(verdict.passed), new_use=new_use, adherence=rollout.adherence)
    return inserted


def rollouts_of(session: Session, namespace: str, run_id: str) -> Sequence[Rollout]:
    """A run's rollouts in order."""
    statement = select(RolloutRow).where(RolloutRow.namespace == namespace, RolloutRow.run_id == run_id)
    rows = session.exec(statement.order_by(col(RolloutRow.generation), col(RolloutRow.k))).all()
    return [as_rollout(row) for row in rows]


def as_rollout(row: RolloutRow) -> Rollout:
    return Rollout(
        skill=f"{row.skill_id}@{row.version}" if row.skill_id else None,
        withheld=f"{row.withheld_skill_id}@{row.withheld_version}" if row.withheld_skill_id else None,
        **{key: getattr(row, key) for key in _SAME_IN_ROW},
    )
