"""The draw of held-out tasks that judge a decision: anew for each, preferring those that no decision has covered.

If the first few tasks of a fixed order always judged, a skill that only the other tasks need would never go live.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from statistics import fmean

from skill_plugin.records import Task
from skill_plugin.tasks.drawing import waiting_time


def draw_judges(tasks: Sequence[Task], n: int, covered: Mapping[str, int], seed: str) -> list[Task]:
    """Draws up to `n` tasks, the families in turn, without putting any back (see `drawing`).

    A task that `c` decisions have covered has the weight 1 / (1 + c), and a family the same of the mean `c` of its tasks.

    Args:
        tasks: Tasks to draw from, in any order. Tasks that ask the same question count once.
        n: The most tasks to draw.
        covered: How many decisions each task has judged, by `Task.content_hash`; a task that is not in it has judged
            none.
        seed: Names the decision. The same one draws the same tasks on every machine.

    Returns:
        The drawn tasks, in the order in which they were drawn.
    """
    families: defaultdict[str, dict[str, Task]] = defaultdict(dict)
    for task in tasks:
        families[task.family].setdefault(task.content_hash, task)

    def wait(what: str, times: float) -> float:
        return waiting_time(seed, what, 1 / (1 + times))

    def turn(family: str) -> float:
        return wait(f"family {family}", fmean(covered.get(one, 0) for one in families[family]))

    drawn = [
        sorted(families[name].values(), key=lambda task: wait(task.content_hash, covered.get(task.content_hash, 0)))
        for name in sorted(families, key=turn)
    ]
    in_turn = (task for task in chain.from_iterable(zip_longest(*drawn)) if task is not None)
    return [task for task, _ in zip(in_turn, range(n), strict=False)]
