"""One step: the passes over its groups, the loss of each, and their sums over all processes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from skill_plugin.training.data.groups import Candidate, Group
from skill_plugin.training.loss import token_losses
from skill_plugin.training.model.policy import Policy
from skill_plugin.training.settings import LossSettings

SUMMED = ("loss", "policy_loss", "kl", "ratio", "clipped", "pull", "push", "reward")

MOST_KL = 20.0
"""Nats that one token may add to a step's KL: k3 has a long tail, and one that the policy hardly ever writes must not end a run."""


class Source(Protocol):
    """Groups by their places."""

    def __getitem__(self, place: int) -> Group: ...


class Pass(NamedTuple):
    """Some candidates of the group at a place. Passes without weight make every process do equally many."""

    place: int
    group: Group
    numbers: list[int]
    weight: float = 1.0

    @property
    def candidates(self) -> list[Candidate]:
        return [self.group.candidates[number] for number in self.numbers]

    @property
    def tokens(self) -> int:
        return sum(len(candidate.completion_token_ids) for candidate in self.candidates)


def passes(places: Sequence[int], groups: Source, policy: Policy, accelerator: Accelerator) -> list[Pass]:
    """Returns this process's share of a step, as many passes as every other process makes."""
    mine = places[accelerator.process_index :: accelerator.num_processes]
    found = list(_passes(mine, groups, policy))
    filler = Pass(places[0], (group := groups[places[0]]), next(iter(policy.passes(group))), 0.0)
    return evened(found, filler, accelerator)


def _passes(places: Iterable[int], groups: Source, policy: Policy) -> Iterator[Pass]:
    for place in places:
        group = groups[place]
        for numbers in policy.passes(group):
            yield Pass(place, group, numbers)


def evened(mine: list[Pass], filler: Pass, accelerator: Accelerator) -> list[Pass]:
    """Returns the passes of this process, filled up with passes without weight to as many as any process has.

    FSDP gathers weights in every pass, so a process that made fewer would leave the others waiting for ever.
    """
    most = int(accelerator.gather(torch.tensor([len(mine)], device=accelerator.device)).max())
    return mine + [filler._replace(weight=0.0)] * (most - len(mine))


class StepSums:
    """Sums over the passes of a step.

    Args:
        passes: The passes of this process.
        accelerator: Knows the other processes.
        max_share: See `LossSettings`.
    """

    def __init__(self, passes: Sequence[Pass], accelerator: Accelerator, *, max_share: float = 1.0) -> None:
        self.passes = passes
        self._accelerator = accelerator
        mine = [len(each.completion_token_ids) for one in passes if one.weight for each in one.candidates]
        lengths = gather_object(mine)
        self.tokens = sum(lengths)
        self._longest = counted_length(lengths, max_share)
        self._counted = sum(min(length, self._longest) for length in lengths)
        self._sums = dict.fromkeys(SUMMED, 0.0)
        self._largest = 0.0

    def loss(
        self,
        one: Pass,
        logprobs_N: torch.Tensor,
        reference_N: torch.Tensor | None,
        settings: LossSettings,
    ) -> torch.Tensor:
        """Returns a pass's share of the step's loss, for `backward`."""
        if not one.weight:
            return logprobs_N.sum() * 0.0
        device = logprobs_N.device
        lengths_C = torch.tensor([len(candidate.completion_token_ids) for candidate in one.candidates], device=device)
        pull_C = torch.tensor([candidate.pull for candidate in one.candidates], device=device)
        push_C = torch.tensor([candidate.push for candidate in one.candidates], device=device)
        pull_N, push_N = pull_C.repeat_interleave(lengths_C), push_C.repeat_interleave(lengths_C)
        behaviour = [value for candidate in one.candidates for value in candidate.logprobs]
        behaviour_N = torch.tensor(behaviour, device=device)
        losses = token_losses(logprobs_N, behaviour_N, reference_N, pull_N, push_N, settings)
        self._add("policy_loss", losses.policy)
        # The tokens are the behaviour policy's: unweighed, one that the policy has unlearned would count thousands of nats.
        self._add("kl", (losses.kl * losses.ratio).clamp(max=MOST_KL))
        self._add("ratio", losses.ratio)
        self._add("clipped", losses.clipped)
        self._add("pull", pull_N)
        self._add("push", push_N)
        worth_C = torch.tensor([candidate.worth for candidate in one.candidates], device=device)
        self._add("reward", worth_C.repeat_interleave(lengths_C))
        if losses.ratio.numel():
            self._largest = max(self._largest, float(losses.ratio.detach().max()))
        counts_C = lengths_C.clamp(max=self._longest) / lengths_C
        return self._share(losses.total * counts_C.repeat_interleave(lengths_C))

    def supervised(self, one: Pass, logprobs_N: torch.Tensor) -> torch.Tensor:
        """Returns a pass's share of the step's negative log-likelihood, for `backward`."""
        if not one.weight:
            return logprobs_N.sum() * 0.0
        return self._share(-logprobs_N)

    def values(self) -> dict[str, float]:
        """Returns means over all completion tokens of the step, in all processes, and the largest ratio."""
        names = list(self._sums)
        summed = self._all(torch.tensor([self._sums[name] for name in names], dtype=torch.float64)).tolist()
        largest = self._accelerator.gather(torch.tensor([self._largest], device=self._accelerator.device)).max()
        means = {name: value / max(1, self.tokens) for name, value in zip(names, summed, strict=True)}
        means["loss"] *= self.tokens / max(1, self._counted)
        return {**means, "ratio_max": float(largest), "tokens": float(self.tokens)}

    def _share(self, losses_N: torch.Tensor) -> torch.Tensor:
        self._add("loss", losses_N)
        # Gradients are averaged over processes, and the loss is a sum over all of them.
        scale: float = self._accelerator.num_processes / max(1, self._counted)
        return losses_N.sum() * scale

    def _add(self, name: str, values_N: torch.Tensor) -> None:
        self._sums[name] += float(values_N.detach().double().sum())

    def _all(self, tensor: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._accelerator.reduce(tensor.to(self._accelerator.device), reduction="sum")
        return found


def counted_length(lengths: Sequence[int], share: float) -> float:
    """Returns the tokens that a candidate counts as, at most, so that none is more than a share of all counted tokens.

    If the k longest count as L tokens each and the others have n together, `L = share * (n + k L)`.

    Args:
        lengths: Tokens of each candidate of a step.
        share: The share; but never less than twice the mean, which a step of few candidates would have of usual lengths.
    """
    ordered = sorted(lengths, reverse=True)
    share, others = min(1.0, max(share, 2 / max(1, len(ordered)))), sum(ordered)
    for k, length in enumerate(ordered):
        if k * share >= 1:
            return length
        if length <= (limit := share * others / (1 - k * share)):
            return ordered[0] if k == 0 else limit
        others -= length
    return ordered[-1] if ordered else 0


def without(passes: Iterable[Pass], refused: Mapping[str, str]) -> list[Pass]:
    """Returns the passes, those of refused groups without weight."""
    return [one._replace(weight=0.0) if one.group.id in refused else one for one in passes]
