"""Worth of the candidates of one prompt: all judged by the same sibling tasks, or all by their own task alone.

    R(c)    = (1 - w) R_own(c) + w R_later(c) + bonus(c), see `credit`
    gain(c) = R(c) - R(parent) on the same tasks
            = (1 - w) (R_own(c) - mean_p previous(p)) + w mean_j (R_j(c) - before_j) + bonus(c)

`R_j(c)` is the mean reward of the text on the sibling j, `before_j` that of the text that it revises, on the same
sibling. With w = 0, or without enough siblings, that is Skill-R1's inter-generation term (arXiv:2605.09359). A parent's
bonus is taken to be 0, because a text that solves its task is not revised.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple, TypeVar

from skill_plugin.credit import LEAST_SIBLINGS, Credit, text_reward
from skill_plugin.histories.eligibility import NEGLIGIBLE

T = TypeVar("T")


class Later(NamedTuple):
    """A text's rewards on one sibling task.

    Args:
        task: The sibling's content hash.
        rewards: Rewards under the text, shape [K].
        before: Rewards under its parent, or under no skill if it has none, shape [K_before].
        none: Rewards under no skill, shape [K_none].
        used: The share of its rollouts that followed the text; None where nobody judged that.
    """

    task: str
    rewards: tuple[float, ...]
    before: tuple[float, ...] = ()
    none: tuple[float, ...] = ()
    used: float | None = None


class CandidateRewards(NamedTuple):
    """A candidate's rewards on its own task (`own`, shape [K]) and on siblings.

    `fixed` is the worth of a malformed text, whatever the tasks; it is None for a text that was tried.
    """

    own: Sequence[float]
    later: Sequence[Later] = ()
    fixed: float | None = None


class Worth(NamedTuple):
    """The worth of a candidate.

    Args:
        reward: R(c); None if the text was not judged on the tasks that its group is compared on.
        gain: R(c) - R(parent); None if nothing is known of the parent.
        rollouts: Number of rewards that R(c) is made of; 1 for a malformed text.
    """

    reward: float | None = None
    gain: float | None = None
    rollouts: int = 0


class Worths(NamedTuple):
    """The candidates of one prompt, and the sibling tasks that they are compared on; empty for their own task alone."""

    candidates: tuple[Worth, ...]
    siblings: tuple[str, ...]


def worths_of(candidates: Sequence[CandidateRewards], previous: Sequence[float], credit: Credit) -> Worths:
    """Returns the worth of each candidate of one prompt, shape [C].

    All are compared on the same tasks: on the siblings that every candidate with `LEAST_SIBLINGS` or more judged
    siblings has, if they are at least so many, else on their own task. A candidate without those siblings is left out:
    judged by its own task, it could be the one that holds the answer.

    Args:
        candidates: Their rewards, shape [C].
        previous: All rewards of the generation before on the task that the texts were written from, shape [P].
        credit: The weights.
    """
    siblings = _common(candidates, credit)
    if not siblings:
        return Worths(tuple(_by_own(one, previous) for one in candidates), ())
    before = {
        later.task: fmean(later.before)
        for one in candidates
        for later in one.later
        if later.task in siblings and later.before
    }
    return Worths(tuple(_by_siblings(one, siblings, before, previous, credit) for one in candidates), siblings)


def last_tried(tried: Mapping[int, Sequence[T]], generation: int) -> Sequence[T]:
    """Returns a text's rollouts in a generation, or if it was not tried again, in the last one before that tried it.

    Args:
        tried: Its rollouts on its own task by generation.
        generation: The generation that it was written in.
    """
    return tried[max(known)] if (known := [number for number in tried if number <= generation]) else ()


def has_signal(candidates: Sequence[Worth]) -> bool:
    """Returns whether a group says anything about which text is better: `R(c) - mean_c R(c) + gain(c)` is not 0 for some c."""
    known = [one.reward for one in candidates if one.reward is not None]
    mean = fmean(known) if known else 0.0
    return any(abs(one.reward - mean + (one.gain or 0.0)) > NEGLIGIBLE for one in candidates if one.reward is not None)


def _common(candidates: Sequence[CandidateRewards], credit: Credit) -> tuple[str, ...]:
    """Returns the siblings that all candidates are compared on."""
    if not credit.later_weight and not credit.bonus:
        return ()
    judged = [{later.task for later in one.later if later.rewards} for one in candidates if one.fixed is None]
    enough = [tasks for tasks in judged if len(tasks) >= LEAST_SIBLINGS]
    common = set.intersection(*enough) if enough else set()
    return tuple(sorted(common)) if len(common) >= LEAST_SIBLINGS else ()


def _by_own(one: CandidateRewards, previous: Sequence[float]) -> Worth:
    if one.fixed is None and not one.own:
        return Worth()
    reward = fmean(one.own) if one.fixed is None else one.fixed
    return Worth(reward, reward - fmean(previous) if previous else None, 1 if one.fixed is not None else len(one.own))


def _by_siblings(
    one: CandidateRewards,
    siblings: Sequence[str],
    before: Mapping[str, float],
    previous: Sequence[float],
    credit: Credit,
) -> Worth:
    weight = credit.later_weight
    later = {each.task: each for each in one.later if each.rewards}
    if one.fixed is not None:
        own, on_sibling, reward, rollouts = one.fixed, dict.fromkeys(siblings, one.fixed), one.fixed, 1
        bonus = 0.0
    elif any(task not in later for task in siblings) or (weight < 1 and not one.own):
        return Worth()
    else:
        shown = [later[task] for task in siblings]
        own = fmean(one.own) if one.own else 0.0
        on_sibling = {each.task: fmean(each.rewards) for each in shown}
        rewards = [each.rewards for each in shown]
        plain = text_reward(one.own, rewards, Credit(weight))
        found = text_reward(one.own, rewards, credit, used=_used(shown))
        assert plain is not None and found is not None  # noqa: S101, PT018 - there are rewards
        reward, bonus = found, found - plain
        rollouts = sum(map(len, rewards)) + (len(one.own) if weight < 1 else 0)
    differences = [
        *([(1 - weight) * (own - fmean(previous))] if previous and weight < 1 else []),
        *([weight * fmean(on_sibling[task] - mean for task, mean in before.items())] if before and weight > 0 else []),
    ]
    return Worth(reward, sum(differences) + bonus if differences else None, rollouts)


def _used(shown: Sequence[Later]) -> float:
    """Returns the share of rollouts on siblings that followed the text, of those that were judged for that."""
    known = [(each.used, len(each.rewards)) for each in shown if each.used is not None]
    return sum(used * count for used, count in known) / sum(count for _, count in known) if known else 0.0
