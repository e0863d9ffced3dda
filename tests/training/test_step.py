"""What a step says of itself."""

import math

import pytest
import torch
from accelerate import Accelerator

from skill_plugin.training.data.groups import Candidate, Group
from skill_plugin.training.settings import LossSettings
from skill_plugin.training.step import Pass, StepSums


def kl_of(probabilities, *, base):
    """The KL that a step reports where every token of a small vocabulary was sampled as often as the base would have it."""
    times = [round(100 * one) for one in base]
    tokens = [token for token, count in enumerate(times) for _ in range(count)]
    logged = torch.tensor(base).log()[tokens]
    candidate = Candidate(
        number=0,
        completion_token_ids=tuple(tokens),
        logprobs=tuple(logged.tolist()),
        rewards=(1.0,),
        pull=1.0,
        push=0.0,
    )
    group = Group(
        id="g", task="t", family="f", generation=1, prompt_token_ids=(1,), temperature=1.0, candidates=(candidate,)
    )
    one = Pass(0, group, [0])
    step = StepSums([one], Accelerator())
    step.loss(one, torch.tensor(probabilities).log()[tokens], logged, LossSettings())
    return step.values()["kl"]


def test_the_kl_that_stops_a_run_is_that_of_the_policy_to_the_base():
    base, policy = (0.5, 0.3, 0.2), (0.8, 0.15, 0.05)
    exact = sum(p * math.log(p / q) for p, q in zip(policy, base, strict=True))

    assert kl_of(policy, base=base) == pytest.approx(exact, rel=1e-4)


def test_a_token_that_the_policy_has_unlearned_does_not_stop_it():
    assert kl_of((0.99998, 0.00002), base=(0.9, 0.1)) == pytest.approx(math.log(1 / 0.9), rel=0.01)
