"""Time and weight of the page with a full library: 5,000 skills and N rollouts.

    python benchmarks/page.py --rollouts 1000000 --home /tmp/page-bench

It makes the store once in --home (rows are inserted in bulk), starts `skill-plugin ui` in a process of its own, and asks for each page over
HTTP on this machine: the first time after the start, the median of --times further ones, and the
seconds of processor that the server used for one of those, which a busy machine does not change. The weight is that of the HTML with the style sheet, the scripts
and the mark, uncompressed. Targets: the first page and a skill under 0.5 s, a page under 200 KB, 0 requests to other hosts.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from skill_plugin.records import sha256
from skill_plugin.store import SkillStore
from skill_plugin.store.tables import (
    EmbeddingRow,
    EventRow,
    NamespaceRow,
    RolloutRow,
    SkillRow,
    SkillVersionRow,
    TaskRow,
)
from skill_plugin.store.vectors import to_bytes

SKILLS, FAMILIES = 5000, 40
BATCH = 20_000
WORDS = [
    "refund",
    "order",
    "invoice",
    "region",
    "customer",
    "stock",
    "ticket",
    "calendar",
    "revenue",
    "status",
    "report",
    "merge",
    "tax",
    "discount",
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rollouts", type=int, default=100_000)
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("--times", type=int, default=5)
    given = options.parse_args()
    began = time.monotonic()
    if not (given.home / "skills.db").exists():
        fill(given.home, given.rollouts)
        print(f"made {SKILLS:,} skills and {given.rollouts:,} rollouts in {time.monotonic() - began:.0f} s")
    measure(given.home, given.times)


def fill(home: Path, rollouts: int) -> None:
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        store.add(name="first", description="The first skill", body="Look.")
        with store.database.read() as session:
            space = session.get(NamespaceRow, store.namespace)
            dimension = len(session.get(EmbeddingRow, (store.get("first").id, 1, space.signature)).vector) // 4
        for table, rows in tables(store.namespace, space.signature, dimension, rollouts):
            with store.database.write(bulk=True) as session:
                session.connection().execute(table.__table__.insert(), rows)


def tables(namespace: str, signature: str, dimension: int, rollouts: int) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Yields rows, a batch of one table at a time."""
    draw, noise, now = Random(0), np.random.default_rng(0), datetime.now(UTC)  # noqa: S311 - made-up rows
    ids = [f"sk_{number:012x}" for number in range(SKILLS - 1)]
    each = rollouts // SKILLS
    skills, versions, vectors, events = [], [], [], []
    for number, skill in enumerate(ids):
        name, at = f"skill-{number:05}", now - timedelta(minutes=SKILLS - number)
        description = " ".join(draw.sample(WORDS, 4))
        text = f"---\nname: {name}\ndescription: {description}\n---\n\n{description}, step by step.\n"
        skills.append(
            {
                "id": skill, "namespace": namespace, "name": name, "description": description, "live_version": 2, "utility": draw.random(),
                "status": "live", "pinned": False, "uses": each, "wins": each // 2, "low_audits": 0, "audited_uses": 0, "created_at": at,
            }
        )  # fmt: skip
        for version in (1, 2):
            body = text if version == 1 else f"{text}Check the result.\n"
            versions.append(
                {
                    "skill_id": skill, "number": version, "namespace": namespace, "generation": version - 1, "parent": version - 1 or None,
                    "description": description, "text": body, "sha256": sha256(body), "author": "generator", "tier": "tested",
                    "uses": 0, "wins": 0, "total_reward": 0.0, "created_at": at, "revision_id": None, "utility": None,
                }
            )  # fmt: skip
            vector = noise.normal(size=dimension).astype(np.float32)
            vector /= np.linalg.norm(vector)
            key = {"skill_id": skill, "number": version, "signature": signature, "namespace": namespace}
            vectors.append({**key, "vector": to_bytes(vector)})
            event = {"namespace": namespace, "skill_id": skill, "version": version, "by": "gate", "at": at}
            events.append({**event, "kind": "promoted", "reason": "2 repaired > 0 regressed", "evidence": {}})
    yield SkillRow, skills
    yield SkillVersionRow, versions
    yield EmbeddingRow, vectors
    yield EventRow, events
    tasks = max(1000, rollouts // 20)
    for begin in range(0, tasks, BATCH):
        yield (
            TaskRow,
            [
                {
                    "namespace": namespace, "id": f"task_{number}", "family": f"family-{number % FAMILIES:02}", "input": f"task number {number}",
                    "split": "train", "content_hash": f"{number:064x}", "created_at": now, "reference": None, "verifier": None,
                    "chain": None, "position": None,
                }
                for number in range(begin, min(tasks, begin + BATCH))
            ],
        )  # fmt: skip
    for begin in range(0, rollouts, BATCH):
        yield (
            RolloutRow,
            [
                {"namespace": namespace, **rollout(number, ids, tasks, draw, now)}
                for number in range(begin, min(rollouts, begin + BATCH))
            ],
        )


def rollout(number: int, ids: list[str], tasks: int, draw: Random, now: datetime) -> dict[str, Any]:
    skill, control = ids[number % len(ids)], number % 5 == 4
    # A skill serves 40 tasks of its own; controls are of the same ones.
    task = (number % len(ids) * 40 + draw.randrange(40)) % tasks
    passed = draw.random() < (0.4 if control else 0.6)
    return {
        "task_id": f"task_{task}", "skill_id": None if control else skill, "version": None if control else 2,
        "withheld_skill_id": skill if control else None, "withheld_version": 2 if control else None, "arm": "control" if control else "skill",
        "run_id": f"{number:032x}", "generation": 0, "k": 0, "thread_id": None, "model": "m", "answer": f"answer {number}", "chosen": True,
        "reward": float(passed), "passed": passed, "feedback": "" if passed else "the sum is wrong", "verifier_hash": "v",
        "input_tokens": 300, "output_tokens": 60, "latency_s": 0.5, "error": None, "adherence": None, "credited": not control,
        "purpose": "run", "seen": None, "source": None, "created_at": now - timedelta(seconds=1_000_000 - number),
    }  # fmt: skip


def measure(home: Path, times: int) -> None:
    command = [
        sys.executable,
        "-m",
        "skill_plugin.integrations.cli",
        "ui",
        "--home",
        str(home),
        "--embedder",
        "hashing",
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        place = re.search(r"http://\S+", process.stderr.readline()).group().rstrip("/")
        files = {
            path: len(fetch(place + path)[0])
            for path in ("/static/page.css", "/static/page.js", "/static/htmx.min.js", "/static/mark.svg")
        }
        run = f"{12345:032x}"
        rows = []
        for path in (
            "/", "/skills/skill-00042", f"/runs/{run}", "/?q=refund+an+invoice", "/?order=uses&page=150", "/?text=region", "/?family=family-07",
            "/runs", "/inbox", "/parts/now", "/generations", "/nights", "/map", "/parts/health",
        ):  # fmt: skip
            body, first = fetch(place + path)
            used = processor_time(process.pid)
            again = statistics.median(fetch(place + path)[1] for _ in range(times))
            processor = (processor_time(process.pid) - used) / times
            whole = len(body) + (0 if "/parts/" in path else sum(files.values()))
            others = len(re.findall(rb'(?:src|href|action)="(?:https?:)?//', body))
            rows.append(
                {
                    "page": path,
                    "first_s": round(first, 3),
                    "processor_s": round(processor, 3),
                    "median_s": round(again, 3),
                    "html": len(body),
                    "whole": whole,
                    "other_hosts": others,
                }
            )
            print(
                f"{path:<44} first {first:6.3f} s   median {again:6.3f} s   processor {processor:6.3f} s   HTML {len(body) / 1000:6.1f} KB   whole {whole / 1000:6.1f} KB   other hosts {others}"
            )
        print(json.dumps(rows))
    finally:
        process.terminate()
        process.wait(20)


def processor_time(pid: int) -> float:
    """Returns the seconds of processor that a process has used, as Linux counts them: what a machine that is busy does not change."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fetch(address: str) -> tuple[bytes, float]:
    began = time.perf_counter()
    with urllib.request.urlopen(address, timeout=120) as answer:  # noqa: S310 - our own server
        body = answer.read()
    return body, time.perf_counter() - began


if __name__ == "__main__":
    main()
