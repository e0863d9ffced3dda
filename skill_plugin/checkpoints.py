"""Checkpoints: trained LoRA adapters of the generator, as records, and how surely one is worse than another."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from skill_plugin.models import adapter_files

LIVE = "live"
"""Stands after the `@` of a generator's name for the checkpoint that is live."""

MARGIN = 0.1
"""Difference by which an acceptance rate must be lower before a live checkpoint is rolled back."""

MIN_DECISIONS = 20
"""Decisions of the gate, on either side, from which acceptance rates are compared."""

KEPT = 3
"""Refused and superseded checkpoints whose files pruning leaves, the newest."""


def id_of_adapter(sha256: str) -> str:
    """Returns the id of the adapter that has this hash, whoever registers it."""
    return f"ckpt_{sha256[:12]}"


CheckpointStatus = Literal["candidate", "live", "retired"]

_Z_95 = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A LoRA adapter in the registry.

    Args:
        id: `ckpt_` and the beginning of the `sha256`; also its name on a server, and in the revisions that it wrote.
        namespace: The namespace that it belongs to.
        base_model: The model that it was trained on.
        base_revision: The revision of that model, if it is known.
        path: Its folder, absolute.
        sha256: Hash of its weights and its configuration, see `adapter_files`.
        parent: The checkpoint that its training began from; None is the base model.
        metrics: Metrics of its training.
        gate: The gate's decision, if it was asked.
        status: `candidate`, `live` (one at most in a namespace) or `retired`.
        created_at: When it was registered.
    """

    id: str
    namespace: str
    base_model: str
    base_revision: str | None = None
    path: str
    sha256: str
    parent: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    gate: Mapping[str, Any] | None = None
    status: CheckpointStatus
    created_at: datetime

    def verify(self) -> None:
        """Raises `ConfigurationError` where its files are missing, changed or not to be loaded."""
        adapter_files.verify_adapter(self.path, self.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointEvent:
    """One fact of a checkpoint's life: registered, promoted, kept, retired, rolled_back, pruned."""

    checkpoint_id: str
    kind: str
    by: str
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    at: datetime


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Numbers of revisions that the gate has `decided` and `accepted`."""

    decided: int
    accepted: int

    @property
    def rate(self) -> float:
        """The share of accepted revisions, in [0, 1]; 0 if nothing is decided."""
        return self.accepted / self.decided if self.decided else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.accepted, self.decided)

    def is_worse_than(self, other: "Acceptance", *, margin: float, min_decisions: int) -> bool:
        """Returns whether the rate is surely lower than the other's.

        It is if its interval ends below the other's rate and it is lower by `margin` or more, never with fewer than
        `min_decisions` on either side. The interval keeps chance out, the margin differences that do not matter.
        """
        if min(self.decided, other.decided) < max(1, min_decisions):
            return False
        return self.interval[1] < other.rate and self.rate <= other.rate - margin


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Returns the 95 % score interval of a share (Wilson, 1927); from 0 to 1 without trials."""
    if trials == 0:
        return 0.0, 1.0
    share, square = successes / trials, _Z_95**2 / trials
    middle = (share + square / 2) / (1 + square)
    half = _Z_95 / (1 + square) * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
