"""Which of the variants tried so far is revised next."""

import random
from collections.abc import Callable, Sequence

from skill_plugin.errors import ConfigurationError
from skill_plugin.records import Generation

Selection = Callable[[Sequence[Generation], str], Generation]
"""Takes the variants that have a reward, oldest first, and a seed that names the step; returns one of them."""


def best_mean(variants: Sequence[Generation], seed: str) -> Generation:  # noqa: ARG001 - a greedy choice needs none
    """Returns the variant with the highest mean reward; of equals the newest, whose feedback was not answered yet."""
    return max(reversed(variants), key=reward)


def frontier(variants: Sequence[Generation], seed: str) -> Generation:
    """One of the variants that no other beats in both reward and brevity, drawn by reward.

    A greedy choice stays at the first local optimum. The frontier is that of GEPA (arXiv:2507.19457) with a text's length in
    place of a second task: a long skill costs tokens at every run. The draw is by mean reward plus one over the number of
    rollouts, so that a variant that was unlucky with few still has a chance; the same seed draws the same.
    """
    texts = [one for one in variants if one.text is not None] or variants  # no text at all would always be on it
    front = [one for one in texts if not any(_dominates(other, one) for other in texts)]
    weights = [reward(one) + 1 / max(1, len(one.rollouts)) for one in front]
    return random.Random(seed).choices(front, weights)[0]  # noqa: S311 - a draw, not a secret


SELECTIONS: dict[str, Selection] = {"best-mean": best_mean, "frontier": frontier}


def load(selection: str | Selection) -> Selection:
    """Returns the selection of this name, or the function itself.

    Raises:
        ConfigurationError: no selection has this name.
    """
    if callable(selection):
        return selection
    if selection not in SELECTIONS:
        raise ConfigurationError(f"{selection!r} is not a selection; use one of {', '.join(SELECTIONS)}, or a function")
    return SELECTIONS[selection]


def reward(generation: Generation | None) -> float:
    """Returns what a variant is worth: on the tasks that come next where that is known, else its mean reward.

    -1, below every reward, where it has no verdict.
    """
    if generation is None:
        return -1.0
    worth = generation.mean_reward if generation.worth is None else generation.worth
    return -1.0 if worth is None else worth


def _dominates(one: Generation, other: Generation) -> bool:
    ours = reward(one), -len(one.text or "")
    theirs = reward(other), -len(other.text or "")
    return ours != theirs and all(a >= b for a, b in zip(ours, theirs, strict=True))
