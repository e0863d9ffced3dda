"""The skill that a user's run would be shown for a task: today, and as if a version were live."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from skill_plugin.credit import LEAST_COSINE
from skill_plugin.errors import StoreError
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.hits import SkillHits
from skill_plugin.records import Task
from skill_plugin.store import Draft, Retrieval, SkillStore


@dataclass(frozen=True)
class Finder:
    """Search as a run does it, for whoever judges texts by what users get.

    Args:
        store: The library.
        retrieval: How a run searches; one skill is looked for, whatever its `k`.
    """

    store: SkillStore
    retrieval: Retrieval = field(default_factory=Retrieval)

    def __call__(self, task: Task, *, instead: str | Draft | None = None) -> PinnedSkill | None:
        """Returns the skill that a run of the task is shown, or None.

        Args:
            task: What is asked.
            instead: The `skill_id@version` or text that counts as live. A skill that somebody has retired meanwhile cannot go
                live, so the answer is today's.
        """
        try:
            hits = self._search(task, instead)
        except StoreError:
            if instead is None:
                raise
            hits = self._search(task, None)
        return PinnedSkill(ref=hits[0].ref, name=hits[0].name, text=hits[0].text, score=None, why={}) if hits else None

    def shows(self, task: Task, ref: str) -> "ShownSkills":
        """Returns what a run of the task is shown today, and if a version were live."""
        return ShownSkills(task, self(task), self(task, instead=ref))

    def is_like(self, task: Task, others: Sequence[Task]) -> bool:
        """Returns whether a task is of the kind of any of the others; without others, whatever it is."""
        return not others or any(self.store.tasks.cosine(one.input, task.input) >= LEAST_COSINE for one in others)

    def _search(self, task: Task, instead: str | Draft | None) -> SkillHits:
        return self.store.search(
            task.input,
            k=1,
            min_score=self.retrieval.min_score,
            experience=self.retrieval.experience,
            strategy=self.retrieval.strategy,
            family=task.family,
            instead=instead,
        )


@dataclass(frozen=True, slots=True)
class ShownSkills:
    """The skill that a run of a task is shown today, and the one that it would be shown if a candidate were live."""

    task: Task
    today: PinnedSkill | None
    then: PinnedSkill | None

    def finds(self, ref: str) -> bool:
        """Returns whether it would be shown the candidate."""
        return self.then is not None and self.then["ref"] == ref
