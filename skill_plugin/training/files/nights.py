"""All nights as one picture: what was learned from, and what the gate measured, promoted or kept."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from skill_plugin.training.files.curves import DECIDED, LEVEL, MEAN, UNITS, new_figure, plain, save, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class NightPoint(NamedTuple):
    """What one night measured.

    Args:
        at: When it began.
        promoted: Whether its checkpoint went live.
        reward: Mean reward of the texts that it learned from.
        kind: By which evidence the gate judged, `paired` or `off-policy`; None where it was not asked.
        before: The live generator's value, in the gate's units.
        after: The candidate's.
        low: The lower end of the gain's 95 % interval.
        high: Its upper end.
    """

    at: datetime
    promoted: bool
    reward: float | None
    kind: str | None = None
    before: float = 0.0
    after: float = 0.0
    low: float = 0.0
    high: float = 0.0


def draw_nights(nights: Sequence[NightPoint], out_png: Path, *, title: str) -> bool:
    """Draws nights, oldest first, and returns whether it did; not where matplotlib is not installed."""
    kinds = [kind for kind in UNITS if any(night.kind == kind for night in nights)]
    figure = new_figure(11, 3.2 * (1 + len(kinds)) + 0.8)
    if figure is None:
        return False
    figure.suptitle(title, fontsize=14, x=0.02, ha="left", parse_math=False)
    axes = figure.subplots(1 + len(kinds), 1, sharex=True, squeeze=False).flat
    plain(axes[0], "Reward of the texts learned from", "mean, logged")
    found = [(number, night) for number, night in enumerate(nights, 1) if night.reward is not None]
    axes[0].plot([number for number, _ in found], [night.reward for _, night in found], color=MEAN, marker="o")
    for axis, kind in zip(axes[1:], kinds, strict=True):
        _decided(axis, kind, [(number, night) for number, night in enumerate(nights, 1) if night.kind == kind])
    last = axes[len(kinds)]
    whole_numbers(last)
    last.set_xlim(0.5, max(1, len(nights)) + 0.5)
    last.set_xlabel("night" + (f", from {nights[0].at:%Y-%m-%d} to {nights[-1].at:%Y-%m-%d}" if nights else ""))
    return save(figure, out_png)


def _decided(axis: "Axes", kind: str, nights: Sequence[tuple[int, NightPoint]]) -> None:
    """Draws a line from what was live to each candidate, and the interval of the gain around the candidate."""
    plain(axis, f"Gate ({kind}): what was live, and the candidate", UNITS[kind])
    axis.scatter(
        [at for at, _ in nights], [night.before for _, night in nights], color=LEVEL, marker="_", s=160, label="live"
    )
    for promoted, word in ((True, "promoted"), (False, "kept what is live")):
        some = [(at, night) for at, night in nights if night.promoted is promoted]
        if not some:
            continue
        gains = [night.after - night.before for _, night in some]
        reach = [
            [max(0.0, gain - night.low) for gain, (_, night) in zip(gains, some, strict=True)],
            [max(0.0, night.high - gain) for gain, (_, night) in zip(gains, some, strict=True)],
        ]
        places, values = [at for at, _ in some], [night.after for _, night in some]
        axis.errorbar(places, values, yerr=reach, fmt="o", capsize=4, color=DECIDED[promoted], label=word)
    axis.legend(loc="best", fontsize=9, frameon=False)
