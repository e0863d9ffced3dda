"""What a step says of itself."""

import math
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from rows import ragged
from skill_plugin.training.data.groups import Candidate, Group
from skill_plugin.training.settings import LossSettings
from skill_plugin.training.step import Pass, StepSums, counted_length


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


def pushes(lengths, **settings):
    """The size of each candidate's gradient on its log-probabilities, and the step's loss, at a ratio of 1."""
    group = ragged(5, lengths)
    group = replace(group, candidates=tuple(replace(one, pull=1.0, push=0.0) for one in group.candidates))
    logprobs = torch.full((sum(lengths),), -4.5, requires_grad=True)  # as logged: every ratio is 1
    chosen = LossSettings(kl_weight=0, **settings)
    step = StepSums([Pass(0, group, [*range(len(lengths))])], Accelerator(), max_share=chosen.max_share)
    loss = step.loss(Pass(0, group, [*range(len(lengths))]), logprobs, None, chosen)
    loss.backward()
    assert step.values()["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    return [float(part.abs().sum()) for part in logprobs.grad.split(list(lengths))]


def test_a_text_that_ran_away_does_not_drown_the_others_of_its_step():
    usual, others = (31, 42, 31, 40) * 2, slice(0, 8)
    alone = pushes(usual)
    drowned, capped = pushes((*usual, 2048), max_share=1.0), pushes((*usual, 2048))

    assert sum(drowned[others]) == pytest.approx(sum(usual) / (sum(usual) + 2048), rel=1e-4)  # 12 %
    assert capped[8] == pytest.approx(0.25, rel=1e-4)
    assert capped[others] == pytest.approx([0.75 * one for one in alone], rel=1e-4)


def test_texts_of_usual_lengths_count_by_their_tokens():
    lengths = (31, 60, 31, 40)
    assert pushes(lengths) == pytest.approx([one / sum(lengths) for one in lengths], rel=1e-4)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30), st.floats(0.05, 1))
def test_no_candidate_counts_as_more_than_its_share(lengths, share):
    most = counted_length(lengths, share)
    counted = [min(length, most) for length in lengths]

    assert max(counted) <= min(1, max(share, 2 / len(lengths))) * sum(counted) * (1 + 1e-9)
    if max(lengths) <= share * sum(lengths):
        assert counted == lengths
