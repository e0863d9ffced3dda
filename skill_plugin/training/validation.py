"""Revisions that were held back from training, scored by the policy before and after, for the off-policy gate."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from skill_plugin.training.data.groups import Groups
from skill_plugin.training.model.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionScore:
    """A revision that was held back. Log-probabilities are summed over its tokens, in nats.

    Args:
        task: The task's content hash.
        group: The group's id.
        number: Its place in the group.
        reward: R(g,c), see `histories.worth`.
        tokens: T, the number of its tokens.
        behaviour: Log-probability under the policy that wrote it, as logged.
        logprob: Log-probability under the policy that is scored.
    """

    task: str
    group: str
    number: int
    reward: float
    tokens: int
    behaviour: float
    logprob: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def score(policy: Policy, groups: Groups, places: Sequence[int]) -> list[RevisionScore]:
    """Scores the groups at some places; every process does the same."""
    return list(_scored(policy, groups, places))


@torch.no_grad()
def _scored(policy: Policy, groups: Groups, places: Sequence[int]) -> Iterator[RevisionScore]:
    for group in map(groups.__getitem__, places):
        for numbers in policy.passes(group):
            values = policy.logprobs(group, numbers).tolist()
            at = 0
            for number in numbers:
                candidate = group.candidates[number]
                end = at + len(candidate.completion_token_ids)
                yield RevisionScore(
                    task=group.task,
                    group=group.id,
                    number=candidate.number,
                    reward=candidate.worth,
                    tokens=end - at,
                    behaviour=sum(candidate.logprobs),
                    logprob=sum(values[at:end]),
                )
                at = end
