"""What runs did: rollouts, outcomes that came later, and the utility that follows from both.

All within the caller's transaction. Everything is recorded at most once, however often it is sent.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, case, func
from sqlmodel import Session, col, select, update

from skill_plugin.errors import RunNotFoundError
from skill_plugin.records import Rollout, Task, Verdict, canonical_json, sha256, split_ref
from skill_plugin.store.database import insert_if_absent
from skill_plugin.store.tables import OutcomeRow, RevisionRow, RolloutRow, SkillRow, TaskRow, utc_now

UTILITY_RATE = 0.05
"""Weight of one new reward in the moving average (Skill1, arXiv:2605.06130)."""


def insert_task(session: Session, namespace: str, task: Task) -> None:
    insert_if_absent(
        session,
        TaskRow,
        {
            "namespace": namespace,
            "id": task.id,
            "family": task.family,
            "input": task.input,
            "reference": task.reference,
            "verifier": task.verifier,
            "split": task.split,
            "content_hash": task.content_hash,
            "created_at": utc_now(),
        },
    )


def record_rollout(
    session: Session,
    namespace: str,
    task: Task,
    rollout: Rollout,
    *,
    run_id: str,
    thread_id: str | None,
    chosen: bool,
) -> bool:
    """Appends one rollout and credits its skill; False if it was there already."""
    skill_id, version = split_ref(rollout.skill) if rollout.skill else (None, None)
    use = None
    if skill_id and version and rollout.arm == "skill" and rollout.reward is not None:
        use = Use(namespace, skill_id, version, task.content_hash)
    credited = use is not None and _may_credit(session, use)
    inserted = insert_if_absent(
        session,
        RolloutRow,
        {
            **{key: getattr(rollout, key) for key in Rollout.__dataclass_fields__ if key != "skill"},
            "namespace": namespace,
            "task_id": task.id,
            "skill_id": skill_id,
            "version": version,
            "run_id": run_id,
            "thread_id": thread_id,
            "chosen": chosen,
            "credited": credited,
            "created_at": utc_now(),
        },
    )
    if inserted and use is not None and credited:
        _credit(session, use, reward=rollout.reward or 0.0, passed=bool(rollout.passed), new_use=True)
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


def _credit(session: Session, use: Use, *, reward: float, passed: bool, new_use: bool) -> None:
    """Utility <- utility + 0.05 * (reward - utility), started at the first observation.

    One UPDATE, because a read and a write from two processes lose half of the updates.
    """
    counts = {"reward": reward, "use": int(new_use), "win": int(new_use and passed)}
    session.connection().execute(_CREDIT, {**use.bound(), **counts})


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

_CREDIT = (
    update(SkillRow)
    .where(*_IS_LIVE)
    .values(
        utility=case(
            (col(SkillRow.utility).is_(None), bindparam("reward")),
            else_=col(SkillRow.utility) + UTILITY_RATE * (bindparam("reward") - col(SkillRow.utility)),
        ),
        uses=col(SkillRow.uses) + bindparam("use"),
        wins=col(SkillRow.wins) + bindparam("win"),
    )
)


def record_outcome(session: Session, namespace: str, run_id: str, verdict: Verdict) -> bool:
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
    if inserted and task is not None and rollout.arm == "skill" and rollout.skill_id and rollout.version:
        use = Use(namespace, rollout.skill_id, rollout.version, task.content_hash)
        if _may_credit(session, use):
            new_use = rollout.reward is None and not earlier
            _credit(session, use, reward=verdict.reward, passed=bool(verdict.passed), new_use=new_use)
    return inserted


def rollouts_of(session: Session, namespace: str, run_id: str) -> Sequence[Rollout]:
    """A run's rollouts in order."""
    statement = select(RolloutRow).where(RolloutRow.namespace == namespace, RolloutRow.run_id == run_id)
    rows = session.exec(statement.order_by(col(RolloutRow.generation), col(RolloutRow.k))).all()
    return [as_rollout(row) for row in rows]


def as_rollout(row: RolloutRow) -> Rollout:
    return Rollout(
        skill=f"{row.skill_id}@{row.version}" if row.skill_id else None,
        **{key: getattr(row, key) for key in Rollout.__dataclass_fields__ if key != "skill"},
    )
