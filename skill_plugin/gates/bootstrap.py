"""An interval for a figure over tasks: the bootstrap, widened for few tasks."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 2000


def interval(
    sums_T_X: Floats,
    figure: Callable[[Floats], float],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[float, float]:
    """Returns the 95 % interval of a figure of sums over tasks: an expanded percentile bootstrap (Hesterberg, 2015).

    Tasks are drawn with replacement, and the 2.5 and 97.5 percentiles of the figure are moved away from the figure of all tasks by
    the factor `t(0.975, T - 1) / z(0.975) * sqrt(T / (T - 1))`. Without it the interval of few tasks is too narrow: that of 10
    holds the truth of a bandit (that of tests/gates/test_off_policy.py) 87 times of 100, with it 93 times.

    Args:
        sums_T_X: Each task's share of the sums, shape [tasks, sums].
        figure: Computes the figure from the sums of a draw, shape [sums].
        seed: Seed of the draws.
        draws: Number of draws.

    Returns:
        The interval's ends. For one task both are its own figure: there is nothing to draw.
    """
    tasks, whole = len(sums_T_X), figure(sums_T_X.sum(0))
    if tasks < 2:
        return whole, whole
    generator = np.random.default_rng(seed)
    # One draw at a time: all at once would hold draws * tasks numbers.
    drawn = [figure(sums_T_X[generator.integers(tasks, size=tasks)].sum(0)) for _ in range(draws)]
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
    wider = _t975(tasks - 1) / _Z * (tasks / (tasks - 1)) ** 0.5
    return whole - wider * (whole - low), whole + wider * (high - whole)


_Z = NormalDist().inv_cdf(0.975)


def _t975(freedom: int) -> float:
    """Returns Student's t at 0.975: exact for freedom 1 and 2, else within 1 % (Abramowitz and Stegun, 26.7.5)."""
    if freedom < 3:
        return (12.7062, 4.3027)[freedom - 1]
    terms = (
        (_Z**3 + _Z) / 4,
        (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / 96,
        (3 * _Z**7 + 19 * _Z**5 + 17 * _Z**3 - 15 * _Z) / 384,
    )
    return _Z + sum(term / float(freedom**power) for power, term in enumerate(terms, start=1))
