"""Checkpoints and their events as rows: finding, changing, and what the log of events says. Within the caller's transaction."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from sqlalchemy import case, func
from sqlmodel import Session, col, select

from skill_plugin.checkpoints import LIVE, Acceptance, Checkpoint
from skill_plugin.errors import CheckpointNotFoundError, ConfigurationError
from skill_plugin.store.tables import CheckpointEventRow, CheckpointRow, EventRow, RevisionRow, SkillVersionRow

_LISTED = 5


def find(session: Session, namespace: str, checkpoint_id: str) -> CheckpointRow:
    """Returns a checkpoint's row. Raises `CheckpointNotFoundError`, which offers near names, if it does not exist."""
    row = session.get(CheckpointRow, (namespace, checkpoint_id))
    if row is None:
        mine = select(CheckpointRow.id).where(CheckpointRow.namespace == namespace)
        names = session.exec(mine.order_by(col(CheckpointRow.created_at).desc())).all()
        near = get_close_matches(str(checkpoint_id), names, n=1, cutoff=0.5)
        known = ", ".join(names[:_LISTED]) or "none"
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else f"known are {known}; list them with: skill-plugin checkpoints list"
        )
        raise CheckpointNotFoundError(f"no checkpoint {checkpoint_id!r} in namespace {namespace!r}; {hint}")
    return row


def change(session: Session, row: CheckpointRow, status: str, *, gate: dict[str, Any] | None = None) -> None:
    row.status = status
    row.gate = row.gate if gate is None else gate
    session.add(row)
    session.flush()


def live_row(session: Session, namespace: str) -> CheckpointRow | None:
    """Returns the live checkpoint's row, if there is one."""
    live = select(CheckpointRow).where(CheckpointRow.namespace == namespace, CheckpointRow.status == LIVE)
    return session.exec(live).first()


def view(row: CheckpointRow) -> Checkpoint:
    return Checkpoint(**row.model_dump())


def is_whole(row: CheckpointRow) -> bool:
    try:
        view(row).verify()
    except ConfigurationError:
        return False
    return True


def log(
    session: Session,
    row: CheckpointRow,
    kind: str,
    *,
    by: str,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> None:
    session.add(
        CheckpointEventRow(
            namespace=row.namespace,
            checkpoint_id=row.id,
            kind=kind,
            by=by,
            reason=reason,
            evidence=dict(evidence or {}),
        )
    )
    session.flush()


def events(session: Session, namespace: str) -> list[CheckpointEventRow]:
    mine = select(CheckpointEventRow).where(CheckpointEventRow.namespace == namespace)
    return list(session.exec(mine.order_by(col(CheckpointEventRow.id))).all())


def was_live(session: Session, row: CheckpointRow) -> bool:
    return any(event.kind == "promoted" and event.checkpoint_id == row.id for event in events(session, row.namespace))


def before(session: Session, namespace: str, live_id: str) -> str | None:
    """Returns the checkpoint that was live before the live one; None is the base model.

    Promotions build a line, and going back goes down it.
    """
    line: list[str] = []
    for event in events(session, namespace):
        went_back = event.kind == "promoted" and "back_from" in event.evidence
        if event.kind == "rolled_back" and event.evidence.get("to") is None:
            line = []
        elif went_back and event.checkpoint_id in line:
            del line[len(line) - line[::-1].index(event.checkpoint_id) :]
        elif event.kind == "promoted":
            line.append(event.checkpoint_id)
    earlier = line[: len(line) - 1 - line[::-1].index(live_id)] if live_id in line else []
    return earlier[-1] if earlier else None


def decisions(session: Session, namespace: str) -> dict[tuple[str | None, str | None], Acceptance]:
    """Counts what gates decided of revisions, by the checkpoint and the model that wrote them."""
    took = func.max(case((col(EventRow.kind) == "promoted", 1), else_=0)).label("took")
    each = (
        select(col(RevisionRow.checkpoint_id), col(RevisionRow.model), took)
        .select_from(EventRow)
        .join(
            SkillVersionRow,
            (col(SkillVersionRow.skill_id) == col(EventRow.skill_id))
            & (col(SkillVersionRow.number) == col(EventRow.version)),
        )
        .join(RevisionRow, col(RevisionRow.id) == col(SkillVersionRow.revision_id))
        .where(
            EventRow.namespace == namespace,
            RevisionRow.namespace == namespace,
            col(EventRow.kind).in_(["promoted", "refused"]),
            EventRow.by != "human",
            col(RevisionRow.source).is_(None),
        )
        .group_by(col(RevisionRow.id), col(RevisionRow.checkpoint_id), col(RevisionRow.model))
        .subquery()
    )
    counted = select(each.c.checkpoint_id, each.c.model, func.count(), func.sum(each.c.took)).group_by(
        each.c.checkpoint_id, each.c.model
    )
    rows = session.connection().execute(counted).all()
    return {(checkpoint, model): Acceptance(decided, int(took)) for checkpoint, model, decided, took in rows}


def total(parts: Iterable[Acceptance]) -> Acceptance:
    found = list(parts)
    return Acceptance(sum(one.decided for one in found), sum(one.accepted for one in found))
