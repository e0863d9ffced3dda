"""The gate: whether a version goes live, from paired rewards on held-out tasks. Pure; it runs nothing itself."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from skill_plugin.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What the gate said and why. `before` and `after` are mean rewards in [0, 1] over the same tasks."""

    promote: bool
    reason: str
    tasks: int
    repairs: int
    regressions: int
    before: float
    after: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def paired_gate(before: Sequence[float], after: Sequence[float]) -> GateDecision:
    """Promote only on a strict paired gain: more tasks repaired than regressed (n01 > n10, arXiv:2605.10999).

    Args:
        before: Rewards under what is live now, shape [tasks].
        after: Rewards of the same tasks under the candidate, shape [tasks].

    Raises:
        ConfigurationError: the two differ in length.
    """
    if len(before) != len(after):
        raise ConfigurationError(
            f"the gate compares pairs, got {len(before)} and {len(after)} rewards; run both on all tasks"
        )
    tasks = len(before)
    if tasks == 0:
        return GateDecision(False, "no held-out tasks to judge it by", 0, 0, 0, 0.0, 0.0)
    repairs = sum(b < a for b, a in zip(before, after, strict=True))
    regressions = sum(b > a for b, a in zip(before, after, strict=True))
    promote = repairs > regressions
    sign = ">" if promote else "<" if repairs < regressions else "="
    reason = f"{repairs} repaired {sign} {regressions} regressed of {tasks} held-out tasks"
    return GateDecision(promote, reason, tasks, repairs, regressions, sum(before) / tasks, sum(after) / tasks)
