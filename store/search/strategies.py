"""Strategies, which rank skills for a query. A strategy of one's own is one object with `rank(lookup)`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from skill_plugin.errors import ConfigurationError
from skill_plugin.protocols import Strategy, name_of
from skill_plugin.store.search.floor import Floor
from skill_plugin.store.search.lookup import SearchLookup
from skill_plugin.store.search.ranking import SAME_KIND, RankedSkill, dense_share, mix, mix_experience


class SearchStrategy(ABC):
    """A strategy with what the search around it must know.

    Attributes:
        name: Its name in a hit's `why`.
        needs_vector: Whether the query is embedded.
        needs_family: Whether the caller has to name the task's family.
        follows_runs: Whether it finds something else after every run, so that no answer is kept.
        weighs_experience: Whether the tasks that a skill has passed count.
        embeds_tasks: Whether tasks of earlier runs must have vectors first.
        floor: Whether a hit needs a cosine of `min_score`; else a relevance above 0 is enough.
        none_found: The reason of an empty result, for when it proposes nothing.
    """

    name = ""
    needs_vector = True
    needs_family = False
    follows_runs = False
    weighs_experience = False
    embeds_tasks = False
    floor = False
    none_found = ""

    @abstractmethod
    def rank(self, lookup: SearchLookup) -> Sequence[RankedSkill]:
        """Returns candidates with their relevance."""

    def passes(self, candidate: RankedSkill, floor: Floor) -> bool:
        """Returns whether a candidate is a hit."""
        if not self.floor:
            return candidate.relevance > 0
        alike = candidate.task_cosine >= max(floor.cosine, SAME_KIND)
        return candidate.cosine >= floor.cosine or candidate.coverage >= floor.coverage or alike

    def why_none(self, candidates: Sequence[RankedSkill], floor: Floor) -> str:
        """Returns why no candidate is a hit."""
        if not candidates or not self.floor:
            return self.none_found
        nearest = max(candidates, key=lambda candidate: candidate.cosine)
        return f"the nearest skill, {nearest.name!r}, has a cosine of {nearest.cosine:.2f}, under the floor of {floor.cosine:g}"


class ByText(SearchStrategy):
    """Ranks by the skills' own texts: by meaning, by words, or by both.

    Args:
        name: Its name.
        share: The share of meaning, from 0 (words alone) to 1; None goes by the query's length.
        experience: Whether the tasks that a skill has passed count.
    """

    def __init__(self, name: str, *, share: float | None = None, experience: bool = False) -> None:
        self.name = name
        self.needs_vector = self.floor = share != 0
        self.none_found = "the library has no live skills" if self.floor else "no live skill has a word of the query"
        self.weighs_experience = experience
        self._share = share

    def rank(self, lookup: SearchLookup) -> list[RankedSkill]:
        ids = lookup.nearest()
        if lookup.weight:
            ids += lookup.nearest_by_tasks(lookup.pool // 2)
        ids = list(dict.fromkeys(ids))
        share = dense_share(lookup.query) if self._share is None else self._share
        candidates = lookup.skills(ids) if share == 1 else lookup.by_words(ids)
        mix(candidates, share)
        if lookup.weight:
            mix_experience(candidates, lookup.nearest_tasks(candidates), lookup.weight)
        return candidates


class SameFamily(SearchStrategy):
    """Ranks skills that served tasks of the query's family, or were written for one, by their rewards there."""

    name = "same-family"
    needs_family = True
    follows_runs = True
    none_found = "no live skill has served this family"

    def rank(self, lookup: SearchLookup) -> list[RankedSkill]:
        found = lookup.served_family()
        candidates = lookup.skills(list(found))
        for candidate in candidates:
            candidate.relevance, candidate.extra = found[candidate.skill_id]
        return candidates


class ByTask(SearchStrategy):
    """Ranks skills by the task that each has served which is nearest to the query, by meaning or by words.

    Args:
        name: Its name.
        words: Rank by n-grams in common; else by meaning.
    """

    follows_runs = True
    none_found = "no live skill has served a task like this one"

    def __init__(self, name: str, *, words: bool) -> None:
        self.name = name
        self.needs_vector = self.embeds_tasks = self.floor = not words

    def rank(self, lookup: SearchLookup) -> list[RankedSkill]:
        found = lookup.served_like() if self.needs_vector else lookup.served_words()
        candidates = lookup.skills(list(found))
        for candidate in candidates:
            score, candidate.extra = found[candidate.skill_id]
            if self.needs_vector:
                candidate.cosine = score
            else:
                candidate.bm25 = score
        mix(candidates, 1.0 if self.needs_vector else 0.0)
        return candidates


class OwnStrategy(SearchStrategy):
    """A strategy of the user's own: what it gives a relevance above 0 is a hit."""

    follows_runs = True

    def __init__(self, name: str, strategy: Strategy) -> None:
        self.name = name
        self.none_found = f"the strategy {name!r} finds none"
        self._strategy = strategy

    def rank(self, lookup: SearchLookup) -> Sequence[Any]:
        ranked = self._strategy.rank(lookup)
        for one in ranked:
            if not isinstance(one, RankedSkill) or not 0 <= one.relevance <= 1:
                shown = f"a relevance of {one.relevance!r}" if isinstance(one, RankedSkill) else repr(one)[:80]
                raise ConfigurationError(
                    f"the strategy {self.name!r} returned {shown}; return skills of lookup.skills() with a relevance "
                    "from 0 to 1"
                )
        return ranked


STRATEGIES: dict[str, Strategy | SearchStrategy] = {
    "hybrid": ByText("hybrid", experience=True),
    "dense": ByText("dense", share=1.0),
    "lexical": ByText("lexical", share=0.0),
    "same-family": SameFamily(),
    "query-embedding": ByTask("query-embedding", words=False),
    "query-ngram": ByTask("query-ngram", words=True),
}
"""Strategies by name; add one of your own."""


def load(strategy: str | Strategy | SearchStrategy) -> SearchStrategy:
    """Returns the strategy of a name, or one of the user's own.

    Raises:
        ConfigurationError: no strategy has this name, or the object has no `rank`.
    """
    found = STRATEGIES.get(strategy) if isinstance(strategy, str) else strategy
    if found is None:
        raise ConfigurationError(f"no strategy is called {strategy!r:.80}; use one of {', '.join(STRATEGIES)}")
    if isinstance(found, SearchStrategy):
        return found
    if not isinstance(found, Strategy):
        raise ConfigurationError(
            f"the strategy {strategy!r:.80} is not an object with rank(lookup); use one of {', '.join(STRATEGIES)}"
        )
    return OwnStrategy(name_of(strategy), found)
