"""Which adapters' files may go: those of checkpoints that were refused or superseded, and that nothing goes back to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlmodel import Session, col, select

from skill_plugin.checkpoints import LIVE
from skill_plugin.store.checkpoints import checkpoint_rows
from skill_plugin.store.tables import CheckpointRow, TrainingRunRow


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneDecision:
    """What pruning does with one checkpoint's folder, and why; `bytes` is what it takes on disk."""

    id: str
    status: str
    action: Literal["delete", "keep"]
    reason: str
    path: str
    bytes: int


def decide(session: Session, namespace: str, folder: Path, *, keep: int) -> list[PruneDecision]:
    """Decides on every checkpoint whose folder exists, newest first; see `Checkpoints.prune`."""
    mine = select(CheckpointRow).where(CheckpointRow.namespace == namespace)
    rows = session.exec(mine.order_by(col(CheckpointRow.created_at).desc(), col(CheckpointRow.id))).all()
    there = [row for row in rows if Path(row.path).is_dir()]
    kept = _kept(session, namespace, rows, folder)
    decisions, spare = [], keep
    for row in there:
        why = kept.get(row.id)
        if why is None and spare > 0:
            why, spare = f"one of the {keep} newest", spare - 1
        refused = row.status != "retired"
        decisions.append(
            PruneDecision(
                id=row.id,
                status=row.status,
                action="keep" if why else "delete",
                reason=why or ("the gate refused it" if refused else "another one took its place"),
                path=row.path,
                bytes=sum(file.stat().st_size for file in Path(row.path).rglob("*") if file.is_file()),
            )
        )
    return decisions


def _kept(session: Session, namespace: str, rows: Sequence[CheckpointRow], folder: Path) -> dict[str, str]:
    """Returns the checkpoints whose folders stay whatever their number, and why."""
    live = checkpoint_rows.live_row(session, namespace)
    back = checkpoint_rows.before(session, namespace, live.id) if live else None
    unfinished = select(TrainingRunRow.config).where(
        TrainingRunRow.namespace == namespace, col(TrainingRunRow.outcome).is_(None)
    )
    resumed = {config.get("parent_checkpoint") for config in session.exec(unfinished).all()}
    others = set(session.exec(select(CheckpointRow.path).where(CheckpointRow.namespace != namespace)).all())
    kept = {}
    for row in rows:
        if row.status == LIVE:
            kept[row.id] = "it is live"
        elif row.id == back:
            kept[row.id] = "a rollback goes to it"
        elif row.id in resumed:
            kept[row.id] = "an unfinished night trains it further"
        elif row.status == "candidate" and (row.gate is None or row.gate.get("promote")):
            kept[row.id] = "no gate has refused it"
        elif row.path in others:
            kept[row.id] = "another namespace has it too"
        elif Path(row.path).resolve().parent != folder.resolve():  # neither it nor what it may lie in is ours to delete
            kept[row.id] = f"it is not in {folder}"
    return kept
