"""Tool calls that runs which passed have in common: what a function is asked for, since one call could do them all.

SAGE (arXiv:2512.17102) has every task's solution become functions; here a function is asked for only where several runs did the same.
"""

from collections.abc import Iterable, Sequence
from functools import reduce

from skill_plugin.records import Rollout

LEAST_CALLS = 3
"""Calls that a function is worth writing for."""

LEAST_RUNS = 2
"""Runs that have to share them: one shares everything with itself."""


def shared_calls(rollouts: Iterable[Rollout]) -> tuple[str, ...]:
    """Returns the tools that every passing rollout called in this order; empty where they are fewer than `LEAST_CALLS`.

    Rollouts of which no call is known are passed over. Other calls may stand between those that are shared. Of several rollouts it
    is the longest common subsequence of the first two, then of that and the third, and so on: never too long, at times too short.
    """
    traces = [one.tools for one in rollouts if one.passed and one.tools]
    shared = reduce(_common, traces) if len(traces) >= LEAST_RUNS else ()
    return shared if len(shared) >= LEAST_CALLS else ()


def _common(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """Returns the longest common subsequence of two."""
    best: list[tuple[str, ...]] = [()] * (len(other) + 1)
    for name in one:
        before = best[0]
        for at, there in enumerate(other, 1):
            kept = best[at]
            best[at] = (*before, name) if name == there else max(best[at], best[at - 1], key=len)
            before = kept
    return best[-1]
