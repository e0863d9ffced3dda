"""Runs for people: the newest of them, and one from the inside."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session, col, select

from skill_plugin.errors import RunNotFoundError
from skill_plugin.records import Skill, Task, Verdict
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import versions
from skill_plugin.store.tables import (
    EventRow,
    OutcomeRow,
    RevisionRow,
    RolloutRow,
    SharedUseRow,
    SkillRow,
    SkillVersionRow,
    TaskRow,
)

LOOKED_BACK = 5000
"""Rollouts of all namespaces, the newest, among which those of one are looked for."""

ROLLOUTS_A_RUN = 4
"""Rollouts that are read for each run of a list."""


class RunLine(NamedTuple):
    """A run in a list: its first task, the skill that it used, and its best known reward."""

    run_id: str
    at: datetime
    family: str
    text: str
    skill: str | None
    version: int | None
    arm: str
    reward: float | None
    passed: bool | None
    error: str | None


class LaterOutcome(NamedTuple):
    """Feedback that came after the run."""

    verdict: Verdict
    source: str
    at: datetime


class WrittenText(NamedTuple):
    """A text that the generator wrote in the run, the version that it became, and what was decided on it."""

    generation: int
    candidate: int
    ref: str | None
    name: str | None
    version: int | None
    error: str | None
    decision: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run from the inside.

    Args:
        run_id: Its id.
        at: When its first rollout was recorded.
        thread_id: The thread of the host's graph, if it is known.
        tasks: Its tasks, by id.
        rollouts: Its rollouts, in order.
        skills: The versions that it used or withheld, by `skill_id@version`.
        further: The further versions in a prompt, by generation and k.
        outcomes: Feedback that came later, oldest first.
        written: The texts that the generator wrote in it.
    """

    run_id: str
    at: datetime
    thread_id: str | None
    tasks: dict[str, Task]
    rollouts: Sequence[RolloutRow]
    skills: dict[str, Skill]
    further: dict[tuple[int, int], list[str]]
    outcomes: Sequence[LaterOutcome]
    written: Sequence[WrittenText]

    @property
    def chosen(self) -> RolloutRow:
        """The rollout whose answer the host was given; of several the last one."""
        return next((one for one in reversed(self.rollouts) if one.chosen), self.rollouts[-1])

    def used(self, rollout: RolloutRow) -> list[str]:
        """Returns the versions in a rollout's prompt, as `skill_id@version`."""
        first = [f"{rollout.skill_id}@{rollout.version}"] if rollout.skill_id else []
        return first + self.further.get((rollout.generation, rollout.k), [])


def newest_rollouts(session: Session, namespace: str) -> list[int] | None:
    """Returns the numbers of the namespace's rollouts among the newest of all, the newest first; None if few of them are its own.

    The key of rows is the order in which they came, while the index by namespace would have to be sorted whole. Where other
    namespaces crowd this one out, it is small beside them, and that index serves.
    """
    newest = select(RolloutRow.id, RolloutRow.namespace).order_by(col(RolloutRow.id).desc()).limit(LOOKED_BACK)
    found = [number for number, of in session.exec(newest).all() if of == namespace and number is not None]
    return found if len(found) >= LOOKED_BACK // 10 else None


def newest_runs(store: Part, *, begins_with: str = "", limit: int = 30) -> list[RunLine]:
    """Returns runs, the newest first; `begins_with` is the beginning of their ids."""
    namespace = store._namespace  # noqa: SLF001 - a store has as many names as one can keep in mind
    runs: dict[str, tuple[RolloutRow, TaskRow]] = {}
    with store._partition.read() as session:  # noqa: SLF001
        newest = newest_rollouts(session, namespace) if not begins_with else None
        mine = (
            select(RolloutRow, TaskRow)
            .join(TaskRow, (col(TaskRow.namespace) == namespace) & (col(TaskRow.id) == col(RolloutRow.task_id)))
            .where(RolloutRow.namespace == namespace)
        )
        if newest is not None:
            mine = mine.where(col(RolloutRow.id).in_(newest[: limit * ROLLOUTS_A_RUN]))
        elif begins_with and store._partition.database.is_sqlite:  # noqa: SLF001
            # A range, because LIKE does not use the index there; the last character of Unicode ends it.
            mine = mine.where(RolloutRow.run_id >= begins_with, RolloutRow.run_id < begins_with + "\U0010ffff")
        elif begins_with:  # a language's order of letters is not that of a range
            mine = mine.where(col(RolloutRow.run_id).startswith(begins_with, autoescape=True))
        for row, task in session.exec(mine.order_by(col(RolloutRow.id).desc()).limit(limit * ROLLOUTS_A_RUN)).all():
            known = runs.get(row.run_id)
            if known is None or (row.chosen and not known[0].chosen):
                runs[row.run_id] = row, task
        shown = list(runs.values())[:limit]
        names = _names(session, {row.skill_id for row, _ in shown if row.skill_id})
    return [
        RunLine(
            row.run_id,
            row.created_at,
            task.family,
            task.input,
            names.get(row.skill_id or "") or None,
            row.version,
            row.arm,
            row.reward,
            row.passed,
            row.error,
        )
        for row, task in shown
    ]


def run_view(store: Part, run_id: str) -> RunView:
    """Returns a run from the inside.

    Raises:
        RunNotFoundError: this namespace has no such run.
    """
    namespace = store._namespace  # noqa: SLF001
    with store._partition.read() as session:  # noqa: SLF001
        mine = select(RolloutRow).where(RolloutRow.namespace == namespace, RolloutRow.run_id == run_id)
        rollouts = session.exec(mine.order_by(col(RolloutRow.generation), col(RolloutRow.k)).limit(200)).all()
        if not rollouts:
            raise RunNotFoundError(
                f"there is no run {run_id[:80]!r} in namespace {namespace!r}; look for the beginning of its id in the list of runs"
            )
        tasks = {one: session.get(TaskRow, (namespace, one)) for one in {row.task_id for row in rollouts}}
        further: dict[tuple[int, int], list[str]] = defaultdict(list)
        shared = select(SharedUseRow).where(SharedUseRow.namespace == namespace, SharedUseRow.run_id == run_id)
        for use in session.exec(shared.order_by(SharedUseRow.skill_id)).all():
            further[use.generation, use.k].append(f"{use.skill_id}@{use.version}")
        pairs = {(row.skill_id, row.version) for row in rollouts if row.skill_id}
        pairs |= {(row.withheld_skill_id, row.withheld_version) for row in rollouts if row.withheld_skill_id}
        refs = {f"{skill_id}@{number}" for skill_id, number in pairs} | {
            ref for some in further.values() for ref in some
        }
        skills = {ref: _seen(session, ref) for ref in refs}
        later = select(OutcomeRow).where(OutcomeRow.namespace == namespace, OutcomeRow.run_id == run_id)
        outcomes = session.exec(later.order_by(col(OutcomeRow.id))).all()
        written = _written(session, namespace, run_id, set(tasks))
    return RunView(
        run_id=run_id,
        at=min(row.created_at for row in rollouts),
        thread_id=next((row.thread_id for row in rollouts if row.thread_id), None),
        tasks={one: _task(row) for one, row in tasks.items() if row is not None},
        rollouts=rollouts,
        skills={ref: skill for ref, skill in skills.items() if skill is not None},
        further=dict(further),
        outcomes=[
            LaterOutcome(Verdict(one.reward, feedback=one.feedback), one.source, one.created_at) for one in outcomes
        ],
        written=written,
    )


def _names(session: Session, ids: set[str]) -> dict[str, str]:
    return dict(session.exec(select(SkillRow.id, SkillRow.name).where(col(SkillRow.id).in_(ids))).all())


def _task(row: TaskRow) -> Task:
    return Task(row.input, family=row.family, reference=row.reference, verifier=row.verifier, split=row.split)  # type: ignore[arg-type] # only Split values are written


def _seen(session: Session, ref: str) -> Skill | None:
    skill_id, _, number = ref.rpartition("@")
    skill = session.get(SkillRow, skill_id)
    version = session.get(SkillVersionRow, (skill_id, int(number)))
    return versions.view(session, skill, version) if skill is not None and version is not None else None


def _written(session: Session, namespace: str, run_id: str, tasks: set[str]) -> list[WrittenText]:
    mine = select(RevisionRow).where(  # by task, for which there is an index
        RevisionRow.namespace == namespace, col(RevisionRow.task_id).in_(tasks), RevisionRow.run_id == run_id
    )
    rows = session.exec(mine.order_by(col(RevisionRow.generation), col(RevisionRow.candidate)).limit(200)).all()
    return [as_written(session, row) for row in rows]


def as_written(session: Session, row: RevisionRow) -> WrittenText:
    """Returns a revision with its skill's name and with the last decision on its version."""
    skill = session.get(SkillRow, row.skill_id) if row.skill_id else None
    decision = reason = ""
    if skill is not None and row.version is not None:
        said = select(EventRow).where(
            EventRow.skill_id == skill.id, EventRow.version == row.version, versions.IS_DECIDED
        )
        last = session.exec(said.order_by(col(EventRow.id).desc()).limit(1)).first()
        decision, reason = (last.kind, last.reason) if last else ("", "")
    return WrittenText(
        row.generation,
        row.candidate,
        f"{row.skill_id}@{row.version}" if skill is not None else None,
        skill.name if skill is not None else None,
        row.version,
        row.error,
        decision,
        reason,
    )
