"""A skill's track record: its utility over time, where it helped and where it hurt, the tasks that it won and lost.

All of it is of the newest rollouts, as lift is, so that a skill that was used a million times is shown as fast as another.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy import select as rows_of
from sqlmodel import Session, col, select

from skill_plugin.store.partition import Part
from skill_plugin.store.runs.utility import UTILITY_RATE
from skill_plugin.store.skills import versions
from skill_plugin.store.skills.lift import ENOUGH, WINDOW, Lift, lift_of, paired_interval, unpaired_interval
from skill_plugin.store.tables import OutcomeRow, RolloutRow, TaskRow

_IDS_A_QUERY = 500


class UtilityPoint(NamedTuple):
    """The utility after a rollout, reckoned from the rewards in the order in which they came."""

    at: datetime
    utility: float
    version: int | None


class TaskComparison(NamedTuple):
    """A task that was run with the skill and without it: mean rewards, and the result for the skill."""

    task_id: str
    family: str
    text: str
    with_skill: float
    without: float

    @property
    def result(self) -> Literal["won", "lost", "same"]:
        difference = self.with_skill - self.without
        return "won" if difference > 0 else "lost" if difference < 0 else "same"


class TokenMeans(NamedTuple):
    """Mean tokens of a rollout, read and written."""

    input: float
    output: float

    @property
    def total(self) -> float:
        return self.input + self.output


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRecord:
    """What a skill did in one family.

    Args:
        family: The family.
        uses: Credited rollouts with the skill.
        reward: Their mean reward.
        controls: Control rollouts.
        control_reward: Their mean reward; None without any.
        value: The difference; None where there is too little to compare.
        low: The lower end of its 95 % interval.
        high: The upper end.
    """

    family: str
    uses: int
    reward: float
    controls: int
    control_reward: float | None
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackRecord:
    """What is known of a skill's use.

    Args:
        lift: How much it helps.
        points: Its utility over time, oldest first.
        families: Its record by family, the most used first.
        compared: The tasks that were run both ways, losses first.
        tokens_with: Mean tokens of a rollout with it, of the tasks that were run both ways; None is not known.
        tokens_without: Mean tokens of a control rollout of the same tasks.
        is_cut: There are more uses than were looked at.
    """

    lift: Lift
    points: Sequence[UtilityPoint]
    families: Sequence[FamilyRecord]
    compared: Sequence[TaskComparison]
    tokens_with: TokenMeans | None
    tokens_without: TokenMeans | None
    is_cut: bool

    def counted(self, result: str) -> int:
        """Returns how many compared tasks ended so: `won`, `lost` or `same`."""
        return sum(one.result == result for one in self.compared)


class _Use(NamedTuple):
    task_id: str
    family: str
    reward: float
    tokens: TokenMeans | None
    at: datetime
    version: int | None


def track_record(store: Part, name: str) -> TrackRecord:
    """Returns the track record of a skill.

    Raises:
        SkillNotFoundError: this namespace has no such skill.
    """
    namespace = store._namespace  # noqa: SLF001 - a store has as many names as one can keep in mind
    with store._partition.read() as session:  # noqa: SLF001
        skill = versions.find_skill(session, namespace, name)
        uses = _uses(session, namespace, col(RolloutRow.skill_id) == skill.id, credited=True)
        controls = _controls(session, namespace, skill.id, {one.task_id for one in uses})
        both = {one.task_id for one in uses} & {one.task_id for one in controls}
        texts = _texts(session, namespace, both)
        lift = lift_of(session, namespace, skill.id)
    return TrackRecord(
        lift=lift,
        points=_points(uses),
        families=_by_family(uses, controls),
        compared=_compared(uses, controls, texts),
        tokens_with=_tokens(one for one in uses if one.task_id in both),
        tokens_without=_tokens(one for one in controls if one.task_id in both),
        is_cut=len(uses) == WINDOW,
    )


class SkillRollout(NamedTuple):
    """A rollout under a skill, with its task and what was said of it later."""

    row: RolloutRow
    task: TaskRow
    outcomes: Sequence[OutcomeRow]


def rollouts_of_skill(store: Part, name: str, *, limit: int, before: int | None = None) -> list[SkillRollout]:
    """Returns rollouts under a skill, the newest first; `before` is the number of a row, to read on from there."""
    namespace = store._namespace  # noqa: SLF001
    with store._partition.read() as session:  # noqa: SLF001
        skill = versions.find_skill(session, namespace, name)
        mine = (
            select(RolloutRow, TaskRow)
            .join(TaskRow, and_(col(TaskRow.namespace) == namespace, col(TaskRow.id) == col(RolloutRow.task_id)))
            .where(RolloutRow.skill_id == skill.id)
            .order_by(col(RolloutRow.id).desc())
            .limit(limit)
        )
        rows = session.exec(mine if before is None else mine.where(col(RolloutRow.id) < before)).all()
        runs = {rollout.run_id for rollout, _ in rows}
        later = select(OutcomeRow).where(OutcomeRow.namespace == namespace, col(OutcomeRow.run_id).in_(runs))
        said: dict[str, list[OutcomeRow]] = defaultdict(list)
        for outcome in session.exec(later.order_by(col(OutcomeRow.id))).all():
            said[outcome.run_id].append(outcome)
        return [SkillRollout(rollout, task, said.get(rollout.run_id, ())) for rollout, task in rows]


_COLUMNS = (
    col(RolloutRow.id),
    col(RolloutRow.task_id),
    col(RolloutRow.reward),
    col(RolloutRow.input_tokens),
    col(RolloutRow.output_tokens),
    col(RolloutRow.created_at),
    col(RolloutRow.version),
)


def _uses(session: Session, namespace: str, condition: ColumnElement[bool], *, credited: bool) -> list[_Use]:
    """Returns the newest judged rollouts under a condition, oldest first."""
    newest = rows_of(*_COLUMNS).where(condition, col(RolloutRow.reward).is_not(None))
    if credited:
        newest = newest.where(col(RolloutRow.credited).is_(True))
    newest = newest.order_by(col(RolloutRow.id).desc()).limit(WINDOW)
    part = newest.subquery()
    joined = (
        rows_of(part, col(TaskRow.family))
        .join(TaskRow, and_(col(TaskRow.namespace) == namespace, col(TaskRow.id) == part.c.task_id))
        .order_by(part.c.id)
    )
    return [
        _Use(
            row.task_id,
            row.family,
            row.reward,
            None if row.input_tokens is None else TokenMeans(row.input_tokens, row.output_tokens or 0),
            row.created_at,
            row.version,
        )
        for row in session.connection().execute(joined)
    ]


def _controls(session: Session, namespace: str, skill_id: str, tasks: set[str]) -> list[_Use]:
    """Returns control rollouts: those from which this skill was withheld, and those of the tasks on which it was used."""
    ours = col(RolloutRow.source).is_(None)
    withheld = and_(col(RolloutRow.withheld_skill_id) == skill_id, ours)
    found = _uses(session, namespace, withheld, credited=False)
    for some in _chunks(sorted(tasks)):
        of_tasks = and_(
            col(RolloutRow.namespace) == namespace,
            col(RolloutRow.task_id).in_(some),
            col(RolloutRow.arm) == "control",
            or_(col(RolloutRow.withheld_skill_id).is_(None), col(RolloutRow.withheld_skill_id) != skill_id),
            ours,
        )
        found += _uses(session, namespace, of_tasks, credited=False)
    return found


def _chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[at : at + _IDS_A_QUERY] for at in range(0, len(values), _IDS_A_QUERY))


def _texts(session: Session, namespace: str, tasks: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in _chunks(sorted(tasks)):
        mine = select(TaskRow.id, TaskRow.input).where(TaskRow.namespace == namespace, col(TaskRow.id).in_(some))
        found.update(session.exec(mine).all())
    return found


def _points(uses: Sequence[_Use]) -> list[UtilityPoint]:
    points: list[UtilityPoint] = []
    utility: float | None = None
    for number, one in enumerate(uses, 1):
        rate = max(1 / number, UTILITY_RATE)
        utility = one.reward if utility is None else utility + rate * (one.reward - utility)
        points.append(UtilityPoint(one.at, utility, one.version))
    return points


def _by_family(uses: Sequence[_Use], controls: Sequence[_Use]) -> list[FamilyRecord]:
    with_skill, without = _rewards(uses, "family"), _rewards(controls, "family")
    made = []
    for family, rewards in sorted(with_skill.items(), key=lambda item: (-len(item[1]), item[0])):
        others = without.get(family, [])
        mine, theirs = (_rewards([one for one in some if one.family == family], "task_id") for some in (uses, controls))
        pairs = [fmean(mine[task]) - fmean(theirs[task]) for task in mine.keys() & theirs.keys()]
        measured: tuple[float | None, float | None, float | None] = (None, None, None)
        if len(pairs) >= ENOUGH:
            measured = paired_interval(pairs)
        elif min(len(rewards), len(others)) >= ENOUGH:
            measured = unpaired_interval(rewards, others)
        made.append(
            FamilyRecord(
                family=family,
                uses=len(rewards),
                reward=fmean(rewards),
                controls=len(others),
                control_reward=fmean(others) if others else None,
                value=measured[0],
                low=measured[1],
                high=measured[2],
            )
        )
    return made


def _compared(uses: Sequence[_Use], controls: Sequence[_Use], texts: Mapping[str, str]) -> list[TaskComparison]:
    families = {one.task_id: one.family for one in uses}
    with_skill, without = _rewards(uses, "task_id"), _rewards(controls, "task_id")
    made = [
        TaskComparison(task, families[task], texts.get(task, ""), fmean(with_skill[task]), fmean(without[task]))
        for task in with_skill.keys() & without.keys()
    ]
    return sorted(made, key=lambda one: (one.with_skill - one.without, one.family, one.task_id))


def _rewards(rollouts: Iterable[_Use], key: Literal["family", "task_id"]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for one in rollouts:
        found[getattr(one, key)].append(one.reward)
    return found


def _tokens(rollouts: Iterable[_Use]) -> TokenMeans | None:
    known = [one.tokens for one in rollouts if one.tokens is not None]
    return TokenMeans(fmean(one.input for one in known), fmean(one.output for one in known)) if known else None
