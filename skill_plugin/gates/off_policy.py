"""Off-policy estimate: a generator's value on revisions that another one wrote, from logs, with an interval.

Each logged revision i has its log-probability (summed over its tokens, at the temperature that it was sampled at) under the
policy that wrote it, b, and under the one that is judged, pi. With `w_i = min(exp(log pi_i - log b_i), cap)`:

    value(pi) = sum_i w_i A_i / sum_i w_i        self-normalised (Swaminathan and Joachims, NeurIPS 2015)
    ESS(pi)   = (sum_i w_i)^2 / sum_i w_i^2      effective sample size (Kong, 1992, technical report 348, Chicago)

The cap trades variance for bias (truncated importance sampling: Ionides, J. Comput. Graph. Stat. 17(2), 2008). Dividing by the
sum of the weights keeps a value among the advantages that were seen, and removes the reward of merely making all logged
texts likelier.

A_i is the reward less the mean of its group's *other* revisions. Rewards of different tasks differ more by the task
than by the text; with its group's mean subtracted a reward says only how good the text was for its prompt. The
revision's own reward is left out of that mean because it would pull the value of every policy towards 0 by a factor
(C - 1) / C, and by another one in groups of another size. So a value is in units of reward, and 0 is the value of the
policies that wrote the log.
"""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skill_plugin.errors import ConfigurationError
from skill_plugin.gates.bootstrap import DRAWS, Floats, interval
from skill_plugin.limits import ABOVE_0, AT_LEAST_1, Kind, check, check_number

MIN_ESS = 10.0
MIN_TASKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OffPolicyEstimate:
    """Values of two generators, estimated from logs.

    Args:
        revisions: Number of revisions that were used: those of groups of two or more.
        groups: Number of their groups.
        tasks: Number of their tasks, which the interval is over.
        candidate: Value of the candidate: mean reward above the logged policies'.
        live: Value of the live generator, in the same units.
        gain: candidate - live.
        low: Lower end of the gain's 95 % interval.
        high: Upper end of that interval.
        candidate_ess: Effective sample size of the candidate's value, in revisions.
        live_ess: Effective sample size of the live generator's value, in revisions.
        capped: Share of the candidate's weights that were cut to the cap.
    """

    revisions: int
    groups: int
    tasks: int
    candidate: float
    live: float
    gain: float
    low: float
    high: float
    candidate_ess: float
    live_ess: float
    capped: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(
    logprobs_candidate: Sequence[float],
    logprobs_live: Sequence[float],
    logprobs_behaviour: Sequence[float],
    rewards: Sequence[float],
    groups: Sequence[Hashable],
    *,
    tasks: Sequence[Hashable] | None = None,
    cap: float | None = 10.0,
    seed: int = 0,
    draws: int = DRAWS,
) -> OffPolicyEstimate:
    """Estimates the candidate's and the live generator's values on held-back logged revisions, and their difference.

    The interval is a paired bootstrap over tasks (see `bootstrap`): both generators are judged on the same draw, and the
    revisions of a task, which are not independent evidence, come and go together.

    Args:
        logprobs_candidate: Log-probabilities under the candidate, summed over each revision's tokens, in nats, shape
            [revisions].
        logprobs_live: The same sums under the live generator, shape [revisions].
        logprobs_behaviour: The same sums under the policy that wrote the revision, when it did, shape [revisions].
        rewards: Mean reward of each revision's rollouts, in [0, 1], shape [revisions].
        groups: Names each revision's group: those written from the same prompt.
        tasks: Names each revision's task; None takes a group for a task.
        cap: The largest weight; None means no limit.
        seed: Seed of the bootstrap.
        draws: Number of draws of the bootstrap.

    Raises:
        ConfigurationError: the sequences differ in length, hold something that is not a number, or the cap or the draws
            are not above 0.
    """
    check("cap", cap, Kind(float, ABOVE_0, optional=True))
    check_number("draws", draws, AT_LEAST_1)
    given = {
        "logprobs_candidate": logprobs_candidate,
        "logprobs_live": logprobs_live,
        "logprobs_behaviour": logprobs_behaviour,
        "rewards": rewards,
    }
    candidate_N, live_N, behaviour_N, reward_N = (_numbers(name, given[name], len(groups)) for name in given)
    if tasks is not None and len(tasks) != len(groups):
        raise ConfigurationError(
            f"there are {len(groups)} revisions and {len(tasks)} names of tasks; give one for each"
        )
    group_N = _places(groups)
    size_N = np.bincount(group_N, minlength=1)[group_N]
    kept = size_N > 1
    if not kept.any():
        return _nothing()
    of_others_N = (np.bincount(group_N, reward_N)[group_N] - reward_N)[kept] / (size_N[kept] - 1)
    advantage_N = reward_N[kept] - of_others_N
    log_ratios = [(one - behaviour_N)[kept] for one in (candidate_N, live_N)]
    weights = [_weights(log_ratio_N, cap) for log_ratio_N in log_ratios]

    task_N = _places([one for one, used in zip(tasks or groups, kept, strict=True) if used])
    columns = [weight_N * factor for weight_N in weights for factor in (advantage_N, 1.0)]
    sums_T_4: Floats = np.stack([np.bincount(task_N, column) for column in columns], axis=1)
    values = _values(sums_T_4.sum(0))
    low, high = interval(sums_T_4, _gain, seed=seed, draws=draws)
    return OffPolicyEstimate(
        revisions=int(kept.sum()),
        groups=len(np.unique(group_N[kept])),
        tasks=len(sums_T_4),
        candidate=values[0],
        live=values[1],
        gain=values[0] - values[1],
        low=low,
        high=high,
        candidate_ess=_ess(weights[0]),
        live_ess=_ess(weights[1]),
        capped=0.0 if cap is None else float((log_ratios[0] > np.log(cap)).mean()),
    )


def verdict(found: OffPolicyEstimate, *, min_ess: float = MIN_ESS, min_tasks: int = MIN_TASKS) -> tuple[bool, str]:
    """Returns whether the logs alone are reason enough to promote the candidate, and the reason.

    They are only if the gain's whole interval lies above 0, both values rest on enough effective revisions, and those
    come from enough tasks. If one of these fails the logs do not say that the candidate is worse; they do not say
    enough.

    Args:
        found: The estimate.
        min_ess: The smallest effective sample size of either value.
        min_tasks: The fewest tasks; an interval over two or three tasks is too narrow.
    """
    if found.revisions == 0:
        return False, "no held-back group of two or more logged revisions to judge it by"
    if found.tasks < min_tasks:
        return False, f"the held-back revisions are of {found.tasks} tasks, which is fewer than {min_tasks}"
    for name, ess in (("candidate", found.candidate_ess), ("live generator", found.live_ess)):
        if ess < min_ess:
            return False, (
                f"the logs say too little of the {name}: {found.revisions} revisions count as {ess:.1f}, "
                f"which is fewer than {min_ess:g}"
            )
    shown = f"{found.gain:+.3f} [{found.low:+.3f}, {found.high:+.3f}] over {found.tasks} tasks"
    if found.low > 0:
        return True, f"estimated gain {shown}: the whole interval is above 0"
    return False, f"estimated gain {shown}: the interval is not above 0"


def _numbers(name: str, values: Sequence[float], wanted: int) -> Floats:
    array: Floats = np.asarray(values, dtype=np.float64)
    if array.shape != (wanted,):
        raise ConfigurationError(
            f"there are {wanted} groups' names and {name} has shape {array.shape}; give one for each"
        )
    if not np.isfinite(array).all():
        at = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ConfigurationError(f"{name}[{at}] is {array[at]}; leave that revision out")
    return array


def _places(names: Sequence[Hashable]) -> NDArray[np.intp]:
    """Returns each name's number, counted in the order in which the names first occur."""
    known: dict[Hashable, int] = {}
    return np.fromiter((known.setdefault(name, len(known)) for name in names), np.intp, len(names))


def _weights(log_ratio_N: Floats, cap: float | None) -> Floats:
    """Returns the weights over the largest, so that none overflows: no value and no ESS depends on a common factor."""
    capped = log_ratio_N if cap is None else np.minimum(log_ratio_N, np.log(cap))
    weights: Floats = np.exp(capped - capped.max())
    return weights


def _ess(weight_N: Floats) -> float:
    return float(weight_N.sum() ** 2 / (weight_N**2).sum())


def _values(sums_4: Floats) -> tuple[float, float]:
    """Returns the two values; 0 for a draw whose weights are all 0 in float64, which says nothing."""
    of_candidate, candidate, of_live, live = sums_4.tolist()
    return (of_candidate / candidate if candidate else 0.0), (of_live / live if live else 0.0)


def _gain(sums_4: Floats) -> float:
    candidate, live = _values(sums_4)
    return candidate - live


def _nothing() -> OffPolicyEstimate:
    return OffPolicyEstimate(
        revisions=0,
        groups=0,
        tasks=0,
        candidate=0,
        live=0,
        gain=0,
        low=0,
        high=0,
        candidate_ess=0,
        live_ess=0,
        capped=0,
    )
