"""Generations for people: the reward by generation in a family or on a task, and the texts that were written there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import func, select
from sqlmodel import Session, col
from sqlmodel import select as entities

from skill_plugin.errors import ConfigurationError
from skill_plugin.store.partition import Part
from skill_plugin.store.tables import RevisionRow, RolloutRow, TaskRow
from skill_plugin.store.views.runs import WrittenText, as_written

MOST_TASKS = 1000
"""Tasks of a family that are looked at, the newest."""

MOST_TEXTS = 100


class GenerationReward(NamedTuple):
    """The rollouts of one generation under a skill, or of its controls."""

    generation: int
    arm: str
    rollouts: int
    candidates: int
    reward: float
    passed: int


class TaskLine(NamedTuple):
    """A task to choose from, with the last generation that was reached on it."""

    id: str
    text: str
    split: str
    generations: int
    rollouts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyGenerations:
    """What the generations of a family, or of one task, came to.

    Args:
        rewards: By generation and arm.
        texts: What the generator wrote, the newest first.
        tasks: The tasks that were looked at, those with most generations first.
        is_cut: The family has more tasks than were looked at.
    """

    rewards: Sequence[GenerationReward]
    texts: Sequence[WrittenText]
    tasks: Sequence[TaskLine]
    is_cut: bool


def generations(store: Part, *, family: str, task: str | None = None) -> FamilyGenerations:
    """Returns the generations of a family, or of one of its tasks.

    Raises:
        ConfigurationError: the task is not one of the family.
    """
    namespace = store._namespace  # noqa: SLF001 - a store has as many names as one can keep in mind
    with store._partition.read() as session:  # noqa: SLF001
        mine = select(col(TaskRow.id), col(TaskRow.input), col(TaskRow.split)).where(
            col(TaskRow.namespace) == namespace, col(TaskRow.family) == family
        )
        found = session.connection().execute(mine.limit(MOST_TASKS + 1)).all()
        tasks = found[:MOST_TASKS]
        if task is not None and all(one.id != task for one in tasks):
            raise ConfigurationError(
                f"{task[:80]!r} is not a task of the family {family[:80]!r}; choose one of its list"
            )
        ids = [task] if task is not None else [one.id for one in tasks]
        counts = _counts(session, namespace, [one.id for one in tasks])
        lines = [TaskLine(one.id, one.input, one.split, *counts.get(one.id, (0, 0))) for one in tasks]
        return FamilyGenerations(
            rewards=_rewards(session, namespace, ids),
            texts=_texts(session, namespace, ids),
            tasks=sorted(lines, key=lambda line: (-line.generations, -line.rollouts, line.id)),
            is_cut=len(found) > MOST_TASKS,
        )


def _rewards(session: Session, namespace: str, tasks: Sequence[str]) -> list[GenerationReward]:
    summed = (
        select(
            col(RolloutRow.generation),
            col(RolloutRow.arm),
            func.count(),
            func.count(func.distinct(col(RolloutRow.version))),
            func.avg(col(RolloutRow.reward)),
            func.count().filter(col(RolloutRow.passed).is_(True)),
        )
        .where(
            col(RolloutRow.namespace) == namespace,
            col(RolloutRow.task_id).in_(tasks),
            col(RolloutRow.reward).is_not(None),
        )
        .group_by(col(RolloutRow.generation), col(RolloutRow.arm))
        .order_by(col(RolloutRow.generation), col(RolloutRow.arm))
    )
    return [GenerationReward(*row) for row in session.connection().execute(summed)]


def _counts(session: Session, namespace: str, tasks: Sequence[str]) -> dict[str, tuple[int, int]]:
    counted = (
        select(col(RolloutRow.task_id), func.max(col(RolloutRow.generation)), func.count())
        .where(col(RolloutRow.namespace) == namespace, col(RolloutRow.task_id).in_(tasks))
        .group_by(col(RolloutRow.task_id))
    )
    return {task: (last, count) for task, last, count in session.connection().execute(counted)}


def _texts(session: Session, namespace: str, tasks: Sequence[str]) -> list[WrittenText]:
    mine = (
        entities(RevisionRow)
        .where(RevisionRow.namespace == namespace, col(RevisionRow.task_id).in_(tasks))
        .order_by(col(RevisionRow.created_at).desc(), col(RevisionRow.id))
        .limit(MOST_TEXTS)
    )
    return [as_written(session, row) for row in session.exec(mine).all()]
