"""The rewards of a text on the next tasks, as the `evolve` that tried it noted them in the text's history.

They are noted because rollouts do not show them: a sibling for which search would not have shown the text has the
rewards of what a user would have got there instead.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import select
from sqlmodel import Session, col

from skill_plugin.histories.worth import Later
from skill_plugin.store.histories.lineages import LineageRows
from skill_plugin.store.tables import EventRow, RevisionTaskRow

T = TypeVar("T")

_ASKED = 400
"""Keys that one statement asks for."""

TRIED = "tried"
"""The kind of event that says what a candidate was worth on its task and on the tasks that come next."""

_REWARDS = ("rewards", "before", "none")


def later_of(
    session: Session, namespace: str, page: Sequence[LineageRows]
) -> Mapping[tuple[str, int], Sequence[Later]]:
    """Returns the rewards of the page's revisions on sibling tasks, by group and candidate, each revision's by content hash."""
    written = [
        (revision, (evolve, revision.skill_id, revision.version, lineage.task.content_hash))
        for lineage in page
        for revision in lineage.revisions
        if revision.skill_id and (evolve := _evolve(lineage)) is not None
    ]
    noted = _noted(session, namespace, {skill_id for _, (_, skill_id, _, _) in written})
    return {(revision.group_id, revision.candidate): noted.get(key, ()) for revision, key in written}


def as_evidence(task: str, later: Sequence[Later]) -> dict[str, Any]:
    """Returns what is noted of a text that was written from a task, as `later_of` reads it back."""
    return {"task": task, "later": [one._asdict() for one in later]}


def _noted(session: Session, namespace: str, skill_ids: set[str]) -> dict[tuple[str, str, int, str], list[Later]]:
    """Returns the notes on texts, by `evolve`, skill, version and content hash of the task they were written from."""
    events = select(col(EventRow.by), col(EventRow.skill_id), col(EventRow.version), col(EventRow.evidence)).where(
        col(EventRow.namespace) == namespace, col(EventRow.kind) == TRIED
    )
    found = {}
    for some in _chunks(sorted(skill_ids), _ASKED):
        for by, skill_id, version, evidence in session.connection().execute(
            events.where(col(EventRow.skill_id).in_(some)).order_by(col(EventRow.id))
        ):
            later = [Later(**{**one, **{key: tuple(one[key]) for key in _REWARDS}}) for one in evidence["later"]]
            found[by.removeprefix("evolve "), skill_id, version, evidence["task"]] = later
    return found


def prompt_tasks(session: Session, namespace: str, page: Sequence[LineageRows]) -> dict[str, list[str]]:
    """Returns the content hashes of the further tasks that the prompts of the page's groups showed, by group."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    rows = select(col(RevisionTaskRow.group_id), col(RevisionTaskRow.content_hash)).where(
        col(RevisionTaskRow.namespace) == namespace
    )
    if session.connection().execute(rows.limit(1)).first() is None:
        return found
    for some in _chunks(sorted({revision.group_id for lineage in page for revision in lineage.revisions}), _ASKED):
        here = rows.where(col(RevisionTaskRow.group_id).in_(some)).order_by(col(RevisionTaskRow.content_hash))
        for group_id, content_hash in session.connection().execute(here):
            found[group_id].append(content_hash)
    return found


def _evolve(lineage: LineageRows) -> str | None:
    """Returns the id of the `evolve` that a lineage belongs to; None is a run of another kind.

    Its run is named by the task as it was given; logged it has the verifier that judged it, and so another id.
    """
    evolve, _, task_id = lineage.run_id.rpartition(":")
    return evolve if evolve and task_id.startswith("task_") else None


def _chunks(values: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some
