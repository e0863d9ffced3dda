"""A proof that a convention is learned that one held-out task in twenty shows. Not run itself.

One family of benchmarks/conventions.py, where `deadline` is the rare field: 3 of 30 train tasks need it, 1 of 20 held-out tasks, and 5 of 20
unseen ones; each other task needs two of the other five. The held-out task that shows it is not among the eight with the lowest content
hashes: a gate that always asks the same eight would never see it. `evolve` runs over the same tasks, pass after pass, until the live
library solves every unseen task.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from conventions import FIELDS, House, task
from passes import ours
from serving import Options, facts, luck

from skill_plugin.records import Task

PAPER, RARE, FIRST = "invoice", "deadline", 8


def rare_house(seed: int, *, train: int = 30, heldout: int = 20, unseen: int = 20) -> House:
    """Draws tasks: a tenth of the train ones, one held-out one and a quarter of the unseen ones need the rare field."""
    draw = luck(seed)
    numbers = iter(draw.sample(range(1000, 10000), train + heldout + unseen + 200))

    def drawn(rare: bool, split: str) -> Task:
        common = [name for name in FIELDS[PAPER] if name != RARE]
        names = draw.sample(common, 2)
        return task(seed, next(numbers), PAPER, [RARE, names[0]] if rare else names, split)

    def part(count: int, rare: int, split: str) -> tuple[Task, ...]:
        tasks = [drawn(place < rare, split) for place in range(count)]
        draw.shuffle(tasks)
        return tuple(tasks)

    others = part(heldout - 1, 0, "heldout")
    late = sorted(one.content_hash for one in others)[min(FIRST, len(others)) - 1]
    shows = next(one for _ in range(200) if (one := drawn(True, "heldout")).content_hash > late)
    return House(part(train, train // 10, "train"), (*others, shows), part(unseen, unseen // 4, "heldout"))


def rare_convention(options: Options, *, passes: int = 5, sizes: Sequence[int] = (30, 20, 20)) -> dict[str, Any]:
    """Counts the runs in which the rare convention was learned, their passes and their calls."""
    train, heldout, unseen = sizes
    runs = []
    for seed in range(options.seeds or 10):
        world = rare_house(seed, train=train, heldout=heldout, unseen=unseen)
        runs.append(ours(world, error=0.0, seed=seed, settings=options.settings(), passes=passes))
        print(f"  judges {seed}: {runs[-1]}", flush=True)
    learned = [run for run in runs if run["solved"]]
    return facts(
        learned=len(learned),
        of=len(runs),
        passes=[run["passes"] for run in runs],
        solved_share=fmean(run["share"] for run in runs),
        calls=fmean(run["calls"] for run in runs),
    )
