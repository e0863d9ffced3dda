"""Search: Chroma, exact search and BM25 propose, SQL disposes.

Candidates are only ids. Status, version, text and the cosine itself are read from SQL for each of them, so a hit is
never retired, staged, stale or foreign, whatever another process did a moment ago and whatever the index believes.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import Executable, bindparam, exists, select
from sqlmodel import Session, col

from skill_plugin.errors import ConfigurationError
from skill_plugin.protocols import Embedder
from skill_plugin.records import SkillHit, SkillHits
from skill_plugin.store import forks, served
from skill_plugin.store.database import Database, fetch
from skill_plugin.store.index import ChromaIndex
from skill_plugin.store.lexical import top
from skill_plugin.store.live import LiveSkills
from skill_plugin.store.namespaces import check_signature
from skill_plugin.store.ranking import Candidate, collapse, dense_share, mix, rerank
from skill_plugin.store.recent import Found, RecentSearches, Use
from skill_plugin.store.supposed import StandIn, Supposed, SupposedWords, from_store, from_text, replacing
from skill_plugin.store.tables import EmbeddingRow, IndexChangeRow, NamespaceRow, SkillRow, SkillVersionRow
from skill_plugin.store.vectors import ExactSearch, Vector, from_bytes, is_live, unit_vector

STRATEGIES = ("hybrid", "dense", "lexical", "same-family", "query-embedding")

DEFAULT_K = 3
MAX_K = 20
"""More skills than this in one prompt make a model choose worse, not better (arXiv:2601.04748)."""

DEFAULT_MIN_SCORE = 0.25
"""The floor: cosine under which a skill is not about the query, unless its words are (LOG.md)."""

ENOUGH_WORDS = 0.5
"""A skill that has half of the query's idf is about it, whatever the cosine: names and error codes have no meaning."""

POOL = 30
"""Candidates from each side; enough for 20 hits after copies are collapsed."""

QUERY_WORDS = 80

CACHED_QUERIES = 1024


def beginning(query: str) -> str:
    """What is embedded of a query. Longer ones find no better, and take a model three times as long (LOG.md)."""
    words = query.split(maxsplit=QUERY_WORDS)
    return query[: -len(words[-1])].rstrip() if len(words) > QUERY_WORDS else query


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
        with forks.no_fork():  # an embedder has locks too
            return self._vector(text)

    def _vector(self, text: str) -> Vector:
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


# Statements that every search runs are made once: building one costs more than running it.
_STATE = select(
    col(NamespaceRow.signature),
    col(NamespaceRow.epoch),
    exists().where(col(IndexChangeRow.namespace) == col(NamespaceRow.name)).label("pending"),
).where(col(NamespaceRow.name) == bindparam("namespace"))

_FACTS: Executable = select(
    col(SkillRow.id).label("skill_id"),
    col(SkillRow.live_version).label("version"),
    col(SkillRow.name),
    col(SkillRow.description),
    col(SkillRow.utility),
    col(SkillRow.uses),
    col(EmbeddingRow.vector),
).where(
    *is_live(bindparam("namespace"), bindparam("signature"), by_id=True),
    col(SkillRow.id).in_(bindparam("ids", expanding=True)),
)

_USES = select(col(SkillRow.id), col(SkillRow.utility), col(SkillRow.uses)).where(
    col(SkillRow.id).in_(bindparam("ids", expanding=True))
)

_TEXTS = select(col(SkillVersionRow.skill_id), col(SkillVersionRow.text)).where(
    col(SkillVersionRow.skill_id) == col(SkillRow.id),
    col(SkillVersionRow.number) == col(SkillRow.live_version),
    col(SkillRow.id).in_(bindparam("ids", expanding=True)),
)


_BY_USE = ("same-family", "query-embedding")
"""Strategies that go by what runs did, and so find something else after every run."""


class _State(NamedTuple):
    """What a search must know of the namespace: whose vectors, which state, and whether the index is behind."""

    signature: str
    epoch: int
    pending: bool
    stand_in: StandIn | None = None


class Search:
    """Search in one namespace."""

    def __init__(self, database: Database, namespace: str, index: ChromaIndex | None, vectors: QueryVectors) -> None:
        self._database = database
        self._namespace = namespace
        self._index = index
        self._vectors = vectors
        self._exact = ExactSearch(namespace)
        self._live = LiveSkills(namespace)
        self._supposed_words = SupposedWords()
        self._recent = RecentSearches()
        self._in_use = False

    def __call__(
        self,
        query: str,
        *,
        k: int,
        min_score: float,
        strategy: str,
        family: str | None,
        instead: str | Supposed | None = None,
    ) -> SkillHits:
        check_request(query, k, strategy, family)
        # The model works before the session begins, so that no connection waits for it; but not for an empty library.
        new = from_text(instead, self._vectors) if isinstance(instead, Supposed) else None
        if not self._in_use:
            with self._database.read() as session:
                self._in_use = self._state(session) is not None
        if not self._in_use and instead is None:
            return SkillHits(reason="the library has no skills")
        vector = self._vectors(beginning(query)) if strategy != "lexical" else None
        if strategy == "query-embedding":
            self._embed_tasks()
        with self._database.read() as session:
            state = self._state(session)
            if instead is not None:
                state = self._supposing(session, state, instead, new)
            if state is None:
                return SkillHits(reason="the library has no skills")
            if strategy in _BY_USE:
                found = self._found_by_use(session, state, vector, strategy, family)
            else:
                found = self._found(session, state, query, vector, pool=max(POOL, 2 * k), strategy=strategy)
            candidates = found.candidates
            kept = [candidate for candidate in candidates if _passes(candidate, min_score, strategy)]
            if not kept:
                return SkillHits(reason=_why_none(candidates, min_score, strategy))
            chosen = collapse(rerank(kept), k)
            if unread := [candidate.skill_id for candidate in chosen if candidate.skill_id not in found.texts]:
                found.texts.update(fetch(session, _TEXTS, ids=unread))
            if state.stand_in is not None:
                found.texts[state.stand_in.skill_id] = state.stand_in.text
        return SkillHits(
            _hit(candidate, found.texts[candidate.skill_id], rank, strategy, found.engine)
            for rank, candidate in enumerate(chosen, start=1)
            if candidate.skill_id in found.texts
        )

    def _state(self, session: Session) -> "_State | None":
        """What a search must know first; None for a namespace without vectors.

        Raises:
            EmbedderMismatchError: the vectors are another embedder's.
        """
        rows = fetch(session, _STATE, namespace=self._namespace)
        if not rows or rows[0].signature is None:
            return None
        check_signature(self._namespace, rows[0].signature, self._vectors.signature)
        return _State(*rows[0])

    def _supposing(
        self, session: Session, state: _State | None, instead: str | Supposed, new: StandIn | None
    ) -> _State:
        """The state with a version that counts as live; an empty library has one too then."""
        known = state or _State(self._vectors.signature, epoch=-1, pending=False)
        if not isinstance(instead, Supposed) or new is None:
            return known._replace(
                stand_in=from_store(session, self._namespace, str(instead), signature=known.signature)
            )
        if instead.skill is not None:
            new = replacing(session, self._namespace, new, instead.skill)
        return known._replace(stand_in=new)

    def _embed_tasks(self) -> None:
        signature, embedder = self._vectors.signature, self._vectors.embedder
        served.embed_tasks(self._database, self._namespace, signature=signature, embedder=embedder)

    def _found(
        self, session: Session, state: _State, query: str, vector: Vector | None, *, pool: int, strategy: str
    ) -> Found:
        """The candidates of a query, from the last search for it if the library is still the same."""
        if state.stand_in is not None:
            return Found(*self._candidates(session, state, query, vector, pool=pool, strategy=strategy))
        request = (query, pool, strategy)
        known = self._recent.get((state.signature, state.epoch), request)
        if known is None:
            known = Found(*self._candidates(session, state, query, vector, pool=pool, strategy=strategy))
            self._recent.keep((state.signature, state.epoch), request, known)
            return known.again()
        uses = fetch(session, _USES, ids=[candidate.skill_id for candidate in known.candidates])
        return known.again({skill_id: Use(utility, count) for skill_id, utility, count in uses})

    def _found_by_use(
        self, session: Session, state: _State, vector: Vector | None, strategy: str, family: str | None
    ) -> Found:
        if strategy == "same-family":
            by_family = served.by_family(session, self._namespace, family or "")
            candidates = self._facts(session, state, list(by_family), vector)
            for candidate in candidates:
                candidate.relevance, candidate.extra = by_family[candidate.skill_id]
        elif vector is not None:
            by_task = served.by_task(session, self._namespace, vector, signature=state.signature)
            candidates = self._facts(session, state, list(by_task), vector)
            for candidate in candidates:
                candidate.cosine, candidate.extra = by_task[candidate.skill_id]
            mix(candidates, 1.0)
        return Found(candidates, "sql")

    def _candidates(
        self, session: Session, state: _State, query: str, vector: Vector | None, *, pool: int, strategy: str
    ) -> tuple[list[Candidate], str]:
        ids: dict[str, None] = {}
        engine = "sql"
        if vector is not None:
            nearest, engine = self._nearest(session, state, vector, pool)
            ids.update(dict.fromkeys(nearest))
            if state.stand_in is not None:
                ids.setdefault(state.stand_in.skill_id)
        share = 1.0 if strategy == "dense" else 0.0 if strategy == "lexical" else dense_share(query)
        if share == 1.0:
            candidates = self._facts(session, state, list(ids), vector)
        else:
            lexicon = self._live.lexicon(session, state.epoch)
            if state.stand_in is not None:
                lexicon = self._supposed_words.lexicon(lexicon, state.stand_in)
            scores, possible = lexicon.scores(query)
            ids.update(dict.fromkeys(lexicon.ids[i] for i in top(scores, pool)))
            candidates = self._facts(session, state, list(ids), vector)
            for candidate in candidates:
                at = lexicon.positions.get(candidate.skill_id)
                candidate.bm25 = float(scores[at]) if at is not None else 0.0
                candidate.coverage = lexicon.coverage(query, candidate.skill_id, possible) if candidate.bm25 else 0.0
        mix(candidates, share)
        return candidates, engine

    def _nearest(self, session: Session, state: _State, vector: Vector, pool: int) -> tuple[Sequence[str], str]:
        """Ids near the vector: from Chroma if it is there and up to date, else from the vectors in SQL."""
        if self._index is not None and not state.pending:
            found = self._index.query(vector, pool, signature=state.signature)
            if found:
                return found, "chroma"
        found = self._exact.query(session, vector, pool, signature=state.signature, epoch=state.epoch)
        return found, "exact"

    def _facts(self, session: Session, state: _State, ids: list[str], vector: Vector | None) -> list[Candidate]:
        """What SQL says of the ids now; whatever is not live here is no candidate."""
        if not ids:
            return []
        facts = fetch(session, _FACTS, namespace=self._namespace, signature=state.signature, ids=ids)
        candidates = [
            Candidate(skill_id, version, name, description, utility, uses, from_bytes(blob))
            for skill_id, version, name, description, utility, uses, blob in facts
        ]
        if state.stand_in is not None and state.stand_in.skill_id in ids:
            replaced = state.stand_in.skill_id
            candidates = [one for one in candidates if one.skill_id != replaced] + [state.stand_in.candidate()]
        if vector is not None:
            for candidate in candidates:
                candidate.cosine = float(candidate.vector @ vector)
        return candidates


def check_request(query: str, k: int, strategy: str, family: str | None) -> None:
    if not isinstance(query, str) or not query.strip():
        raise ConfigurationError(f"the query is empty ({query!r}); say what the task is")
    if not isinstance(k, int) or not 1 <= k <= MAX_K:
        raise ConfigurationError(f"k is {k!r}, it must be from 1 to {MAX_K}; 2 or 3 skills serve a task best")
    if strategy not in STRATEGIES:
        raise ConfigurationError(f"no strategy is called {strategy!r}; use one of {', '.join(STRATEGIES)}")
    if strategy == "same-family" and not family:
        raise ConfigurationError("the strategy 'same-family' needs a family; pass family='...'")


def _passes(candidate: Candidate, min_score: float, strategy: str) -> bool:
    if strategy == "same-family":
        return True
    if strategy == "lexical":
        return candidate.bm25 > 0
    return candidate.cosine >= min_score or candidate.coverage >= ENOUGH_WORDS


def _why_none(candidates: Sequence[Candidate], min_score: float, strategy: str) -> str:
    if not candidates:
        return "no live skill has served this family" if strategy == "same-family" else "the library has no live skills"
    nearest = max(candidates, key=lambda candidate: candidate.cosine)
    return (
        f"the nearest skill, {nearest.name!r}, has a cosine of {nearest.cosine:.2f}, under the floor of {min_score:g}"
    )


def _hit(candidate: Candidate, text: str, rank: int, strategy: str, engine: str) -> SkillHit:
    why: dict[str, Any] = {
        "strategy": strategy,
        "engine": engine,
        "dense": round(candidate.cosine, 4),
        "lexical": round(candidate.bm25, 4),
        "relevance": round(candidate.relevance, 4),
        "utility": candidate.utility,
        "uses": candidate.uses,
        "bonus": round(candidate.bonus, 4),
        "rank_before": candidate.rank_before,
        "rank": rank,
        "copies": candidate.copies,
        **candidate.extra,
    }
    return SkillHit(
        skill_id=candidate.skill_id,
        version=candidate.version,
        name=candidate.name,
        description=candidate.description,
        text=text,
        score=candidate.score,
        utility=candidate.utility,
        why=why,
    )
