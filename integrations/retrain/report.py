"""What `retrain` did, for people and programs."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["promoted", "kept", "nothing new", "failed"]


@dataclass(kw_only=True)
class RetrainReport:
    """What a night came to.

    Args:
        outcome: `promoted`, `kept` (what is live stays), `nothing new` to learn from, or `failed`.
        reason: Why.
        run_id: Of the training run.
        folder: Of the training run: manifest, metrics, curves.
        resumed: Whether an earlier start had begun it.
        rolled_back: The live checkpoint that was sent back first, because the gate took less of what it wrote.
        learned_from: What the groups are; see `training.dataset.GroupReport`.
        trained: The result of training; see `training.trainer.TrainingResult`.
        checkpoint: The new checkpoint.
        live: What is live now; None is the base model.
        gate: What the gate said; see `checkpoint_gate.CheckpointDecision`.
        serving: What servers were told.
        seconds: Of each part.
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
