"""How `evolve` goes: how many of what."""

from dataclasses import asdict, dataclass
from typing import Any

from skill_plugin.credit import DEFAULT_CREDIT, Credit
from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs.evolution import selection
from skill_plugin.graphs.evolution.selection import Selection
from skill_plugin.store import DEFAULT_EXPERIENCE, DEFAULT_MIN_SCORE


@dataclass(frozen=True, kw_only=True)
class EvolveSettings:
    """How `evolve` goes.

    Args:
        generations: G, how often a task's skill is revised. More of them resume a run that ended.
        candidates: C, how many texts are sampled from one prompt.
        rollouts: K, how often each is tried on its own task.
        controls: Rollouts without the first skill, where a task begins with one; 0 measures no lift.
        siblings: Other train tasks of the family that judge a text, at most; 0 judges it by its own task alone.
        credit: How a text's reward is made of both: `evolving-rl`, `skill-r1`, `sage` or a `chains.Credit`.
        minibatch: Failing tasks of the family that one prompt shows, the lineage's own included; at most 3.
        adaptive: Write one candidate first and the others only where it does not help (it is worth no more and fails in the
            same way), stop the rollouts of a text when the first two agree, and run controls at the end, only until the lift
            of what is live can be told. Off, every generation has C candidates with K rollouts each.
        lineages: Lineages of a family that begin at first, and that write, at a time; see `families.Family`.
        gate_tasks: Held-out tasks of a family that judge one decision, at most; 0 leaves everything staged.
        stop_when_solved: End a task when every rollout under its best text passes.
        order: `file`, or `half-solved`: tasks that were solved about half of the time first.
        selection: Which text is revised next: `best-mean`, `frontier`, or a function; see `skill_plugin.graphs.evolution.selection`.
        concurrency: Calls at once, of the task LLM and the generator together.
        min_score: The floor of retrieval; see `SkillStore.search`.
        experience: How much the tasks that a skill has passed count in search, from 0 to 1; see `SkillStore.search`.
        strategy: How to search; see `SkillStore.search`.
        verifier_timeout: Seconds until a verifier counts as hung.

    Raises:
        ConfigurationError: a value is outside its range.
    """

    generations: int = 5
    candidates: int = 4
    rollouts: int = 4
    controls: int = 1
    siblings: int = 4
    credit: str | Credit = DEFAULT_CREDIT
    minibatch: int = 3
    adaptive: bool = True
    lineages: int = 1
    gate_tasks: int = 8
    stop_when_solved: bool = True
    order: str = "file"
    selection: str | Selection = "best-mean"
    concurrency: int = 8
    min_score: float = DEFAULT_MIN_SCORE
    experience: float = DEFAULT_EXPERIENCE
    strategy: str = "hybrid"
    verifier_timeout: float = 30.0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise ConfigurationError(f"{name} is {number!r}; give a whole number from {least}")
        if self.order not in ORDERS:
            raise ConfigurationError(f"{self.order!r} is not an order of tasks; use one of {', '.join(ORDERS)}")
        Credit.of(self.credit)
        selection.load(self.selection)

    def deciding(self) -> dict[str, Any]:
        """Returns what decides which rollouts are run. Not how many generations: those that exist stay the same."""
        named = {
            **asdict(self),
            "credit": asdict(Credit.of(self.credit)),
            "selection": chosen if isinstance(chosen := self.selection, str) else chosen.__qualname__,
        }
        return {key: value for key, value in named.items() if key not in _MAY_CHANGE}


ORDERS = ("file", "half-solved")

_LEAST = {
    "generations": 0, "candidates": 1, "rollouts": 1, "controls": 0, "siblings": 0, "minibatch": 1, "lineages": 1,
    "gate_tasks": 0, "concurrency": 1,
}  # fmt: skip

_MAY_CHANGE = ("generations", "concurrency", "lineages", "order")
"""Settings that another start of the same run may have."""
