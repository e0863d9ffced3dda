"""Search: Chroma or exact search proposes, SQL disposes.

Candidates are only ids. Status, version, text and the score itself are read from SQL for each of them, so a hit is
never retired, staged, stale or foreign, whatever another process did a moment ago and whatever the index believes.
"""

import threading
from collections import OrderedDict
from functools import cached_property

from sqlalchemy import bindparam, exists
from sqlmodel import Session, col, select

from skill_plugin.errors import ConfigurationError
from skill_plugin.protocols import Embedder
from skill_plugin.records import SkillHit
from skill_plugin.store.database import Database
from skill_plugin.store.index import ChromaIndex
from skill_plugin.store.namespaces import check_signature
from skill_plugin.store.outbox import IndexSync
from skill_plugin.store.tables import EmbeddingRow, IndexChangeRow, NamespaceRow, SkillRow, SkillVersionRow
from skill_plugin.store.vectors import ExactSearch, Vector, from_bytes, is_live, unit_vector

MAX_K = 20
"""More skills than this in one prompt make a model choose worse, not better (arXiv:2601.04748)."""

DEFAULT_K = 3
CACHED_QUERIES = 1024


# Statements that every search runs are made once: building one costs more than running it.
_STATE = select(
    col(NamespaceRow.signature),
    col(NamespaceRow.epoch),
    exists().where(col(IndexChangeRow.namespace) == col(NamespaceRow.name)).label("pending"),
).where(col(NamespaceRow.name) == bindparam("namespace"))

_LIVE = select(SkillRow, SkillVersionRow.text, EmbeddingRow.vector).where(
    *is_live(bindparam("namespace"), bindparam("signature")),
    col(SkillVersionRow.skill_id) == col(SkillRow.id),
    col(SkillVersionRow.number) == col(SkillRow.live_version),
    col(SkillRow.id).in_(bindparam("ids", expanding=True)),
)


class QueryVectors:
    """An embedder behind a cache of the last queries: a revise loop asks for the same task again and again."""

    def __init__(self, embedder: Embedder, size: int = CACHED_QUERIES) -> None:
        self.embedder = embedder
        self._size = size
        self._lock = threading.Lock()
        self._vectors: OrderedDict[str, Vector] = OrderedDict()

    @cached_property
    def signature(self) -> str:
        return self.embedder.signature

    def __call__(self, text: str) -> Vector:
        with self._lock:
            if text in self._vectors:
                self._vectors.move_to_end(text)
                return self._vectors[text]
        vector = unit_vector(self.embedder.embed([text])[0], self.signature)
        with self._lock:
            self._vectors[text] = vector
            if len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
        return vector


class Search:
    """Search in one namespace."""

    def __init__(self, database: Database, index: ChromaIndex, sync: IndexSync, vectors: QueryVectors) -> None:
        self._database = database
        self._index = index
        self._sync = sync
        self._vectors = vectors
        self._exact = ExactSearch(index.namespace)

    def __call__(self, query: str, *, k: int, min_score: float) -> list[SkillHit]:
        check_query(query, k)
        with self._database.read() as session:
            state = session.connection().execute(_STATE, {"namespace": self._index.namespace}).first()
        if state is None or state.signature is None:
            return []
        signature, epoch, pending = str(state.signature), int(state.epoch), bool(state.pending)
        check_signature(self._index.namespace, signature, self._vectors.signature)
        vector = self._vectors(query)
        ids = None
        if self._sync.run(signature, pending=pending):
            ids = self._index.query(vector, 2 * k, signature=signature)
        with self._database.read() as session:
            engine = "exact" if ids is None else "chroma"
            hits = self._hits(session, vector, ids or [], signature, engine)
            if len(hits) < k:  # an index that lost entries would otherwise go unnoticed
                ids = self._exact.query(session, vector, 2 * k, signature=signature, epoch=epoch)
                if len(ids) > len(hits):
                    hits = self._hits(session, vector, ids, signature, "exact")
        return [hit for hit in hits if hit.score >= min_score][:k]

    def _hits(self, session: Session, vector: Vector, ids: list[str], signature: str, engine: str) -> list[SkillHit]:
        if not ids:
            return []
        given = {"namespace": self._index.namespace, "signature": signature, "ids": ids}
        scored = [
            (float(from_bytes(blob) @ vector), skill, text) for skill, text, blob in session.execute(_LIVE, given)
        ]
        scored.sort(key=lambda item: (-item[0], item[1].name))
        return [
            SkillHit(
                skill_id=skill.id,
                version=skill.live_version or 0,
                name=skill.name,
                description=skill.description,
                text=text,
                score=score,
                utility=skill.utility,
                why={"dense": round(score, 4), "rank": rank, "engine": engine},
            )
            for rank, (score, skill, text) in enumerate(scored, start=1)
        ]


def check_query(query: str, k: int) -> None:
    if not isinstance(query, str) or not query.strip():
        raise ConfigurationError(f"the query is empty ({query!r}); say what the task is")
    if not isinstance(k, int) or not 1 <= k <= MAX_K:
        raise ConfigurationError(f"k is {k!r}, it must be from 1 to {MAX_K}; 2 or 3 skills serve a task best")
