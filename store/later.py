"""What the next tasks said of a text, as the `evolve` that tried it noted in the text's history.

A sibling for which search would not have shown the text has the rewards of what a user would have got there instead: that is not
to be seen from rollouts. Where nothing was noted, it follows from the rollouts that one `evolve` recorded on siblings.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from statistics import fmean
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, exists, literal_column, or_, select
from sqlmodel import Session, col

from skill_plugin.histories.credit import Later
from skill_plugin.store.lineages import Recorded
from skill_plugin.store.tables import EventRow, RevisionTaskRow, RolloutRow, TaskRow

T = TypeVar("T")
Ref = tuple[str, int]

FOLLOWED = 0.5
"""A rollout with this adherence or more used the text."""

_LATER = col(RolloutRow.purpose) == literal_column("'later'")  # a parameter would not use the index of these rows
_SKILLS = 100
"""Skills that one statement asks for."""

_ASKED = 400
"""Keys that one statement asks for."""

TRIED = "tried"
"""The kind of event that says what a candidate was worth on its task and on the tasks that come next."""

_REWARDS = ("rewards", "before", "none")


def later_of(session: Session, namespace: str, page: Sequence[Recorded]) -> Mapping[tuple[str, int], Sequence[Later]]:
    """Returns the rewards of the page's revisions on sibling tasks, by group and candidate, each revision's by content hash.

    What was noted when the text was tried goes first. Else these are its rollouts for the purpose `later` in the `evolve` that it was written in, on `train` tasks but for those
    that its prompt showed. Tasks with one content hash are one. `before` and `none` are rewards of what it revises and of no
    skill on the same task in the same `evolve`: those for the purpose `later`, and those of the task's own lineage.
    """
    written = [
        (lineage, revision, evolve)
        for lineage in page
        for revision in lineage.revisions
        if revision.skill_id and (evolve := _evolve(lineage)) is not None
    ]
    noted = _noted(session, namespace, {(evolve, revision.skill_id) for _, revision, evolve in written})
    found: dict[tuple[str, int], Sequence[Later]] = {}
    asked = []
    for lineage, revision, evolve in written:
        note = noted.get((evolve, revision.skill_id, revision.version, lineage.task.content_hash))
        if note is None:
            asked.append((lineage, revision, evolve))
        else:
            found[revision.group_id, revision.candidate] = note
    if not asked or not session.connection().execute(select(exists().where(_LATER))).scalar():
        return found
    shown = prompt_tasks(session, namespace, page)
    tried = _tried(session, namespace, {(revision.skill_id, revision.version) for _, revision, _ in asked})
    places = {
        (evolve, row.task_id, parent)
        for lineage, revision, evolve in asked
        for row in tried.get((evolve, (revision.skill_id, revision.version)), ())
        if row.content_hash != lineage.task.content_hash
        for parent in (_parent(revision), None)
    }
    known = _baselines(session, namespace, places)
    for lineage, revision, evolve in asked:
        not_these = {lineage.task.content_hash, *shown.get(revision.group_id, ())}
        by_task: defaultdict[str, list[Any]] = defaultdict(list)
        for row in tried.get((evolve, (revision.skill_id, revision.version)), ()):
            if row.content_hash not in not_these:
                by_task[row.content_hash].append(row)
        found[revision.group_id, revision.candidate] = [
            _on(content_hash, rows, evolve, _parent(revision), known) for content_hash, rows in sorted(by_task.items())
        ]
    return found


def as_evidence(task: str, later: Sequence[Later]) -> dict[str, Any]:
    """Returns what is noted of a text that was written from a task, as `later_of` reads it back."""
    return {"task": task, "later": [one._asdict() for one in later]}


def _noted(
    session: Session, namespace: str, written: set[tuple[str, str]]
) -> dict[tuple[str, str, int, str], list[Later]]:
    """What was noted of texts, by `evolve`, skill, version and the content hash of the task that they were written from."""
    events = select(col(EventRow.by), col(EventRow.skill_id), col(EventRow.version), col(EventRow.evidence)).where(
        col(EventRow.namespace) == namespace, col(EventRow.kind) == TRIED
    )
    found = {}
    for some in _chunks(sorted({skill_id for _, skill_id in written}), _ASKED):
        for by, skill_id, version, evidence in session.connection().execute(
            events.where(col(EventRow.skill_id).in_(some)).order_by(col(EventRow.id))
        ):
            later = [Later(**{**one, **{key: tuple(one[key]) for key in _REWARDS}}) for one in evidence["later"]]
            found[by.removeprefix("evolve "), skill_id, version, evidence["task"]] = later
    return found


def prompt_tasks(session: Session, namespace: str, page: Sequence[Recorded]) -> dict[str, list[str]]:
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


def _evolve(lineage: Recorded) -> str | None:
    """The id of the `evolve` that a lineage belongs to; None is a run of another kind.

    Its run is named by the task as it was given; logged it has the verifier that judged it, and so another id.
    """
    evolve, _, task_id = lineage.run_id.rpartition(":")
    return evolve if evolve and task_id.startswith("task_") else None


def _parent(revision: Any) -> Ref | None:
    return (revision.parent_skill_id, revision.parent_version) if revision.parent_skill_id else None


def _on(
    content_hash: str,
    rows: Sequence[Any],
    evolve: str,
    parent: Ref | None,
    known: Mapping[tuple[str, str, Ref | None], Sequence[float]],
) -> Later:
    """What one sibling says."""
    tasks = sorted({row.task_id for row in rows})
    followed = [row.adherence >= FOLLOWED for row in rows if row.adherence is not None]
    return Later(
        task=content_hash,
        rewards=tuple(row.reward for row in rows),
        before=tuple(reward for task_id in tasks for reward in known.get((evolve, task_id, parent), ())),
        none=tuple(reward for task_id in tasks for reward in known.get((evolve, task_id, None), ())),
        used=fmean(followed) if followed else None,
    )


def _tried(session: Session, namespace: str, refs: set[Ref]) -> dict[tuple[str, Ref], list[Any]]:
    """Rollouts of these versions on siblings, by `evolve` and version, in the order of their keys."""
    wanted: defaultdict[str, list[int]] = defaultdict(list)
    for skill_id, version in sorted(refs):
        wanted[skill_id].append(version)
    columns = (
        RolloutRow.namespace, RolloutRow.run_id, RolloutRow.task_id, RolloutRow.skill_id, RolloutRow.version,
        RolloutRow.reward, RolloutRow.adherence, TaskRow.content_hash,
    )  # fmt: skip
    same_task = and_(col(TaskRow.namespace) == col(RolloutRow.namespace), col(TaskRow.id) == col(RolloutRow.task_id))
    rows = (
        select(*map(col, columns))
        .join(TaskRow, same_task)
        # Without the namespace in the question, which SQLite would go through as a whole.
        .where(_LATER, col(RolloutRow.reward).is_not(None), col(TaskRow.split) == "train")
        .order_by(col(RolloutRow.run_id), col(RolloutRow.generation), col(RolloutRow.k))
    )
    found: defaultdict[tuple[str, Ref], list[Any]] = defaultdict(list)
    for some in _chunks([_versions(*one) for one in wanted.items()], _SKILLS):
        for row in session.connection().execute(rows.where(or_(*some))):
            evolve, later, _ = row.run_id.partition(":later:")
            if later and row.namespace == namespace:
                found[evolve, (row.skill_id, row.version)].append(row)
    return found


def _versions(skill_id: str, numbers: Sequence[int]) -> ColumnElement[bool]:
    return and_(col(RolloutRow.skill_id) == skill_id, col(RolloutRow.version).in_(numbers))


def _baselines(
    session: Session, namespace: str, places: set[tuple[str, str, Ref | None]]
) -> dict[tuple[str, str, Ref | None], list[float]]:
    """Rewards by `evolve`, task and skill or none: of the task's own lineage, and of those that were run as siblings."""
    runs: dict[str, tuple[str, str]] = {}
    for evolve, task_id, skill in places:
        ref = f"{skill[0]}@{skill[1]}" if skill else "none"
        runs |= dict.fromkeys((f"{evolve}:{task_id}", f"{evolve}:later:{task_id}:{ref}"), (evolve, task_id))
    skills = sorted({skill[0] for _, _, skill in places if skill})
    rows = (
        select(col(RolloutRow.run_id), col(RolloutRow.skill_id), col(RolloutRow.version), col(RolloutRow.reward))
        .where(
            col(RolloutRow.namespace) == namespace,
            col(RolloutRow.arm) == "skill",
            col(RolloutRow.purpose).in_(["run", "later"]),
            col(RolloutRow.reward).is_not(None),
            or_(col(RolloutRow.skill_id).is_(None), col(RolloutRow.skill_id).in_(skills)),
        )
        .order_by(col(RolloutRow.run_id), col(RolloutRow.generation), col(RolloutRow.k))
    )
    found: defaultdict[tuple[str, str, Ref | None], list[float]] = defaultdict(list)
    for some in _chunks(sorted(runs), _ASKED):
        for run_id, skill_id, version, reward in session.connection().execute(
            rows.where(col(RolloutRow.run_id).in_(some))
        ):
            place = (*runs[run_id], (skill_id, version) if skill_id else None)
            if reward is not None and place in places:
                found[place].append(reward)
    return found


def _chunks(values: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some
