"""BM25 over what the vectors are made of: name and description. In memory, brought up to date skill by skill.

Okapi BM25 with the usual k1 = 1.2, b = 0.75 and the non-negative idf `ln(1 + (N - n + 0.5) / (n + 0.5))`. A term of the
query counts once, however often it is said: in a long instruction repetition says how it was written, not what it needs.
Bodies are left out: over real archives they moved the mean reciprocal rank by less than its noise, and reading 5,000 of
them takes seconds (LOG.md).
"""

import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import snowballstemmer
from numpy.typing import NDArray

from skill_plugin.store.search.languages import ENGLISH, SMALL_WORDS, language_group

K1 = 1.2
B = 0.75

_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CYRILLIC, _ARABIC = re.compile(r"[\u0400-\u052f]"), re.compile(r"[\u0600-\u06ff]")
# Scripts that write no blanks between words: Thai, Lao, Khmer, kana, Han.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_HIRAGANA = re.compile(r"[\u3040-\u309f]+")
_stemmers = {name: snowballstemmer.stemmer(name) for name in ("english", "russian", "arabic")}
_stemming = threading.Lock()


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    language = "russian" if _CYRILLIC.search(word) else "arabic" if _ARABIC.search(word) else "english"
    with _stemming:  # a stemmer works in its own attributes
        return str(_stemmers[language].stemWord(word))


def terms(text: str) -> list[str]:
    """Returns the words that count, stemmed; `callAPI` and `call_api` are the same two.

    Of a script without blanks the terms are pairs of characters; pairs of hiragana, which are mostly endings, do not count.
    """
    small_words = SMALL_WORDS.get(language_group(text), ENGLISH)
    found = []
    for word in _WORD.findall(_HUMP.sub(" ", text).lower()):
        if word.isascii() or not _UNSPACED.search(word):
            if word not in small_words:
                found.append(_stem(word))
            continue
        found += [_stem(part) for part in _UNSPACED.split(word) if part]
        for run in _UNSPACED.findall(word):
            pairs = [run[at : at + 2] for at in range(max(1, len(run) - 1))]
            found += [pair for pair in pairs if not _HIRAGANA.fullmatch(pair)]
    return found


@lru_cache(maxsize=256)
def _distinct_terms(query: str) -> tuple[str, ...]:
    """Returns a query's terms, each once; cached, because a search asks for them once for every candidate."""
    return tuple(dict.fromkeys(terms(query)))


class Lexicon:
    """The words of a set of skills, to be scored against a query; never changed, but succeeded by another.

    Making one sorts all terms, about 15 ms at 5,000 skills; `scores` takes a few microseconds a query term.
    """

    def __init__(self, bags: Mapping[str, Counter[str]] | None = None) -> None:
        self._terms = dict(bags or {})
        self.ids = list(self._terms)
        self.positions = {skill_id: at for at, skill_id in enumerate(self.ids)}
        self._term_numbers: dict[str, int] = {}
        self._sort()

    def changed(self, texts: Mapping[str, str], gone: Iterable[str] = ()) -> "Lexicon":
        """Returns a lexicon with new or changed texts by id, and without the ids that are gone."""
        without = set(gone)
        kept = {skill_id: bag for skill_id, bag in self._terms.items() if skill_id not in without}
        return Lexicon({**kept, **{skill_id: Counter(terms(text)) for skill_id, text in texts.items()}})

    def has(self, skill_id: str, text: str) -> bool:
        """Returns whether the id has just these words."""
        return self._terms.get(skill_id) == Counter(terms(text))

    def _sort(self) -> None:
        count = len(self.ids)
        numbers = self._term_numbers
        lengths = np.array([bag.total() for bag in self._terms.values()], dtype=np.float32)
        sizes = [len(bag) for bag in self._terms.values()]
        found = np.fromiter(
            (numbers.setdefault(term, len(numbers)) for bag in self._terms.values() for term in bag),
            np.int64,
            sum(sizes),
        )
        often = np.fromiter((often for bag in self._terms.values() for often in bag.values()), np.float32, sum(sizes))
        rows = np.repeat(np.arange(count, dtype=np.int32), sizes)
        order = np.argsort(found, kind="stable")
        per_term = np.bincount(found, minlength=len(numbers))
        self._starts = np.concatenate([[0], np.cumsum(per_term)])
        self._rows = rows[order]
        norm = K1 * (1 - B + B * lengths / max(lengths.mean() if count else 1.0, 1.0))
        self._idf = np.log1p((count - per_term + 0.5) / (per_term + 0.5)).astype(np.float32)
        self._weights = (often * (K1 + 1) / (often + norm[rows]))[order] * np.repeat(self._idf, per_term)

    def scores(self, query: str) -> tuple[NDArray[np.float32], float]:
        """Scores every text by BM25, in the order of `ids`; also sums the idf of all query terms, known or not."""
        scores = np.zeros(len(self.ids), dtype=np.float32)
        unknown = float(np.log1p((len(self.ids) + 0.5) / 0.5))
        possible = 0.0
        for term in _distinct_terms(query):
            number = self._term_numbers.get(term)
            if number is None:
                possible += unknown
                continue
            possible += float(self._idf[number])
            start, end = self._starts[number], self._starts[number + 1]
            scores[self._rows[start:end]] += self._weights[start:end]
        return scores, possible

    def coverage(self, query: str, skill_id: str, possible: float) -> float:
        """Returns the share of the query's idf that the text has, in [0, 1]: half of it is not an accident."""
        bag = self._terms.get(skill_id, Counter())
        shared = sum(float(self._idf[self._term_numbers[term]]) for term in _distinct_terms(query) if term in bag)
        return shared / possible if possible else 0.0

    def __len__(self) -> int:
        return len(self.ids)


def top(scores: NDArray[np.float32], k: int) -> Sequence[int]:
    """Returns the positions of the `k` highest scores above 0, highest first."""
    if not len(scores):
        return []
    best = np.argpartition(-scores, min(k, len(scores)) - 1)[:k]
    best = best[scores[best] > 0]
    return [int(i) for i in best[np.argsort(-scores[best], kind="stable")]]
