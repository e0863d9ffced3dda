"""What `evolve` did, for people and programs; while it runs, what it has done so far."""

from dataclasses import dataclass, field
from typing import Any

from skill_plugin.budget import Spending


@dataclass
class GenerationTally:
    """What one generation came to, over all tasks."""

    rollouts: int = 0
    reward: float = 0.0
    passed: int = 0

    @property
    def mean(self) -> float | None:
        return self.reward / self.rollouts if self.rollouts else None


@dataclass
class Evolved:
    """What `evolve` did, and while it runs has done so far.

    `outcome` is `finished`, or why it stopped; the same call goes on from there. `solved_before` and `solved_after` count
    tasks whose rollouts all passed at generation 0, and under the best text at the end. `recorded_before` counts the
    rollouts that an earlier start had run. `rolled_back` is the generator's live checkpoint, if the gate took clearly less of what it
    wrote than of what its predecessor wrote; see `SkillStore.check_live`.
    """

    run_id: str = ""
    outcome: str = "running"
    tasks: int = 0
    heldout: int = 0
    done: int = 0
    solved_before: int = 0
    solved_after: int = 0
    candidates: int = 0
    malformed: int = 0
    recorded_before: int = 0
    generations: dict[int, GenerationTally] = field(default_factory=dict)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    rolled_back: str | None = None
    spending: Spending | None = None

    def to_json(self) -> dict[str, Any]:
        by_generation = [
            {"generation": number, "rollouts": tally.rollouts, "mean_reward": tally.mean, "passed": tally.passed}
            for number, tally in sorted(self.generations.items())
        ]
        plain = {key: value for key, value in vars(self).items() if key not in ("spending", "generations")}
        spent = self.spending.to_json() if self.spending else None
        return {**plain, "generations": by_generation, "spent": spent}
