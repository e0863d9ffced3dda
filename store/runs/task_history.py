"""How tasks went so far: what a curriculum and a draw of judges ask of the record."""

from collections import Counter

from sqlalchemy import case, func, select
from sqlmodel import col

from skill_plugin.store.base import StoreBase
from skill_plugin.store.tables import CheckpointEventRow, EventRow, RevisionRow, RolloutRow, SkillVersionRow, TaskRow
from skill_plugin.tasks.curriculum import TaskRecord

RECENT = 20
"""Rollouts of a task that say how it goes today."""


class TaskHistory(StoreBase):
    """What rollouts say of the tasks that they were of."""

    def task_records(self, recent: int = RECENT) -> dict[str, TaskRecord]:
        """Returns how each task went, by content hash: its newest rollouts that have a verdict.

        Rollouts of a gate are left out, because nothing may be learned from held-out tasks, and so are controls, which ran
        without the skill on purpose.

        Args:
            recent: So many rollouts of a task at most, the newest.
        """
        newest = func.row_number().over(partition_by=col(TaskRow.content_hash), order_by=col(RolloutRow.id).desc())
        counted = (
            select(
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
                col(TaskRow.namespace) == self.namespace,
                col(RolloutRow.purpose) != "gate",
                col(RolloutRow.arm) == "skill",
                col(RolloutRow.reward).is_not(None),
            )
            .subquery()
        ).c
        summed = (
            select(
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
            select(col(TaskRow.family), func.max(EventRow.at))
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
                col(TaskRow.namespace) == self.namespace,
                col(EventRow.namespace) == self.namespace,
                col(EventRow.kind) == "promoted",
            )
            .group_by(col(TaskRow.family))
        )
        with self.database.read() as session:
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
            select(col(TaskRow.content_hash), func.count(col(RolloutRow.run_id).distinct()))
            .join(
                RolloutRow, (col(RolloutRow.task_id) == col(TaskRow.id)) & (RolloutRow.namespace == TaskRow.namespace)
            )
            .where(col(TaskRow.namespace) == self.namespace, col(RolloutRow.purpose) == "gate")
            .group_by(col(TaskRow.content_hash))
        )
        if without is not None:
            times = times.where(~col(RolloutRow.run_id).startswith(without, autoescape=True))
        with self.database.read() as session:
            return dict(session.connection().execute(times).all())

    def times_judged_checkpoints(self) -> dict[str, int]:
        """Returns how many checkpoints each held-out task has judged, by content hash; decisions by logs alone name none."""
        mine = select(col(CheckpointEventRow.evidence)).where(
            col(CheckpointEventRow.namespace) == self.namespace, col(CheckpointEventRow.kind).in_(["promoted", "kept"])
        )
        with self.database.read() as session:
            gates = [evidence.get("gate") or {} for (evidence,) in session.connection().execute(mine)]
        return dict(Counter(content_hash for gate in gates for content_hash in gate.get("judges", ())))
