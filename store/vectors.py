"""Exact search over the vectors in SQL: always right, and at 5,000 skills ten times faster than an index.

It answers whenever Chroma cannot: damaged, behind, or owned by another process.
"""

import logging
import threading
from collections.abc import Container, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, ColumnElement
from sqlmodel import Session, col, select

from skill_plugin.errors import ConfigurationError
from skill_plugin.store.tables import EmbeddingRow, SkillRow

logger = logging.getLogger(__name__)

Vector = NDArray[np.float32]

Row = TypeVar("Row", bound=Any)


UNIT_WITHIN = 1e-3


class Entry(NamedTuple):
    """The vector of a skill's live version, as an index holds it. The version tells a stale entry from a good one."""

    skill_id: str
    version: int
    vector: Vector


def unit_vector(values: Sequence[float], who: str) -> Vector:
    """Returns the vector as float32 of length 1.

    Raises:
        ConfigurationError: it has no direction (zero, NaN or infinite), so it could never be found.
    """
    vector = np.asarray(values, dtype=np.float32)
    length = float(np.linalg.norm(vector))
    if vector.ndim != 1 or not np.isfinite(length) or length == 0:
        raise ConfigurationError(f"embedder {who} gave a vector without a direction (length {length}); check the model")
    return vector / np.float32(length)


def to_bytes(vector: Vector) -> bytes:
    return vector.astype("<f4").tobytes()


def from_bytes(blob: bytes) -> Vector:
    return np.frombuffer(blob, dtype="<f4")


def is_unit(blob: bytes, dimension: int | None = None) -> bool:
    """Returns whether bytes are a vector as the store writes it: of length 1, and of this dimension."""
    if not blob or len(blob) % 4 or dimension not in (None, len(blob) // 4):
        return False
    vector = from_bytes(blob).astype(np.float64)  # a square of float32 may be too large for float32
    return abs(float(np.sqrt(vector @ vector)) - 1) < UNIT_WITHIN  # NaN is not either


def unit_or_zero(blob: bytes, dimension: int) -> Vector:
    """Returns a vector of SQL, or in place of a broken one that of nothing, which is near to nothing."""
    if len(blob) == 4 * dimension:
        vector = from_bytes(blob)
        if abs(float(np.einsum("i,i->", vector, vector)) - 1) < 2 * UNIT_WITHIN:
            return vector
    return np.zeros(dimension, np.float32)


def sound(rows: Iterable[Row], at: int, dimension: int) -> list[Row]:
    """Returns the rows whose vector, in the column `at`, is of length 1 and of this dimension: a broken one stops no search."""
    right = [row for row in rows if len(row[at]) == 4 * dimension]
    matrix = np.frombuffer(b"".join(row[at] for row in right), dtype="<f4").reshape(len(right), dimension)
    unit = np.abs(np.einsum("ij,ij->i", matrix, matrix) - 1) < 2 * UNIT_WITHIN
    return right if unit.all() else [row for row, good in zip(right, unit, strict=True) if good]


class ExactSearch:
    """The live vectors of one namespace, kept in memory until the namespace's epoch moves on."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._lock = threading.Lock()
        self._key: tuple[str, int] | None = None
        self._ids: list[str] = []
        self._matrix: Vector = np.zeros((0, 0), dtype=np.float32)

    def query(
        self,
        session: Session,
        vector: Vector,
        k: int,
        *,
        signature: str,
        epoch: int,
        without: Container[str] = (),
    ) -> list[str]:
        """Returns the ids of the `k` nearest live skills but those `without`, nearest first."""
        ids, matrix = self._load(session, signature, epoch, len(vector))
        if not ids:
            return []
        # Not `matrix @ vector`: BLAS would wake a second thread for it, and on busy cores wait 10 ms for that one.
        scores = np.einsum("ij,j->i", matrix, vector)
        if without:
            scores[[skill_id in without for skill_id in ids]] = -np.inf
        best = np.argpartition(-scores, min(k, len(ids)) - 1)[:k]
        return [ids[i] for i in best[np.argsort(-scores[best], kind="stable")] if scores[i] > -np.inf]

    def nearest_cosines(self, session: Session, vectors: Vector, *, signature: str, epoch: int) -> Vector:
        """Returns, for each row of `vectors`, the cosine of its nearest live skill; -1 without one."""
        ids, matrix = self._load(session, signature, epoch, vectors.shape[1])
        if not ids:
            return np.full(len(vectors), -1, dtype=np.float32)
        nearest: Vector = np.stack([np.einsum("ij,j->i", matrix, vector).max() for vector in vectors])
        return nearest

    def _load(self, session: Session, signature: str, epoch: int, dimension: int) -> tuple[list[str], Vector]:
        with self._lock:
            if self._key != (signature, epoch):
                statement = select(SkillRow.id, EmbeddingRow.vector).where(*is_live(self.namespace, signature))
                everything = session.exec(statement).all()
                rows = sound(everything, 1, dimension)
                if broken := len(everything) - len(rows):
                    logger.warning(
                        "%d vectors in namespace %r are broken, so meaning does not find those skills; run: skill-plugin doctor --fix",
                        broken,
                        self.namespace,
                    )
                self._ids = [row[0] for row in rows]
                self._matrix = np.stack([from_bytes(row[1]) for row in rows]) if rows else np.zeros((0, 0), np.float32)
                self._key = (signature, epoch)
            return self._ids, self._matrix


def is_live(
    namespace: str | BindParameter[str], signature: str | BindParameter[str], *, by_id: bool = False
) -> tuple[ColumnElement[bool], ...]:
    """Returns the conditions under which a row of skill and embedding is the live vector of a skill.

    `by_id` is for statements that name the ids: without statistics SQLite would rather read every live skill through its
    index than look up sixty keys, so that index is put out of its reach.
    """
    of_namespace, status = col(SkillRow.namespace), col(SkillRow.status)
    return (
        (of_namespace.concat("") if by_id else of_namespace) == namespace,
        (status.concat("") if by_id else status) == "live",
        col(EmbeddingRow.skill_id) == col(SkillRow.id),
        col(EmbeddingRow.number) == col(SkillRow.live_version),
        col(EmbeddingRow.signature) == signature,
    )
