"""Nights: what changed last, the runs of retrain with their curves, and the checkpoints."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from skill_plugin.errors import ConfigurationError, RunNotFoundError
from skill_plugin.integrations.page import charts
from skill_plugin.integrations.page.health import running_jobs
from skill_plugin.integrations.page.site import Site, csv_file
from skill_plugin.integrations.retrain.nights import night_points
from skill_plugin.store import SkillStore
from skill_plugin.store.runs.training_runs import TrainingRun
from skill_plugin.store.views.changes import newest_changes
from skill_plugin.training.files.metrics import FILE, read_metrics

CURVES = (
    ("reward", "Reward of the texts learned from"),
    ("loss", "Loss"),
    ("kl", "KL to the base model"),
    ("ratio", "Mean probability ratio"),
    ("clipped", "Share of clipped tokens"),
    ("grad_norm", "Gradient norm"),
)

LATELY = timedelta(hours=24)


def nights(site: Site, request: Request) -> Response:
    """The page; `night` in the address is the night that is seen, else the last one."""
    store = site.store
    found = store.runs.training.list()
    seen = _seen(found, request.query_params.get("night", ""))
    rows = _metrics(site, seen)
    since = datetime.now(UTC) - LATELY
    live = store.checkpoints.live()
    checkpoints = store.checkpoints.list()
    return site.page(
        request,
        "nights.html",
        nights=list(reversed(found)),
        seen=seen,
        progress=_sound(seen.progress) if seen is not None else {},
        curves=[(key, title, curve) for key, title in CURVES if (curve := _curve(key, title, rows))],
        over_nights=_over_nights(store),
        running=running_jobs(store),
        lately=newest_changes(store, since=since),
        earlier=newest_changes(store, limit=10),
        checkpoints=checkpoints,
        said={one.id: gate_said(store, one.id) for one in checkpoints},
        events=list(reversed(store.checkpoints.events())),
        live=live,
    )


def nights_csv(site: Site, request: Request) -> Response:
    """The numbers of each step of a night as a file."""
    seen = _seen(site.store.runs.training.list(), request.query_params.get("night", ""))
    rows = _metrics(site, seen)
    columns = sorted({key for row in rows for key in row}, key=lambda key: (key != "step", key))
    return csv_file(
        f"{seen.id if seen else 'night'}-metrics", columns, [[row.get(key) for key in columns] for row in rows]
    )


def gate_said(store: SkillStore, checkpoint_id: str) -> str:
    """Returns what the gate said of a checkpoint last: `passed`, `refused`, or nothing (`not asked`)."""
    said = "not asked"
    for event in store.checkpoints.events(checkpoint_id):
        passed = event.kind == "promoted" and event.evidence.get("gate") is not None
        said = "refused" if event.kind == "kept" else "passed" if passed else said
    return said


def _seen(found: list[TrainingRun], wanted: str) -> TrainingRun | None:
    if not wanted:
        return found[-1] if found else None
    for one in found:
        if one.id == wanted:
            return one
    raise RunNotFoundError(f"there is no night {wanted[:80]!r}; choose one of the list")


def _metrics(site: Site, seen: TrainingRun | None) -> list[dict[str, Any]]:
    if seen is None:
        return []
    try:
        return read_metrics(site.home / "training" / seen.id / FILE)
    except (ConfigurationError, OSError):  # it is on another machine, or it has not begun to train
        return []


def _curve(key: str, title: str, rows: list[dict[str, Any]]) -> Markup:
    points = [(float(row["step"]), float(row[key])) for row in rows if isinstance(row.get(key), int | float)]
    return charts.line_chart(
        f"{title}, by step", [charts.Series(name=title, points=points)], charts.Axes(x="step", y=title)
    )


def _over_nights(store: SkillStore) -> Markup:
    points = [
        (float(number), point.reward) for number, point in enumerate(night_points(store), 1) if point.reward is not None
    ]
    axes = charts.Axes(x="night", y="reward", low=0.0, high=1.0)
    series = [charts.Series(name="mean reward", points=points, dots=True)]
    return charts.line_chart("Mean reward of the texts learned from, by night", series, axes)


def _sound(progress: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parts of a night's progress that are shown, each of the kind that it should be: a file may hold anything."""
    parts: dict[str, Any] = {
        name: value if isinstance(value := progress.get(name), dict) else {}
        for name in ("learned_from", "trained", "gate", "seconds")
    }
    refused = parts["learned_from"].get("refused")
    return {
        **parts,
        "refused": refused if isinstance(refused, dict) else {},
        "reason": str(progress.get("reason") or progress.get("error") or ""),
        "checkpoint": str(progress.get("checkpoint") or ""),
    }
