"""Tasks that the store knows: their splits, and how each has gone."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import case, func
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from skill_plugin.errors import InvalidTaskError
from skill_plugin.records import CLAIMED, Split, Task
from skill_plugin.store.partition import Part
from skill_plugin.store.runs.outcomes import insert_task
from skill_plugin.store.search.query_vectors import beginning
from skill_plugin.store.tables import CheckpointEventRow, EventRow, RevisionRow, RolloutRow, SkillVersionRow, TaskRow
from skill_plugin.tasks.curriculum import TaskRecord

_IDS_A_QUERY = 500

RECENT = 20
"""Rollouts of a task that say how it goes today."""


class Tasks(Part):
    """The namespace's tasks."""

    def claim_splits(self, tasks: Sequence[Task]) -> None:
        """Keeps the tasks with their splits. A question stays in the split that it had first: else the generator would know
        what the gate measures with.

        Raises:
            InvalidTaskError: a task is known here with the other split; then none is kept.
        """
        with self._partition.write() as session:
            for start in range(0, len(tasks), _IDS_A_QUERY):
                part = {task.content_hash: task for task in tasks[start : start + _IDS_A_QUERY]}
                known = select(TaskRow.content_hash, TaskRow.split).where(
                    TaskRow.namespace == self._namespace,
                    TaskRow.family != CLAIMED,  # else a client could keep a question from being held out
                    col(TaskRow.content_hash).in_(part),
                )
                for content_hash, split in session.exec(known):
                    if split != (task := part[content_hash]).split:
                        was, now = ("held out", "trained on") if split == "heldout" else ("trained on", "held out")
                        raise InvalidTaskError(
                            f"the task {task.input[:60]!r} was {was} in namespace {self._namespace!r} and cannot be {now} "
                            "now; leave it out, or use another namespace"
                        )
            for task in tasks:
                insert_task(session, self._namespace, task)

    def list(self, *, split: Split, limit: int | None = None) -> list[Task]:
        """Returns the tasks of a split, newest first: what was evolved on, or what the gate judges by.

        Args:
            split: `train` or `heldout`.
            limit: The most tasks to return.
        """
        mine = select(TaskRow).where(
            TaskRow.namespace == self._namespace, TaskRow.split == split, TaskRow.family != CLAIMED
        )
        with self._partition.read() as session:
            rows = session.exec(mine.order_by(col(TaskRow.created_at).desc(), col(TaskRow.id)).limit(limit))
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

    def is_held_out(self, task: Task) -> bool:
        """Returns whether the question is held out here, whatever split this task gives."""
        known = select(TaskRow.id).where(
            TaskRow.namespace == self._namespace,
            TaskRow.content_hash == task.content_hash,
            TaskRow.split == "heldout",
        )
        with self._partition.read() as session:
            return session.exec(known).first() is not None

    def cosine(self, text: str, other: str) -> float:
        """Returns how alike two texts are to the store's embedder, from -1 to 1; only their beginnings are read."""
        vectors = self._partition.vectors
        return float(vectors(beginning(text)) @ vectors(beginning(other)))

    @property
    def is_embedding(self) -> bool:
        """True while the embedder is at work, which may first have to read its weights."""
        return self._partition.vectors.working

    def records(self, recent: int = RECENT) -> dict[str, TaskRecord]:
        """Returns how each task went, by content hash: its newest rollouts that have a verdict.

        Rollouts of a gate are left out, because nothing may be learned from held-out tasks, and so are controls, which ran
        without the skill on purpose.

        Args:
            recent: The most rollouts of a task to count, newest first.
        """
        newest = func.row_number().over(partition_by=col(TaskRow.content_hash), order_by=col(RolloutRow.id).desc())
        counted = (
            select_columns(
                col(TaskRow.content_hash),
                col(TaskRow.family),
                col(RolloutRow.passed),
                col(RolloutRow.created_at),
                newest.label("place"),
            )
            .join(
                RolloutRow, (col(RolloutRow.task_id) == col(TaskRow.id)) & (RolloutRow.namespace == TaskRow.namespace)
            )
            .where(
                col(TaskRow.namespace) == self._namespace,
                col(RolloutRow.purpose) != "gate",
                col(RolloutRow.arm) == "skill",
                col(RolloutRow.reward).is_not(None),
            )
            .subquery()
        ).c
        summed = (
            select_columns(
                counted.content_hash,
                func.max(counted.family),
                func.sum(case((counted.passed, 1), else_=0)),
                func.count(),
                func.max(counted.created_at),
            )
            .where(counted.place <= recent)
            .group_by(counted.content_hash)
        )
        promoted = (
            select_columns(col(TaskRow.family), func.max(EventRow.at))
            .join(
                RevisionRow,
                (col(RevisionRow.task_id) == col(TaskRow.id)) & (RevisionRow.namespace == TaskRow.namespace),
            )
            .join(SkillVersionRow, col(SkillVersionRow.revision_id) == col(RevisionRow.id))
            .join(
                EventRow,
                (col(EventRow.skill_id) == col(SkillVersionRow.skill_id))
                & (col(EventRow.version) == col(SkillVersionRow.number)),
            )
            .where(
                col(TaskRow.namespace) == self._namespace,
                col(EventRow.namespace) == self._namespace,
                col(EventRow.kind) == "promoted",
            )
            .group_by(col(TaskRow.family))
        )
        with self._partition.read() as session:
            moved = dict(session.connection().execute(promoted).all())
            return {
                content_hash: TaskRecord(passes=passes, tries=tries, moved=family in moved and moved[family] > last)
                for content_hash, family, passes, tries, last in session.connection().execute(summed)
            }

    def times_judged(self, *, without: str | None = None) -> dict[str, int]:
        """Returns how many texts the gate of skills has tried on each held-out task, by content hash; running under no skill
        counts as one.

        Args:
            without: Leave out runs whose id begins so, such as those of a decision that is being made.
        """
        times = (
            select_columns(col(TaskRow.content_hash), func.count(col(RolloutRow.run_id).distinct()))
            .join(
                RolloutRow, (col(RolloutRow.task_id) == col(TaskRow.id)) & (RolloutRow.namespace == TaskRow.namespace)
            )
            .where(col(TaskRow.namespace) == self._namespace, col(RolloutRow.purpose) == "gate")
            .group_by(col(TaskRow.content_hash))
        )
        if without is not None:
            times = times.where(~col(RolloutRow.run_id).startswith(without, autoescape=True))
        with self._partition.read() as session:
            return dict(session.connection().execute(times).all())

    def times_judged_checkpoints(self) -> dict[str, int]:
        """Returns how many checkpoints each held-out task has judged, by content hash; decisions by logs alone name none."""
        mine = select_columns(col(CheckpointEventRow.evidence)).where(
            col(CheckpointEventRow.namespace) == self._namespace, col(CheckpointEventRow.kind).in_(["promoted", "kept"])
        )
        with self._partition.read() as session:
            gates = [evidence.get("gate") or {} for (evidence,) in session.connection().execute(mine)]
        return dict(Counter(content_hash for gate in gates for content_hash in gate.get("judges", ())))
