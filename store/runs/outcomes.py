"""The rows of runs: rollouts, outcomes that came later, and the utility that follows from both.

All within the caller's transaction. Everything is recorded at most once, however often it is sent.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session, col, select

from skill_plugin.errors import RunNotFoundError
from skill_plugin.records import Purpose, Rollout, Task, Verdict, canonical_json, sha256, split_ref
from skill_plugin.store.runs.utility import Use, credit, may_credit
from skill_plugin.store.search import experience_rows
from skill_plugin.store.search.query_vectors import QueryVectors
from skill_plugin.store.sql.database import insert_if_absent
from skill_plugin.store.tables import OutcomeRow, RolloutRow, SharedUseRow, TaskRow, utc_now

CLAIM: Purpose = "claim"

_SAME_IN_ROW = [key for key in Rollout.__dataclass_fields__ if key not in ("skill", "withheld", "also", "tools")]


def insert_task(session: Session, namespace: str, task: Task) -> None:
    insert_if_absent(session, TaskRow, task_values(namespace, task))


def task_values(namespace: str, task: Task) -> dict[str, Any]:
    """Returns a task as a row."""
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
    """Appends one rollout and credits every skill that its prompt showed; returns False if it exists."""
    skill_id, version = split_ref(rollout.skill) if rollout.skill else (None, None)
    withheld_skill_id, withheld_version = split_ref(rollout.withheld) if rollout.withheld else (None, None)
    uses = _creditable(session, namespace, task, rollout)
    inserted = insert_if_absent(
        session,
        RolloutRow,
        {
            **{key: getattr(rollout, key) for key in _SAME_IN_ROW},
            "tools": " ".join(rollout.tools),
            "namespace": namespace,
            "task_id": task.id,
            "skill_id": skill_id,
            "version": version,
            "withheld_skill_id": withheld_skill_id,
            "withheld_version": withheld_version,
            "run_id": run_id,
            "thread_id": thread_id,
            "chosen": chosen,
            "credited": rollout.skill in uses,
            "created_at": utc_now(),
        },
    )
    if not inserted:
        return False
    for ref, adherence in rollout.also.items():
        other_id, number = split_ref(ref)
        if number is not None and ref != rollout.skill:
            row = {"skill_id": other_id, "version": number, "adherence": adherence, "credited": ref in uses}
            place = {"namespace": namespace, "run_id": run_id, "generation": rollout.generation, "k": rollout.k}
            insert_if_absent(session, SharedUseRow, place | row)
    for use, adherence in uses.values():
        reward, passed = rollout.reward or 0.0, bool(rollout.passed)
        credit(session, use, reward, won=int(passed), adherence=adherence, before=None)
    if rollout.passed and skill_id is not None and rollout.skill in uses and rollout.purpose != "gate":
        experience_rows.note_pass(session, namespace, skill_id, task, vectors=vectors)
    return True


def _creditable(
    session: Session, namespace: str, task: Task, rollout: Rollout
) -> dict[str | None, tuple[Use, float | None]]:
    """Returns the uses that a rollout is to be credited to, by `skill_id@version`, each with its adherence."""
    if rollout.arm != "skill" or rollout.reward is None:
        return {}
    shown = {rollout.skill: rollout.adherence, **rollout.also} if rollout.skill else rollout.also
    uses: dict[str | None, tuple[Use, float | None]] = {}
    for ref, adherence in shown.items():
        skill_id, version = split_ref(ref)
        if version is not None and adherence != 0:  # one that was ignored neither gains nor loses
            use = Use(namespace, skill_id, version, task.content_hash)
            if may_credit(session, use):
                uses[ref] = use, adherence
    return uses


def record_outcome(
    session: Session, namespace: str, run_id: str, verdict: Verdict, *, source: str, vectors: QueryVectors
) -> bool:
    """Appends feedback on a run's answer and credits its skills; returns False if the same feedback exists.

    A source's first feedback is a further reward of the run, each later one takes the place of the one before it. A run that is a
    client's claim is not credited.

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
    known = select(OutcomeRow.reward, OutcomeRow.source).where(
        OutcomeRow.namespace == namespace, OutcomeRow.run_id == run_id
    )
    earlier = session.exec(known.order_by(col(OutcomeRow.id).desc())).all()
    replaced = next((reward for reward, by in earlier if by == source), None)
    inserted = insert_if_absent(
        session,
        OutcomeRow,
        {
            "namespace": namespace,
            "run_id": run_id,
            "digest": sha256(canonical_json([verdict.reward, verdict.feedback])),
            "reward": verdict.reward,
            "feedback": verdict.feedback,
            "source": source,
            "created_at": utc_now(),
        },
    )
    task = session.get(TaskRow, (namespace, rollout.task_id))
    # No skill was used, another system ran it, or nobody knows whether it was run.
    if not inserted or task is None or rollout.arm != "skill" or rollout.source is not None or rollout.purpose == CLAIM:
        return inserted
    used: list[RolloutRow | SharedUseRow] = [rollout, *_shared(session, namespace, run_id, rollout)]
    for one in used:
        if not one.skill_id or not one.version or one.adherence == 0:
            continue
        use = Use(namespace, one.skill_id, one.version, task.content_hash)
        before = earlier[0][0] if earlier else rollout.reward
        if rollout.reward is not None and not one.credited:
            before = verdict.reward  # it was not live at that time, so there is nothing to replace
        if may_credit(session, use):
            passed = bool(verdict.passed)
            if passed and one is rollout:
                experience_rows.note_pass(session, namespace, use.skill_id, task, vectors=vectors)
            # What the verifier said stays a win or not; else the newest feedback says so.
            won = int(passed) - int((before or 0.0) >= 1) if rollout.reward is None else 0
            credit(
                session,
                use,
                verdict.reward,
                won=won,
                adherence=one.adherence,
                before=before,
                replaced=replaced,
                alone=rollout.reward is None and bool(earlier) and earlier[-1][1] == source,
            )
    return True


def _shared(session: Session, namespace: str, run_id: str, rollout: RolloutRow) -> Sequence[SharedUseRow]:
    """Returns the further skills of a rollout."""
    of_run = select(SharedUseRow).where(SharedUseRow.namespace == namespace, SharedUseRow.run_id == run_id)
    of_rollout = of_run.where(SharedUseRow.generation == rollout.generation, SharedUseRow.k == rollout.k)
    return session.exec(of_rollout.order_by(SharedUseRow.skill_id)).all()


def rollouts_of(session: Session, namespace: str, run_id: str) -> Sequence[Rollout]:
    """Returns a run's rollouts in order."""
    statement = select(RolloutRow).where(RolloutRow.namespace == namespace, RolloutRow.run_id == run_id)
    rows = session.exec(statement.order_by(col(RolloutRow.generation), col(RolloutRow.k))).all()
    shared = select(SharedUseRow).where(SharedUseRow.namespace == namespace, SharedUseRow.run_id == run_id)
    also: defaultdict[tuple[int, int], dict[str, float | None]] = defaultdict(dict)
    for one in session.exec(shared.order_by(SharedUseRow.skill_id)).all():
        also[one.generation, one.k][f"{one.skill_id}@{one.version}"] = one.adherence
    return [as_rollout(row, also.get((row.generation, row.k), {})) for row in rows]


def as_rollout(row: RolloutRow, also: Mapping[str, float | None]) -> Rollout:
    return Rollout(
        skill=f"{row.skill_id}@{row.version}" if row.skill_id else None,
        withheld=f"{row.withheld_skill_id}@{row.withheld_version}" if row.withheld_skill_id else None,
        also=also,
        tools=tuple(row.tools.split()),
        **{key: getattr(row, key) for key in _SAME_IN_ROW},
    )
