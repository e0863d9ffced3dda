"""Credit of a text: its rewards on its own task and on the tasks that come next, and the choice of those tasks.

    R_own(c)   = mean_k r(x0, c, k)
    R_later(c) = mean_j mean_k r(xj, c, k),  j = 1..m siblings
    R(c)       = (1 - w) R_own(c) + w R_later(c) + b [R_own(c) = 1 and R_later(c) > 0 and used(c) > 0]

`skill-r1` (w = 0, b = 0) counts only the task that the text was written from (Skill-R1, arXiv:2605.09359);
`evolving-rl` (1, 0) never counts it, so that a text that holds its answer earns nothing (Evolving-RL); `sage` (.5, .5)
counts both, with a bonus for a function that was used (SAGE, arXiv:2512.17102, in shape: the size of its bonus is not
published).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Annotated

from skill_plugin.errors import ConfigurationError
from skill_plugin.limits import AT_LEAST_0, SHARE, check_fields
from skill_plugin.records import Task

DEFAULT_CREDIT = "evolving-rl"

LEAST_SIBLINGS = 2
"""With fewer siblings that have a verdict a text is worth what its own task says."""

FOLLOWED = 0.5
"""A rollout with this adherence or more used the text."""

LEAST_COSINE, MOST_COSINE = 0.3, 0.95
"""Siblings are about the same kind of thing (SkillOS keeps 0.30 to 0.85) and are not copies of the task."""


@dataclass(frozen=True, slots=True)
class Credit:
    """Weights by which a text's reward is made of its own task's rewards and its siblings'.

    Args:
        later_weight: w, from 0 to 1.
        bonus: b, from 0.

    Raises:
        ConfigurationError: a number is outside its range.
    """

    later_weight: Annotated[float, SHARE] = 1.0
    bonus: Annotated[float, AT_LEAST_0] = 0.0

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def of(cls, name: "str | Credit") -> "Credit":
        """Returns the credit with this name, or the object itself.

        Raises:
            ConfigurationError: no credit has this name.
        """
        if isinstance(name, Credit):
            return name
        if name not in CREDITS:
            raise ConfigurationError(f"{name!r} is not a way to credit a text; use one of {', '.join(CREDITS)}")
        return CREDITS[name]


CREDITS: Mapping[str, Credit] = {
    "skill-r1": Credit(0.0, 0.0),
    "evolving-rl": Credit(1.0, 0.0),
    "sage": Credit(0.5, 0.5),
}


def text_reward(
    own: Sequence[float], later: Sequence[Sequence[float]], credit: Credit, *, used: float = 0.0
) -> float | None:
    """Returns R(c); None where nothing has a verdict.

    Args:
        own: Rewards on the task that the text was written from, shape [K].
        later: Rewards on its siblings, shape [m][K_j]; a sibling without a verdict is left out.
        credit: The weights.
        used: The share of the siblings' rollouts that used a function of the text.
    """
    judged = [fmean(rewards) for rewards in later if rewards]
    if len(judged) < LEAST_SIBLINGS:
        return fmean(own) if own else None
    r_later, weight = fmean(judged), credit.later_weight
    if not own:
        return r_later if weight > 0 else None
    r_own = fmean(own)
    earned = credit.bonus if r_own >= 1 and r_later > 0 and used > 0 else 0.0
    return (1 - weight) * r_own + weight * r_later + earned


def siblings(task: Task, tasks: Sequence[Task], cosine: Callable[[Task], float], most: int) -> list[Task]:
    """Returns the tasks that judge a text that was written for `task`: at most `most` other `train` tasks of its family.

    In a chain those are the tasks that follow it. Elsewhere content hashes order the family's tasks, and the first ones whose
    cosine to `task` is in `[LEAST_COSINE, MOST_COSINE]` are taken, so that every candidate is judged by the same ones on every
    machine.

    Args:
        task: The task that the text was written from.
        tasks: All tasks; those that cannot judge are passed over.
        cosine: Cosine of a task's input to the input of `task`; asked for as few tasks as possible.
        most: The largest number of tasks to return.
    """
    others = [
        one
        for one in tasks
        if one.split == "train" and one.family == task.family and one.content_hash != task.content_hash
    ]
    if task.chain is not None:
        following = [one for one in others if one.chain == task.chain and (one.position or 0) > (task.position or 0)]
        return sorted(following, key=lambda one: one.position or 0)[:most]
    in_order = sorted(others, key=lambda one: one.content_hash)
    return list(islice((one for one in in_order if LEAST_COSINE <= cosine(one) <= MOST_COSINE), most))
