"""What runs did: rollouts, outcomes that came later, and the utility that follows from both.

All within the caller's transaction. Everything is recorded at most once, however often it is sent.
"""

from collections.abc import Sequence

from sqlalchemy import case, func
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
    values = rollout.to_json()
    del values["skill"]
    inserted = insert_if_absent(
        session,
        RolloutRow,
        {
            **values,
            "namespace": namespace,
            "task_id": task.id,
            "skill_id": skill_id,
            "version": version,
            "run_id": run_id,
            "thread_id": thread_id,
            "chosen": chosen,
            "credited": False,
            "created_at": utc_now(),
        },
    )
    if inserted and skill_id and version and rollout.arm == "skill" and rollout.reward is not None:
        credited = not born_from(session, namespace, skill_id, version, task.content_hash) and credit(
            session, namespace, skill_id, version, reward=rollout.reward, passed=bool(rollout.passed), new_use=True
        )
        if credited:
            session.exec(
                update(RolloutRow)
                .where(
                    col(RolloutRow.namespace) == namespace,
                    col(RolloutRow.run_id) == run_id,
                    col(RolloutRow.generation) == rollout.generation,
                    col(RolloutRow.k) == rollout.k,
                )
                .values(credited=True)
            )
    return inserted


def credit(
    session: Session, namespace: str, skill_id: str, version: int, *, reward: float, passed: bool, new_use: bool
) -> bool:
    """Utility <- utility + 0.05 * (reward - utility), started at the first observation; False if nothing was credited.

    One UPDATE, because a read and a write from two processes lose half of the updates. Only the live version moves the
    skill's utility: a staged one is judged by the gate.
    """
    utility = col(SkillRow.utility)
    statement = (
        update(SkillRow)
        .where(
            col(SkillRow.id) == skill_id, col(SkillRow.namespace) == namespace, col(SkillRow.live_version) == version
        )
        .values(utility=case((utility.is_(None), reward), else_=utility + UTILITY_RATE * (reward - utility)))
    )
    if new_use:
        statement = statement.values(uses=col(SkillRow.uses) + 1, wins=col(SkillRow.wins) + int(passed))
    return bool(session.exec(statement).rowcount)


def born_from(session: Session, namespace: str, skill_id: str, version: int, content_hash: str) -> bool:
    """Whether the version, or one before it, was written from this very task: then its success there says nothing."""
    same_task = (col(TaskRow.id) == RevisionRow.task_id) & (col(TaskRow.namespace) == RevisionRow.namespace)
    statement = (
        select(RevisionRow.id)
        .join(TaskRow, same_task)
        .where(
            RevisionRow.namespace == namespace,
            RevisionRow.skill_id == skill_id,
            col(RevisionRow.version) <= version,
            TaskRow.content_hash == content_hash,
        )
        .limit(1)
    )
    return session.exec(statement).first() is not None


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
    if not inserted or task is None or rollout.arm != "skill" or not rollout.skill_id or not rollout.version:
        return inserted
    if not born_from(session, namespace, rollout.skill_id, rollout.version, task.content_hash):
        credit(
            session,
            namespace,
            rollout.skill_id,
            rollout.version,
            reward=verdict.reward,
            passed=bool(verdict.passed),
            new_use=rollout.reward is None and not earlier,
        )
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
