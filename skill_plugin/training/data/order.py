"""Order of the groups, and the learning rate: both follow from a step's number, so that a resumed run repeats them."""

import math
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from skill_plugin.training.data.survey import Survey
from skill_plugin.training.settings import TrainSettings

LARGEST, STEPS = 8, 8


@dataclass(frozen=True, slots=True)
class Order:
    """The places of `groups` groups in `epochs` passes, each in a random order of its own.

    Args:
        groups: Number of groups.
        epochs: Passes over the groups.
        size: Groups of a step; an epoch that has fewer is one step.
        seed: Seed of the order.
    """

    groups: int
    epochs: int
    size: int
    seed: int

    @property
    def steps(self) -> int:
        return math.ceil(self.groups * self.epochs / self._size) if self.groups else 0

    @property
    def _size(self) -> int:
        return min(self.size, self.groups)  # a group twice in a step would count like once

    def step(self, number: int) -> list[int]:
        """Returns the places of one step, numbered from 0; the last step may have fewer."""
        positions = range(number * self._size, min((number + 1) * self._size, self.groups * self.epochs))
        return [_epoch(self.groups, self.seed, at // self.groups)[at % self.groups] for at in positions]


def orders(surveyed: Survey, settings: TrainSettings) -> tuple[Order, Order]:
    """Returns the orders of the supervised warm start and of the training after it."""
    imitated, groups, seed = len(surveyed.accepted), len(surveyed.places), settings.seed
    return (
        Order(imitated, settings.sft_epochs, settings.groups_per_step or fitting_size(imitated), seed),
        Order(groups, settings.epochs, settings.groups_per_step or fitting_size(groups), seed),
    )


def fitting_size(groups: int) -> int:
    """Returns how many groups make a step where nobody says: at most `LARGEST`, and few enough for `STEPS` steps in a pass."""
    return max(1, min(LARGEST, groups // STEPS))


@lru_cache(maxsize=2)
def _epoch(groups: int, seed: int, number: int) -> list[int]:
    places = list(range(groups))
    Random(f"{seed} {number}").shuffle(places)  # noqa: S311 - an order, and the same on every machine
    return places


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Returns a rate that rises linearly over the warm-up, then falls to 0 as a cosine.

    The cosine is that of Loshchilov and Hutter, arXiv:1608.03983.

    Args:
        step: The step's number, from 0.
        steps: Number of all steps of the run.
        settings: The highest rate, and the warm-up's share of the steps.
    """
    warm = math.ceil(settings.warmup * steps)
    if step < warm:
        return settings.learning_rate * ((step + 1) / warm)
    done = (step - warm) / max(1, steps - warm)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
