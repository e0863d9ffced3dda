"""The rows of experience: up to eight tasks that a live version of a skill passed. Within the caller's transaction.

The rows are few and small, so that a search reads them all at once. Which text counts as one kind of task is for vectors to
say: they are taken from the last searches if those made them, and made by a later search if not.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Index, bindparam, delete, func, or_, select, update
from sqlmodel import Field, Session, col

from skill_plugin.errors import StoreUnavailableError
from skill_plugin.records import Task
from skill_plugin.store import namespaces
from skill_plugin.store.search.query_vectors import QueryVectors, beginning
from skill_plugin.store.sql.database import Database, fetch, insert_if_absent
from skill_plugin.store.tables import (
    PREFIX,
    NamespaceRow,
    RolloutRow,
    Table,
    TaskEmbeddingRow,
    TaskRow,
    UtcDateTime,
    utc_now,
)
from skill_plugin.store.vectors import Vector, from_bytes, to_bytes

KEPT = 8
"""Tasks of one skill. More found hardly better, and one that serves many kinds should be several skills."""

SAME_TASK = 0.95
"""Cosine from which a task says nothing that another one of its skill does not."""

_LOOKED_AT = 64
"""Rollouts of a version, newest first, of which a promotion takes the tasks."""


class ExperienceRow(Table, table=True):
    """A task that a skill passed. `seq` is the namespace's `experience` when the row, or its task's vector, was written."""

    __tablename__ = f"{PREFIX}experience"
    __table_args__ = (Index(None, "namespace", "seq"),)

    namespace: str = Field(primary_key=True)
    skill_id: str = Field(primary_key=True)
    task_id: str = Field(primary_key=True)
    seq: int
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


_OF_SKILL = (
    select(col(ExperienceRow.task_id), col(TaskEmbeddingRow.vector))
    .outerjoin(
        TaskEmbeddingRow,
        (col(TaskEmbeddingRow.namespace) == col(ExperienceRow.namespace))
        & (col(TaskEmbeddingRow.task_id) == col(ExperienceRow.task_id))
        & (col(TaskEmbeddingRow.signature) == bindparam("signature")),
    )
    .where(col(ExperienceRow.namespace) == bindparam("namespace"), col(ExperienceRow.skill_id) == bindparam("skill_id"))
    .order_by(col(ExperienceRow.created_at).desc(), col(ExperienceRow.seq).desc(), col(ExperienceRow.task_id))
)

_KNOWN = select(col(ExperienceRow.task_id)).where(
    col(ExperienceRow.namespace) == bindparam("namespace"), col(ExperienceRow.skill_id) == bindparam("skill_id")
)

_COUNT_UP = (
    update(NamespaceRow)
    .where(col(NamespaceRow.name) == bindparam("namespace"))
    .values(experience=col(NamespaceRow.experience) + 1)
    .returning(col(NamespaceRow.experience))
)

_PASSED = (
    select(col(RolloutRow.task_id))
    .where(
        col(RolloutRow.skill_id) == bindparam("skill_id"),
        col(RolloutRow.namespace) == bindparam("namespace"),
        col(RolloutRow.version) == bindparam("version"),
        col(RolloutRow.arm) == "skill",
        col(RolloutRow.passed).is_(True),
        # A held-out task that found a skill by itself could not say any more whether search finds the next version.
        col(RolloutRow.purpose) != "gate",
        or_(col(RolloutRow.adherence).is_(None), col(RolloutRow.adherence) > 0),
    )
    .order_by(col(RolloutRow.id).desc())
    .limit(_LOOKED_AT)
)

_INPUTS = select(col(TaskRow.id), col(TaskRow.input)).where(
    col(TaskRow.namespace) == bindparam("namespace"), col(TaskRow.id).in_(bindparam("task_ids", expanding=True))
)

_MISSING = (
    select(col(ExperienceRow.task_id), func.max(col(TaskRow.input)))
    .join(
        TaskRow,
        (col(TaskRow.namespace) == col(ExperienceRow.namespace)) & (col(TaskRow.id) == col(ExperienceRow.task_id)),
    )
    .where(
        col(ExperienceRow.namespace) == bindparam("namespace"),
        ~select(col(TaskEmbeddingRow.task_id))
        .where(
            col(TaskEmbeddingRow.namespace) == col(ExperienceRow.namespace),
            col(TaskEmbeddingRow.task_id) == col(ExperienceRow.task_id),
            col(TaskEmbeddingRow.signature) == bindparam("signature"),
        )
        .exists(),
    )
    .group_by(col(ExperienceRow.task_id))
    .order_by(col(ExperienceRow.task_id))
    .limit(bindparam("count"))
)


class Pending(NamedTuple):
    """A task that has no vector yet, and what of its input is embedded."""

    task_id: str
    text: str


def note_pass(session: Session, namespace: str, skill_id: str, task: Task | TaskRow, *, vectors: QueryVectors) -> None:
    """Keeps a task that a live version has just passed, unless the skill has it, or one like it.

    The vector is taken from the last searches, among which this task's will be; the model is not asked.
    """
    known = {found for (found,) in fetch(session, _KNOWN, namespace=namespace, skill_id=skill_id)}
    if task.id not in known:
        _add(session, namespace, skill_id, [(task.id, task.input)], vectors)


def note_promotion(session: Session, namespace: str, skill_id: str, version: int, vectors: QueryVectors) -> None:
    """Keeps the newest tasks that a version passed before it went live: its own and its siblings', never the gate's."""
    known = {found for (found,) in fetch(session, _KNOWN, namespace=namespace, skill_id=skill_id)}
    passed = fetch(session, _PASSED, namespace=namespace, skill_id=skill_id, version=version)
    newest = [task_id for task_id in dict.fromkeys(found for (found,) in passed) if task_id not in known][:KEPT]
    if newest:
        inputs = dict(fetch(session, _INPUTS, namespace=namespace, task_ids=newest))
        _add(session, namespace, skill_id, [(one, inputs[one]) for one in reversed(newest) if one in inputs], vectors)


def _add(
    session: Session, namespace: str, skill_id: str, tasks: Iterable[tuple[str, str]], vectors: QueryVectors
) -> None:
    """Adds tasks, oldest first, and lets the oldest go that are too many."""
    made = [(task_id, vectors.known(beginning(text))) for task_id, text in tasks]
    kept: list[tuple[str, Vector | None]] = []
    if any(vector is not None for _, vector in made):
        rows = fetch(session, _OF_SKILL, namespace=namespace, skill_id=skill_id, signature=vectors.signature)
        kept = [(task_id, blob and from_bytes(blob)) for task_id, blob in rows]
    seq = None
    for task_id, vector in made:
        if vector is not None and any(_alike(vector, other) for _, other in kept):
            continue
        seq = seq or count_up(session, namespace)
        row = {"namespace": namespace, "skill_id": skill_id, "task_id": task_id, "seq": seq, "created_at": utc_now()}
        insert_if_absent(session, ExperienceRow, row)
        kept.append((task_id, vector))
        if vector is not None:
            insert_if_absent(session, TaskEmbeddingRow, vector_row(namespace, task_id, vectors.signature, vector))
    if seq is not None:
        rows = fetch(session, _OF_SKILL, namespace=namespace, skill_id=skill_id, signature="")
        for old in rows[KEPT:]:
            session.connection().execute(
                delete(ExperienceRow).where(
                    col(ExperienceRow.namespace) == namespace,
                    col(ExperienceRow.skill_id) == skill_id,
                    col(ExperienceRow.task_id) == old.task_id,
                )
            )


def _alike(vector: Vector, other: Vector | None) -> bool:
    return other is not None and float(vector @ other) > SAME_TASK


def count_up(session: Session, namespace: str) -> int:
    """Tells every process that the namespace's experience has changed; returns the number of the change."""
    return int(session.connection().execute(_COUNT_UP, {"namespace": namespace}).scalar_one())


def vector_row(namespace: str, task_id: str, signature: str, vector: Vector) -> dict[str, object]:
    return {"namespace": namespace, "task_id": task_id, "signature": signature, "vector": to_bytes(vector)}


def missing(session: Session, namespace: str, signature: str, count: int) -> list[Pending]:
    """Returns some tasks without a vector of this embedder: of an old release, or a process that did not search."""
    rows = fetch(session, _MISSING, namespace=namespace, signature=signature, count=count)
    return [Pending(task_id, beginning(text)) for task_id, text in rows]


def keep_vectors(session: Session, namespace: str, signature: str, made: Sequence[tuple[Pending, Vector]]) -> None:
    """Writes the vectors of tasks that had none."""
    seq = count_up(session, namespace)
    for pending, vector in made:
        insert_if_absent(session, TaskEmbeddingRow, vector_row(namespace, pending.task_id, signature, vector))
    session.connection().execute(
        update(ExperienceRow)
        .where(
            col(ExperienceRow.namespace) == namespace,
            col(ExperienceRow.task_id).in_([pending.task_id for pending, _ in made]),
        )
        .values(seq=seq)
    )


def mark_all_changed(session: Session, namespace: str) -> None:
    """Has every process read the namespace's experience again."""
    seq = count_up(session, namespace)
    session.connection().execute(update(ExperienceRow).where(col(ExperienceRow.namespace) == namespace).values(seq=seq))


def keep_if_free(database: Database, namespace: str, signature: str, made: Sequence[tuple[Pending, Vector]]) -> bool:
    """Writes vectors like `keep_vectors`, in a transaction of its own that waits for nobody; returns whether it could.

    A search does this in passing: it must not wait for a writer, and not fail on a full disk.
    """
    try:
        with database.write(wait=False) as session:
            if not namespaces.try_lock(session, namespace):
                return False
            keep_vectors(session, namespace, signature, made)
    except StoreUnavailableError:
        return False
    return True
