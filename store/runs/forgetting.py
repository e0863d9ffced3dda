"""Forgetting on purpose: a run, whatever came from a source, a text wherever it stands, the texts of old runs.

Within the caller's transaction. A text that is forgotten is replaced, so that the rest of a row and what it counts for stay.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, delete, or_, select, update
from sqlmodel import Session, col

from skill_plugin.records import sha256
from skill_plugin.store.index.outbox import mark_changed
from skill_plugin.store.items.tables import ItemRow
from skill_plugin.store.runs.calls import CallRow
from skill_plugin.store.search.experience_rows import ExperienceRow, count_up
from skill_plugin.store.skills.tables import VersionFileRow
from skill_plugin.store.skills.tree_rows import forget_in_files, rehash
from skill_plugin.store.tables import (
    CheckpointEventRow,
    EventRow,
    EvolveRunRow,
    OutcomeRow,
    RevisionRow,
    RevisionTaskRow,
    RolloutRow,
    SharedUseRow,
    SkillRow,
    SkillVersionRow,
    Table,
    TaskEmbeddingRow,
    TaskRow,
    TrainingRunRow,
    utc_now,
)

GONE = "[forgotten]"

_TEXTS: dict[type[Table], tuple[str, ...]] = {
    TaskRow: ("input", "reference", "verifier"),
    RolloutRow: ("answer", "feedback", "error"),
    OutcomeRow: ("feedback",),
    CallRow: ("error", "arguments"),
    RevisionRow: ("prompt", "completion", "error"),
    EventRow: ("reason", "evidence"),
    CheckpointEventRow: ("reason", "evidence"),
    EvolveRunRow: ("config", "progress"),
    TrainingRunRow: ("config", "progress"),
    ItemRow: ("value", "texts"),
    SkillRow: ("description",),
    SkillVersionRow: ("text", "description"),
}
_ASKED = 400
"""Keys that one statement names."""


def forget_runs(session: Session, namespace: str, run_ids: Sequence[str]) -> dict[str, int]:
    """Deletes runs: their rollouts, outcomes and revisions, and the tasks that no other run has; returns how many by table.

    Versions that were written in them stay; `forget_text` reaches those.
    """
    counts: dict[str, int] = {}
    for some in _some(run_ids):
        tasks: set[str] = set()
        for ran in (RolloutRow, RevisionRow):
            mine = select(col(ran.task_id)).where(col(ran.namespace) == namespace, col(ran.run_id).in_(some))
            tasks.update(session.connection().execute(mine).scalars())
        groups = select(col(RevisionRow.group_id)).where(
            col(RevisionRow.namespace) == namespace, col(RevisionRow.run_id).in_(some)
        )
        revisions = select(col(RevisionRow.id)).where(
            col(RevisionRow.namespace) == namespace, col(RevisionRow.run_id).in_(some)
        )
        session.connection().execute(
            update(SkillVersionRow).where(col(SkillVersionRow.revision_id).in_(revisions)).values(revision_id=None)
        )
        shown = col(RevisionTaskRow.group_id).in_(groups)
        _delete(session, counts, RevisionTaskRow, col(RevisionTaskRow.namespace) == namespace, shown)
        for table in (OutcomeRow, SharedUseRow, CallRow, RolloutRow, RevisionRow):
            _delete(session, counts, table, col(table.namespace) == namespace, col(table.run_id).in_(some))
        _forget_tasks(session, namespace, sorted(tasks), counts)
    return counts


def runs_from(session: Session, namespace: str, source: str) -> list[str]:
    """Returns the runs that were imported from a source: from one run of it by its full name, or from all that begin with it."""
    runs: set[str] = set()
    for table in (RolloutRow, RevisionRow):
        rows = select(col(table.run_id), col(table.source)).where(
            col(table.namespace) == namespace, col(table.source).is_not(None)
        )
        for run_id, found in session.connection().execute(rows):
            if found is None:
                continue
            rest = found[len(source) :]
            if found.startswith(source) and not (rest and source[-1:].isalnum() and rest[0].isalnum()):
                runs.add(run_id)
    return sorted(runs)


def forget_text(session: Session, namespace: str, text: str) -> dict[str, int]:
    """Puts `[forgotten]` in place of a text wherever the namespace has it; returns the number of rows changed by table.

    A version's hash is then of what is left. Vectors stay: nothing can be read in them. Names stay too: of runs, families, threads, labels.
    """
    counts: dict[str, int] = {}
    for table, names in _TEXTS.items():
        rows = table.metadata.tables[str(table.__tablename__)]
        keys = list(rows.primary_key.columns)
        own = [rows.c[name] for name in names]
        found = session.connection().execute(select(*keys, *own).where(rows.c.namespace == namespace))
        changes = [
            (row[: len(keys)], values)
            for row in found.yield_per(_ASKED)
            if (values := _changes(names, row[len(keys) :], text))
        ]
        for key, values in changes:
            this = and_(*(column == value for column, value in zip(keys, key, strict=True)))
            session.connection().execute(rows.update().where(this).values(**_with_consequences(table, values)))
        if changes and table in (SkillRow, SkillVersionRow):
            ids = {key[0] for key, _ in changes}
            mark_changed(session, namespace, sorted(ids))
        if changes:
            counts[str(table.__tablename__)] = len(changes)
    if files := forget_in_files(session, namespace, lambda content: _without(content, text)):
        counts[str(VersionFileRow.__tablename__)] = files
    rehash(session, namespace)
    return counts


def forget_old_texts(session: Session, namespace: str, days: float) -> int:
    """Empties the answers, feedback and errors of rollouts, later feedback, and arguments of calls, older than so many days.

    Returns:
        How many rows.
    """
    before = utc_now() - timedelta(days=days)
    count = 0
    for table, names in ((RolloutRow, ("answer", "feedback")), (OutcomeRow, ("feedback",)), (CallRow, ("arguments",))):
        rows = table.metadata.tables[str(table.__tablename__)]
        kept = [rows.c[name] != "" for name in names]
        values: dict[str, str | None] = dict.fromkeys(names, "")
        if table is RolloutRow:
            kept.append(rows.c.error.is_not(None))
            values["error"] = None
        old = (
            (rows.c.namespace == namespace) & (rows.c["at" if table is CallRow else "created_at"] < before) & or_(*kept)
        )
        count += session.connection().execute(rows.update().where(old).values(**values)).rowcount
    return count


def _forget_tasks(session: Session, namespace: str, tasks: Sequence[str], counts: dict[str, int]) -> None:
    """Deletes those tasks that no run has any more."""
    kept: set[str] = set()
    for table in (RolloutRow, RevisionRow):
        used = select(col(table.task_id)).where(col(table.namespace) == namespace, col(table.task_id).in_(tasks))
        kept.update(session.connection().execute(used).scalars())
    gone = [task for task in tasks if task not in kept]
    for derived in (ExperienceRow, TaskEmbeddingRow):
        _delete(session, counts, derived, col(derived.namespace) == namespace, col(derived.task_id).in_(gone))
    _delete(session, counts, TaskRow, col(TaskRow.namespace) == namespace, col(TaskRow.id).in_(gone))
    if gone:
        count_up(session, namespace)


def _delete(session: Session, counts: dict[str, int], table: type[Table], *conditions: Any) -> None:
    deleted = session.connection().execute(delete(table).where(and_(*conditions))).rowcount
    if deleted:
        counts[str(table.__tablename__)] = counts.get(str(table.__tablename__), 0) + deleted


def _changes(names: Sequence[str], values: Sequence[Any], text: str) -> dict[str, Any]:
    made = {name: _without(value, text) for name, value in zip(names, values, strict=True)}
    return {name: made[name] for name, value in zip(names, values, strict=True) if made[name] != value}


def _without(value: Any, text: str) -> Any:
    if isinstance(value, str):
        return _json_without(value, text) if value[:1] == "{" else value.replace(text, GONE)
    if isinstance(value, dict):
        return {_without(key, text): _without(one, text) for key, one in value.items()}
    return [_without(one, text) for one in value] if isinstance(value, list) else value


def _json_without(value: str, text: str) -> str:
    """Does the same to a text that is JSON, as an item's value is: in it a letter may be written out."""
    try:
        read = json.loads(value)
    except ValueError:
        return value.replace(text, GONE)
    made = _without(read, text)
    return (value if made == read else json.dumps(made)).replace(text, GONE)


def _with_consequences(table: type[Table], values: dict[str, Any]) -> dict[str, Any]:
    """Adds what follows from changed texts."""
    if table is RevisionRow:
        values |= dict.fromkeys(("prompt_token_ids", "completion_token_ids", "logprobs"))  # they spell the text out
    if "text" in values:
        values["sha256"] = sha256(values["text"])
    return values


def _some(values: Sequence[str]) -> list[list[str]]:
    return [list(values[start : start + _ASKED]) for start in range(0, len(values), _ASKED)]
