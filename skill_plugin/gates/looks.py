"""The looks of a gate that draws more texts until it is sure: after how many texts, and how sure each look must be.

Who looks at every few texts and stops when the interval is above 0 will see one that is above 0 by chance sooner or later. So the
chance of error is dealt out over few looks that were fixed before: with a share t of all texts drawn, `ALPHA * t^2` of it may be
spent (the power family of Kim and DeMets, Biometrika 74, 1987), so early looks ask for much and the last asks for little more than
a gate that looks once. The looks' chances are added up (Bonferroni), so that the sum holds however the looks depend on each other, and
whatever a rule asks besides. The interval of each look is of its own width (repeated confidence intervals, Jennison and Turnbull,
J. R. Statist. Soc. B 51, 1989).

A gate also ends where more texts would hardly help (stochastic curtailment: Lan, Simon and Halperin, Commun. Statist. C 1, 1982).
That promotes nothing, so it costs no chance of error, only a little power.
"""

from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple

ALPHA = 0.025
"""The chance, for a candidate that is not better, that the lower end of an interval is above 0 at any of the looks."""

HOPELESS = 0.05
"""With a smaller chance than this to be promoted at the last look, by what was seen so far, no more texts are drawn."""


class Look(NamedTuple):
    """A look that is planned.

    Args:
        texts: Texts of either generator for each of the first tasks, drawn by then.
        share: The share of all texts that may be drawn, in (0, 1].
        tail: The chance of error at this look, one-sided.
    """

    texts: int
    share: float
    tail: float


def plan_looks(texts: int, most: int) -> list[Look]:
    """Returns the looks from `texts` to `most` texts, each at twice the texts of the one before. One look spends all of `ALPHA`."""
    looks: list[Look] = []
    spent = 0.0
    while not looks or looks[-1].texts < most:
        drawn = min(2 * looks[-1].texts, most) if looks else texts
        share = min(drawn / most, 1.0)
        looks.append(Look(drawn, share, ALPHA * (share**2 - spent)))
        spent = share**2
    return looks


def is_hopeless(gains: Sequence[float], now: Look, last: Look) -> bool:
    """Returns whether the last look would hardly see a gain, if it goes on as so far.

    With `z` the mean gain over its standard error, that of the last look is near normal, with the mean `z / sqrt(share)` if the gain
    stays, and the variance `1 - share`. Without a gain, or with one task, more texts never help.

    Args:
        gains: Each task's gain so far.
        now: The look that they are of.
        last: The last one planned.
    """
    if len(gains) < 2 or fmean(gains) <= 0:
        return True
    if (spread := stdev(gains)) == 0 or now.share >= 1:
        return False
    z = fmean(gains) / spread * len(gains) ** 0.5
    needed = NormalDist().inv_cdf(1 - last.tail)
    chance = NormalDist().cdf((z / now.share**0.5 - needed) / (1 - now.share) ** 0.5)
    return chance < HOPELESS
