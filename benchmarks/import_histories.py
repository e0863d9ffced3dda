"""Import of recorded runs: whether it works on real logs, and what a hundred thousand rollouts cost.

    python benchmarks/import_histories.py --data DIR [--json OUT]
    python benchmarks/import_histories.py --rollouts 100000 [--json OUT]

DIR holds logs as JSON lines in folders of their own, as far as there are some: `intercode_sql/logs.jsonl.gz`,
`tau_airline/logs.jsonl.gz`, `reflexion_alfworld/trials.jsonl.gz`, `gsm8k_solutions/logs.jsonl.gz`, `react_webshop/logs.jsonl.gz`,
`adapt/textcraft.jsonl.gz` and the files of `dynamic_cheatsheet/`. Each is imported twice into a new store, its format told from
its rows, and every run's mean reward is compared with the mean that a few lines here make of the raw rows: `difference`
is the largest over its runs. `rows_a_second` counts rollouts, from opening the file to the last commit (SQLite,
`synchronous=FULL`).

With --rollouts, a file of our own format (lineages without a starting skill, 4 candidates, 4 rollouts each, 300 tokens a candidate; with
--siblings, each candidate once on so many other tasks of its family, and these once without a skill) is made, imported, counted and
exported to Parquet, each in a process of its own whose highest memory is printed.
"""

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from skill_plugin import Task
from skill_plugin.embedders import HashingEmbedder
from skill_plugin.histories import columns
from skill_plugin.store import SkillStore

LOGS = (
    "intercode_sql/logs.jsonl.gz",
    "tau_airline/logs.jsonl.gz",
    "reflexion_alfworld/trials.jsonl.gz",
    "gsm8k_solutions/logs.jsonl.gz",
    "react_webshop/logs.jsonl.gz",
    "adapt/textcraft.jsonl.gz",
    "dynamic_cheatsheet",
)
CANDIDATES = 4
ROLLOUTS = 4
A_LINEAGE = ROLLOUTS * (1 + CANDIDATES)
FAMILIES = 10
EVOLVE = "ev_made_up"


def own_means(path: Path) -> dict[str, float]:
    """Computes the mean reward by run, straight from the rows."""
    rewards: dict[str, list[float]] = defaultdict(list)
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                for one in row.get("attempts", [row]):
                    reward = one.get("reward", one.get("success"))
                    if reward is not None:
                        rewards[one.get("run") or one.get("model") or file.name.split(".")[0]].append(float(reward))
    return {run: fmean(found) for run, found in rewards.items()}


def imported(path: Path) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as home,
        SkillStore.open(home, embedder=HashingEmbedder(), chroma=False) as store,
    ):
        begun = time.perf_counter()
        report = store.histories.import_from(path)
        seconds = time.perf_counter() - begun
        again = store.histories.import_from(path)
    means = own_means(path)
    return {
        "read": report.read,
        "imported": report.imported,
        "refused": report.refused,
        "notes": report.notes,
        "runs": len(report.mean_reward),
        "mean_reward": report.mean_reward,
        "difference": max(abs(report.mean_reward[run] - means[run]) for run in means),
        "same_runs": report.mean_reward.keys() == means.keys(),
        "new_the_second_time": again.imported,
        "rows_a_second": round(report.read / seconds),
    }


def made_up_task(number: int) -> Task:
    family = f"family-{number % FAMILIES}"
    return Task(f"Question {number}: what do both columns add up to?", family=family, reference="42", split="train")


def row_of(task: Task, run_id: str) -> dict[str, Any]:
    empty = dict.fromkeys((*columns.TEXTS, *columns.WHOLE, *columns.LISTS, *columns.AS_JSON))
    said = {"format": columns.FORMAT, "task_id": task.id, "content_hash": task.content_hash, **task.to_json()}
    return {**empty, **said, "run_id": run_id, "created_at": "2026-11-20T08:00:00+00:00"}


def on_siblings(number: int, siblings: int, lineages: int) -> Iterator[dict[str, Any]]:
    """Yields rows of a lineage's candidates, and of no skill, on other tasks of its family."""
    for place in range(1, siblings + 1):
        task = made_up_task((number + place * FAMILIES) % lineages)
        for skill in (None, *(f"sk_{number}@{candidate + 1}" for candidate in range(CANDIDATES))):
            later = {**rollouts(skill, number + place * FAMILIES, 0)[0], "purpose": "later"}
            run_id = f"{EVOLVE}:later:{task.id}:{skill or 'none'}"
            yield {**row_of(task, run_id), "kind": "rollouts", "generation": 0, "rollouts": [later]}


def made_up(lineages: int, siblings: int = 0) -> Iterator[dict[str, Any]]:
    """Yields rows as `histories export` writes them."""
    for number in range(lineages):
        task = made_up_task(number)
        same = row_of(task, f"{EVOLVE}:{task.id}")
        yield from on_siblings(number, siblings, lineages)
        yield {**same, "kind": "rollouts", "generation": 0, "rollouts": rollouts(None, number, 0)}
        for candidate in range(CANDIDATES):
            skill = f"sk_{number}@{candidate + 1}"
            yield {
                **same,
                "kind": "revision",
                "generation": 1,
                "group_id": f"group-{number}",
                "candidate": candidate,
                "skill": skill,
                "prompt": [{"role": "user", "content": "Rewrite this procedure. " * 40}],
                "completion": "1. Look.\n2. Add.\n" * 20,
                "prompt_token_ids": list(range(200)),
                "completion_token_ids": list(range(100)),
                "logprobs": [-0.5] * 100,
                "sampling": {"temperature": 1.0, "top_p": 1.0, "logprobs_mode": "raw_logprobs"},
                "model": "base",
                "rollouts": rollouts(skill, number, candidate * ROLLOUTS),
            }


def rollouts(skill: str | None, number: int, first: int) -> list[dict[str, Any]]:
    empty = dict.fromkeys(columns.ROLLOUT)
    made = []
    for k in range(first, first + ROLLOUTS):
        reward = float((number * 7919 + k * 31) % 101 > 50)
        said = {
            "answer": "The answer, after looking it up in the table, is 42. " * 4,
            "feedback": "the currency is missing",
        }
        made.append(
            {
                **empty,
                **said,
                "purpose": "run",
                "also": {},
                "k": k,
                "arm": "skill",
                "skill": skill,
                "reward": reward,
                "chosen": False,
            }
        )
    return made


def step(name: str, home: str) -> dict[str, Any]:
    """Runs one of the steps at full size, in a process of its own."""
    file = Path(home, "made-up.jsonl.gz")
    with SkillStore.open(Path(home, "store"), embedder=HashingEmbedder(), chroma=False) as store:
        begun = time.perf_counter()
        result: Any
        if name == "import":
            result = store.histories.import_from(file).imported
        elif name == "stats":
            result = store.histories.stats().retrain
        else:
            result = store.histories.export_to(Path(home, "out.parquet"))
        seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"step": name, "seconds": round(seconds, 2), "peak_mib": round(peak), "result": result}


def at_size(count: int, siblings: int) -> list[dict[str, Any]]:
    a_lineage = A_LINEAGE + siblings * CANDIDATES
    with tempfile.TemporaryDirectory() as home:
        columns.write(Path(home, "made-up.jsonl.gz"), made_up(count // a_lineage, siblings))
        done = []
        for name in ("import", "stats", "export"):
            command = [sys.executable, __file__, "--step", name, "--home", home]
            ran = subprocess.run(command, check=True, capture_output=True, text=True)
            done.append(json.loads(ran.stdout))
            print(done[-1])
        return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rollouts", type=int)
    parser.add_argument("--siblings", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--home", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(json.dumps(step(given.step, given.home)))
        return
    if given.data is None and given.rollouts is None:
        parser.error("give --data DIR, --rollouts N, or both")
    figures: dict[str, Any] = {}
    for name in LOGS if given.data else ():
        if (given.data / name).exists():
            figures[name] = imported(given.data / name)
            shown = {key: value for key, value in figures[name].items() if key != "mean_reward"}
            print(f"{name}: {shown}")
    if given.data and not figures:
        parser.error(f"{given.data} holds none of {', '.join(LOGS)}")
    if given.rollouts:
        figures["at_size"] = at_size(given.rollouts, given.siblings)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
