"""Reading histories in bulk: lineage by lineage (one task, one run), in memory that does not grow with their number.

Tasks are gone through in the order of their keys, some at a time, and what is recorded of each page of them is fetched by its
index. The whole reading sees one state of the database.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlmodel import Session, col

from skill_plugin.histories.eligibility import Ancestry, CheckpointAges, ages
from skill_plugin.store.tables import CheckpointRow, RevisionRow, RolloutRow, Table, TaskRow

TASKS = 200
"""Tasks whose rows are counted at a time."""

WEIGHT = 4000
"""Rollouts that are fetched at a time; a revision with its tokens counts as ten."""

_REVISION = 10


@dataclass(frozen=True)
class Window:
    """A choice of lineages: tasks of a family, and only where something was recorded from `since` on and before `until`."""

    family: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, moments: Iterable[datetime]) -> bool:
        if self.since is None and self.until is None:
            return True
        return any(
            (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)
            for moment in moments
        )


class LineageRows(NamedTuple):
    """A lineage as rows: its task's, and its revisions' and rollouts' in order."""

    task: Any
    run_id: str
    revisions: list[Any]
    rollouts: list[Any]


def lineages(
    session: Session,
    namespace: str,
    window: Window,
    *,
    revision_columns: Sequence[Any],
    rollout_columns: Sequence[Any],
    weight: int,
) -> Iterator[list[LineageRows]]:
    """Yields the lineages, some at a time.

    Args:
        session: A reading session.
        namespace: The tenant's partition.
        window: The lineages to read.
        revision_columns: Columns of a revision beside those that order it.
        rollout_columns: Columns of a rollout beside those that order it.
        weight: The amount to fetch at a time.
    """
    keys = (
        RevisionRow.task_id,
        RevisionRow.run_id,
        RevisionRow.generation,
        RevisionRow.group_id,
        RevisionRow.candidate,
    )
    revisions = (
        select(*map(col, keys), col(RevisionRow.created_at), *revision_columns)
        # A revision of generation 0 is only where the text of an imported starting skill is kept.
        .where(col(RevisionRow.namespace) == namespace, col(RevisionRow.generation) > 0)
        .order_by(*map(col, keys))
    )
    order = (RolloutRow.task_id, RolloutRow.run_id, RolloutRow.generation, RolloutRow.k)
    rollouts = (
        select(*map(col, order), col(RolloutRow.created_at), *rollout_columns)
        .where(col(RolloutRow.namespace) == namespace)
        .order_by(*map(col, order))
    )
    for tasks in _pages(session, namespace, window.family, weight):
        ids = [task.id for task in tasks]
        found: defaultdict[str, dict[str, tuple[list[Any], list[Any]]]] = defaultdict(dict)
        connection = session.connection()
        for row in connection.execute(revisions.where(col(RevisionRow.task_id).in_(ids))):
            found[row.task_id].setdefault(row.run_id, ([], []))[0].append(row)
        for row in connection.execute(rollouts.where(col(RolloutRow.task_id).in_(ids))):
            found[row.task_id].setdefault(row.run_id, ([], []))[1].append(row)
        yield [
            LineageRows(task, run_id, *both)
            for task in tasks
            for run_id, both in sorted(found[task.id].items())
            if window.holds(row.created_at for row in chain(*both))
        ]


def _pages(session: Session, namespace: str, family: str | None, weight: int) -> Iterator[list[Any]]:
    """Yields tasks in the order of their keys, so many at a time that their rows fit into memory."""
    count = {
        table: select(func.count())
        .where(col(table.namespace) == namespace, col(table.task_id) == col(TaskRow.id))
        .correlate(TaskRow)
        .scalar_subquery()
        for table in (RolloutRow, RevisionRow)
    }
    load = (count[RolloutRow] + _REVISION * count[RevisionRow]).label("load")
    statement = select(*table_of(TaskRow).columns, load).where(col(TaskRow.namespace) == namespace)
    if family is not None:
        statement = statement.where(col(TaskRow.family) == family)
    statement = statement.order_by(col(TaskRow.id)).limit(TASKS)
    page: list[Any] = []
    loaded, last = 0, ""
    while some := session.connection().execute(statement.where(col(TaskRow.id) > last)).all():
        last = some[-1].id
        for task in some:
            if page and loaded + task.load > weight:
                yield page
                page, loaded = [], 0
            page.append(task)
            loaded += task.load
    if page:
        yield page


def table_of(table: type[Table]) -> Any:
    return table.metadata.tables[str(table.__tablename__)]


def other_columns(table: type[Table], *known: str) -> list[ColumnElement[Any]]:
    """Returns all columns of a table except those that are fetched anyway."""
    return [column for column in table_of(table).columns if column.name not in known]


def checkpoints(session: Session, namespace: str) -> CheckpointAges:
    """Returns the age of each of the namespace's checkpoints, and the base model it was trained on."""
    columns = (CheckpointRow.id, CheckpointRow.parent, CheckpointRow.base_model, CheckpointRow.status)
    statement = select(*map(col, columns)).where(col(CheckpointRow.namespace) == namespace)
    rows = session.connection().execute(statement.order_by(col(CheckpointRow.created_at))).all()
    known = {row.id: Ancestry(row.parent, row.base_model, row.status == "live") for row in rows}
    return CheckpointAges(ages(known), {row.id: row.base_model for row in rows})
