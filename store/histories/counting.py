"""Counting histories: every lineage goes to a gatherer, read as little as it needs."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, case, func, literal, select, type_coerce
from sqlalchemy import cast as as_type
from sqlmodel import Session, col

from skill_plugin.histories import statistics
from skill_plugin.histories.eligibility import temperature_of
from skill_plugin.histories.worth import Later
from skill_plugin.store.histories import lineages
from skill_plugin.store.histories.later import later_of
from skill_plugin.store.histories.lineages import LineageRows, Window, table_of
from skill_plugin.store.tables import RevisionRow, RolloutRow, TaskRow


def counted(session: Session, namespace: str, gatherer: statistics.Gatherer, window: Window) -> statistics.HistoryStats:
    """Takes every lineage to the gatherer, reading as little of it as it needs."""
    revision_columns = [
        col(RevisionRow.skill_id), col(RevisionRow.version), col(RevisionRow.parent_skill_id), col(RevisionRow.parent_version),
        col(RevisionRow.error), col(RevisionRow.source), col(RevisionRow.model), col(RevisionRow.checkpoint_id), col(RevisionRow.sampling),
        *(_length(name).label(name) for name in ("prompt_token_ids", "completion_token_ids", "logprobs")),
    ]  # fmt: skip
    rollout_columns = [
        col(RolloutRow.skill_id), col(RolloutRow.version), col(RolloutRow.arm), col(RolloutRow.reward),
        col(RolloutRow.passed), col(RolloutRow.source), col(RolloutRow.purpose),
    ]  # fmt: skip
    pages = lineages.lineages(
        session,
        namespace,
        window,
        revision_columns=revision_columns,
        rollout_columns=rollout_columns,
        weight=10 * lineages.WEIGHT,
    )
    for page in pages:
        later = later_of(session, namespace, page)
        for lineage in page:
            gatherer.add(_lineage(lineage, later))
    tasks = select(col(TaskRow.split), func.count()).where(col(TaskRow.namespace) == namespace)
    if window.family is not None:
        tasks = tasks.where(col(TaskRow.family) == window.family)
    by_split = {split: count for split, count in session.connection().execute(tasks.group_by(col(TaskRow.split)))}  # noqa: C416 - rows are not pairs to dict()
    return gatherer.result({split: by_split.get(split, 0) for split in ("train", "heldout")})


def _lineage(lineage: LineageRows, later: Mapping[tuple[str, int], Sequence[Later]]) -> statistics.CountedLineage:
    return statistics.CountedLineage(
        lineage.task.split,
        [
            statistics.CountedRevision(
                row.generation, row.group_id, _skill(row), row.error, row.source, row.model, row.checkpoint_id,
                row.prompt_token_ids, row.completion_token_ids, row.logprobs, temperature_of(row.sampling),
                later.get((row.group_id, row.candidate), ()),
            )
            for row in lineage.revisions
        ],
        [
            statistics.CountedRollout(
                row.generation, _skill(row), row.arm, row.reward, row.passed, row.source, row.purpose
            )
            for row in lineage.rollouts
        ],
    )  # fmt: skip


def _skill(row: Any) -> tuple[str, int] | None:
    return (row.skill_id, row.version) if row.skill_id else None


def _length(name: str) -> ColumnElement[int]:
    """How many elements a JSON list has; 0 where there is none."""
    column = table_of(RevisionRow).c[name]
    # None is SQL's NULL in some rows and JSON's in others, of which PostgreSQL will not take the length.
    is_list = type_coerce(as_type(column, String), String).like("[%")
    return case((is_list, func.json_array_length(column)), else_=literal(0))
