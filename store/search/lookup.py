"""One search's view of the library: what a strategy may ask while it ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Executable, bindparam, select
from sqlmodel import Session, col

from skill_plugin.records import Tier
from skill_plugin.skills.tiers import LOWEST, TIERS, may, rank
from skill_plugin.store.index.chroma import ChromaIndex
from skill_plugin.store.search import by_use
from skill_plugin.store.search.drafts import DraftWords, StandIn
from skill_plugin.store.search.experience import Experience, Nearest
from skill_plugin.store.search.lexical import top
from skill_plugin.store.search.ranking import SAME_KIND, RankedSkill
from skill_plugin.store.search.words import LiveSkills
from skill_plugin.store.sql.database import fetch
from skill_plugin.store.tables import EmbeddingRow, SkillRow, SkillVersionRow
from skill_plugin.store.vectors import ExactSearch, Vector, is_live, unit_or_zero

# Statements that every search runs are made once: building one costs more than running it.
_COLUMNS: tuple[Any, ...] = (
    col(SkillRow.id).label("skill_id"),
    col(SkillRow.live_version).label("version"),
    col(SkillRow.name),
    col(SkillRow.description),
    col(SkillRow.utility),
    col(SkillRow.uses),
    col(EmbeddingRow.vector),
)
_FACTS: Executable = select(*_COLUMNS).where(
    *is_live(bindparam("namespace"), bindparam("signature"), by_id=True),
    col(SkillRow.id).in_(bindparam("ids", expanding=True)),
)
_LOW: Executable = select(col(SkillRow.id), col(SkillVersionRow.tier)).where(
    col(SkillRow.namespace) == bindparam("namespace"),
    col(SkillRow.status) == "live",
    col(SkillVersionRow.skill_id) == col(SkillRow.id),
    col(SkillVersionRow.number) == col(SkillRow.live_version),
    col(SkillVersionRow.tier).in_(bindparam("tiers", expanding=True)),
)
_ALL: Executable = select(*_COLUMNS).where(*is_live(bindparam("namespace"), bindparam("signature"), by_id=True))


class LibraryState(NamedTuple):
    """The state of a namespace for one search: whose vectors, which changes, and whether the index is behind."""

    signature: str
    epoch: int
    experience: int
    index_key: str
    pending: bool
    stand_in: StandIn | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """The proposers of skills in one namespace, for all of its searches."""

    namespace: str
    index: ChromaIndex | None
    exact: ExactSearch
    live: LiveSkills
    draft_words: DraftWords
    experience: Experience
    hidden: "HiddenSkills"


class HiddenSkills:
    """The live skills of one namespace whose trust tier is too low to be shown, read again when the namespace has changed.

    Where every tier is shown, which is the default, nothing is read.
    """

    def __init__(self, namespace: str, least: Tier) -> None:
        self.least = least
        self._namespace = namespace
        self._known: tuple[int, dict[str, str]] = (-1, {})

    def tiers(self, session: Session, state: LibraryState) -> dict[str, str]:
        """Returns the hidden skills by id, each with its tier; a stand-in counts as its skill's live version."""
        if self.least == LOWEST:
            return {}
        epoch, known = self._known
        if epoch != state.epoch:
            low = [tier for tier in TIERS if not may(tier, "live", self.least)]
            known = dict(fetch(session, _LOW, namespace=self._namespace, tiers=low))
            self._known = (state.epoch, known)
        if (new := state.stand_in) is None:
            return known
        others = {skill_id: tier for skill_id, tier in known.items() if skill_id != new.skill_id}
        return others if rank(new.tier) >= rank(self.least) else {**others, new.skill_id: new.tier}


@dataclass(slots=True)
class SearchLookup:
    """One search. `engine` says who proposed the ids: `chroma`, `exact` or `sql`.

    Args:
        sources: The namespace's.
        session: A reading session; the whole search sees one state.
        state: The namespace's.
        query: The task, in words.
        family: The task's, where the caller named it.
        vector: The query's; None for a strategy that needs none.
        pool: Candidates to propose, of each kind.
        weight: How much past tasks count, from 0 to 1.
        hidden: The live skills that may not be shown, by id, with their tier. What was found of them is in `held_back`.
    """

    sources: Sources
    session: Session
    state: LibraryState
    query: str
    family: str | None
    vector: Vector | None
    pool: int
    weight: float
    hidden: Mapping[str, str] = field(default_factory=dict)
    engine: str = field(default="sql", init=False)
    held_back: dict[str, RankedSkill] = field(default_factory=dict, init=False)

    def skills(self, ids: Sequence[str] | None = None) -> list[RankedSkill]:
        """Returns what SQL says of the skills now; whatever is not live here, or hidden, is left out. Without ids every live skill."""
        if ids is not None and not ids:
            return []
        where = {"namespace": self.sources.namespace, "signature": self.state.signature}
        facts = (
            fetch(self.session, _ALL, **where) if ids is None else fetch(self.session, _FACTS, **where, ids=list(ids))
        )
        # Without a query's vector the first skill's says how long they are.
        dimension = len(self.vector) if self.vector is not None else len(facts[0][-1]) // 4 if facts else 0
        candidates = [
            RankedSkill(skill_id, version, name, description, utility, uses, unit_or_zero(blob, dimension))
            for skill_id, version, name, description, utility, uses, blob in facts
        ]
        stand_in = self.state.stand_in
        if stand_in is not None and (ids is None or stand_in.skill_id in ids):
            place = next((at for at, one in enumerate(candidates) if one.skill_id == stand_in.skill_id), None)
            at = slice(len(candidates), None) if place is None else slice(place, place + 1)
            candidates[at] = [stand_in.candidate()]
        if self.vector is not None:
            for candidate in candidates:
                candidate.cosine = float(candidate.vector @ self.vector)
        if not self.hidden:
            return candidates
        self.held_back.update({one.skill_id: one for one in candidates if one.skill_id in self.hidden})
        return [one for one in candidates if one.skill_id not in self.hidden]

    def nearest(self, count: int | None = None) -> list[str]:
        """Returns ids of the skills nearest in meaning: from Chroma if it is up to date, else from the vectors in SQL."""
        if self.vector is None:
            return []
        pool, state, sources = count or self.pool, self.state, self.sources
        ask = partial(
            sources.exact.query, self.session, self.vector, pool, signature=state.signature, epoch=state.epoch
        )
        found: Sequence[str] = ()
        if sources.index is not None and not state.pending and not self.hidden:
            found, self.engine = sources.index.query(self.vector, pool, signature=state.signature) or (), "chroma"
        if not found:
            found, self.engine = ask(), "exact"
        if self.hidden:  # they are looked up to be named, and must not take the places of others
            found = [*found, *ask(without=self.hidden)]
        return [*found, *self._stand_in_id()]

    def nearest_by_tasks(self, count: int) -> list[str]:
        """Returns ids of the skills that have passed the tasks most like the query."""
        if self.vector is None:
            return []
        state, experience = self.state, self.sources.experience
        experience.follow(
            self.session,
            key=state.index_key,
            signature=state.signature,
            seq=state.experience,
            dimension=len(self.vector),
        )
        near = [*experience.nearest(self.vector, count + len(self.hidden), least=SAME_KIND)]
        return [skill_id for skill_id in near if skill_id not in self.hidden][:count] if self.hidden else near

    def nearest_tasks(self, candidates: Sequence[RankedSkill]) -> dict[str, Nearest]:
        """Returns, by skill id, the passed task most like the query; ask `nearest_by_tasks` first."""
        if self.vector is None:
            return {}
        return dict(self.sources.experience.of(self.vector, [candidate.skill_id for candidate in candidates]))

    def by_words(self, known: Sequence[str]) -> list[RankedSkill]:
        """Returns the skills of these ids, and those that have most of the query's words, each with its BM25 and coverage."""
        lexicon = self.sources.live.lexicon(self.session, self.state.epoch)
        if self.state.stand_in is not None:
            lexicon = self.sources.draft_words.lexicon(lexicon, self.state.stand_in)
        scores, possible = lexicon.scores(self.query)
        best = top(scores, self.pool)
        if self.hidden:
            shown = np.array([skill_id not in self.hidden for skill_id in lexicon.ids], dtype=bool)
            best = [*best, *top(scores * shown, self.pool)]
        candidates = self.skills(list(dict.fromkeys([*known, *(lexicon.ids[i] for i in best)])))
        for candidate in (*candidates, *self.held_back.values()):
            at = lexicon.positions.get(candidate.skill_id)
            candidate.bm25 = float(scores[at]) if at is not None else 0.0
            candidate.coverage = lexicon.coverage(self.query, candidate.skill_id, possible) if candidate.bm25 else 0.0
        return candidates

    def served_family(self) -> by_use.Found:
        """Returns skills that served tasks of the family, or were written for one; see `by_use.by_family`."""
        return by_use.by_family(self.session, self.sources.namespace, self.family or "")

    def served_like(self) -> by_use.Found:
        """Returns skills by the nearest task that each has served; see `by_use.by_task`."""
        if self.vector is None:
            return {}
        return by_use.by_task(self.session, self.sources.namespace, self.vector, signature=self.state.signature)

    def served_words(self) -> by_use.Found:
        """Returns skills by the task each has served that has most words in common; see `by_use.by_words`."""
        return by_use.by_words(self.session, self.sources.namespace, self.query)

    def _stand_in_id(self) -> list[str]:
        return [] if self.state.stand_in is None else [self.state.stand_in.skill_id]
