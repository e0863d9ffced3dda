"""The curves of a run as one picture, without a display and without a global figure."""

import logging
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from skill_plugin.disk import whole_file
from skill_plugin.training.files.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

RAW, MEAN, LEVEL = "#9db7d5", "#1f4e79", "#b04a3a"
DECIDED = {True: "#2e7d32", False: "#b07d2b"}
"""Colours of what the gate promoted, and of what it did not."""

UNITS = {"paired": "mean reward, held-out tasks", "off-policy": "estimated reward above the logged texts'"}
DPI = 110
SMOOTHED_FROM = 30  # fewer points than this are read better as they are


class Panel(NamedTuple):
    """A picture of one metric.

    Args:
        metric: The metric's name in the file.
        title: Text above the picture.
        unit: Text beside it.
        level: The value when nothing has changed yet, drawn as a dashed line.
        logarithmic: Values that span more than a power of ten are drawn by their logarithm.
        noisy: A mean is drawn over it.
    """

    metric: str
    title: str
    unit: str
    level: float | None = None
    logarithmic: bool = False
    noisy: bool = True


PANELS = (
    Panel("reward", "Reward of the texts learned from", "logged, from 0 to 1"),
    Panel("loss", "Loss", "nats a token"),
    Panel("kl", "KL to the base model", "nats a token", 0.0),
    Panel("ratio", "Mean probability ratio", "current / behaviour", 1.0),
    Panel("clipped", "Clipped tokens", "share of tokens", 0.0),
    Panel("grad_norm", "Gradient norm, before clipping", "L2 norm", logarithmic=True),
    Panel("learning_rate", "Learning rate", "per step", noisy=False),
    Panel("tokens_per_second", "Speed", "tokens a second"),
)


def draw(metrics_path: Path, out_png: Path, *, title: str, gate: Mapping[str, Any] | None = None) -> bool:
    """Draws the metrics of a run and what the gate decided, and returns whether it did.

    If a step has no finite value the line has a gap.

    Args:
        metrics_path: The run's `metrics.jsonl`.
        out_png: Where the picture goes.
        title: The run's name, its date, its base model.
        gate: The gate's decision as JSON, see `gates.checkpoints.CheckpointDecision`; None where it was not asked yet.

    Raises:
        ConfigurationError: the metrics cannot be read.
    """
    figure = new_figure(16, 11)
    if figure is None:
        return False
    rows = read_metrics(metrics_path)
    steps = [row["step"] for row in rows]
    words = f"{steps[-1]} steps" if steps else "no steps yet"
    legend = f"{title}; {words}\npale: each step; dark: mean of steps around it; a gap: no finite value"
    figure.suptitle(legend, fontsize=13, x=0.02, ha="left", parse_math=False)
    axes = figure.subplots(3, 3).flat
    for axis, panel in zip(axes, PANELS, strict=False):
        _panel(axis, panel, steps, [_number(row.get(panel.metric)) for row in rows])
        axis.set_xlabel("step")
        whole_numbers(axis)
    _gate_panel(axes[len(PANELS)], gate)
    return save(figure, out_png)


def new_figure(width: float, height: float) -> "Figure | None":
    """Returns an empty figure in inches; None, and a line in the log, where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional, and slow
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        logger.info("matplotlib is not installed, so no curves were drawn; run: pip install 'skill-plugin[train]'")
        return None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", out_png: Path) -> bool:
    """Writes a figure as a whole file; returns True."""
    with whole_file(out_png) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
    return True


def plain(axis: "Axes", title: str, unit: str) -> None:
    """Gives a panel its title and unit, and takes away what only decorates."""
    axis.set_title(title, fontsize=11, loc="left")
    axis.set_ylabel(unit)
    axis.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def whole_numbers(axis: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - optional

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _gate_panel(axis: "Axes", gate: Mapping[str, Any] | None) -> None:
    """Draws the live generator's value beside the candidate's, with the gain's interval, and the decision in words."""
    if gate is None or gate["kind"] == "none":
        plain(axis, "Gate", "")
        axis.set_axis_off()
        axis.text(0, 0.9, _wrapped(gate["reason"] if gate else "not judged yet"), va="top", parse_math=False)
        return
    decided = "promoted" if gate["promote"] else "kept what is live"
    plain(axis, f"Gate ({gate['kind']}): {decided}", UNITS[gate["kind"]])
    reach = [[max(0.0, gate["gain"] - gate["low"])], [max(0.0, gate["high"] - gate["gain"])]]
    axis.bar(["live"], [gate["before"]], color=RAW, width=0.5)
    axis.bar(["candidate"], [gate["after"]], color=DECIDED[bool(gate["promote"])], width=0.5, yerr=reach, capsize=6)
    axis.axhline(gate["before"], color=LEVEL, linewidth=0.8, linestyle="--")
    axis.set_xlabel(_wrapped(gate["reason"]), fontsize=8, parse_math=False)


def _wrapped(words: str) -> str:
    return textwrap.fill(words, 60, max_lines=5, placeholder=" ...")


def _panel(axis: "Axes", panel: Panel, steps: Sequence[int], values: Sequence[float]) -> None:
    plain(axis, panel.title, panel.unit)
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        axis.text(0.5, 0.5, "not logged", transform=axis.transAxes, ha="center", color="#777777")
        return
    if panel.logarithmic and max(finite) > 10 * min(finite) > 0:
        axis.set_yscale("log")
    if panel.level is not None:
        axis.axhline(panel.level, color=LEVEL, linewidth=0.8, linestyle="--")
    smoothed = panel.noisy and len(finite) >= SMOOTHED_FROM
    # One point is not a line.
    dots = "." if len(finite) < SMOOTHED_FROM else None
    axis.plot(steps, values, color=RAW if smoothed else MEAN, linewidth=0.9 if smoothed else 1.5, marker=dots)
    if smoothed:
        axis.plot(steps, _means(values, max(2, len(values) // 40)), color=MEAN, linewidth=1.7)


def _means(values: Sequence[float], reach: int) -> list[float]:
    """Returns means of the finite values up to `reach` steps away; a step without a finite value stays a gap."""
    means = []
    for place, value in enumerate(values):
        near = [one for one in values[max(0, place - reach) : place + reach + 1] if math.isfinite(one)]
        means.append(sum(near) / len(near) if math.isfinite(value) else math.nan)
    return means


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
