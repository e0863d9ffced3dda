"""Lift, which says whether a skill helps: reward with it minus reward of paired control rollouts, with an interval.

Both intervals are 95 % and come from adding a few imagined observations, which keeps them honest where all rewards agree:
half a pair of each kind for pairs (Agresti and Min, 2005), one success and one failure for each of two unpaired groups
(Agresti and Caffo, 2000). For graded rewards the second overstates the variance, so its interval is rather too wide.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, NamedTuple, Self

from sqlalchemy import and_, bindparam, select, union_all
from sqlmodel import Session, col

from skill_plugin.store.sql.database import fetch
from skill_plugin.store.tables import RolloutRow, SharedUseRow

WINDOW = 1000
"""Rollouts of each kind that are looked back on, newest first."""

ENOUGH = 5
"""Pairs, or rollouts in each of two groups, from which there is a lift at all."""

Z_95 = 1.96

_ROLLOUT_KEY = ("namespace", "run_id", "generation", "k")


@dataclass(frozen=True)
class Lift:
    """`value` in [-1, 1] with its 95 % interval; None where there is too little to compare.

    `pairs` counts tasks that were done both ways, `uses` and `controls` single rollouts.
    """

    method: Literal["paired", "control", "none"]
    uses: int
    controls: int
    pairs: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def sentence(self) -> str:
        """A sentence for a person: whether the skill helps, and how sure that is."""
        if self.value is None or self.low is None or self.high is None:
            compared = f"{self.uses} credited uses and {self.controls} control rollouts"
            return f"Not known whether it helps: {compared} are too few to compare."
        basis = (
            f"{self.pairs} tasks done both ways"
            if self.method == "paired"
            else (f"{self.uses} uses and {self.controls} runs that withheld it")
        )
        verdict = "It helps" if self.low > 0 else "It harms" if self.high < 0 else "No sure effect"
        return f"{verdict}: {self.value:+.2f} reward (95 % interval {self.low:+.2f} to {self.high:+.2f}) over {basis}."


class Sample(NamedTuple):
    """The number of rewards in [0, 1], and their sum."""

    number: int
    total: float

    @classmethod
    def of(cls, rewards: Sequence[float]) -> Self:
        return cls(len(rewards), math.fsum(rewards))

    @property
    def mean(self) -> float:
        return self.total / self.number


_CREDITED = select(col(RolloutRow.id), col(RolloutRow.task_id), col(RolloutRow.reward))
_FIRST = _CREDITED.where(col(RolloutRow.skill_id) == bindparam("skill_id"), col(RolloutRow.credited).is_(True))
_FURTHER = _CREDITED.join(
    SharedUseRow,
    and_(*(col(getattr(SharedUseRow, key)) == col(getattr(RolloutRow, key)) for key in _ROLLOUT_KEY)),
).where(col(SharedUseRow.skill_id) == bindparam("skill_id"), col(SharedUseRow.credited).is_(True))
_EITHER = union_all(_FIRST, _FURTHER).subquery()
_USES = select(_EITHER.c.task_id, _EITHER.c.reward).order_by(_EITHER.c.id.desc()).limit(WINDOW)
_WITHHELD = (
    select(col(RolloutRow.task_id), col(RolloutRow.reward))
    .where(
        col(RolloutRow.withheld_skill_id) == bindparam("skill_id"),
        col(RolloutRow.reward).is_not(None),
        col(RolloutRow.source).is_(None),  # another system's agent is not a control of ours
    )
    .order_by(col(RolloutRow.id).desc())
    .limit(WINDOW)
)
_CONTROLS = select(col(RolloutRow.task_id), col(RolloutRow.reward)).where(
    col(RolloutRow.namespace) == bindparam("namespace"),
    col(RolloutRow.task_id).in_(bindparam("task_ids", expanding=True)),
    col(RolloutRow.arm) == "control",
    col(RolloutRow.reward).is_not(None),
    col(RolloutRow.source).is_(None),
)


def lift_of(session: Session, namespace: str, skill_id: str) -> Lift:
    """Measures the lift of a skill, from its credited uses: never on the task that it was written from.

    Where further skills were shown with it, their effect is a part of it: a control rollout had none of them.
    """
    uses = fetch(session, _USES, skill_id=skill_id)
    withheld = fetch(session, _WITHHELD, skill_id=skill_id)
    controls = fetch(session, _CONTROLS, namespace=namespace, task_ids=sorted({task_id for task_id, _ in uses}))
    pairs = _pairs(uses, controls)
    if len(pairs) >= ENOUGH:
        value, low, high = paired_interval(pairs)
        return Lift("paired", len(uses), len(controls), len(pairs), value, low, high)
    if min(len(uses), len(withheld)) >= ENOUGH:
        value, low, high = unpaired_interval([reward for _, reward in uses], [reward for _, reward in withheld])
        return Lift("control", len(uses), len(withheld), len(pairs), value, low, high)
    return Lift("none", len(uses), max(len(withheld), len(controls)), len(pairs))


def paired_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Returns the mean difference and its interval, from differences in [-1, 1], shape [pairs]."""
    count = len(differences) + 2
    mean = sum(differences) / count
    variance = (sum(value * value for value in differences) + 1) / count - mean * mean
    half = Z_95 * math.sqrt(max(variance, 0.0) / count)
    return fmean(differences), max(-1.0, mean - half), min(1.0, mean + half)


def unpaired_interval(
    treated: Sequence[float], control: Sequence[float], *, z: float = Z_95
) -> tuple[float, float, float]:
    """Returns the difference of means and its interval, from rewards in [0, 1], shapes [uses] and [controls].

    `z` is the normal quantile of the interval.
    """
    return interval_of_samples(Sample.of(treated), Sample.of(control), z=z)


def interval_of_samples(treated: Sample, control: Sample, *, z: float = Z_95) -> tuple[float, float, float]:
    """Returns what `unpaired_interval` does, where only counts and sums are known."""
    means, variance = [], 0.0
    for sample in (treated, control):
        count = sample.number + 2
        mean = (sample.total + 1) / count
        means.append(mean)
        variance += mean * (1 - mean) / count
    middle, half = means[0] - means[1], z * math.sqrt(variance)
    return treated.mean - control.mean, max(-1.0, middle - half), min(1.0, middle + half)


def _pairs(uses: Sequence[tuple[str, float]], controls: Sequence[tuple[str, float]]) -> list[float]:
    with_skill, without = _by_task(uses), _by_task(controls)
    return [fmean(with_skill[task]) - fmean(without[task]) for task in with_skill.keys() & without.keys()]


def _by_task(rollouts: Sequence[tuple[str, float]]) -> dict[str, list[float]]:
    rewards: dict[str, list[float]] = {}
    for task_id, reward in rollouts:
        rewards.setdefault(task_id, []).append(reward)
    return rewards
