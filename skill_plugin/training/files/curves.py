"""The curves of a run as one picture, without a display and without a global figure."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from skill_plugin.disk import whole_file
from skill_plugin.training.files.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)

RAW, MEAN, LEVEL = "#9db7d5", "#1f4e79", "#b04a3a"
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
    Panel("loss", "Loss", "nats a token"),
    Panel("kl", "KL to the base model", "nats a token", 0.0),
    Panel("ratio", "Mean probability ratio", "current / behaviour", 1.0),
    Panel("clipped", "Clipped tokens", "share of tokens", 0.0),
    Panel("grad_norm", "Gradient norm, before clipping", "L2 norm", logarithmic=True),
    Panel("learning_rate", "Learning rate", "per step", noisy=False),
    Panel("tokens_per_second", "Speed", "tokens a second"),
)


def draw(metrics_path: Path, out_png: Path, *, title: str) -> bool:
    """Draws the metrics of a run, and returns whether it did.

    If a step has no finite value the line has a gap.

    Raises:
        ConfigurationError: the metrics cannot be read.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - optional, and slow
        from matplotlib.figure import Figure  # noqa: PLC0415
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415
    except ImportError:
        logger.info("matplotlib is not installed, so no curves were drawn; run: pip install 'skill-plugin[train]'")
        return False
    rows = read_metrics(metrics_path)
    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(11, 11), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=14, x=0.02, ha="left", parse_math=False)
    axes = figure.subplots(4, 2, sharex=True).flat
    for axis, panel in zip(axes, PANELS, strict=False):
        _panel(axis, panel, steps, [_number(row.get(panel.metric)) for row in rows])
    note = axes[len(PANELS)]
    note.axis("off")
    words = f"steps: {steps[-1]}" if steps else "no steps yet"
    legend = f"{words}\npale: each step; dark: mean of steps around it\na gap: no finite value"
    note.text(0, 0.9, legend, va="top", transform=note.transAxes)
    for axis in axes[len(PANELS) - 2 : len(PANELS)]:
        axis.set_xlabel("step")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.tick_params(labelbottom=True)
    with whole_file(out_png) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return True


def _panel(axis: "Axes", panel: Panel, steps: Sequence[int], values: Sequence[float]) -> None:
    axis.set_title(panel.title, fontsize=11, loc="left")
    axis.set_ylabel(panel.unit)
    axis.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
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
