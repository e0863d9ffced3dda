"""The order of tasks, so that a budget that does not reach all of them is spent where there is most to learn.

A group of candidates teaches nothing if all of them pass, and nothing if none does. A task that is passed about half of
the time teaches most: p (1 - p) is the variance of a verdict (SEIF, Agent0).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skill_plugin.records import Task
from skill_plugin.tasks.drawing import waiting_time

UNIFORM = 0.1
"""The share of the draw that goes to all tasks equally, so that none is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """Recent results of a task.

    Args:
        passes: Number of the newest rollouts that passed.
        tries: Number of them that had a verdict.
        moved: Whether a text of its family went live after the newest of them.
    """

    passes: int = 0
    tries: int = 0
    moved: bool = False

    @property
    def pass_rate(self) -> float:
        """p, estimated as (passes + 1) / (tries + 2), Laplace's rule of succession.

        A task that never passed counts as new once its family's skills have moved, because a neighbour's skill may be
        the stepping stone (SOAR).
        """
        if self.moved and self.passes == 0:
            return 0.5
        return (self.passes + 1) / (self.tries + 2)


def order_tasks(tasks: Sequence[Task], records: Mapping[str, TaskRecord], seed: str) -> list[Task]:
    """Returns the tasks in the order in which they are drawn, those first that are about half solved.

    A task's chance to be drawn next is 0.9 of its share of p (1 - p), and 0.1 of a share that is equal for all. The
    order matters if the budget ends before the tasks do, and for what the later ones see of the earlier ones'
    promotions.

    Args:
        tasks: Tasks to be ordered.
        records: Their results, by `Task.content_hash`; a task that is not in it was never tried, and its p is 1/2.
        seed: Seed of the draw: the same one draws the same order on every machine.
    """
    rates = {task.content_hash: records.get(task.content_hash, TaskRecord()).pass_rate for task in tasks}
    total = sum(rate * (1 - rate) for rate in rates.values())

    def wait(task: Task) -> float:
        rate = rates[task.content_hash]
        weight = (1 - UNIFORM) * rate * (1 - rate) / total + UNIFORM / len(rates)
        return waiting_time(seed, task.content_hash, weight)

    return sorted(tasks, key=wait)
