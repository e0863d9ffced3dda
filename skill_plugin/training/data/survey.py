"""Survey of the groups that a model can compute, made before the first step: one bad group must not end a night."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from statistics import fmean
from typing import Any

from skill_plugin.errors import InvalidHistoryError, ModelError
from skill_plugin.training.data.groups import Candidate, Group, Groups
from skill_plugin.training.data.pairs import Pairs


@dataclass(kw_only=True)
class Survey:
    """The groups of a folder, looked through once.

    Args:
        places: Places of the groups that can be computed.
        accepted: Places of the groups that supervised training learns from: among the pairs if there are some, else among
            `places`.
        refused: Reasons why the others cannot be computed, by id.
        prompt: Tokens of the longest prompt.
        completion: Tokens of the longest completion.
        completions: Most tokens that all completions of a group have.
        candidates: Candidates of the largest group.
        tokens: Tokens of the longest prompt with a completion.
    """

    places: list[int] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    prompt: int = 0
    completion: int = 0
    completions: int = 0
    candidates: int = 0
    tokens: int = 0


def survey(groups: Groups, config: Any, pairs: Pairs | None = None) -> Survey:
    """Looks through all groups, one at a time.

    Args:
        groups: The run's groups.
        config: The base model's configuration, which says how many tokens it takes, and which.
        pairs: Pairs that supervised training learns from, in place of the groups' own revisions.
    """
    text = config.get_text_config()
    limits = {"vocabulary": text.vocab_size, "context": getattr(text, "max_position_embeddings", None)}
    found = Survey()
    for place, group in enumerate(groups):
        if (why := misfit(group, **limits)) is not None:
            found.refused[group.id] = why
            continue
        found.places.append(place)
        if pairs is None and accepted(group).candidates:
            found.accepted.append(place)
        _measure(found, group)
    if pairs is not None:
        _survey_pairs(pairs, found, limits)
    return found


def _survey_pairs(pairs: Pairs, found: Survey, limits: Mapping[str, Any]) -> None:
    for place in range(len(pairs)):
        try:
            group = pairs[place]
        except (InvalidHistoryError, ModelError) as exc:
            found.refused[f"pair {place}"] = str(exc)
            continue
        if (why := misfit(group, **limits)) is not None:
            found.refused[group.id] = why
            continue
        found.accepted.append(place)
        _measure(found, group)


def _measure(found: Survey, group: Group) -> None:
    longest = _longest(group)
    found.prompt = max(found.prompt, len(group.prompt_token_ids))
    found.completion = max(found.completion, longest)
    found.completions = max(found.completions, group.completion_tokens)
    found.candidates = max(found.candidates, len(group.candidates))
    found.tokens = max(found.tokens, len(group.prompt_token_ids) + longest)


def misfit(group: Group, *, vocabulary: int, context: int | None) -> str | None:
    """Returns why a group cannot be computed, or None."""
    candidates = group.candidates
    if not group.prompt_token_ids or not candidates or not all(one.completion_token_ids for one in candidates):
        return "it has no candidates, or a prompt or a candidate of 0 tokens"
    if any(len(one.logprobs) != len(one.completion_token_ids) for one in candidates):
        return "it has another number of log-probs than of tokens"
    numbers = (
        number
        for one in candidates
        for number in (*one.logprobs, one.pull, one.push, *one.rewards, one.reward or 0.0, one.gain or 0.0)
    )
    if not (all(map(math.isfinite, numbers)) and 0 < group.temperature < math.inf):
        return "it holds values that are not numbers, or a temperature that is not above 0"
    tokens = chain(group.prompt_token_ids, *(one.completion_token_ids for one in candidates))
    if bad := next((token for token in tokens if not 0 <= token < vocabulary), None):
        return f"token {bad} is not one of the {vocabulary} that the base model has"
    if context is not None and (length := len(group.prompt_token_ids) + _longest(group)) > context:
        return f"it has {length} tokens and the base model takes {context}"
    return None


def accepted(group: Group) -> Group:
    """Returns the group with the candidates that were better than the text they revised, for a cold start to learn."""
    better = tuple(one for one in group.candidates if one.well_formed and (_gain(one, group) or 0.0) > 0)
    return replace(group, candidates=better)


class Accepted:
    """The groups of a folder with their accepted candidates alone, read as they are asked for."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def __getitem__(self, place: int) -> Group:
        return accepted(self._groups[place])


def _gain(candidate: Candidate, group: Group) -> float | None:
    if candidate.gain is not None or not group.previous_rewards:
        return candidate.gain
    return candidate.worth - fmean(group.previous_rewards)


def _longest(group: Group) -> int:
    return max(len(one.completion_token_ids) for one in group.candidates)
