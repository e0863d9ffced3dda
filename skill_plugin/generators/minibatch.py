"""A minibatch for the revision of one task: failing tasks of its family, and texts that were refused.

GEPA (arXiv:2507.19457) reflects on a minibatch of tasks at once; here one task has the history, and others stand beside it.
"""

from collections.abc import Sequence
from dataclasses import replace

from skill_plugin.errors import InvalidTaskError
from skill_plugin.generators.digest import Attempt, attempts, feedback_counts, refused_elsewhere
from skill_plugin.records import Generation, Rollout, Task

MAX_OTHERS = 2
"""Other tasks of the family in one prompt."""

MAX_REFUSED = 4
"""Refused texts of other lineages in one prompt."""


def minibatch(
    task: Task,
    past: Sequence[Generation],
    others: Sequence[tuple[Task, Sequence[Rollout]]] = (),
    refused: Sequence[Generation] = (),
) -> list[Generation]:
    """Returns the history of a task with failing tasks and refused texts of its family; the current skill stays last.

    The failing tasks keep the order given, but those whose most frequent feedback says something new come first.

    Args:
        task: The task that is revised on.
        past: Its history, the current skill's generation last.
        others: Train tasks of the family, each with its rollouts under the current skill, or without a skill before the first.
        refused: Texts of the family's lineages that a gate refused, oldest first, each with `rejected` and the `task` that it
            was written for (by default this one); those that `past` holds, and older equal ones, are left out.

    Raises:
        InvalidTaskError: one of the others is held out.
    """
    shown, failing = {task.content_hash}, list[Generation]()
    current = next(
        (attempt.generation for attempt in attempts(past) if attempt.is_current), Generation(number=0, text=None)
    )
    for other, rollouts in others:
        if other.split == "heldout":
            raise InvalidTaskError(
                f"the generator never sees a held-out task, got {other.input[:60]!r}; show tasks of the split 'train'"
            )
        of_other = replace(current, rollouts=tuple(rollouts), task=other.input)
        if other.content_hash not in shown and Attempt(of_other).failing:
            shown.add(other.content_hash)
            failing.append(of_other)
    chosen = _new_first(current, failing)[:MAX_OTHERS]
    named = [one if one.task is not None else replace(one, task=task.input) for one in refused]
    elsewhere = [attempt.generation for attempt in refused_elsewhere([*past, *named])]
    return [*elsewhere[-MAX_REFUSED:], *chosen, *past]


def _new_first(current: Generation, failing: Sequence[Generation]) -> list[Generation]:
    """Returns the same generations, those first whose most frequent feedback is new."""
    heard = {_most_frequent(current)}
    new, known = list[Generation](), list[Generation]()
    for one in failing:
        feedback = _most_frequent(one)
        (known if feedback in heard else new).append(one)
        heard.add(feedback)
    return [*new, *known]


def _most_frequent(generation: Generation) -> str:
    counted = feedback_counts(Attempt(generation).failing)
    return counted[0][0] if counted else ""
