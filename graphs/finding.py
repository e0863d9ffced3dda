"""What a user's run would be shown for a task: today, and as if a staged version were live."""

from dataclasses import dataclass

from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.records import SkillHits, Task
from skill_plugin.store import DEFAULT_MIN_SCORE, SkillStore


@dataclass(frozen=True)
class Finder:
    """Search as a run does it, for whoever judges texts by what users get.

    Args:
        store: The library.
        min_score: The floor; see `SkillStore.search`.
        strategy: How to search; see `SkillStore.search`.
    """

    store: SkillStore
    min_score: float = DEFAULT_MIN_SCORE
    strategy: str = "hybrid"

    def __call__(self, task: Task, *, instead: str | None = None) -> PinnedSkill | None:
        """Returns the skill that a run of the task is shown, or None.

        Args:
            task: What is asked.
            instead: `skill_id@version` that counts as live.
        """
        hits = self._hits(task, instead)
        return PinnedSkill(ref=hits[0].ref, name=hits[0].name, text=hits[0].text, score=None, why={}) if hits else None

    def _hits(self, task: Task, instead: str | None) -> SkillHits:
        return self.store.search(
            task.input, k=1, min_score=self.min_score, strategy=self.strategy, family=task.family, instead=instead
        )
