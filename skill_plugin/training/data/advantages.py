"""Rewards become advantages: pure functions on plain numbers.

Axes: C candidates of one prompt, K rollouts under a candidate, P rollouts of the generation before. `r(c,k)` is a reward,
`R(c) = mean_k r(c,k)`. K may differ between candidates; one without a reward (K = 0) is in no mean, and its terms are 0.
If siblings count, R(c) and the gain that takes the place of inter(c) are those of `histories.worth`: see `credited_C`.

    A(c,k)     = intra(c,k) + lambda * inter(c)
    intra(c)   = R(c) - mean_c R(c)            candidates under one prompt compared, the default
    intra(c,k) = r(c,k) - mean_k r(c,k)        Skill-R1's wording (arXiv:2605.09359)
    inter(c)   = R(c) - mean_p previous(p)     Skill-R1, with the candidates' own means

Skill-R1 divides nothing by a standard deviation; `scale="std"` divides the intra term as TRL's GRPOTrainer does. All K rollouts
share the candidate's tokens, so its wording of the intra term sums to 0 on them: see `warning`.
"""

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal

from skill_plugin.histories.worth import Worth
from skill_plugin.training.settings import AdvantageSettings

Scale = Literal["none", "std"]
Rewards = Sequence[Sequence[float]]

STD_FLOOR = 1e-4
"""Added to the standard deviation, as TRL does (trl/trainer/grpo_trainer.py, `advantages / (std_rewards + 1e-4)`)."""


def candidate_intra_C(rewards_C_K: Rewards, *, scale: Scale = "none") -> list[float]:
    """Returns `R(c) - mean_c R(c)`, shape [C]; scaled, over the sample standard deviation of R(c) plus 1e-4."""
    known = [fmean(rewards_K) for rewards_K in rewards_C_K if rewards_K]
    centred = iter(_centred(known, scale))
    return [next(centred) if rewards_K else 0.0 for rewards_K in rewards_C_K]


def rollout_intra_C_K(rewards_C_K: Rewards, *, scale: Scale = "none") -> list[list[float]]:
    """Returns `r(c,k) - mean_k r(c,k)`, shape [C][K]; scaled, over r(c,:)'s sample standard deviation plus 1e-4."""
    return [_centred(rewards_K, scale) for rewards_K in rewards_C_K]


def inter_C(
    rewards_C_K: Rewards,
    previous_P: Sequence[float],
    *,
    generation: int,
    first_inter: Literal["baseline", "zero"] = "baseline",
) -> list[float]:
    """Returns `R(c) - mean_p previous(p)`, shape [C].

    Args:
        rewards_C_K: Rewards of generation g, shape [C][K].
        previous_P: All rewards of generation g - 1, shape [P]; without any, the term is 0.
        generation: g, from 1.
        first_inter: `baseline` compares generation 1 with generation 0's rollouts; `zero` makes its term 0, the paper's
            A_inter(1).
    """
    if not previous_P or (generation == 1 and first_inter == "zero"):
        return [0.0] * len(rewards_C_K)
    before = fmean(previous_P)
    return [fmean(rewards_K) - before if rewards_K else 0.0 for rewards_K in rewards_C_K]


def advantages_C_K(
    rewards_C_K: Rewards,
    previous_P: Sequence[float],
    settings: AdvantageSettings,
    *,
    generation: int,
) -> list[list[float]]:
    """Returns `intra + inter_weight * inter`, shape [C][K]; with the candidates' intra term the same for all k."""
    if settings.intra == "candidate":
        intra = candidate_intra_C(rewards_C_K, scale=settings.scale)
        intra_C_K = [[one] * len(rewards_K) for one, rewards_K in zip(intra, rewards_C_K, strict=True)]
    else:
        intra_C_K = rollout_intra_C_K(rewards_C_K, scale=settings.scale)
    inter = inter_C(rewards_C_K, previous_P, generation=generation, first_inter=settings.first_inter)
    return [
        [one + settings.inter_weight * gain for one in intra_K] for intra_K, gain in zip(intra_C_K, inter, strict=True)
    ]


def credited_C(worths_of: Sequence[Worth], settings: AdvantageSettings, *, generation: int) -> list[float]:
    """Returns `R(c) - mean_c R(c) + inter_weight * gain(c)` of candidates that are compared by siblings, shape [C].

    Args:
        worths_of: Worth of each, shape [C]; one that was not judged is in no mean, and its advantage is 0.
        settings: The form of the advantages.
        generation: g, from 1; with `first_inter` `zero` the first has no gain.
    """
    rewards = [[] if one.reward is None else [one.reward] for one in worths_of]
    weight = 0.0 if generation == 1 and settings.first_inter == "zero" else settings.inter_weight
    intra = candidate_intra_C(rewards, scale=settings.scale)
    return [one + weight * (worth.gain or 0.0) for one, worth in zip(intra, worths_of, strict=True)]


def parts(advantages_K: Sequence[float]) -> tuple[float, float]:
    """Returns `mean_k max(A(k), 0)` and `mean_k min(A(k), 0)`, which is all that the clipped surrogate needs of A(k).

    `min(rho A, clip(rho) A)` is `A min(rho, 1 + e)` for A > 0 and `A max(rho, 1 - e)` for A < 0, and rho is the same for all k.
    """
    if not advantages_K:
        return 0.0, 0.0
    return fmean(max(one, 0.0) for one in advantages_K), fmean(min(one, 0.0) for one in advantages_K)


def warning(settings: AdvantageSettings, candidates: int) -> str | None:
    """Returns a warning if the gradient inside the clip range is 0 whatever the rewards; None if it may differ from 0.

    Args:
        settings: The form of the advantages.
        candidates: C, the most that any group has.
    """
    if settings.inter_weight > 0:
        return None
    if settings.intra == "rollout":
        why = "intra is 'rollout', which sums to 0 over the rollouts that share a candidate's tokens"
        return f"inter_weight is 0 and {why}: nothing is learned; set inter_weight above 0, or intra to 'candidate'"
    if candidates <= 1:
        why = "there is one candidate a prompt, to be compared with itself"
        return (
            f"inter_weight is 0 and {why}: nothing is learned; set inter_weight above 0, or evolve with more candidates"
        )
    return None


def _centred(values: Sequence[float], scale: Scale) -> list[float]:
    if not values:
        return []
    mean = fmean(values)
    over = (stdev(values) if len(values) > 1 else 0.0) + STD_FLOOR if scale == "std" else 1.0
    return [(value - mean) / over for value in values]
