"""The report of `retrain`, for people and programs."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["promoted", "kept", "nothing new", "failed"]


@dataclass(kw_only=True)
class RetrainReport:
    """The result of a night.

    Args:
        outcome: `promoted`, `kept` (what is live stays), `nothing new` to learn from, or `failed`.
        reason: Why.
        run_id: The training run's id.
        folder: The training run's folder: manifest, metrics, curves.
        resumed: Whether an earlier start had begun it.
        rolled_back: The live checkpoint that was sent back first, because the gate took less of what it wrote.
        learned_from: The groups; see `training.dataset.GroupReport`.
        trained: The result of training; see `training.trainer.TrainingResult`.
        checkpoint: The new checkpoint.
        live: The checkpoint that is live now; None is the base model.
        gate: The gate's decision; see `gates.checkpoints.CheckpointDecision`.
        serving: The messages to servers.
        seconds: The seconds of each part.
    """

    outcome: Outcome = "failed"
    reason: str = ""
    run_id: str = ""
    folder: str = ""
    resumed: bool = False
    rolled_back: str | None = None
    learned_from: dict[str, Any] = field(default_factory=dict)
    trained: dict[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    live: str | None = None
    gate: dict[str, Any] | None = None
    serving: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
