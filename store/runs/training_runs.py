"""Training runs: their data and their results, so that the next night resumes where this one ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import col, select

from skill_plugin.errors import RunNotFoundError
from skill_plugin.store.partition import Part
from skill_plugin.store.sql.json_values import plain_json
from skill_plugin.store.tables import TrainingRunRow

SUCCEEDED = ("promoted", "kept")
"""Outcomes of a run that has used up its data: the gate took what it made, or did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """A run of `retrain`. `data_from` and `data_to` bound the rows that it learned from; `outcome` is None until it ends."""

    id: str
    config: Mapping[str, Any]
    data_from: datetime | None = None
    data_to: datetime | None = None
    data_hash: str | None = None
    seeds: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    outcome: str | None = None
    created_at: datetime


class TrainingRuns(Part):
    """Runs of `retrain`."""

    def begin(
        self,
        run_id: str,
        config: Mapping[str, Any],
        *,
        data_from: datetime | None = None,
        data_to: datetime | None = None,
        data_hash: str | None = None,
        seeds: Mapping[str, Any] | None = None,
    ) -> TrainingRun:
        """Notes that a run begins. One of this id that exists is returned as it is: it resumes.

        Args:
            run_id: Its id, one of its own in the namespace.
            config: Its settings, in JSON.
            data_from: The oldest row that it may learn from; None is the first.
            data_to: The newest; the next run begins there.
            data_hash: The hash of the groups it learns from.
            seeds: Its seeds by name.

        Raises:
            ConfigurationError: a value is not JSON.
        """
        kept = plain_json(config, "a training's config"), plain_json(seeds or {}, "a training's seeds")
        with self._partition.write() as session:
            row = session.get(TrainingRunRow, (self._namespace, run_id))
            if row is None:
                row = TrainingRunRow(
                    namespace=self._namespace,
                    id=run_id,
                    config=kept[0],
                    data_from=data_from,
                    data_to=data_to,
                    data_hash=data_hash,
                    seeds=kept[1],
                )
                session.add(row)
                session.flush()
            return _view(row)

    def save(self, run_id: str, progress: Mapping[str, Any], *, outcome: str | None = None) -> None:
        """Keeps how far a run is, and at the end its outcome: `promoted`, `kept`, or why it failed.

        Raises:
            RunNotFoundError: it was not begun.
            ConfigurationError: the progress is not JSON.
        """
        kept = plain_json(progress, "a training's progress")
        with self._partition.write() as session:
            row = session.get(TrainingRunRow, (self._namespace, run_id))
            if row is None:
                raise RunNotFoundError(f"no training run {run_id!r} in namespace {self._namespace!r}; begin it first")
            row.progress, row.outcome = kept, outcome
            session.add(row)

    def list(self) -> list[TrainingRun]:
        """Returns every run in this namespace, oldest first."""
        with self._partition.read() as session:
            mine = select(TrainingRunRow).where(TrainingRunRow.namespace == self._namespace)
            rows = session.exec(mine.order_by(col(TrainingRunRow.created_at), col(TrainingRunRow.id))).all()
            return [_view(row) for row in rows]

    def trained_until(self, *, promoted: bool = False) -> datetime | None:
        """Returns up to where the newest run that succeeded has learned; None if none has.

        Args:
            promoted: Count only runs whose adapter went live.
        """
        wanted = SUCCEEDED[:1] if promoted else SUCCEEDED
        done = [run for run in self.list() if run.outcome in wanted]
        return done[-1].data_to if done else None


def _view(row: TrainingRunRow) -> TrainingRun:
    return TrainingRun(**row.model_dump(exclude={"namespace"}))
