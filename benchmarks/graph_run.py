"""One run of the graph without the LLM's time, beside plain MiniLM and Chroma in the same process.

    python benchmarks/graph_run.py [--skills 5000] [--runs 200] [--json OUT]

Our side: `create_skill_graph(...).invoke(task)`, with retrieval over real MiniLM and Chroma, an LLM that answers at once, a
verifier, and the record in SQLite (synchronous=FULL). The peer: encode the same task with the same sentence-transformers
model on one thread and query a Chroma collection of the same vectors for 10 ids. The two take turns, task by task, so that
a noisy machine hits both; every task is new, so no cache helps. Target: at most 1.5 times the peer's p50.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import sentence_transformers
from chromadb.config import Settings
from langchain_core.runnables import RunnableLambda
from rich.progress import track
from threadpoolctl import ThreadpoolController

from skill_plugin.embedders import MiniLMEmbedder
from skill_plugin.graphs import create_skill_graph
from skill_plugin.skill_md import SkillDocument, render
from skill_plugin.store import SkillStore, namespaces
from skill_plugin.store.outbox import mark_changed
from skill_plugin.store.tables import EmbeddingRow, NamespaceRow, SkillRow, SkillVersionRow
from skill_plugin.store.vectors import to_bytes

VERBS = ("count", "list", "refund", "ship", "translate", "summarise", "compare", "schedule", "archive", "convert")
NOUNS = (
    "orders",
    "tickets",
    "invoices",
    "customers",
    "parcels",
    "reports",
    "contracts",
    "meetings",
    "photos",
    "accounts",
)
PLACES = ("north", "south", "east", "west", "Leeds", "Turin", "Porto", "Oslo", "Kyoto", "Quito")


def descriptions(count: int) -> list[str]:
    return [
        f"How to {VERBS[n % 10]} the {NOUNS[n // 10 % 10]} of {PLACES[n // 100 % 10]}, by rule {n // 1000} of office {n}."
        for n in range(count)
    ]


def fill(store: SkillStore, embedder: MiniLMEmbedder, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Writes the skills with one statement a table; `store.add` would take a Chroma write for each."""
    vectors = np.concatenate(
        [
            np.asarray(embedder.embed(texts[start : start + 256]))
            for start in track(range(0, len(texts), 256), "embedding")
        ]
    )
    with store.database.write() as session:
        namespaces.ensure(session, store.namespace)
        session.get_one(NamespaceRow, store.namespace).signature = embedder.signature
        for n, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
            name, body = f"skill-{n}", render(SkillDocument(f"skill-{n}", text, "1. Look.\n2. Do it.\n" * 20))
            common = {"namespace": store.namespace}
            session.add(
                SkillRow(
                    id=name, name=name, description=text, status="live", trust="reviewed", live_version=1, **common
                )
            )
            session.flush()
            session.add(
                SkillVersionRow(
                    skill_id=name,
                    number=1,
                    generation=0,
                    description=text,
                    text=body,
                    sha256=name,
                    author="import",
                    **common,
                )
            )
            session.flush()
            session.add(
                EmbeddingRow(skill_id=name, number=1, signature=embedder.signature, vector=to_bytes(vector), **common)
            )
        mark_changed(session, store.namespace, [f"skill-{n}" for n in range(len(texts))])
    return vectors


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {"p50_ms": round(statistics.median(ordered), 2), "p95_ms": round(ordered[int(len(ordered) * 0.95)], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skills", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    embedder = MiniLMEmbedder()
    model = sentence_transformers.SentenceTransformer(str(embedder.folder), device="cpu")
    with tempfile.TemporaryDirectory() as folder, SkillStore.open(Path(folder, "store"), embedder=embedder) as store:
        vectors = fill(store, embedder, descriptions(arguments.skills))
        client = chromadb.PersistentClient(str(Path(folder, "peer")), settings=Settings(anonymized_telemetry=False))
        collection = client.create_collection(
            "peer", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )
        for start in range(0, len(vectors), 5000):
            part = vectors[start : start + 5000]
            collection.add(ids=[f"skill-{start + n}" for n in range(len(part))], embeddings=list(part))
        graph = create_skill_graph(
            store=store, llm=RunnableLambda(lambda _: "done"), verifier=lambda _task, _answer: True
        ).compile()
        one_thread = ThreadpoolController()

        def peer(task: str) -> None:
            with one_thread.limit(limits=1):
                vector = model.encode(task, normalize_embeddings=True, show_progress_bar=False)
            collection.query(query_embeddings=[vector], n_results=10, include=["distances"])

        tasks = [
            f"Please {VERBS[n % 10]} all the {NOUNS[n * 7 % 10]} that came in from {PLACES[n * 3 % 10]} during week {n}, and leave "
            f"out everything that was cancelled, deleted or entered twice by mistake; round amounts to {n % 4} digits."
            for n in range(arguments.runs + 10)
        ]
        for task in tasks[:10]:  # the first calls import and open
            peer(task)
            graph.invoke({"task": task})
        ours, theirs = [], []
        for n, task in enumerate(track(tasks[10:], "measuring")):
            pair = [(ours, lambda task=task: graph.invoke({"task": task})), (theirs, lambda task=task: peer(task))]
            for times, call in pair if n % 2 else reversed(pair):
                times.append(timed(call))
        hit = store.search(tasks[-1], k=1, min_score=-1)[0]
        client.close()
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    figures = {
        "skills": arguments.skills,
        "runs": arguments.runs,
        "tokens_a_task": len(model.tokenizer(tasks[-1])["input_ids"]),
        "engine": hit.why["engine"],
        "graph_run": summary(ours),
        "minilm_and_chroma": summary(theirs),
        "ratio_of_p50": round(statistics.median(ours) / statistics.median(theirs), 3),
        "median_of_paired_ratios": round(statistics.median(ratios), 3),
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
