"""What a namespace is doing, what it did last, and what waits for somebody."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from skill_plugin.errors import ConfigurationError
from skill_plugin.skills.tiers import TIERS
from skill_plugin.store import SkillStore
from skill_plugin.store.runs.waiting import Waiting
from skill_plugin.store.skills.versions import STATUSES
from skill_plugin.training.files.metrics import FILE as METRICS
from skill_plugin.training.files.metrics import read_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """A run of `evolve` or of `retrain`.

    Args:
        job: Which of the two.
        id: The run's id.
        state: `running`, `interrupted` (the same command resumes it), or `ended`.
        began: When it began.
        at: When it was last heard of; its end, if it has ended.
        said: How far it is, or how it ended, in words.
    """

    job: Literal["evolve", "retrain"]
    id: str
    state: Literal["running", "interrupted", "ended"]
    began: datetime
    at: datetime | None
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """A namespace at a glance.

    Args:
        namespace: Its name.
        unfinished: Runs that are running or were interrupted since the last one that ended, the newest first.
        last_night: The last night that ended.
        last_evolve: The last `evolve` that ended.
        live_checkpoint: The checkpoint that writes; None is the base model.
        skills: Skills by their status.
        tiers: Live skills by their trust tier.
        waiting: What waits.
    """

    namespace: str
    unfinished: list[JobRun]
    last_night: JobRun | None
    last_evolve: JobRun | None
    live_checkpoint: str | None
    skills: Mapping[str, int]
    tiers: Mapping[str, int]
    waiting: Waiting

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def status(store: SkillStore, home: Path) -> StoreStatus:
    """Looks at a store, and at the folders of its training runs in the home folder; changes nothing."""
    nights, evolutions = _nights(store, home), _evolutions(store)
    live = store.checkpoints.live()
    ended = _last(nights, evolutions)
    return StoreStatus(
        namespace=store.namespace,
        unfinished=[*_open(evolutions), *_open(nights)],
        last_night=ended.get("retrain"),
        last_evolve=ended.get("evolve"),
        live_checkpoint=live.id if live else None,
        skills={state: count for state in STATUSES if (count := store.query(status=state, limit=1).total)},
        tiers=_tiers(store),
        waiting=store.runs.waiting(store.runs.training.trained_until()),
    )


def last_ended(store: SkillStore, home: Path) -> dict[str, JobRun]:
    """Returns the last run of `evolve` and of `retrain` that ended, by the job; counts nothing, unlike `status`."""
    return _last(_nights(store, home), _evolutions(store))


def _last(*runs: Sequence[JobRun]) -> dict[str, JobRun]:
    return {run.job: run for some in runs for run in some if run.state == "ended"}


def _tiers(store: SkillStore) -> dict[str, int]:
    """Returns how many live skills are of each trust tier."""
    at_least = [store.query(status="live", min_tier=tier, limit=1).total for tier in TIERS]
    return {
        tier: here - above
        for tier, here, above in zip(TIERS, at_least, [*at_least[1:], 0], strict=True)
        if here > above
    }


def _open(runs: Sequence[JobRun]) -> list[JobRun]:
    """Returns the runs after the last that ended; what was interrupted before that nobody goes back to."""
    return list(takewhile(lambda run: run.state != "ended", reversed(runs)))


def _nights(store: SkillStore, home: Path) -> list[JobRun]:
    found = store.runs.training.list()
    runs = store.runs.is_running("retrain") if any(run.outcome is None for run in found) else False
    nights = []
    for run in found:
        ended = run.progress.get("ended_at")
        reason = run.progress.get("reason", "")
        if run.outcome is None:
            last = run is found[-1]
            said = _trained(home / "training" / run.id) or run.progress.get("error", "")
        else:
            last, said = False, run.outcome if ":" in run.outcome or not reason else f"{run.outcome}: {reason}"
        nights.append(
            JobRun(
                job="retrain",
                id=run.id,
                state="ended" if run.outcome else "running" if runs and last else "interrupted",
                began=run.created_at,
                at=datetime.fromisoformat(ended) if ended else None,
                said=said,
            )
        )
    return nights


def _trained(folder: Path) -> str:
    """Returns how far a run's training is, as its folder says; nothing where that is on another machine."""
    try:
        steps = read_metrics(folder / METRICS)
    except ConfigurationError:
        return ""
    return f"{steps[-1]['step']} steps trained" if steps else ""


def _evolutions(store: SkillStore) -> list[JobRun]:
    found = store.runs.evolve.list()
    newest = max(found, key=lambda run: run.updated_at) if found else None
    # A run that resumes after its end keeps that outcome until it says how far it is.
    runs = store.runs.is_running("evolve") if newest and newest.outcome != "finished" else False
    evolutions = []
    for run in sorted(found, key=lambda run: run.updated_at):
        running = runs and run is newest
        far = f"{run.progress.get('done', 0)} of {run.progress['tasks']} tasks done" if run.progress else "begins"
        evolutions.append(
            JobRun(
                job="evolve",
                id=run.id,
                state="running" if running else "ended" if run.outcome == "finished" else "interrupted",
                began=run.created_at,
                at=run.updated_at,
                said=f"{run.outcome}: {far}" if run.outcome and not running else far,
            )
        )
    return evolutions
