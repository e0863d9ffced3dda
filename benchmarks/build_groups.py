"""Cost of making groups of a million rollouts: time and memory, which should stay flat.

    python benchmarks/build_groups.py --rollouts 1000000 [--from parquet|jsonl|stream] [--json OUT]

Synthetic histories are made in the form that `histories export` writes (a new lineage for each group: --candidates of
--per-candidate rollouts, judged on --siblings other tasks, --prompt and --completion tokens), a hundredth and a tenth
as many and all of them. They are written to a file first and read from it, or with `stream` made as they are asked for.
Each building is in a process of its own: its seconds, from opening the file to the report, are printed with those of
the processor, which say more on a busy machine, and its highest memory. A few of the synthetic revisions are malformed,
held out, without log-probs, or in a group without signal.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skill_plugin.histories import columns
from skill_plugin.training.data.dataset import build_groups
from skill_plugin.training.data.export_file import read_rows
from skill_plugin.training.settings import AdvantageSettings

WRITTEN = datetime(2026, 11, 20, 8, tzinfo=UTC)
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 2048, "logprobs_mode": "raw_logprobs", "prompt_version": 1}


def synthetic(count: int, shape: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yields rows of revisions with so many rollouts in all; no row is like another."""
    draw = random.Random(0)  # noqa: S311 - made-up data
    empty = dict.fromkeys((*columns.TEXTS, *columns.WHOLE, *columns.LISTS, *columns.AS_JSON))
    ids = [draw.randrange(150_000) for _ in range(1 << 16)]
    logprobs = [-draw.expovariate(2.0) for _ in range(1 << 16)]
    for group in range(count // (shape.candidates * shape.per_candidate)):
        at = draw.randrange(len(ids) - shape.prompt)
        prompt = ids[at : at + shape.prompt]
        solves = draw.random()
        for candidate in range(shape.candidates):
            at = draw.randrange(len(ids) - shape.completion)
            malformed = draw.random() < 0.03
            rewards = [] if malformed else [float(draw.random() < solves) for _ in range(shape.per_candidate)]
            yield {
                **empty,
                "format": columns.FORMAT,
                "kind": "revision",
                "task_id": f"task_{group}",
                "content_hash": f"{group:064x}",
                "family": f"family-{group % 10}",
                "split": "heldout" if group % 20 == 0 else "train",
                "input": f"Question {group}: what do both columns add up to?",
                "run_id": f"run-{group}",
                "generation": 1,
                "group_id": f"group-{group}",
                "candidate": candidate,
                "skill": None if malformed else f"sk_{group}@{candidate + 1}",
                "error": "no front matter" if malformed else None,
                "prompt": [{"role": "user", "content": "Rewrite this procedure. " * 40}],
                "completion": "1. Look.\n2. Add.\n" * 20,
                "prompt_token_ids": prompt,
                "completion_token_ids": ids[at : at + shape.completion],
                "logprobs": None if draw.random() < 0.01 else logprobs[at : at + shape.completion],
                "sampling": SAMPLING,
                "model": "base",
                "base_model": "base",
                "rewards": rewards,
                "feedbacks": ["the currency is missing"] * len(rewards),
                "previous_rewards": [0.0, 1.0, 0.0, 0.0],
                "later": [] if malformed else [sibling(group, n, draw) for n in range(shape.siblings)],
                "rollouts": [rollout(k, reward) for k, reward in enumerate(rewards)],
                "created_at": WRITTEN,
            }


def sibling(group: int, number: int, draw: random.Random) -> dict[str, Any]:
    rewards = [float(draw.random() < 0.5)]
    return {"task": f"{group + number + 1:064x}", "rewards": rewards, "before": [0.0], "none": [0.0], "used": None}


def rollout(k: int, reward: float) -> dict[str, Any]:
    answer = "The answer, after looking it up in the table, is 42. " * 4
    said = {"answer": answer, "feedback": "the currency is missing", "arm": "skill", "chosen": False}
    return {**dict.fromkeys(columns.ROLLOUT), **said, "k": k, "reward": reward}


def build(given: argparse.Namespace, home: Path, count: int) -> dict[str, Any]:
    """Builds groups once, in this process."""
    begun = time.perf_counter()
    rows = synthetic(count, given) if given.source == "stream" else read_rows(file_of(home, given.source))
    report = build_groups(rows, home / "groups", base_model="base", ages={None: 0}, advantage=AdvantageSettings())
    seconds = time.perf_counter() - begun
    size = sum(path.stat().st_size for path in (home / "groups").rglob("*") if path.is_file())
    return {
        "rollouts": count,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(time.process_time(), 2),
        "rows_a_second": round(report.read / seconds),
        "rollouts_a_second": round(count / seconds),
        "peak_mib": round(peak(), 1),
        "groups": report.groups,
        "groups_by_siblings": report.groups_by_siblings,
        "candidates": report.candidates,
        "refused": report.refused,
        "groups_mib": round(size / 2**20, 1),
    }


def peak() -> float:
    """Returns MiB of this program alone: on Linux `ru_maxrss` begins with that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text(encoding="ascii").split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def file_of(home: Path, source: str) -> Path:
    return home / f"synthetic.{source}"


def at_size(given: argparse.Namespace, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if given.source != "stream":
            columns.write(file_of(home, given.source), synthetic(count, given))
        shape = [f"--{name.replace('_', '-')}={getattr(given, name)}" for name in SHAPE]
        command = [sys.executable, __file__, f"--rollouts={count}", f"--from={given.source}", *shape, "--home", folder]
        made = subprocess.run(command, check=True, capture_output=True, text=True)
        return dict(json.loads(made.stdout))


SHAPE = {"candidates": 4, "per_candidate": 4, "siblings": 4, "prompt": 512, "completion": 128}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=1_000_000)
    parser.add_argument("--from", dest="source", choices=("parquet", "jsonl", "stream"), default="parquet")
    for name, default in SHAPE.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.home:
        print(json.dumps(build(given, given.home, given.rollouts)))
        return
    figures: dict[str, Any] = {"from": given.source, **{name: getattr(given, name) for name in SHAPE}, "sizes": []}
    for count in (given.rollouts // 100, given.rollouts // 10, given.rollouts):
        figures["sizes"].append(at_size(given, count))
        print(figures["sizes"][-1], f"(load {os.getloadavg()[0]:.1f})")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
