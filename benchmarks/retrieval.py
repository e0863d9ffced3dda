"""Hits of search: labelled queries against a real store, beside plain BM25, plain MiniLM and their RRF.

    python benchmarks/retrieval.py --skills FILE [FILE ...] --queries FILE [--json OUT]

Files are JSON lines, gzip-compressed or not. A skill: `name`, `description`, and if it has them `id`, `body`, and
`dup_class`, which near-duplicates share. A query: `query`, and what is right, as `gold_classes` or as `gold` (ids).
Names become names by the rules of SKILL.md, descriptions end after 1,024 characters. A query without gold is left out; gold
that is in none of the files counts as not found.

Ours: `store.search(query, k=20, min_score=-1)` with real MiniLM and Chroma, for the strategies `hybrid`, `dense` and
`lexical`; `same-family`, `query-embedding` and `query-ngram` need outcomes of earlier tasks, which such files do not have; for
those see `experience.py`. The store is opened anew for each strategy, so that no query's vector is in its cache.

The baselines see the same texts: `bm25` (name and description, lower-cased words, no stemming, k1 = 1.5, b = 0.75),
`minilm` (exact cosine), `rrf` (1 / (60 + rank), over the best 100 of both; a skill without a common word is in no list).

Scoring is by class: a class counts at its first place. A hit stands for its own class and for those of the copies that
search collapsed into it. hit@1: the first place is right. mrr: mean of 1 / the first right place, 0 beyond the 20th.
recall@10: the share of a query's gold classes in the first ten places. p50_ms: one query, its encoding included on every
side; a text that comes a second time is not timed. Targets: on long instructions hybrid's mrr is at least 0.03 over rrf's
and 0.12 over minilm's; on short requests not under minilm's.

OUT is `{strategy: {"hit@1": x, "mrr": x, "recall@10": x, "p50_ms": x}}`.
"""

import argparse
import gzip
import json
import math
import re
import statistics
import sys
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from filling import PlainEncoder, embed, fill, skill_names, timed
from numpy.typing import NDArray
from rich.progress import track

from skill_plugin.embedders import MiniLMEmbedder
from skill_plugin.skills.skill_md import MAX_DESCRIPTION, SkillDocument
from skill_plugin.store import SkillStore
from skill_plugin.store.skills.pruning import CAPACITY

STRATEGIES = ("hybrid", "dense", "lexical")
PLACES = 20
LIST, RRF = 100, 60
K1, B = 1.5, 0.75
GZIP = b"\x1f\x8b"
NO_BODY = "Do what the description says."
WARM_UP = ("what is the weather like", "convert a file", "plan a journey through three cities")

Scores = NDArray[np.float32]
Ranker = Callable[[str], Iterable[set[str]]]

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Labelled(NamedTuple):
    """A skill and the class that it belongs to."""

    document: SkillDocument
    group: str


class Query(NamedTuple):
    text: str
    gold: frozenset[str]


def give_up(reason: str) -> NoReturn:
    print(f"retrieval: {reason}", file=sys.stderr)
    raise SystemExit(2)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        raw = path.read_bytes()
        lines = (gzip.decompress(raw) if raw.startswith(GZIP) else raw).decode().split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        give_up(f"{path} cannot be read: {reason}")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as exc:
            give_up(f"{path}, line {number}: no JSON ({exc})")
        if not isinstance(row, dict):
            give_up(f"{path}, line {number}: a {type(row).__name__}, not an object")
        yield row | {"line": f"{path}, line {number}"}


def text_of(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        give_up(f"{row['line']}: {key} is a {type(value).__name__}, not a text")
    return _UNPRINTABLE.sub(" ", value or "").strip()


def read_skills(paths: Sequence[Path]) -> tuple[list[Labelled], dict[str, str]]:
    """Reads the skills, each once, and the class of each id."""
    found: dict[str, dict[str, Any]] = {}
    for row in (row for path in paths for row in rows(path)):
        if not text_of(row, "name"):
            give_up(f"{row['line']}: a skill without a name; are these the queries?")
        found.setdefault(str(row.get("id") or row["line"]), row)
    if not found:
        give_up(f"{', '.join(map(str, paths))}: no skills")
    groups = {key: str(row.get("dup_class") or key) for key, row in found.items()}
    names = skill_names(text_of(row, "name") for row in found.values())
    skills = [
        Labelled(
            SkillDocument(
                name,
                text_of(row, "description")[:MAX_DESCRIPTION].strip() or text_of(row, "name")[:MAX_DESCRIPTION],
                text_of(row, "body") or NO_BODY,
            ),
            groups[key],
        )
        for name, (key, row) in zip(names, found.items(), strict=True)
    ]
    return skills, groups


def read_queries(path: Path, groups: Mapping[str, str]) -> list[Query]:
    queries = []
    for row in rows(path):
        if not (text := text_of(row, "query")):
            give_up(f"{row['line']}: no query")
        gold = row.get("gold_classes") or [groups.get(str(one), str(one)) for one in row.get("gold") or []]
        if not isinstance(gold, list):
            give_up(f"{row['line']}: gold_classes is a {type(gold).__name__}, not a list")
        if gold:
            queries.append(Query(text, frozenset(map(str, gold))))
    if not queries:
        give_up(f"{path}: no queries with gold")
    return queries


class BM25:
    """Okapi BM25 as in the textbook: every occurrence of a word in the query counts."""

    def __init__(self, texts: Sequence[str]) -> None:
        bags = [Counter(words(text)) for text in texts]
        lengths = np.array([bag.total() for bag in bags], dtype=np.float32)
        norm = K1 * (1 - B + B * lengths / lengths.mean())
        at: dict[str, list[int]] = defaultdict(list)
        for n, bag in enumerate(bags):
            for word in bag:
                at[word].append(n)
        self._count = len(bags)
        self._postings: dict[str, tuple[NDArray[np.int64], Scores]] = {}
        for word, where in at.items():
            idf = math.log(1 + (len(bags) - len(where) + 0.5) / (len(where) + 0.5))
            often = np.array([bags[n][word] for n in where], dtype=np.float32)
            weights = (idf * often * (K1 + 1) / (often + norm[where])).astype(np.float32)
            self._postings[word] = np.array(where), weights

    def __call__(self, query: str) -> Scores:
        scores = np.zeros(self._count, dtype=np.float32)
        for word in set(words(query)):  # counting a long query's repetitions costs this baseline 0.13 of mrr
            if word in self._postings:
                where, weights = self._postings[word]
                scores[where] += weights
        return scores


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def best_first(scores: Scores, above: float = -math.inf) -> list[int]:
    order = np.argsort(-scores, kind="stable")
    return [int(n) for n in order[scores[order] > above]]


def baselines(skills: Sequence[Labelled], vectors: Scores, encode: PlainEncoder) -> dict[str, Ranker]:
    lexical = BM25([skill.document.embedded_text for skill in skills])

    def grouped(order: Iterable[int]) -> Iterator[set[str]]:
        return ({skills[n].group} for n in order)

    def bm25(query: str) -> list[int]:
        return best_first(lexical(query), above=0)

    def minilm(query: str) -> list[int]:
        return best_first(encode.scores(query, vectors))

    def rrf(query: str) -> list[int]:
        fused: dict[int, float] = defaultdict(float)
        for ranked in (minilm(query)[:LIST], bm25(query)[:LIST]):
            for rank, n in enumerate(ranked, start=1):
                fused[n] += 1 / (RRF + rank)
        return sorted(fused, key=lambda n: -fused[n])

    return {
        "bm25": lambda query: grouped(bm25(query)),
        "minilm": lambda query: grouped(minilm(query)),
        "rrf": lambda query: grouped(rrf(query)),
    }


def ours(store: SkillStore, strategy: str, groups: Mapping[str, str]) -> Ranker:
    def search(query: str) -> Iterator[set[str]]:
        hits = store.search(query, k=PLACES, min_score=-1, strategy=strategy)
        return ({groups[name] for name in (hit.name, *hit.why["copies"])} for hit in hits)

    return search


def places(ranked: Iterable[set[str]]) -> list[set[str]]:
    """Returns the first twenty that bring a class not seen before, each with what it brings."""
    seen: set[str] = set()
    kept: list[set[str]] = []
    for groups in ranked:
        if new := groups - seen:
            kept.append(new)
            seen |= new
        if len(kept) == PLACES:
            break
    return kept


def measure(name: str, ranker: Ranker, queries: Sequence[Query]) -> dict[str, float]:
    first, reciprocal, recall, times = 0, 0.0, 0.0, {}
    for text in WARM_UP:
        places(ranker(text))
    for query in track(queries, name):
        result: list[set[str]] = []
        milliseconds = timed(lambda text=query.text, into=result: into.extend(places(ranker(text))))
        times.setdefault(query.text, milliseconds)
        rank = next((n for n, groups in enumerate(result, start=1) if groups & query.gold), 0)
        first += rank == 1
        reciprocal += 1 / rank if rank else 0
        recall += len(query.gold & set().union(*result[:10])) / len(query.gold)
    count = len(queries)
    return {
        "hit@1": round(first / count, 4),
        "mrr": round(reciprocal / count, 4),
        "recall@10": round(recall / count, 4),
        "p50_ms": round(statistics.median(times.values()), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skills", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--queries", type=Path, required=True, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    skills, group_of_id = read_skills(arguments.skills)
    queries = read_queries(arguments.queries, group_of_id)
    embedder = MiniLMEmbedder()
    documents = [skill.document for skill in skills]
    vectors = embed(embedder, documents)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        capacity = max(CAPACITY, len(skills))
        with SkillStore.open(folder, embedder=embedder, chroma=False, capacity=capacity) as store:
            fill(store, embedder.signature, documents, vectors)
        groups = {skill.document.name: skill.group for skill in skills}
        for strategy in STRATEGIES:
            with SkillStore.open(folder, embedder=embedder, capacity=capacity) as store:
                if not store.wait_for_index():
                    print("Chroma is not up to date; exact search answers", file=sys.stderr)
                figures[strategy] = measure(strategy, ours(store, strategy, groups), queries)
    for name, ranker in baselines(skills, vectors, PlainEncoder(embedder)).items():
        figures[name] = measure(name, ranker, queries)
    length = statistics.median(len(query.text.split()) for query in queries)
    print(f"{len(skills)} skills, {len(set(groups.values()))} classes; {len(queries)} queries, median {length:g} words")
    print(f"{'':8}{'hit@1':>10}{'mrr':>10}{'recall@10':>10}{'p50_ms':>10}")
    for name, row in figures.items():
        print(f"{name:8}" + "".join(f"{value:10.3f}" for value in row.values()))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
