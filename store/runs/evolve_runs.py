"""The runs of `evolve` as the store keeps them, so that one that was killed resumes where it was."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func
from sqlmodel import Session, col, select

from skill_plugin.budget import Usage
from skill_plugin.gates.decision import GateDecision
from skill_plugin.records import Rollout
from skill_plugin.store.histories.later import TRIED
from skill_plugin.store.partition import Part
from skill_plugin.store.runs.outcomes import as_rollout
from skill_plugin.store.skills import versions
from skill_plugin.store.tables import EventRow, EvolveRunRow, RevisionRow, RolloutRow, utc_now

_LOOK_AGAIN_S = 0.5
_IDS_A_QUERY = 500


@dataclass(frozen=True, slots=True)
class EvolveRun:
    """A run of `evolve`.

    Args:
        id: Its id.
        resumed: Whether an earlier start has begun it.
        task_usage: The recorded usage of the task LLM.
        generator_usage: The recorded usage of the generator.
        malformed: Recorded candidates that are not a skill.
        seconds: Seconds that earlier starts took, as far as they were saved.
    """

    id: str
    resumed: bool
    task_usage: Usage = field(default_factory=Usage)
    generator_usage: Usage = field(default_factory=Usage)
    malformed: int = 0
    seconds: float = 0.0


class EvolveProgress(NamedTuple):
    id: str
    progress: Mapping[str, Any]
    outcome: str | None
    created_at: datetime
    updated_at: datetime


class RecordedRollout(NamedTuple):
    """A rollout with its run's id and its task's id."""

    run_id: str
    task_id: str
    rollout: Rollout


class TextWorth(NamedTuple):
    """The worth of a text: its `skill_id@version`, the worth in words, and the rewards behind it."""

    ref: str
    reason: str
    evidence: Mapping[str, Any]


class EvolveRuns(Part):
    """Runs of `evolve`."""

    def begin(self, digest: str, config: Mapping[str, Any], *, new: bool = False) -> EvolveRun:
        """Finds the newest run of these tasks and settings; begins a new one if none is found, or if that is asked for.

        Args:
            digest: The digest of the tasks and of every setting that decides what is run.
            config: The settings, for people.
            new: Begin from the beginning.
        """
        with self._partition.write() as session:
            same = select(EvolveRunRow).where(EvolveRunRow.namespace == self._namespace, EvolveRunRow.digest == digest)
            row = None if new else session.exec(same.order_by(col(EvolveRunRow.created_at).desc())).first()
            if row is None:
                row = EvolveRunRow(
                    namespace=self._namespace, id=f"ev_{secrets.token_hex(6)}", digest=digest, config=dict(config)
                )
                session.add(row)
                return EvolveRun(row.id, resumed=False)
            return EvolveRun(
                row.id,
                resumed=True,
                task_usage=_usage(session, self._namespace, row.id, RolloutRow),
                generator_usage=_usage(session, self._namespace, row.id, RevisionRow),
                malformed=_malformed(session, self._namespace, row.id),
                seconds=_seconds(row.progress or {}),
            )

    def save(self, run_id: str, progress: Mapping[str, Any], *, outcome: str | None = None) -> None:
        """Keeps how far a run is, and at the end its outcome."""
        with self._partition.write() as session:
            row = session.get_one(EvolveRunRow, (self._namespace, run_id))
            row.progress, row.outcome, row.updated_at = dict(progress), outcome, utc_now()
            session.add(row)

    def list(self) -> list[EvolveProgress]:
        """Returns every run of `evolve` in this namespace, oldest first."""
        with self._partition.read() as session:
            mine = select(EvolveRunRow).where(EvolveRunRow.namespace == self._namespace)
            rows = session.exec(mine.order_by(col(EvolveRunRow.created_at))).all()
            return [EvolveProgress(row.id, row.progress, row.outcome, row.created_at, row.updated_at) for row in rows]

    def rollouts(self, run_id: str) -> Sequence[RecordedRollout]:
        """Returns every rollout that a run of `evolve` has recorded, oldest first; each was shown one skill at most."""
        mine = select(RolloutRow).where(
            RolloutRow.namespace == self._namespace, col(RolloutRow.run_id).startswith(f"{run_id}:")
        )
        with self._partition.read() as session:
            rows = session.exec(mine.order_by(col(RolloutRow.id))).all()
            return [RecordedRollout(row.run_id, row.task_id, as_rollout(row, {})) for row in rows]

    def log_worth(self, by: str, texts: Sequence[TextWorth]) -> None:
        """Appends each text's worth to its history; each task's verdict on a version once for every `by`."""
        with self._partition.write() as session:
            for ref, reason, evidence in texts:
                skill, version = versions.resolve(session, self._namespace, ref)
                known = select(EventRow.evidence).where(
                    EventRow.skill_id == skill.id,
                    EventRow.version == version.number,
                    EventRow.kind == TRIED,
                    EventRow.by == by,
                )
                if all(one["task"] != evidence["task"] for one in session.exec(known)):
                    versions.log_event(
                        session, skill, TRIED, by=by, version=version.number, reason=reason, evidence=evidence
                    )

    def gate_decisions(self, by: str) -> Sequence[tuple[str, GateDecision]]:
        """Returns what a gate that called itself `by` decided, oldest first, each with its `skill_id@version`."""
        with self._partition.read() as session:
            mine = select(EventRow).where(EventRow.namespace == self._namespace, EventRow.by == by)
            decided = mine.where(col(EventRow.kind).in_(["promoted", "refused"])).order_by(col(EventRow.id))
            rows = [row for row in session.exec(decided).all() if row.evidence]
            return [(f"{row.skill_id}@{row.version}", GateDecision.from_json(row.evidence)) for row in rows]


def _usage(session: Session, namespace: str, run_id: str, log: type[RolloutRow] | type[RevisionRow]) -> Usage:
    """Sums a run's usage of one model. Run ids are letters and digits, so nothing in the pattern is special."""
    summed = select(func.count(), func.sum(col(log.input_tokens)), func.sum(col(log.output_tokens))).where(
        log.namespace == namespace, col(log.run_id).startswith(f"{run_id}:")
    )
    return Usage(*(value or 0 for value in session.exec(summed).one()))


def _seconds(progress: Mapping[str, Any]) -> float:
    """Returns how long the starts took that have saved this."""
    return float(progress.get("seconds_before", 0.0)) + float((progress.get("spent") or {}).get("seconds", 0.0))


def _malformed(session: Session, namespace: str, run_id: str) -> int:
    """Returns how many candidates of a run are not a skill."""
    bad = select(func.count()).where(
        RevisionRow.namespace == namespace,
        col(RevisionRow.run_id).startswith(f"{run_id}:"),
        col(RevisionRow.error).is_not(None),
    )
    return session.exec(bad).one()
