"""The floor of similarity for tasks that are not in English: measured for the library and the language at hand.

An embedder that learned English puts all texts of another language near one another, so that any question is as near to any
skill as an English one is to its own. What is near enough is measured: questions about the world, which no library of
procedures serves, are compared with the library's skills. A hit must be nearer than they come.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from sqlmodel import Session

from skill_plugin.store.search.lexical import Lexicon, top
from skill_plugin.store.search.unrelated import UNRELATED
from skill_plugin.store.search.words import LiveSkills
from skill_plugin.store.vectors import ExactSearch, Vector

MARGIN = 3.0
"""Standard deviations above the mean of what unrelated questions reach (LOG.md)."""

WORDS = 0.08
"""The least share of a task's idf that a skill must have to be about it, whatever the cosine (LOG.md)."""

ENOUGH_WORDS = 0.5
"""The same in English, where the cosine says more: names and error codes have no meaning."""


class Floor(NamedTuple):
    """What a hit must reach, one or the other: its cosine, or the share of the query's idf that it has."""

    cosine: float
    coverage: float


class LanguageFloors:
    """The floors of one namespace, each measured when a task of its language comes, and anew when the library changes."""

    def __init__(
        self, exact: ExactSearch, live: LiveSkills, embed: Callable[[Sequence[str]], Sequence[Vector]]
    ) -> None:
        self._exact = exact
        self._live = live
        self._embed = embed
        self._vectors: dict[str, Vector] = {}
        self._measured: dict[str, tuple[tuple[str, int], Vector, float]] = {}

    def prepare(self, group: str) -> None:
        """Embeds the unrelated questions of a group, once; a model works, so no session should wait for it."""
        if group not in self._vectors:
            self._vectors[group] = np.stack(list(self._embed(_questions(group))))

    def measure(self, session: Session, group: str, signature: str, epoch: int, new: Vector | None = None) -> Floor:
        """Returns what a hit must reach, so that at most one in twenty unrelated questions gets a skill.

        The cosine is `MARGIN` above the mean of what unrelated questions reach, and above each of them; the coverage is above all
        of them but one.

        Args:
            session: A reading session.
            group: What `language_group` returned; `prepare` has been called for it.
            signature: The vectors that count.
            epoch: The library's state.
            new: The vector of a skill that counts as live.
        """
        vectors, state = self._vectors[group], (signature, epoch)
        known = self._measured.get(group)
        if known is None or known[0] != state:
            cosines = self._exact.nearest_cosines(session, vectors, signature=signature, epoch=epoch)
            lexicon = self._live.lexicon(session, epoch)
            known = state, cosines, sorted(_most_covered(lexicon, question) for question in _questions(group))[-2]
            self._measured[group] = known
        _, cosines, coverage = known
        if new is not None:
            cosines = np.maximum(cosines, vectors @ new)
        cosine = max(float(cosines.max()), float(cosines.mean() + MARGIN * cosines.std()))
        return Floor(round(cosine, 2), max(WORDS, coverage + 1e-6))


def _questions(group: str) -> Sequence[str]:
    return UNRELATED.get(group) or [question for questions in UNRELATED.values() for question in questions]


def _most_covered(lexicon: Lexicon, question: str) -> float:
    scores, possible = lexicon.scores(question)
    best = [lexicon.ids[position] for position in top(scores, 3)]
    return max((lexicon.coverage(question, skill_id, possible) for skill_id in best), default=0.0)
