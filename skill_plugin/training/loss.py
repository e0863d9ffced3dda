"""The loss of a token: a clipped surrogate against logged log-probabilities, and a KL term to the base model.

A candidate's tokens are shared by its K rollouts, so they have one ratio, `rho = exp(logprob - behaviour_logprob)`, and K
advantages A(k). GRPO's objective (arXiv:2402.03300, with the decoupled clip of DAPO, arXiv:2503.14476), averaged over them, is

    mean_k min(rho A(k), clip(rho, 1 - el, 1 + eh) A(k)).

For A >= 0 the minimum is `A min(rho, 1 + eh)`: below the range `rho` is the smaller, above it the clip. For A < 0 it is
`A max(rho, 1 - el)`, mirrored. With `pull = mean_k max(A(k), 0)` and `push = mean_k min(A(k), 0)` the mean is therefore

    pull * min(rho, 1 + eh) + push * max(rho, 1 - el),

exactly, for any K. Inside the range it is `(pull + push) * rho = mean_k A(k) * rho`: advantages of rollouts that sum to 0 over
K have no gradient there, and outside they only pull back towards the range.

A negative advantage has no bound above; dual clip (arXiv:1912.09729, eq. 5; TRL's `delta`) takes `max(min(., .), cap * A)` there,
which makes the second term `push * max(min(rho, cap), 1 - el)`, as the cap is above 1 + eh.

The KL term is k3 (J. Schulman, "Approximating KL divergence", 2020): `exp(d) - d - 1` with `d = reference_logprob - logprob`, which
is never negative and has the KL divergence as its mean over tokens of the current policy. Logged tokens are the behaviour
policy's; weighing by the ratio makes up for that (DeepSeek-V3.2, TRL's `use_bias_correction_kl`).

Both exponents are cut to +-`log_ratio_limit`, where they have no gradient any more.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from skill_plugin.training.settings import LossSettings


class TokenLosses(NamedTuple):
    """Losses of N tokens, each of shape [N]. A window is trained on the sum of `total` over its tokens / their number.

    Args:
        total: `policy + kl_weight * kl`, the second weighed by the ratio if settings say so.
        policy: The surrogate, negated. Minimising it raises the objective.
        kl: k3 in nats, unweighed; 0 without reference log-probabilities.
        ratio: Current over behaviour probability.
        clipped: Whether the clip takes the gradient of one of the surrogate's halves.
    """

    total: Tensor
    policy: Tensor
    kl: Tensor
    ratio: Tensor
    clipped: Tensor


def token_losses(
    logprobs_N: Tensor,
    behaviour_logprobs_N: Tensor,
    reference_logprobs_N: Tensor | None,
    pull_N: Tensor,
    push_N: Tensor,
    settings: LossSettings,
) -> TokenLosses:
    """Returns the loss of each token. A token for which something is not finite has a NaN loss, which a trainer skips.

    Args:
        logprobs_N: Log-probabilities of the policy that learns, in nats, at the temperature of the sampling; carries
            the graph.
        behaviour_logprobs_N: Those of the policy that sampled the tokens, as logged.
        reference_logprobs_N: Those of the base model, at that temperature; None leaves the KL term out.
        pull_N: `pull` of each token's candidate, from 0.
        push_N: `push` of each token's candidate, up to 0.
        settings: Clip, cap and KL weight.
    """
    low, high, limit = 1 - settings.clip_low, 1 + settings.clip_high, settings.log_ratio_limit
    log_ratio_N = logprobs_N - behaviour_logprobs_N
    finite_N = (log_ratio_N + pull_N + push_N).isfinite()
    ratio_N = log_ratio_N.clamp(-limit, limit).exp()
    capped_N = ratio_N if settings.ratio_cap is None else ratio_N.clamp(max=settings.ratio_cap)
    policy_N = -(pull_N * ratio_N.clamp(max=high) + push_N * capped_N.clamp(min=low))
    kl_N = torch.zeros_like(policy_N)
    if reference_logprobs_N is not None:
        difference_N = reference_logprobs_N - logprobs_N
        finite_N = finite_N & difference_N.isfinite()
        cut_N = difference_N.clamp(-limit, limit)
        kl_N = cut_N.exp() - cut_N - 1
    weighed_N = settings.kl_weight * (kl_N * ratio_N if settings.kl_importance else kl_N)
    return TokenLosses(
        total=(policy_N + weighed_N).masked_fill(~finite_N, float("nan")),
        policy=policy_N.masked_fill(~finite_N, float("nan")),
        kl=kl_N,
        ratio=ratio_N,
        clipped=((pull_N > 0) & (ratio_N > high)) | ((push_N < 0) & (ratio_N < low)),
    )
