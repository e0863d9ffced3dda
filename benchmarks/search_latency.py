"""The time of a search beside the least that it could take: encode the query, one exact matrix product, the ten best.

    python benchmarks/search_latency.py [--skills 5000 26000] [--queries 200] [--json OUT]

Ours: `store.search(query, k=3)`, the hybrid strategy with real MiniLM, once over Chroma and once without it (`chroma=False`:
the vectors in SQL). The floor, in the same process: the same weights through sentence-transformers on one thread, a float32
matrix times the vector, `argpartition` for ten. The three take turns, query by query and in every order, so that a noisy
machine hits all; every query is new, so no cache helps. Target at 5,000 skills: at most 1.3 times the floor's p50.

What experience costs (`history`, up to 5,000 skills): every skill has passed eight tasks, whose vectors are made up around its
own. The same queries with experience and without take turns in exact search; their vectors are made beforehand, so this is
without the encoder. Target: p50 at most 2 ms above that without.
"""

import argparse
import json
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, permutations
from pathlib import Path
from typing import Any

import numpy as np
from filling import PlainEncoder, embed, fill, made_up_skills, made_up_tasks, summary, timed
from rich.progress import track

from skill_plugin.embedders import MiniLMEmbedder
from skill_plugin.skills.skill_md import SkillDocument
from skill_plugin.store import SkillStore
from skill_plugin.store.search.experience_rows import KEPT, ExperienceRow, count_up, vector_row
from skill_plugin.store.skills.pruning import CAPACITY
from skill_plugin.store.sql.database import insert_all_if_absent
from skill_plugin.store.tables import TaskEmbeddingRow, utc_now
from skill_plugin.store.vectors import Vector

WARM_UP = 10
INDEX_SECONDS = 600.0


def measure(
    embedder: MiniLMEmbedder, encode: PlainEncoder, documents: Sequence[SkillDocument], vectors: Vector, count: int
) -> dict[str, Any]:
    capacity = max(CAPACITY, len(documents))
    with (
        tempfile.TemporaryDirectory() as folder,
        SkillStore.open(folder, embedder=embedder, capacity=capacity) as store,
    ):
        fill(store, embedder.signature, documents, vectors)
        if not store.wait_for_index(INDEX_SECONDS):
            raise SystemExit(f"Chroma is not up to date: {[one for one in store.check() if one.name == 'index']}")
        with SkillStore.open(folder, embedder=embedder, capacity=capacity, chroma=False) as without:
            engines: Counter[str] = Counter()

            def ours(query: str, where: SkillStore, name: str) -> None:
                found = {hit.why["engine"] for hit in where.search(query, k=3, min_score=-1)}
                engines.update(f"{name}: {engine}" for engine in found)

            def floor(query: str) -> None:
                np.argpartition(-encode.scores(query, vectors), 10)[:10]

            calls: dict[str, Callable[[str], None]] = {
                "floor": floor,
                "chroma": lambda query: ours(query, store, "chroma"),
                "exact": lambda query: ours(query, without, "exact"),
            }
            times: dict[str, list[float]] = {name: [] for name in calls}
            queries = made_up_tasks(count + WARM_UP)
            for query in queries[:WARM_UP]:  # the first calls import, open and read
                for call in calls.values():
                    call(query)
            engines.clear()
            orders = cycle(permutations(calls))
            for query, order in zip(track(queries[WARM_UP:], f"{len(documents)} skills"), orders, strict=False):
                for name in order:
                    times[name].append(timed(lambda query=query, call=calls[name]: call(query)))
            history = (
                measure_history(without, embedder.signature, vectors, queries) if len(documents) <= CAPACITY else {}
            )
    figures: dict[str, Any] = {"skills": len(documents), "queries": count, "tokens_a_query": encode.tokens(queries[-1])}
    figures |= {name: summary(taken) for name, taken in times.items()} | {"engines": dict(engines)}
    figures |= {"history": history}
    for name in ("chroma", "exact"):
        paired = [a / b for a, b in zip(times[name], times["floor"], strict=True)]
        figures[f"{name}_ratio_of_p50"] = round(statistics.median(times[name]) / statistics.median(times["floor"]), 3)
        figures[f"{name}_median_of_paired_ratios"] = round(statistics.median(paired), 3)
    return figures


def measure_history(store: SkillStore, signature: str, vectors: Vector, queries: Sequence[str]) -> dict[str, Any]:
    """Times search with and without experience, where every skill has a full history; in ms, without the encoder."""
    pass_tasks(store, signature, vectors)
    ways: dict[str, dict[str, float]] = {"without": {"experience": 0.0}, "with": {}}
    times: dict[str, list[float]] = {name: [] for name in ways}
    orders = cycle(permutations(ways))
    for query, order in zip(track(queries, "histories"), orders, strict=False):
        store.search(query, strategy="dense", min_score=-1)  # makes the query's vector
        for name in order:
            search = partial(store.search, query, k=3, min_score=-1, **ways[name])
            times[name].append(timed(search))
    measured = {name: taken[WARM_UP:] for name, taken in times.items()}
    more = statistics.median(measured["with"]) - statistics.median(measured["without"])
    return {name: summary(taken) for name, taken in measured.items()} | {"p50_more_ms": round(more, 2)}


def pass_tasks(store: SkillStore, signature: str, vectors: Vector) -> None:
    """Writes eight passed tasks of every skill, made up around its own vector."""
    rng = np.random.default_rng(0)
    space = {"namespace": store.namespace}
    with store.database.write() as session:
        seq = count_up(session, store.namespace)
        for n, vector in enumerate(vectors):
            near = vector + 0.6 * rng.standard_normal((KEPT, len(vector))) / np.sqrt(len(vector))
            units = near / np.linalg.norm(near, axis=1, keepdims=True)
            ids = [f"task_{n}_{at}" for at in range(KEPT)]
            passed = [
                space | {"skill_id": f"sk_{n:012x}", "task_id": one, "seq": seq, "created_at": utc_now()} for one in ids
            ]
            insert_all_if_absent(session, ExperienceRow, passed)
            made = [vector_row(store.namespace, one, signature, unit) for one, unit in zip(ids, units, strict=True)]
            insert_all_if_absent(session, TaskEmbeddingRow, made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skills", type=int, nargs="+", default=[5000, 26000])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    if min(arguments.skills) < 11 or arguments.queries < 2:
        parser.error("give at least 11 skills and 2 queries")
    embedder = MiniLMEmbedder()
    documents = made_up_skills(max(arguments.skills))
    vectors = embed(embedder, documents)
    encode = PlainEncoder(embedder)
    figures = [
        measure(embedder, encode, documents[:size], vectors[:size], arguments.queries) for size in arguments.skills
    ]
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
