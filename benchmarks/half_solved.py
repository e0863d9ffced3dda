"""Groups with signal for the same calls, by the order of tasks: a simulation with the product's own order.

    python benchmarks/half_solved.py [--seeds 20] [--nights 10] [--tasks 200] [--reached 0.25] [--rollouts 4] [--json OUT]

A task has a chance that a rollout under a fresh candidate passes: 4 tasks in 10 have 0, 4 have 1, and 2 anything between .1 and .9
(`--between`). A night's budget reaches a quarter of the tasks (`--reached`); each is given one group of C = 4 candidates with K = 4
rollouts each. A group has signal where its candidates' mean rewards differ: others train nothing. Then skills move: in each
family in which a group had signal, with a chance of .3 one half-solved task is solved from then on, and one that never passed
becomes half solved (a stepping stone).

Orders: `file` is that of the file, so the same tasks every night; `uniform` is drawn anew each night; `half-solved` is
`skill_plugin.tasks.curriculum.order_tasks` with what the nights before recorded. All spend the same calls. Reported: the share of groups
with signal over all nights, and how many tasks that never passed were moved, mean over seeds with its 95 % interval. Target:
half-solved has at least 1.3 times the share of uniform.
"""

import argparse
import json
import random
from collections import Counter, defaultdict
from pathlib import Path
from statistics import fmean, stdev

from skill_plugin.records import Task
from skill_plugin.tasks.curriculum import TaskRecord, order_tasks

CANDIDATES = 4
RECENT = 20
MOVES = 0.3
ORDERS = ("file", "uniform", "half-solved")
FAMILIES = 10


class World:
    """Tasks with their chances, and what was recorded of them."""

    def __init__(self, tasks: int, between: float, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - it has to be repeatable
        self.tasks = [
            Task(f"task {number}", family=f"family {number % FAMILIES}", split="train") for number in range(tasks)
        ]
        kinds = [0.0] * round(tasks * (1 - between) / 2) + [1.0] * round(tasks * (1 - between) / 2)
        rates = kinds + [self.chance.uniform(0.1, 0.9) for _ in range(tasks - len(kinds))]
        self.chance.shuffle(rates)
        self.rates = {task.id: rate for task, rate in zip(self.tasks, rates, strict=True)}
        self.tries: defaultdict[str, list[bool]] = defaultdict(list)
        self.moved_after: Counter[str] = Counter()
        self.tried_after: Counter[str] = Counter()
        self.stepped = 0

    def records(self) -> dict[str, TaskRecord]:
        return {
            task.content_hash: TaskRecord(
                passes=sum(tries[-RECENT:]),
                tries=len(tries[-RECENT:]),
                moved=self.moved_after[task.family] > self.tried_after[task.id],
            )
            for task in self.tasks
            if (tries := self.tries[task.id])
        }

    def night(self, order: str, number: int, reached: int, rollouts: int) -> int:
        """Runs a night; returns how many of its groups had signal."""
        tasks = list(self.tasks)
        if order == "uniform":
            self.chance.shuffle(tasks)
        elif order == "half-solved":
            tasks = order_tasks(tasks, self.records(), f"night {number}")
        signal, families = 0, set()
        for task in tasks[:reached]:
            rewards = set()
            for _ in range(CANDIDATES):
                passed = [self.chance.random() < self.rates[task.id] for _ in range(rollouts)]
                self.tries[task.id] += passed
                rewards.add(sum(passed))
            self.tried_after[task.id] = 2 * number
            if len(rewards) > 1:
                signal += 1
                families.add(task.family)
        for family in sorted(families):
            if self.chance.random() < MOVES:
                self._moves(family, 2 * number + 1)
        return signal

    def _moves(self, family: str, at: int) -> None:
        self.moved_after[family] = at
        own = [task.id for task in self.tasks if task.family == family]
        if half := [one for one in own if 0 < self.rates[one] < 1]:
            self.rates[self.chance.choice(half)] = 1.0
        if never := [one for one in own if self.rates[one] == 0]:
            self.rates[self.chance.choice(never)] = self.chance.uniform(0.1, 0.9)
            self.stepped += 1


def run(order: str, seed: int, arguments: argparse.Namespace) -> tuple[float, int]:
    """Runs all nights; returns the share of groups with signal, and how many tasks that never passed were moved."""
    world = World(arguments.tasks, arguments.between, seed)
    reached = round(arguments.tasks * arguments.reached)
    signal = sum(world.night(order, number, reached, arguments.rollouts) for number in range(arguments.nights))
    return signal / (reached * arguments.nights), world.stepped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--nights", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--reached", type=float, default=0.25, help="share of the tasks that a night's budget reaches")
    parser.add_argument("--rollouts", type=int, default=4, help="of each candidate")
    parser.add_argument("--between", type=float, default=0.2, help="share of the tasks that are neither 0 nor 1")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows, uniform = {}, 0.0
    print(f"{'order':14}{'groups with signal':>24}{'of uniform':>12}{'moved':>8}")
    for order in ORDERS:
        shares, moved = zip(*(run(order, seed, arguments) for seed in range(arguments.seeds)), strict=True)
        half = 1.96 * stdev(shares) / len(shares) ** 0.5 if len(shares) > 1 else 0.0
        rows[order] = {"share": fmean(shares), "half_95": half, "moved": fmean(moved)}
        uniform = rows[order]["share"] if order == "uniform" else uniform
    for order, row in rows.items():
        shown = f"{row['share']:.3f} +-{row['half_95']:.3f}"
        print(f"{order:14}{shown:>24}{row['share'] / uniform:>12.2f}{row['moved']:>8.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"settings": {**vars(arguments), "json": None}, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
