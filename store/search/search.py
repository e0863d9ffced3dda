"""Search: Chroma, exact search and BM25 propose, SQL disposes.

Candidates are only ids. Status, version, text and the cosine itself are read from SQL for each of them, so a hit is
never retired, staged, stale or foreign, whatever another process did a moment ago and whatever the index believes.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, exists, select
from sqlmodel import Session, col

from skill_plugin.errors import ConfigurationError
from skill_plugin.hits import SkillHit, SkillHits
from skill_plugin.limits import SHARE, check_number
from skill_plugin.protocols import Strategy
from skill_plugin.records import Tier
from skill_plugin.skills.tiers import LOWEST
from skill_plugin.store.index.chroma import ChromaIndex
from skill_plugin.store.index.tables import IndexChangeRow
from skill_plugin.store.namespaces import check_signature
from skill_plugin.store.search import by_use, experience_rows, strategies
from skill_plugin.store.search.cache import CachedCandidates, RecentSearches, ShownText, UseCounts
from skill_plugin.store.search.drafts import Draft, DraftWords, StandIn, from_store, from_text, replacing
from skill_plugin.store.search.experience import Experience
from skill_plugin.store.search.floor import ENOUGH_WORDS, Floor, LanguageFloors
from skill_plugin.store.search.languages import language_group
from skill_plugin.store.search.lookup import HiddenSkills, LibraryState, SearchLookup, Sources
from skill_plugin.store.search.query_vectors import QueryVectors, beginning
from skill_plugin.store.search.questions import question_in
from skill_plugin.store.search.ranking import RankedSkill, collapse, rerank
from skill_plugin.store.search.retrieval import DEFAULT_EXPERIENCE, HOW_MANY
from skill_plugin.store.search.strategies import SearchStrategy
from skill_plugin.store.search.words import LiveSkills
from skill_plugin.store.skills import tiers
from skill_plugin.store.sql.database import Database, fetch
from skill_plugin.store.tables import NamespaceRow, SkillRow, SkillVersionRow
from skill_plugin.store.vectors import ExactSearch, Vector

DEFAULT_K = 3

NAMED = 3
"""Skills that a reason names."""

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
_USES = select(col(SkillRow.id), col(SkillRow.utility), col(SkillRow.uses)).where(
    col(SkillRow.id).in_(bindparam("ids", expanding=True))
)
_TEXTS = select(col(SkillVersionRow.skill_id), col(SkillVersionRow.text), col(SkillVersionRow.tier)).where(
    col(SkillVersionRow.skill_id) == col(SkillRow.id),
    col(SkillVersionRow.number) == col(SkillRow.live_version),
    col(SkillRow.id).in_(bindparam("ids", expanding=True)),
)


class Search:
    """Search in one namespace."""

    def __init__(
        self,
        database: Database,
        namespace: str,
        index: ChromaIndex | None,
        vectors: QueryVectors,
        *,
        min_tier: Tier = LOWEST,
    ) -> None:
        self._database = database
        self._namespace = namespace
        self._vectors = vectors
        self._experience = Experience(namespace)
        self._sources = Sources(
            namespace,
            index,
            ExactSearch(namespace),
            LiveSkills(namespace),
            DraftWords(),
            self._experience,
            HiddenSkills(namespace, min_tier),
        )
        self._floors = LanguageFloors(self._sources.exact, self._sources.live, vectors.embed)
        self._recent = RecentSearches()
        self._in_use = False

    def __call__(
        self,
        query: str,
        *,
        k: int,
        min_score: float,
        strategy: str | Strategy,
        family: str | None,
        instead: str | Draft | None = None,
        experience: float = DEFAULT_EXPERIENCE,
    ) -> SkillHits:
        chosen_by = check_request(query, k, strategy, family, experience)
        query = question_in(query)
        weight = experience if chosen_by.weighs_experience else 0.0
        # The model works before the session begins, so that no connection waits for it; but not for an empty library.
        new = from_text(instead, self._vectors) if isinstance(instead, Draft) else None
        if not self._in_use:
            with self._database.read() as session:
                self._in_use = self._state(session) is not None
        if not self._in_use and instead is None:
            return SkillHits(reason="the library has no skills")
        vector = self._vector(query, catch_up=weight > 0) if chosen_by.needs_vector else None
        # Who asks for no floor has none in any language.
        language = language_group(query) if chosen_by.floor and min_score > 0 else None
        if language is not None:
            self._floors.prepare(language)
        if chosen_by.embeds_tasks:
            self._embed_tasks()
        with self._database.read() as session:
            state = self._state(session)
            if instead is not None:
                state = self._with_draft(session, state, instead, new)
            if state is None:
                return SkillHits(reason="the library has no skills")
            floor = self._floor(session, state, language, min_score)
            hidden = self._sources.hidden.tiers(session, state)
            lookup = SearchLookup(
                self._sources, session, state, query, family, vector, max(POOL, 2 * k), weight, hidden
            )
            found = self._found(lookup, chosen_by)
            candidates = found.candidates
            kept = [candidate for candidate in candidates if chosen_by.passes(candidate, floor)]
            held_back = {
                one.name: tiers.why_hidden(hidden[one.skill_id], self._sources.hidden.least)
                for one in sorted(found.held_back, key=lambda one: (-one.cosine, -one.bm25, one.name))
                if not chosen_by.floor or chosen_by.passes(one, floor)
            }
            if not kept:
                return SkillHits(
                    reason=_why_none(held_back) or chosen_by.why_none(candidates, floor), held_back=held_back
                )
            chosen = collapse(rerank(kept), k)
            if unread := [candidate.skill_id for candidate in chosen if candidate.skill_id not in found.texts]:
                rows = fetch(session, _TEXTS, ids=unread)
                found.texts.update({skill_id: ShownText(text, tier) for skill_id, text, tier in rows})
            if state.stand_in is not None:
                found.texts[state.stand_in.skill_id] = ShownText(state.stand_in.text, state.stand_in.tier)
        hits = (
            _hit(candidate, found.texts[candidate.skill_id], rank, chosen_by.name, found.engine)
            for rank, candidate in enumerate(chosen, start=1)
            if candidate.skill_id in found.texts
        )
        return SkillHits(hits, held_back=held_back)

    def _floor(self, session: Session, state: LibraryState, language: str | None, min_score: float) -> Floor:
        if language is None:
            return Floor(min_score, ENOUGH_WORDS)
        new = None if state.stand_in is None else state.stand_in.vector
        measured = self._floors.measure(session, language, state.signature, state.epoch, new)
        return measured._replace(cosine=max(min_score, measured.cosine))

    def _state(self, session: Session) -> LibraryState | None:
        """Reads the namespace's state; None for a namespace without vectors.

        Raises:
            EmbedderMismatchError: the vectors are another embedder's.
        """
        rows = fetch(session, _STATE, namespace=self._namespace)
        if not rows or rows[0].signature is None:
            return None
        check_signature(self._namespace, rows[0].signature, self._vectors.signature)
        return LibraryState(*rows[0])

    def _with_draft(
        self, session: Session, state: LibraryState | None, instead: str | Draft, new: StandIn | None
    ) -> LibraryState:
        """Returns the state with a version that counts as live; an empty library has one too then."""
        known = state or LibraryState(self._vectors.signature, epoch=-1, experience=0, index_key="", pending=False)
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
        """Returns the query's vector; if the model has to be asked, it also embeds tasks whose vectors are missing."""
        pending = self._experience.pending() if catch_up else ()
        text = beginning(query)
        if not pending or self._vectors.known(text) is not None:
            return self._vectors(text)
        vector = self._vectors(text, [one.text for one in pending])
        made = [(one, made) for one in pending if (made := self._vectors.known(one.text)) is not None]
        experience_rows.keep_if_free(self._database, self._namespace, self._vectors.signature, made)
        return vector

    def _found(self, lookup: SearchLookup, strategy: SearchStrategy) -> CachedCandidates:
        """Returns the candidates of a query, from the last search for it if the library is still the same."""
        state = lookup.state
        if state.stand_in is not None or strategy.follows_runs:
            return _ranked(lookup, strategy)
        now = (state.signature, state.epoch, state.experience, state.index_key)
        request = (lookup.query, lookup.pool, strategy.name, lookup.weight)
        known = self._recent.get(now, request)
        if known is None:
            known = _ranked(lookup, strategy)
            self._recent.keep(now, request, known)
            return known.again()
        uses = fetch(lookup.session, _USES, ids=[candidate.skill_id for candidate in known.candidates])
        return known.again({skill_id: UseCounts(utility, count) for skill_id, utility, count in uses})


def _ranked(lookup: SearchLookup, strategy: SearchStrategy) -> CachedCandidates:
    candidates = strategy.rank(lookup)  # first, because it says which engine proposed
    return CachedCandidates(candidates, lookup.engine, held_back=tuple(lookup.held_back.values()))


def _why_none(held_back: Mapping[str, str]) -> str:
    """Returns why nothing is found where what was found may not be shown; empty if that is not the reason."""
    more = f" and {len(held_back) - NAMED} more" if len(held_back) > NAMED else ""
    named = [f"{name!r} ({why})" for name, why in list(held_back.items())[:NAMED]]
    return f"held back: {', '.join(named)}{more}" if named else ""


def check_request(
    query: str,
    k: int,
    strategy: str | Strategy,
    family: str | None,
    experience: float = DEFAULT_EXPERIENCE,
) -> SearchStrategy:
    """Returns the strategy that is meant.

    Raises:
        ConfigurationError: an argument is not what it should be.
    """
    if not isinstance(query, str) or not query.strip():
        raise ConfigurationError(f"the query is empty ({query!r}); say what the task is")
    check_number("k", k, HOW_MANY)
    found = strategies.load(strategy)
    if found.needs_family and not family:
        raise ConfigurationError(f"the strategy {found.name!r} needs a family; pass family='...'")
    check_number("experience", experience, SHARE, whole=False)
    return found


def _hit(candidate: RankedSkill, shown: ShownText, rank: int, strategy: str, engine: str) -> SkillHit:
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
        text=shown.text,
        score=candidate.score,
        utility=candidate.utility,
        why=why,
        tier=shown.tier,  # type: ignore[arg-type] # only Tier values are written
    )
