"""Search by use: the three strategies of retrieval that go by the tasks that skills have served instead of by text."""

from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlmodel import Session, col

from skill_plugin.protocols import Embedder
from skill_plugin.store.search.lexical import terms
from skill_plugin.store.sql.database import Database, fetch, insert_if_absent
from skill_plugin.store.tables import RevisionRow, RolloutRow, TaskEmbeddingRow, TaskRow
from skill_plugin.store.vectors import Vector, from_bytes, sound, to_bytes, unit_vector

RECENT = 2000
"""Rollouts that are looked back on, newest first, so that years of them do not slow a search down."""

LONGEST_INPUT = 4000
"""Characters of a task that are embedded; MiniLM reads 256 tokens."""

_BATCH = 64

_LONGEST_GRAM = 3
"""Words of the longest n-grams."""

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

_OF_TASKS = (
    col(TaskEmbeddingRow.namespace) == bindparam("namespace"),
    col(TaskEmbeddingRow.signature) == bindparam("signature"),
    col(TaskEmbeddingRow.task_id).in_(bindparam("task_ids", expanding=True)),
)
_VECTORS = select(col(TaskEmbeddingRow.task_id), col(TaskEmbeddingRow.vector)).where(*_OF_TASKS)
_EMBEDDED = select(col(TaskEmbeddingRow.task_id)).where(*_OF_TASKS)

_INPUTS = select(col(TaskRow.id), func.substr(col(TaskRow.input), 1, LONGEST_INPUT)).where(
    col(TaskRow.namespace) == bindparam("namespace"), col(TaskRow.id).in_(bindparam("task_ids", expanding=True))
)


def by_family(session: Session, namespace: str, family: str) -> Found:
    """Finds skills that served tasks of the family, or were written for one: id to relevance and why.

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


def by_task(session: Session, namespace: str, vector: Vector, *, signature: str) -> Found:
    """Finds skills by the nearest task that each has served, weighed by the reward there: id to cosine and why."""
    rewards = _rewards_by_task(session, namespace)
    tasks = sorted({task_id for _, task_id in rewards})
    kept = fetch(session, _VECTORS, namespace=namespace, signature=signature, task_ids=tasks)
    vectors = {task_id: from_bytes(blob) for task_id, blob in sound(kept, 1, len(vector))}
    found: Found = {}
    for (skill_id, task_id), seen in rewards.items():
        if task_id not in vectors:  # recorded since the tasks were embedded
            continue
        cosine = float(vectors[task_id] @ vector) * sum(seen) / len(seen)
        if skill_id not in found or cosine > found[skill_id][0]:
            found[skill_id] = (cosine, {"nearest_task": task_id})
    return found


def by_words(session: Session, namespace: str, query: str) -> Found:
    """Finds skills by the task each has served that is most like the query in n-grams, weighed by the reward there.

    Likeness is the share of all n-grams that both texts have (Jaccard), over stemmed words and runs of two and three
    of them (SAGE's Query N-gram retrieval, arXiv:2512.17102).
    """
    rewards = _rewards_by_task(session, namespace)
    tasks = sorted({task_id for _, task_id in rewards})
    texts = dict(fetch(session, _INPUTS, namespace=namespace, task_ids=tasks))
    own = grams(query)
    shares = {task_id: _shared(own, grams(text)) for task_id, text in texts.items()}
    found: Found = {}
    for (skill_id, task_id), seen in rewards.items():
        share = shares.get(task_id, 0.0) * sum(seen) / len(seen)
        if share > 0 and (skill_id not in found or share > found[skill_id][0]):
            found[skill_id] = (share, {"nearest_task": task_id})
    return found


@lru_cache(maxsize=2 * RECENT)
def grams(text: str) -> frozenset[tuple[str, ...]]:
    """Returns every run of one to three of the words that count, stemmed."""
    words = terms(text)
    return frozenset(
        tuple(words[at : at + length])
        for length in range(1, _LONGEST_GRAM + 1)
        for at in range(len(words) - length + 1)
    )


def _shared(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    return len(one & other) / len(one | other) if one or other else 0.0


def embed_tasks(database: Database, namespace: str, *, signature: str, embedder: Embedder) -> None:
    """Makes and keeps the vectors of recent tasks that have none yet; no lock is held while the model works."""
    if database.read_only is not None:
        return  # those that have vectors answer
    with database.read() as session:
        tasks = {task_id for _, task_id in _rewards_by_task(session, namespace)}
        known = fetch(session, _EMBEDDED, namespace=namespace, signature=signature, task_ids=sorted(tasks))
        missing = sorted(tasks - {task_id for (task_id,) in known})
        inputs = fetch(session, _INPUTS, namespace=namespace, task_ids=missing) if missing else []
    for start in range(0, len(inputs), _BATCH):
        batch = inputs[start : start + _BATCH]
        made = embedder.embed([text for _, text in batch])
        with database.write() as session:
            for (task_id, _), values in zip(batch, made, strict=True):
                row = {"namespace": namespace, "task_id": task_id, "signature": signature}
                vector = to_bytes(unit_vector(values, signature))
                insert_if_absent(session, TaskEmbeddingRow, row | {"vector": vector})


def _rewards_by_task(session: Session, namespace: str) -> dict[tuple[str, str], list[float]]:
    """Returns the rewards of recent rollouts by skill and task."""
    rewards: dict[tuple[str, str], list[float]] = {}
    for skill_id, task_id, reward in fetch(session, _RECENT_TASKS, namespace=namespace):
        rewards.setdefault((skill_id, task_id), []).append(reward)
    return rewards
