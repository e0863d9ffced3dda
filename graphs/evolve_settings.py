"""How `evolve` goes: how many of what."""

from dataclasses import asdict, dataclass
from typing import Any

from skill_plugin import selection
from skill_plugin.errors import ConfigurationError
from skill_plugin.selection import Selection
from skill_plugin.store import DEFAULT_EXPERIENCE, DEFAULT_MIN_SCORE


@dataclass(frozen=True, kw_only=True)
class EvolveSettings:
    """How `evolve` goes.

    Args:
        generations: G, how often a task's skill is revised. More of them go on with a run that ended.
        candidates: C, how many texts are sampled from one prompt.
        rollouts: K, how often each is tried.
        controls: Rollouts without the first skill, where a task begins with one.
        gate_tasks: Held-out tasks of a family that judge a candidate, at most; 0 leaves everything staged.
        stop_when_solved: End a task when every rollout under its best text passes.
        selection: Which text is revised next: `best-mean`, `frontier`, or a function; see `skill_plugin.selection`.
        concurrency: Calls at once, of the task LLM and the generator together.
        min_score: The floor of retrieval; see `SkillStore.search`.
        experience: How much the tasks that a skill has passed count in search, from 0 to 1; likewise.
        strategy: How to search; likewise.
        verifier_timeout: Seconds until a verifier counts as hung.

    Raises:
        ConfigurationError: a number is not one of those.
    """

    generations: int = 5
    candidates: int = 4
    rollouts: int = 4
    controls: int = 1
    gate_tasks: int = 8
    stop_when_solved: bool = True
    selection: str | Selection = "best-mean"
    concurrency: int = 8
    min_score: float = DEFAULT_MIN_SCORE
    experience: float = DEFAULT_EXPERIENCE
    strategy: str = "hybrid"
    verifier_timeout: float = 30.0

    def __post_init__(self) -> None:
        for name in ("generations", "candidates", "rollouts", "controls", "gate_tasks", "concurrency"):
            least, number = int(name not in ("controls", "gate_tasks", "generations")), getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise ConfigurationError(f"{name} is {number!r}; give a whole number from {least}")
        selection.load(self.selection)

    def deciding(self) -> dict[str, Any]:
        """What decides which rollouts are run. Not how many generations: those that there are stay the same."""
        named = {
            **asdict(self),
            "selection": chosen if isinstance(chosen := self.selection, str) else chosen.__qualname__,
        }
        return {key: value for key, value in named.items() if key not in ("generations", "concurrency")}
