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
from collections import Counter
from pathlib import Path

import chromadb
from chromadb.config import Settings
from filling import PlainEncoder, embed, fill, made_up_skills, made_up_tasks, summary, timed
from langchain_core.runnables import RunnableLambda
from rich.progress import track

from skill_plugin.embedders import MiniLMEmbedder
from skill_plugin.graphs import create_skill_graph
from skill_plugin.store import SkillStore
from skill_plugin.store.skills.pruning import CAPACITY

WARM_UP = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skills", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    embedder, documents = MiniLMEmbedder(), made_up_skills(arguments.skills)
    encode, capacity = PlainEncoder(embedder), max(CAPACITY, arguments.skills)
    with (
        tempfile.TemporaryDirectory() as folder,
        SkillStore.open(Path(folder, "store"), embedder=embedder, capacity=capacity) as store,
    ):
        vectors = embed(embedder, documents)
        fill(store, embedder.signature, documents, vectors)
        if not store.wait_for_index():
            raise SystemExit(f"Chroma is not up to date: {[one for one in store.check() if one.name == 'index']}")
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

        def peer(task: str) -> None:
            collection.query(query_embeddings=[encode(task)], n_results=10, include=["distances"])

        tasks = made_up_tasks(arguments.runs + WARM_UP)
        for task in tasks[:WARM_UP]:  # the first calls import and open
            peer(task)
            graph.invoke({"task": task})
        ours, theirs = [], []
        for n, task in enumerate(track(tasks[WARM_UP:], "measuring")):
            pair = [(ours, lambda task=task: graph.invoke({"task": task})), (theirs, lambda task=task: peer(task))]
            for times, call in pair if n % 2 else reversed(pair):
                times.append(timed(call))
        # What the runs searched with; their queries are in the cache, so that these searches ask the index alone.
        engines = Counter(
            hit.why["engine"] for task in tasks[WARM_UP:] for hit in store.search(task, k=1, min_score=-1)
        )
        client.close()
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    figures = {
        "skills": arguments.skills,
        "runs": arguments.runs,
        "tokens_a_task": encode.tokens(tasks[-1]),
        "engines": dict(engines),
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
