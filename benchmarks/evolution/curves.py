"""Curves of a table: a row's mean over seeds by generation or night, with its 95 % interval."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving import interval


def draw(path: Path, lines: Sequence[Any], *, title: str, along: str = "generation", value: str = "solved") -> None:
    """Draws a PNG. A row that has one point is a level across the picture.

    Args:
        path: The file.
        lines: Objects with `row`, and the attributes named by `along` and `value`.
        title: The title.
        along: What the curves run along.
        value: What is shown, a share.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second, and only here
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, row in enumerate(dict.fromkeys(line.row for line in lines)):
        places = sorted({getattr(line, along) for line in lines if line.row == row})
        found = [
            interval([getattr(line, value) for line in lines if (line.row, getattr(line, along)) == (row, at)])
            for at in places
        ]
        colour = f"C{number % 10}"
        if len(places) == 1:
            axes.axhline(found[0][0], color=colour, linestyle="--", label=row)
            continue
        axes.plot(places, [mean for mean, _ in found], color=colour, marker="o", label=row)
        axes.fill_between(places, [m - h for m, h in found], [m + h for m, h in found], color=colour, alpha=0.15)
    axes.set(xlabel=along, ylabel=f"share {value}", ylim=(-0.02, 1.02), title=title)
    axes.title.set_fontsize(9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
