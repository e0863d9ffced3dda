"""The rule that says if a revision may be learned from, and if not, why not; for `histories stats` and the trainer.

A revision is refused if it would teach something else than was meant: a text whose probability under the policy that
wrote it is not known, one of another model or of a policy long gone, and one whose rewards say nothing.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

MAX_AGE = 4
"""Checkpoints that a row's checkpoint may be behind the live one."""

MALFORMED_REWARD = 0.0
"""The worth of a text that is not a skill, so that writing one costs something."""

BASE = "base model"
"""Shown as the checkpoint of a revision that the base model wrote without an adapter."""

NEGLIGIBLE = 1e-9
"""An advantage below this is rounding."""

Reason = Literal[
    "imported without token ids or log-probs",
    "no token ids",
    "no log-probs",
    "token ids and log-probs differ in number",
    "log-probs that cannot be",
    "cut off by the token limit",
    "malformed",
    "judged on other tasks than its group",
    "no rollouts with a reward",
    "heldout task",
    "other base model",
    "unknown checkpoint",
    "older than the allowed checkpoints",
    "log-probs of another distribution",
    "another prompt in the group",
    "longer than the context",
    "no signal",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The facts that decide about a revision.

    Args:
        split: The task's split; the tasks that the gate measures with are never learned from.
        malformed: True if it did not become a skill version.
        cut_off: True if its token limit ended it, and such texts are not learned from.
        imported: True if it came from another system.
        prompt_tokens: Number of prompt token ids; 0 means none.
        completion_tokens: Number of completion token ids.
        logprobs: Number of log-probs of the completion's tokens.
        base_model: The base model of the generator that wrote it, as far as it is known.
        age: Checkpoints between the one that wrote it and the live one; None if its checkpoint is not known here.
        rewards: Number of rewards that its worth is made of: its rollouts', or the one that a malformed text is given.
        signal: Whether any advantage of its group is not 0: see `worth.has_signal`.
        other_tasks: True if it has rewards, but not on the sibling tasks that its group is compared on: see
            `worth.worths_of`.
        other_distribution: True if its log-probs cannot be compared with the group's: see `temperature_of`,
            `group_temperature`.
        wrong_logprobs: True if one is above 0, or not a finite number.
        other_prompt: True if it was not written from the prompt of its group.
        too_long: True if its prompt and completion are longer than the model's context.
    """

    split: str
    malformed: bool
    imported: bool
    prompt_tokens: int
    completion_tokens: int
    logprobs: int
    base_model: str | None
    age: int | None
    rewards: int
    signal: bool
    other_tasks: bool = False
    other_distribution: bool = False
    wrong_logprobs: bool = False
    other_prompt: bool = False
    too_long: bool = False
    cut_off: bool = False


def refusal(
    example: Example,
    *,
    base_model: str | None = None,
    max_age: int | None = MAX_AGE,
    malformed_reward: float | None = MALFORMED_REWARD,
) -> Reason | None:
    """Returns the first reason against learning from a revision; None if nothing speaks against it.

    Args:
        example: The revision.
        base_model: The model that is to be trained; None does not ask.
        max_age: Checkpoints that it may be behind; None does not ask, for when checkpoints are not known.
        malformed_reward: The worth of a malformed text; None refuses it.
    """
    has_tokens = example.prompt_tokens > 0 and example.completion_tokens > 0
    checks: tuple[tuple[Reason, bool], ...] = (
        ("imported without token ids or log-probs", example.imported and not (has_tokens and example.logprobs)),
        ("no token ids", not has_tokens),
        ("no log-probs", not example.logprobs),
        ("token ids and log-probs differ in number", example.logprobs != example.completion_tokens),
        ("log-probs that cannot be", example.wrong_logprobs),
        ("cut off by the token limit", example.cut_off),
        ("malformed", example.malformed and malformed_reward is None),
        ("judged on other tasks than its group", example.other_tasks),
        ("no rollouts with a reward", not example.rewards),
        ("heldout task", example.split != "train"),
        ("other base model", base_model is not None and example.base_model != base_model),
        ("unknown checkpoint", max_age is not None and example.age is None),
        ("older than the allowed checkpoints", max_age is not None and (example.age or 0) > max_age),
        ("log-probs of another distribution", example.other_distribution),
        ("another prompt in the group", example.other_prompt),
        ("longer than the context", example.too_long),
        ("no signal", not example.signal),
    )
    return next((reason for reason, holds in checks if holds), None)


def temperature_of(sampling: Mapping[str, Any] | None) -> float | None:
    """Returns the temperature at which a revision's log-probs can be computed again, from its `sampling`.

    Returns None if they cannot: it has no temperature; a nucleus was cut (its tokens are not known); or they are of
    the model's own distribution, or it does not say of which, and the tokens were sampled from another.
    """
    said = sampling or {}
    temperature, top_p, mode = said.get("temperature"), said.get("top_p"), said.get("logprobs_mode")
    if not isinstance(temperature, int | float) or isinstance(temperature, bool) or not 0 < temperature < math.inf:
        return None
    if top_p not in (None, 1) or (temperature != 1 and mode != "processed_logprobs"):
        return None
    return float(temperature)


def group_temperature(temperatures: Iterable[float | None]) -> float | None:
    """Returns the commonest temperature, the first of equals, at which a group is computed. None without a temperature."""
    return next(iter(Counter(one for one in temperatures if one is not None).most_common(1)), (None, 0))[0]


class Ancestry(NamedTuple):
    """A checkpoint: its parent (None is the base model itself), its base model, and whether it is the live one."""

    parent: str | None
    base_model: str
    is_live: bool


class CheckpointAges(NamedTuple):
    """Ages in checkpoints, see `ages`, and the base model of each checkpoint."""

    ages: Mapping[str | None, int]
    base_models: Mapping[str, str]


def ages(checkpoints: Mapping[str, Ancestry]) -> dict[str | None, int]:
    """Returns how many checkpoints each is behind the live one; the key None is the base model without an adapter.

    The live one is 0, its parent 1. A checkpoint beside that line is as old as the place where it left the line, or 0
    if nothing is live.
    """
    line: list[str | None] = []
    here = next((name for name, one in checkpoints.items() if one.is_live), None)
    while here is not None and here not in line:
        line.append(here)
        here = checkpoints[here].parent if here in checkpoints else None
    line.append(None)
    found: dict[str | None, int] = {name: age for age, name in enumerate(line)}
    for name in checkpoints:
        passed: list[str] = []
        at: str | None = name
        while at is not None and at not in found and at not in passed:
            passed.append(at)
            at = checkpoints[at].parent if at in checkpoints else None
        age = found.get(at, 0)
        found.update(dict.fromkeys(passed, age))
    return found
