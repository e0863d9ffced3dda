"""The gate: whether a version goes live, and which, from paired rewards on held-out tasks. Pure; it runs nothing itself."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from skill_plugin.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What the gate said and why. `before` and `after` are mean rewards in [0, 1] over the same tasks.

    `replay` is the candidate's score over hard and easy tasks, by which the best of several is chosen.
    """

    promote: bool
    reason: str
    tasks: int
    repairs: int
    regressions: int
    before: float
    after: float
    replay: float = 0.0

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
    means = (sum(before) / tasks, sum(after) / tasks)
    return GateDecision(promote, reason, tasks, repairs, regressions, *means, replay_score(before, after))


def replay_score(before: Sequence[float], after: Sequence[float]) -> float:
    """`rho_hard * rho_easy` with `rho = (solved + 1) / (tasks + 1)` (Ctx2Skill, arXiv:2604.27660).

    Hard are the tasks that what is live now does not solve. The product, unlike a mean, prefers no version that buys hard
    tasks with easy ones; graded rewards count as parts of a solution.

    Args:
        before: Rewards under what is live now, shape [tasks].
        after: Rewards of the same tasks under the candidate, shape [tasks].
    """
    hard = [a for b, a in zip(before, after, strict=True) if b < 1]
    easy = [a for b, a in zip(before, after, strict=True) if b >= 1]
    return (sum(hard) + 1) / (len(hard) + 1) * (sum(easy) + 1) / (len(easy) + 1)


def choose(decisions: Mapping[str, GateDecision]) -> dict[str, GateDecision]:
    """Of the candidates that passed only the one that replays best is promoted; a tie goes to the one named first.

    Never the newest because it is the newest: last rounds are worse than the best one as often as not (same paper).
    """
    passed = {ref: decision for ref, decision in decisions.items() if decision.promote}
    if len(passed) < 2:
        return dict(decisions)
    best = max(passed, key=lambda ref: passed[ref].replay)
    made = dict(decisions)
    for ref, decision in passed.items():
        if ref != best:
            reason = (
                f"{decision.reason}, but {best} replays better ({passed[best].replay:.2f} to {decision.replay:.2f})"
            )
            made[ref] = replace(decision, promote=False, reason=reason)
    return made
