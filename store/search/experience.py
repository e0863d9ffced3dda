"""Experience: the tasks that one namespace's skills have passed, in memory, for the default search.

Only what has changed since the last look is read again: the namespace counts the changes, and each row has the number of its
own. Every skill has eight places in one matrix, so that a skill's nearest task is one product and one maximum.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from skill_plugin.store.search import experience_rows
from skill_plugin.store.search.experience_rows import KEPT, SAME_TASK, ExperienceRow, Pending
from skill_plugin.store.sql.database import fetch
from skill_plugin.store.tables import TaskEmbeddingRow
from skill_plugin.store.vectors import Vector, from_bytes, sound

EXACT = 500
"""Skills up to which every task is compared in full; above, a shorter vector of each chooses whom to compare."""

SHORT = 24
"""Dimensions of the shorter vectors: those in which the tasks differ most."""

SHORTLIST = 8
"""Skills that are compared in full, for one that is asked for: together they miss one in a thousand (LOG.md)."""

CATCH_UP = 8
"""Tasks without a vector that one search makes up for, in the call that it asks the model for its query anyway."""

_SAMPLE = 2000

_ROWS = (
    select(col(ExperienceRow.skill_id), col(ExperienceRow.task_id), col(TaskEmbeddingRow.vector))
    .join(
        TaskEmbeddingRow,
        (col(TaskEmbeddingRow.namespace) == col(ExperienceRow.namespace))
        & (col(TaskEmbeddingRow.task_id) == col(ExperienceRow.task_id)),
    )
    .where(
        col(ExperienceRow.namespace) == bindparam("namespace"),
        col(TaskEmbeddingRow.signature) == bindparam("signature"),
    )
    .order_by(
        col(ExperienceRow.skill_id),
        col(ExperienceRow.created_at).desc(),
        col(ExperienceRow.seq).desc(),
        col(ExperienceRow.task_id),
    )
)
_ROWS_OF = _ROWS.where(col(ExperienceRow.skill_id).in_(bindparam("skill_ids", expanding=True)))

_CHANGED = (
    select(col(ExperienceRow.skill_id))
    .where(col(ExperienceRow.namespace) == bindparam("namespace"), col(ExperienceRow.seq) > bindparam("seen"))
    .distinct()
)

Floats = NDArray[np.float32]


class Nearest(NamedTuple):
    """The task of a skill that is most like the query, and how much: a cosine in [-1, 1]."""

    task_id: str
    cosine: float


class Experience:
    """The tasks that one namespace's skills have passed. Safe for threads."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._lock = threading.Lock()
        self._key: tuple[str, str] | None = None
        self._seen = 0
        self._pending: Sequence[Pending] = ()
        self._ids: list[str] = []
        self._slots: dict[str, int] = {}
        self._tasks: dict[str, list[str]] = {}
        self._matrix: Floats
        self._basis: Floats
        self._short: Floats
        self._clear(0)

    def pending(self) -> Sequence[Pending]:
        """Returns tasks that have no vector yet, at most as many as one search makes up for."""
        return self._pending

    def nearest(self, vector: Vector, count: int, *, least: float) -> list[str]:
        """Returns the ids of skills with a task whose cosine with the query is `least` or more, nearest first."""
        with self._lock:
            if not self._ids:
                return []
            if len(self._ids) <= EXACT:
                slots: Sequence[int] | NDArray[np.intp] = np.arange(len(self._ids))
            else:
                short = np.einsum("ji,j->i", self._short, self._basis.T @ vector)
                rough = short.reshape(-1, KEPT)[: len(self._ids)].max(axis=1)
                wanted = min(SHORTLIST * count, len(self._ids))
                slots = np.argpartition(-rough, wanted - 1)[:wanted]
            cosines = self._cosines(vector, slots).max(axis=1)
            best = np.argsort(-cosines, kind="stable")[:count]
            return [self._ids[slots[at]] for at in best if cosines[at] >= least]

    def of(self, vector: Vector, skill_ids: Iterable[str]) -> dict[str, Nearest]:
        """Returns the nearest task of each skill that has any."""
        with self._lock:
            known = [skill_id for skill_id in skill_ids if self._tasks.get(skill_id)]
            if not known:
                return {}
            cosines = self._cosines(vector, [self._slots[skill_id] for skill_id in known])
            found = {}
            for skill_id, row in zip(known, cosines, strict=True):
                tasks = self._tasks[skill_id]
                at = int(row[: len(tasks)].argmax())
                found[skill_id] = Nearest(tasks[at], float(row[at]))
            return found

    def follow(self, session: Session, *, key: str, signature: str, seq: int, dimension: int) -> None:
        """Brings what is in memory up to the session's state.

        Args:
            session: A reading session.
            key: The namespace's index key, which another namespace of the same name does not have.
            signature: The embedder whose vectors to read.
            seq: The namespace's count of changes.
            dimension: The vectors'.
        """
        with self._lock:
            if self._key != (key, signature) or seq < self._seen:
                rows = fetch(session, _ROWS, namespace=self._namespace, signature=signature)
                self._load(sound(rows, 2, dimension))
            elif seq == self._seen:
                return
            else:
                changed = [one for (one,) in fetch(session, _CHANGED, namespace=self._namespace, seen=self._seen)]
                given = {"namespace": self._namespace, "signature": signature, "skill_ids": changed}
                self._take(_by_skill(sound(fetch(session, _ROWS_OF, **given), 2, dimension)), changed)
            self._pending = experience_rows.missing(session, self._namespace, signature, CATCH_UP)
            self._key, self._seen = (key, signature), seq

    def _load(self, rows: Sequence[tuple[str, str, bytes]]) -> None:
        found = _by_skill(rows)
        self._clear(len(rows) and len(from_bytes(rows[0][2])))
        if len(found) > EXACT:
            some = np.stack([from_bytes(row[2]) for row in rows[:: 1 + len(rows) // _SAMPLE]])
            _, directions = np.linalg.eigh(some.T @ some)
            self._basis = np.ascontiguousarray(directions[:, -SHORT:]).astype(np.float32)
        self._take(found, list(found))

    def _clear(self, dimension: int) -> None:
        self._ids.clear()
        self._slots.clear()
        self._tasks.clear()
        self._matrix = np.zeros((0, dimension), np.float32)
        self._basis = np.eye(dimension, min(SHORT, dimension), dtype=np.float32)
        self._short = np.zeros((self._basis.shape[1], 0), np.float32)

    def _take(self, found: dict[str, list[tuple[str, Vector]]], skill_ids: Iterable[str]) -> None:
        """Writes what skills have now into their places."""
        for skill_id in skill_ids:
            kept = _distinct(found.get(skill_id, []))
            if not kept and skill_id not in self._slots:
                continue  # it has lived through something, and passed nothing; of what length a vector is may not be known yet
            if kept and self._matrix.shape[1] != len(kept[0][1]):
                self._clear(len(kept[0][1]))  # the first of all
            if skill_id not in self._slots:
                self._slots[skill_id] = len(self._ids)
                self._ids.append(skill_id)
                self._grow()
            start = self._slots[skill_id] * KEPT
            place = self._matrix[start : start + KEPT]
            place[:] = 0
            for at, (_, vector) in enumerate(kept):
                place[at] = vector
            self._short[:, start : start + KEPT] = (place @ self._basis).T
            self._tasks[skill_id] = [task_id for task_id, _ in kept]

    def _grow(self) -> None:
        wanted = len(self._ids) * KEPT
        if wanted > len(self._matrix):
            more = max(wanted, 2 * len(self._matrix)) - len(self._matrix)
            self._matrix = np.concatenate([self._matrix, np.zeros((more, self._matrix.shape[1]), np.float32)])
            self._short = np.concatenate([self._short, np.zeros((len(self._short), more), np.float32)], axis=1)

    def _cosines(self, vector: Vector, slots: Sequence[int] | NDArray[np.intp]) -> Floats:
        """Returns cosines of shape [slots, 8]; a place without a task has 0."""
        places = self._matrix.reshape(-1, KEPT, self._matrix.shape[1])[slots]
        cosines: Floats = np.einsum("ikj,j->ik", places, vector)
        return cosines


def _by_skill(rows: Sequence[tuple[str, str, bytes]]) -> dict[str, list[tuple[str, Vector]]]:
    found: dict[str, list[tuple[str, Vector]]] = {}
    for skill_id, task_id, blob in rows:
        found.setdefault(skill_id, []).append((task_id, from_bytes(blob)))
    return found


def _distinct(tasks: Sequence[tuple[str, Vector]]) -> list[tuple[str, Vector]]:
    """Returns the newest eight of which none is near another."""
    kept: list[tuple[str, Vector]] = []
    for task_id, vector in tasks:
        if len(kept) < KEPT and all(float(vector @ other) <= SAME_TASK for _, other in kept):
            kept.append((task_id, vector))
    return kept
