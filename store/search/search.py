"""Search: Chroma, exact search and BM25 propose, SQL disposes.

Candidates are only ids. Status, version, text and the cosine itself are read from SQL for each of them, so a hit is
never retired, staged, stale or foreign, whatever another process did a moment ago and whatever the index believes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Executable, bindparam, exists, select
from sqlmodel import Session, col

from skill_plugin.errors import ConfigurationError
from skill_plugin.records import SkillHit, SkillHits
from skill_plugin.store.database import Database, fetch
from skill_plugin.store.index.chroma import ChromaIndex
from skill_plugin.store.namespaces import check_signature
from skill_plugin.store.search import by_use, experience_rows
from skill_plugin.store.search.cache import CachedCandidates, RecentSearches, UseCounts
from skill_plugin.store.search.drafts import (
    Draft,
    DraftWords,
    StandIn,
    from_store,
    from_text,
    replacing,
)
from skill_plugin.store.search.experience import Experience
from skill_plugin.store.search.lexical import top
from skill_plugin.store.search.query_vectors import QueryVectors, beginning
from skill_plugin.store.search.ranking import (
    DEFAULT_EXPERIENCE,
    SAME_KIND,
    RankedSkill,
    collapse,
    dense_share,
    mix,
    mix_experience,
    rerank,
)
from skill_plugin.store.search.words import LiveSkills
from skill_plugin.store.tables import EmbeddingRow, IndexChangeRow, NamespaceRow, SkillRow, SkillVersionRow
from skill_plugin.store.vectors import ExactSearch, Vector, from_bytes, is_live

STRATEGIES = ("hybrid", "dense", "lexical", "same-family", "query-embedding", "query-ngram")

DEFAULT_K = 3
MAX_K = 20
"""More skills than this in one prompt make a model choose worse, not better (arXiv:2601.04748)."""

DEFAULT_MIN_SCORE = 0.25
"""The floor: cosine under which a skill is not about the query, unless its words are (LOG.md)."""

ENOUGH_WORDS = 0.5
"""A skill that has half of the query's idf is about it, whatever the cosine: names and error codes have no meaning."""

POOL = 30
"""Candidates from each side; enough for 20 hits after copies are collapsed."""

# Statements that every search runs are made once: building one costs more than running it.
_STATE = select(
    col(NamespaceRow.signature),
    col(NamespaceRow.epoch),
    col(NamespaceRow.experience),
    col(NamespaceRow.index_key),
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


_BY_USE = ("same-family", "query-embedding", "query-ngram")
"""Strategies that go by what runs did, and so find something else after every run."""

_BY_WORDS = ("lexical", "query-ngram")
"""Strategies that need no model."""


class _State(NamedTuple):
    """What a search must know of the namespace: whose vectors, which state, and whether the index is behind."""

    signature: str
    epoch: int
    experience: int
    index_key: str
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
        self._supposed_words = DraftWords()
        self._experience = Experience(namespace)
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
        instead: str | Draft | None = None,
        experience: float = DEFAULT_EXPERIENCE,
    ) -> SkillHits:
        check_request(query, k, strategy, family, experience)
        weight = experience if strategy == "hybrid" else 0.0
        # The model works before the session begins, so that no connection waits for it; but not for an empty library.
        new = from_text(instead, self._vectors) if isinstance(instead, Draft) else None
        if not self._in_use:
            with self._database.read() as session:
                self._in_use = self._state(session) is not None
        if not self._in_use and instead is None:
            return SkillHits(reason="the library has no skills")
        vector = self._vector(query, catch_up=weight > 0) if strategy not in _BY_WORDS else None
        if strategy == "query-embedding":
            self._embed_tasks()
        asked = _Request(query, vector, max(POOL, 2 * k), strategy, weight)
        with self._database.read() as session:
            state = self._state(session)
            if instead is not None:
                state = self._supposing(session, state, instead, new)
            if state is None:
                return SkillHits(reason="the library has no skills")
            if strategy in _BY_USE:
                found = self._found_by_use(session, state, asked, family)
            else:
                found = self._found(session, state, asked)
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

    def _supposing(self, session: Session, state: _State | None, instead: str | Draft, new: StandIn | None) -> _State:
        """The state with a version that counts as live; an empty library has one too then."""
        known = state or _State(self._vectors.signature, epoch=-1, experience=0, index_key="", pending=False)
        if not isinstance(instead, Draft) or new is None:
            return known._replace(
                stand_in=from_store(session, self._namespace, str(instead), signature=known.signature)
            )
        if instead.skill is not None:
            new = replacing(session, self._namespace, new, instead.skill)
        return known._replace(stand_in=new)

    def _embed_tasks(self) -> None:
        signature, embedder = self._vectors.signature, self._vectors.embedder
        by_use.embed_tasks(self._database, self._namespace, signature=signature, embedder=embedder)

    def _vector(self, query: str, *, catch_up: bool) -> Vector:
        """The query's vector; a model that has to be asked makes up for tasks whose vectors are missing."""
        pending = self._experience.pending() if catch_up else ()
        text = beginning(query)
        if not pending or self._vectors.known(text) is not None:
            return self._vectors(text)
        vector = self._vectors(text, [one.text for one in pending])
        made = [(one, made) for one in pending if (made := self._vectors.known(one.text)) is not None]
        experience_rows.keep_if_free(self._database, self._namespace, self._vectors.signature, made)
        return vector

    def _found(self, session: Session, state: _State, asked: "_Request") -> CachedCandidates:
        """The candidates of a query, from the last search for it if the library is still the same."""
        if state.stand_in is not None:
            return CachedCandidates(*self._candidates(session, state, asked))
        now = (state.signature, state.epoch, state.experience, state.index_key)
        request = (asked.query, asked.pool, asked.strategy, asked.weight)
        known = self._recent.get(now, request)
        if known is None:
            known = CachedCandidates(*self._candidates(session, state, asked))
            self._recent.keep(now, request, known)
            return known.again()
        uses = fetch(session, _USES, ids=[candidate.skill_id for candidate in known.candidates])
        return known.again({skill_id: UseCounts(utility, count) for skill_id, utility, count in uses})

    def _found_by_use(self, session: Session, state: _State, asked: "_Request", family: str | None) -> CachedCandidates:
        query, vector, strategy = asked.query, asked.vector, asked.strategy
        if strategy == "same-family":
            found = by_use.by_family(session, self._namespace, family or "")
        elif vector is None:
            found = by_use.by_words(session, self._namespace, query)
        else:
            found = by_use.by_task(session, self._namespace, vector, signature=state.signature)
        candidates = self._facts(session, state, list(found), vector)
        for candidate in candidates:
            score, candidate.extra = found[candidate.skill_id]
            if strategy == "same-family":
                candidate.relevance = score
            elif strategy == "query-ngram":
                candidate.bm25 = score
            else:
                candidate.cosine = score
        if strategy != "same-family":
            mix(candidates, 0.0 if strategy == "query-ngram" else 1.0)
        return CachedCandidates(candidates, "sql")

    def _candidates(self, session: Session, state: _State, asked: "_Request") -> tuple[list[RankedSkill], str]:
        query, vector, pool, strategy, weight = asked
        ids: dict[str, None] = {}
        engine = "sql"
        if vector is not None:
            nearest, engine = self._nearest(session, state, vector, pool)
            ids.update(dict.fromkeys(nearest))
            if weight:
                self._experience.follow(session, key=state.index_key, signature=state.signature, seq=state.experience)
                ids.update(dict.fromkeys(self._experience.nearest(vector, pool // 2, least=SAME_KIND)))
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
        if weight and vector is not None:
            tasks = self._experience.of(vector, [candidate.skill_id for candidate in candidates])
            mix_experience(candidates, tasks, weight)
        return candidates, engine

    def _nearest(self, session: Session, state: _State, vector: Vector, pool: int) -> tuple[Sequence[str], str]:
        """Ids near the vector: from Chroma if it is there and up to date, else from the vectors in SQL."""
        if self._index is not None and not state.pending:
            found = self._index.query(vector, pool, signature=state.signature)
            if found:
                return found, "chroma"
        found = self._exact.query(session, vector, pool, signature=state.signature, epoch=state.epoch)
        return found, "exact"

    def _facts(self, session: Session, state: _State, ids: list[str], vector: Vector | None) -> list[RankedSkill]:
        """What SQL says of the ids now; whatever is not live here is not a candidate."""
        if not ids:
            return []
        facts = fetch(session, _FACTS, namespace=self._namespace, signature=state.signature, ids=ids)
        candidates = [
            RankedSkill(skill_id, version, name, description, utility, uses, from_bytes(blob))
            for skill_id, version, name, description, utility, uses, blob in facts
        ]
        if state.stand_in is not None and state.stand_in.skill_id in ids:
            place = next((at for at, one in enumerate(candidates) if one.skill_id == state.stand_in.skill_id), None)
            at = slice(len(candidates), None) if place is None else slice(place, place + 1)
            candidates[at] = [state.stand_in.candidate()]
        if vector is not None:
            for candidate in candidates:
                candidate.cosine = float(candidate.vector @ vector)
        return candidates


class _Request(NamedTuple):
    """What is looked for, and how: by words, or a vector, or both; `pool` candidates of each kind."""

    query: str
    vector: Vector | None
    pool: int
    strategy: str
    weight: float


def check_request(
    query: str, k: int, strategy: str, family: str | None, experience: float = DEFAULT_EXPERIENCE
) -> None:
    if not isinstance(query, str) or not query.strip():
        raise ConfigurationError(f"the query is empty ({query!r}); say what the task is")
    if not isinstance(k, int) or not 1 <= k <= MAX_K:
        raise ConfigurationError(f"k is {k!r}, it must be from 1 to {MAX_K}; 2 or 3 skills serve a task best")
    if strategy not in STRATEGIES:
        raise ConfigurationError(f"no strategy is called {strategy!r}; use one of {', '.join(STRATEGIES)}")
    if strategy == "same-family" and not family:
        raise ConfigurationError("the strategy 'same-family' needs a family; pass family='...'")
    if isinstance(experience, bool) or not isinstance(experience, int | float) or not 0 <= experience <= 1:
        raise ConfigurationError(f"experience is {experience!r}; give how much past tasks count, from 0 (not) to 1")


def _passes(candidate: RankedSkill, min_score: float, strategy: str) -> bool:
    if strategy == "same-family":
        return True
    if strategy in _BY_WORDS:
        return candidate.bm25 > 0
    alike = candidate.task_cosine >= max(min_score, SAME_KIND)
    return candidate.cosine >= min_score or candidate.coverage >= ENOUGH_WORDS or alike


def _why_none(candidates: Sequence[RankedSkill], min_score: float, strategy: str) -> str:
    if not candidates:
        if strategy in ("query-embedding", "query-ngram"):
            return "no live skill has served a task like this one"
        return "no live skill has served this family" if strategy == "same-family" else "the library has no live skills"
    nearest = max(candidates, key=lambda candidate: candidate.cosine)
    return (
        f"the nearest skill, {nearest.name!r}, has a cosine of {nearest.cosine:.2f}, under the floor of {min_score:g}"
    )


def _hit(candidate: RankedSkill, text: str, rank: int, strategy: str, engine: str) -> SkillHit:
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
