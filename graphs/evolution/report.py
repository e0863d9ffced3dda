"""Progress and result of an `evolve` run."""

from dataclasses import dataclass, field
from typing import Any

from skill_plugin.budget import Spending


@dataclass
class GenerationTally:
    """The rollouts of one generation, over all tasks."""

    rollouts: int = 0
    reward: float = 0.0
    passed: int = 0

    @property
    def mean(self) -> float | None:
        return self.reward / self.rollouts if self.rollouts else None

    @property
    def share(self) -> float | None:
        """The share of them that passed."""
        return self.passed / self.rollouts if self.rollouts else None


@dataclass
class EvolveReport:
    """Progress of an `evolve` run, and at its end the result.

    Args:
        run_id: The run's id.
        outcome: `finished`, or why it stopped; the same call resumes it.
        tasks: Train tasks.
        heldout: Held-out tasks.
        done: Train tasks whose lineages have ended.
        solved_before: Tasks whose rollouts all passed at generation 0, under no skill or one that this run had not changed.
        solved_after: Tasks that pass under what search shows for them at the end.
        replayed: Tasks of which that is known; fewer than `tasks` where the run was stopped.
        solved_by_text: Tasks that the best text of their lineage solves, live or staged.
        candidates: Texts that were written.
        malformed: Those among them that are not a skill.
        cut: Rollouts of every kind whose answer the task LLM's token limit cut off; they are judged as they stand.
        recorded_before: Rollouts that an earlier start had run.
        seconds_before: Seconds that earlier starts took, as far as they were saved.
        generations: Rollouts and rewards of lineages by generation.
        accepted: Versions that went live, each with its reason.
        refused: Versions that the gate refused, each with its reason.
        uncovered: Train tasks that still fail and whose family has no held-out task that fails: no judge can see their repair.
        failed: Tasks whose lineage could not go on, each with its error.
        rolled_back: The generator's live checkpoint, if the gate took clearly less of what it wrote than of what its
            predecessor wrote; see `store.checkpoints.check_live`.
        spending: Calls, tokens and dollars.
    """

    run_id: str = ""
    outcome: str = "running"
    tasks: int = 0
    heldout: int = 0
    done: int = 0
    solved_before: int = 0
    solved_after: int = 0
    replayed: int = 0
    solved_by_text: int = 0
    candidates: int = 0
    malformed: int = 0
    cut: int = 0
    recorded_before: int = 0
    seconds_before: float = 0.0
    generations: dict[int, GenerationTally] = field(default_factory=dict)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    uncovered: list[dict[str, str]] = field(default_factory=list)
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
