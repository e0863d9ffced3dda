"""Many processes that credit one skill at once: whether any update is lost, and how many a second there are.

    python benchmarks/utility_updates.py [--processes 8] [--updates 1000] [--json OUT]

Each process calls `store.runs.record` with one rollout of the same skill and a run id of its own, so each update is a transaction
of its own with its fsync. Then: uses must be exactly processes x updates, wins the passed ones, and utility the value of a
serial replay of the rewards in the order of the rollouts' ids, to the last bit (for the skill and for its version).
"""

import argparse
import json
import multiprocessing
import random
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from skill_plugin import Rollout, Task
from skill_plugin.embedders import HashingEmbedder
from skill_plugin.store import SkillStore

RATE = 0.05


def work(home: str, ref: str, worker: int, updates: int, ready: Any) -> None:
    chance = random.Random(worker)  # noqa: S311 - it has to be repeatable
    with SkillStore.open(home, embedder=HashingEmbedder(), chroma=False) as store:
        task = Task(f"add {worker}")
        ready.wait(120)
        for number in range(updates):
            reward = chance.random()
            used = Rollout(generation=0, answer="4", skill=ref, reward=reward, passed=reward > 0.5)
            store.runs.record(task, [used], run_id=f"{worker}-{number}")


def replayed(path: Path) -> tuple[float, int, int]:
    utility, uses, wins = -1.0, 0, 0
    with closing(sqlite3.connect(path)) as connection:
        for reward, passed in connection.execute(
            "SELECT reward, passed FROM skillp_rollout WHERE credited ORDER BY id"
        ):
            uses, wins = uses + 1, wins + passed
            rate = 1 / uses if uses < 1 / RATE else RATE
            utility = utility + rate * (reward - utility) if uses > 1 else reward
    return utility, uses, wins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        with SkillStore.open(folder, embedder=HashingEmbedder(), chroma=False) as store:
            ref = store.add(name="adding", description="How to add", body="Add.").ref
        ready = context.Barrier(arguments.processes + 1)
        processes = [
            context.Process(target=work, args=(folder, ref, worker, arguments.updates, ready))
            for worker in range(arguments.processes)
        ]
        for process in processes:
            process.start()
        ready.wait(120)
        begun = time.perf_counter()
        for process in processes:
            process.join()
        seconds = time.perf_counter() - begun
        path = Path(folder, "skills.db")
        with closing(sqlite3.connect(path)) as connection:
            skill, version = (
                connection.execute(f"SELECT utility, uses, wins FROM {table}").fetchone()  # noqa: S608 - ours
                for table in ("skillp_skill", "skillp_skill_version")
            )
        serial = replayed(path)
    figures = {
        "processes": arguments.processes,
        "updates": arguments.processes * arguments.updates,
        "counted": skill[1],
        "lost": arguments.processes * arguments.updates - skill[1],
        "failed_processes": sum(process.exitcode != 0 for process in processes),
        "utility": skill[0],
        "equals_a_serial_replay": skill == version == serial,
        "updates_per_s": round(skill[1] / seconds),
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
