"""What `evolve` keeps in the store, so that a run that was killed resumes where it was."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import func
from sqlmodel import Session, col, select

from skill_plugin.budget import Usage
from skill_plugin.errors import BusyError, InvalidTaskError
from skill_plugin.gates.versions import GateDecision
from skill_plugin.records import Rollout, Split, Task
from skill_plugin.store.base import StoreBase
from skill_plugin.store.histories.later import TRIED
from skill_plugin.store.locks import job_owner
from skill_plugin.store.runs.outcomes import as_rollout, insert_task
from skill_plugin.store.skills import versions
from skill_plugin.store.tables import EventRow, EvolveRunRow, RevisionRow, RolloutRow, TaskRow, utc_now

_LOOK_AGAIN_S = 0.5
_IDS_A_QUERY = 500


@dataclass(frozen=True, slots=True)
class EvolveRun:
    """A run of `evolve`.

    Args:
        id: Its id.
        resumed: Whether an earlier start has begun it.
        task_usage: What that recorded of the task LLM.
        generator_usage: What it recorded of the generator.
        malformed: Recorded candidates that are not a skill.
    """

    id: str
    resumed: bool
    task_usage: Usage = field(default_factory=Usage)
    generator_usage: Usage = field(default_factory=Usage)
    malformed: int = 0


class EvolveProgress(NamedTuple):
    id: str
    progress: Mapping[str, Any]
    outcome: str | None


class RecordedRollout(NamedTuple):
    """A rollout with its run's id and its task's id."""

    run_id: str
    task_id: str
    rollout: Rollout


class TextWorth(NamedTuple):
    """What a text was worth: its `skill_id@version`, the worth in words, and the rewards behind it."""

    ref: str
    reason: str
    evidence: Mapping[str, Any]


class Evolving(StoreBase):
    """Runs of `evolve`."""

    def begin_evolve(self, digest: str, config: Mapping[str, Any], *, new: bool = False) -> EvolveRun:
        """The newest run of these tasks and settings; a new one if there is none, or if it is wanted.

        Args:
            digest: Of the tasks and of every setting that decides what is run.
            config: The settings, for people.
            new: Begin from the beginning.
        """
        with self._write() as session:
            same = select(EvolveRunRow).where(EvolveRunRow.namespace == self.namespace, EvolveRunRow.digest == digest)
            row = None if new else session.exec(same.order_by(col(EvolveRunRow.created_at).desc())).first()
            if row is None:
                row = EvolveRunRow(
                    namespace=self.namespace, id=f"ev_{secrets.token_hex(6)}", digest=digest, config=dict(config)
                )
                session.add(row)
                return EvolveRun(row.id, resumed=False)
            return EvolveRun(
                row.id,
                resumed=True,
                task_usage=_usage(session, self.namespace, row.id, RolloutRow),
                generator_usage=_usage(session, self.namespace, row.id, RevisionRow),
                malformed=_malformed(session, self.namespace, row.id),
            )

    def save_evolve(self, run_id: str, progress: Mapping[str, Any], *, outcome: str | None = None) -> None:
        """Keeps how far a run is, and at the end what it came to."""
        with self._write() as session:
            row = session.get_one(EvolveRunRow, (self.namespace, run_id))
            row.progress, row.outcome, row.updated_at = dict(progress), outcome, utc_now()
            session.add(row)

    def evolve_runs(self) -> list[EvolveProgress]:
        """Every run of `evolve` in this namespace, oldest first."""
        with self.database.read() as session:
            mine = select(EvolveRunRow).where(EvolveRunRow.namespace == self.namespace)
            rows = session.exec(mine.order_by(col(EvolveRunRow.created_at))).all()
            return [EvolveProgress(row.id, row.progress, row.outcome) for row in rows]

    def evolve_rollouts(self, run_id: str) -> list[RecordedRollout]:
        """Returns every rollout that a run of `evolve` has recorded, oldest first; each was shown one skill at most."""
        mine = select(RolloutRow).where(
            RolloutRow.namespace == self.namespace, col(RolloutRow.run_id).startswith(f"{run_id}:")
        )
        with self.database.read() as session:
            rows = session.exec(mine.order_by(col(RolloutRow.id))).all()
            return [RecordedRollout(row.run_id, row.task_id, as_rollout(row, {})) for row in rows]

    def log_worth(self, by: str, texts: Sequence[TextWorth]) -> None:
        """Appends to each text's history what it was worth; each task's verdict on a version once for every `by`."""
        with self._write() as session:
            for ref, reason, evidence in texts:
                skill, version = versions.resolve(session, self.namespace, ref)
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

    def gate_decisions(self, by: str) -> list[tuple[str, GateDecision]]:
        """Returns what a gate that called itself `by` decided, oldest first, each with its `skill_id@version`."""
        with self.database.read() as session:
            mine = select(EventRow).where(EventRow.namespace == self.namespace, EventRow.by == by)
            decided = mine.where(col(EventRow.kind).in_(["promoted", "refused"])).order_by(col(EventRow.id))
            rows = [row for row in session.exec(decided).all() if row.evidence]
            return [(f"{row.skill_id}@{row.version}", GateDecision.from_json(row.evidence)) for row in rows]

    def claim_splits(self, tasks: Sequence[Task]) -> None:
        """Keeps the tasks with their splits. A question stays in the split that it had first: else the generator would know
        what the gate measures with.

        Raises:
            InvalidTaskError: a task is known here with the other split; then none is kept.
        """
        with self._write() as session:
            for start in range(0, len(tasks), _IDS_A_QUERY):
                part = {task.content_hash: task for task in tasks[start : start + _IDS_A_QUERY]}
                known = select(TaskRow.content_hash, TaskRow.split).where(
                    TaskRow.namespace == self.namespace, col(TaskRow.content_hash).in_(part)
                )
                for content_hash, split in session.exec(known):
                    if split != (task := part[content_hash]).split:
                        was, now = ("held out", "trained on") if split == "heldout" else ("trained on", "held out")
                        raise InvalidTaskError(
                            f"the task {task.input[:60]!r} was {was} in namespace {self.namespace!r} and cannot be {now} "
                            "now; leave it out, or use another namespace"
                        )
            for task in tasks:
                insert_task(session, self.namespace, task)

    def tasks(self, *, split: Split, limit: int | None = None) -> list[Task]:
        """The tasks of a split, newest first: what was evolved on, or what the gate judges by.

        Args:
            split: `train` or `heldout`.
            limit: So many at most.
        """
        mine = select(TaskRow).where(TaskRow.namespace == self.namespace, TaskRow.split == split)
        with self.database.read() as session:
            rows = session.exec(mine.order_by(col(TaskRow.created_at).desc(), col(TaskRow.id)).limit(limit)).all()
            return [
                Task(
                    row.input,
                    family=row.family,
                    reference=row.reference,
                    verifier=row.verifier,
                    split=split,
                    chain=row.chain,
                    position=row.position,
                )
                for row in rows
            ]

    def held_out(self, task: Task) -> bool:
        """Whether the question is held out here, whatever this run of it says."""
        known = select(TaskRow.id).where(
            TaskRow.namespace == self.namespace,
            TaskRow.content_hash == task.content_hash,
            TaskRow.split == "heldout",
        )
        with self.database.read() as session:
            return session.exec(known).first() is not None

    @contextmanager
    def alone(self, job: str, *, wait: bool = False) -> Iterator[None]:
        """Holds the namespace's lock on a job, on every machine that uses the database; let go of when the process ends.

        Args:
            job: Its name, such as `evolve`.
            wait: Wait for another process to end the same job, however long; else that is an error.

        Raises:
            BusyError: another process holds it.
        """
        owner = job_owner(self.database, self.namespace, job)
        while not owner.take():
            if not wait:
                raise BusyError(
                    f"another {job} is running on namespace {self.namespace!r} of {self.database.where}; "
                    "wait for its end (--wait), or use another namespace"
                )
            time.sleep(_LOOK_AGAIN_S)
        try:
            yield
        finally:
            owner.release()


def _usage(session: Session, namespace: str, run_id: str, log: type[RolloutRow] | type[RevisionRow]) -> Usage:
    """What a run has recorded of one model. Ours are letters and digits, so nothing in the pattern is special."""
    summed = select(func.count(), func.sum(col(log.input_tokens)), func.sum(col(log.output_tokens))).where(
        log.namespace == namespace, col(log.run_id).startswith(f"{run_id}:")
    )
    return Usage(*(value or 0 for value in session.exec(summed).one()))


def _malformed(session: Session, namespace: str, run_id: str) -> int:
    """Returns how many candidates of a run are not a skill."""
    bad = select(func.count()).where(
        RevisionRow.namespace == namespace,
        col(RevisionRow.run_id).startswith(f"{run_id}:"),
        col(RevisionRow.error).is_not(None),
    )
    return session.exec(bad).one()
