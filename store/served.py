"""Which skills have served which tasks: the two strategies of retrieval that go by experience instead of by text."""

from typing import Any

from sqlalchemy import bindparam, func, select
from sqlmodel import Session, col

from skill_plugin.protocols import Embedder
from skill_plugin.store.database import fetch, insert_if_absent
from skill_plugin.store.tables import RevisionRow, RolloutRow, TaskEmbeddingRow, TaskRow
from skill_plugin.store.vectors import Vector, from_bytes, to_bytes, unit_vector

RECENT = 2000
"""Rollouts that are looked back on, newest first, so that years of them do not slow a search down."""

LONGEST_INPUT = 4000
"""Characters of a task that are embedded; MiniLM reads 256 tokens."""

Found = dict[str, tuple[float, dict[str, Any]]]

_RECENT_OF_FAMILY = (
    select(col(RolloutRow.skill_id), col(RolloutRow.reward))
    .join(TaskRow, (col(TaskRow.namespace) == col(RolloutRow.namespace)) & (col(TaskRow.id) == col(RolloutRow.task_id)))
    .where(
        col(RolloutRow.namespace) == bindparam("namespace"),
        col(TaskRow.family) == bindparam("family"),
        col(RolloutRow.skill_id).is_not(None),
        col(RolloutRow.reward).is_not(None),
    )
    .order_by(col(RolloutRow.id).desc())
    .limit(RECENT)
)

_BORN_IN_FAMILY = (
    select(col(RevisionRow.skill_id))
    .join(
        TaskRow, (col(TaskRow.namespace) == col(RevisionRow.namespace)) & (col(TaskRow.id) == col(RevisionRow.task_id))
    )
    .where(
        col(RevisionRow.namespace) == bindparam("namespace"),
        col(TaskRow.family) == bindparam("family"),
        col(RevisionRow.skill_id).is_not(None),
    )
    .distinct()
)

_RECENT_TASKS = (
    select(col(RolloutRow.skill_id), col(RolloutRow.task_id), col(RolloutRow.reward))
    .where(
        col(RolloutRow.namespace) == bindparam("namespace"),
        col(RolloutRow.skill_id).is_not(None),
        col(RolloutRow.reward).is_not(None),
    )
    .order_by(col(RolloutRow.id).desc())
    .limit(RECENT)
)

_VECTORS = select(col(TaskEmbeddingRow.task_id), col(TaskEmbeddingRow.vector)).where(
    col(TaskEmbeddingRow.namespace) == bindparam("namespace"), col(TaskEmbeddingRow.signature) == bindparam("signature")
)

_INPUTS = select(col(TaskRow.id), func.substr(col(TaskRow.input), 1, LONGEST_INPUT)).where(
    col(TaskRow.namespace) == bindparam("namespace"), col(TaskRow.id).in_(bindparam("task_ids", expanding=True))
)


def by_family(session: Session, namespace: str, family: str) -> Found:
    """Skills that served tasks of the family, or were written for one: id to relevance and why.

    Relevance is the mean reward there with one success and one failure added (Laplace), so that one lucky run does not
    beat a long record.
    """
    rewards: dict[str, list[float]] = {}
    for skill_id, reward in fetch(session, _RECENT_OF_FAMILY, namespace=namespace, family=family):
        rewards.setdefault(skill_id, []).append(reward)
    for (skill_id,) in fetch(session, _BORN_IN_FAMILY, namespace=namespace, family=family):
        rewards.setdefault(skill_id, [])
    return {
        skill_id: ((sum(seen) + 1) / (len(seen) + 2), {"family": family, "family_uses": len(seen)})
        for skill_id, seen in rewards.items()
    }


def by_task(session: Session, namespace: str, vector: Vector, *, signature: str, embedder: Embedder) -> Found:
    """Skills by the nearest task that each has served, weighed by the reward there: id to cosine and why."""
    rewards: dict[tuple[str, str], list[float]] = {}
    for skill_id, task_id, reward in fetch(session, _RECENT_TASKS, namespace=namespace):
        rewards.setdefault((skill_id, task_id), []).append(reward)
    tasks = {task_id for _, task_id in rewards}
    vectors = _task_vectors(session, namespace, tasks, signature=signature, embedder=embedder)
    found: Found = {}
    for (skill_id, task_id), seen in rewards.items():
        cosine = float(vectors[task_id] @ vector) * sum(seen) / len(seen)
        if skill_id not in found or cosine > found[skill_id][0]:
            found[skill_id] = (cosine, {"nearest_task": task_id})
    return found


def _task_vectors(
    session: Session, namespace: str, task_ids: set[str], *, signature: str, embedder: Embedder
) -> dict[str, Vector]:
    """The tasks' vectors; those that are not there yet are made and, in the caller's transaction, kept."""
    kept = fetch(session, _VECTORS, namespace=namespace, signature=signature)
    vectors = {task_id: from_bytes(blob) for task_id, blob in kept}
    missing = fetch(session, _INPUTS, namespace=namespace, task_ids=sorted(task_ids - vectors.keys()))
    if missing:
        made = embedder.embed([text for _, text in missing])
        for (task_id, _), values in zip(missing, made, strict=True):
            vectors[task_id] = unit_vector(values, signature)
            row = {"namespace": namespace, "task_id": task_id, "signature": signature}
            insert_if_absent(session, TaskEmbeddingRow, row | {"vector": to_bytes(vectors[task_id])})
    return vectors
