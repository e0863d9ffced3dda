"""Ranking of candidates: mixing two kinds of evidence, re-ranking by use, collapsing copies. Pure functions.

relevance = a * cosine / best cosine + (1 - a) * bm25 / best bm25, with `a` from the query's length: on whole instructions
lexical evidence is the better half, on short requests the dense one (LOG.md). Then the tasks that a skill has passed
count. The final score adds at most 0.05 for utility and 0.05 for curiosity, so use never lifts a skill over one that is
clearly more relevant.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skill_plugin.store.search.experience import Nearest
from skill_plugin.store.vectors import Vector

SHORT_QUERY, LONG_QUERY = 12, 100
"""Words: up to the first the dense share is 0.7, from the second on 0.3, in between it falls with the logarithm."""

DENSE_SHARE_SHORT, DENSE_SHARE_LONG = 0.7, 0.3

UTILITY_WEIGHT = 0.1
"""A utility of 1 adds half of this, a utility of 0 takes half of it away."""

PRIOR_USES = 10
"""Utility counts as 0.5 until it has been seen: n uses move it n / (n + 10) of the way."""

EXPLORATION = 0.05
"""c in c * sqrt(ln(1 + N) / (1 + n)) (D2Skill, arXiv:2603.28716), and also the most it may add."""

SAME_SKILL = 0.95
"""Cosine of two skills from which the lower one is a copy. Of such pairs in public archives nine in ten are (LOG.md)."""


SAME_KIND = 0.45
"""Cosine from which two tasks are of a kind; requests for different tools are this near one time in two (LOG.md)."""


@dataclass(slots=True)
class RankedSkill:
    """A skill that may be a hit. `relevance` is in [0, 1] within one search; `cosine` and `bm25` are absolute."""

    skill_id: str
    version: int
    name: str
    description: str
    utility: float | None
    uses: int
    vector: Vector
    cosine: float = 0.0
    bm25: float = 0.0
    coverage: float = 0.0
    task_cosine: float = 0.0
    relevance: float = 0.0
    bonus: float = 0.0
    score: float = 0.0
    rank_before: int = 0
    copies: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


def dense_share(query: str) -> float:
    """Returns `a` for a query of n words: 0.7 up to 12, 0.3 from 100 on."""
    words = min(max(len(query.split()), SHORT_QUERY), LONG_QUERY)
    way = math.log(words / SHORT_QUERY) / math.log(LONG_QUERY / SHORT_QUERY)
    return DENSE_SHARE_SHORT + way * (DENSE_SHARE_LONG - DENSE_SHARE_SHORT)


def mix(candidates: Sequence[RankedSkill], share: float) -> None:
    """Sets each candidate's relevance from its cosine and BM25, each scaled by the best of them."""
    best_cosine = max((candidate.cosine for candidate in candidates), default=0.0)
    best_bm25 = max((candidate.bm25 for candidate in candidates), default=0.0)
    for candidate in candidates:
        dense = max(candidate.cosine, 0.0) / best_cosine if best_cosine > 0 else 0.0
        lexical = candidate.bm25 / best_bm25 if best_bm25 > 0 else 0.0
        candidate.relevance = share * dense + (1 - share) * lexical


def mix_experience(candidates: Sequence[RankedSkill], tasks: Mapping[str, Nearest], weight: float) -> None:
    """Lets the tasks that skills have passed count: relevance <- (1 - weight) * relevance + weight * past.

    past = max(cosine of the nearest task, best cosine * relevance) / the best of all cosines, where a task under a cosine
    of 0.45 does not count. A skill without tasks competes by its own words, so it loses little to those that have some,
    and where no skill has any, nothing changes.

    Args:
        candidates: Candidates with their relevance by text.
        tasks: The nearest task by skill id.
        weight: From 0 to 1.
    """
    for candidate in candidates:
        nearest = tasks.get(candidate.skill_id)
        candidate.task_cosine = nearest.cosine if nearest is not None and nearest.cosine >= SAME_KIND else 0.0
    by_text = max([0.0, *(candidate.cosine for candidate in candidates)])
    by_task = max([0.0, *(candidate.task_cosine for candidate in candidates)])
    for candidate in candidates:
        past = candidate.relevance
        if by_task > 0:
            past = max(candidate.task_cosine, by_text * candidate.relevance) / max(by_text, by_task)
        nearest = tasks.get(candidate.skill_id)
        candidate.extra = {
            "experience": weight,
            "past": round(past, 4),
            "nearest_task": nearest.task_id if nearest else None,
            "nearest_task_cosine": round(nearest.cosine, 4) if nearest else None,
        }
        candidate.relevance += weight * (past - candidate.relevance)


def rerank(candidates: Sequence[RankedSkill]) -> list[RankedSkill]:
    """Sorts candidates, best first, by relevance, utility and curiosity; notes the rank by relevance alone."""
    by_relevance = sorted(candidates, key=lambda candidate: (-candidate.relevance, candidate.name))
    total = sum(candidate.uses for candidate in candidates)
    for rank, candidate in enumerate(by_relevance, start=1):
        candidate.rank_before = rank
        trust = candidate.uses / (candidate.uses + PRIOR_USES)
        believed = 0.5 + ((candidate.utility if candidate.utility is not None else 0.5) - 0.5) * trust
        curiosity = EXPLORATION * math.sqrt(math.log1p(total) / (1 + candidate.uses))
        candidate.bonus = min(EXPLORATION, curiosity)
        candidate.score = candidate.relevance + UTILITY_WEIGHT * (believed - 0.5) + candidate.bonus
    return sorted(by_relevance, key=lambda candidate: -candidate.score)


def collapse(ranked: Sequence[RankedSkill], k: int) -> list[RankedSkill]:
    """Returns the first `k` that are not copies of a better one; the better one keeps their names."""
    kept: list[RankedSkill] = []
    for candidate in ranked:
        original = next(
            (better for better in kept if float(np.dot(better.vector, candidate.vector)) >= SAME_SKILL), None
        )
        if original is not None:
            original.copies.append(candidate.name)
        elif len(kept) < k:
            kept.append(candidate)
        else:
            break
    return kept
