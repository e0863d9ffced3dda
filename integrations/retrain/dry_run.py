"""`retrain --dry-run`: what a night would learn from, and whether it fits, without doing any of it."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from skill_plugin.integrations.retrain.needs import check_needs
from skill_plugin.integrations.retrain.request import Night, nothing_in
from skill_plugin.protocols import Verifier
from skill_plugin.store import SkillStore
from skill_plugin.training.data.dataset import TRAIN
from skill_plugin.training.data.groups import Groups


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """A forecast of what a night would do.

    Args:
        outcome: `would train`, `nothing new`, or `would fail`.
        reason: Why.
        since: The start of the histories, ISO 8601; None is the beginning.
        trains: The checkpoint that would be trained further; None is a new adapter.
        unfinished: Runs that were begun and not ended; the night resumes one that has the same settings.
        judged_by: See `Night.judged_by`.
        heldout: Held-out tasks that would judge, at most.
        verifier: The tasks that another verifier would judge than they were logged with, in words; empty where none.
        learned_from: The groups; see `training.dataset.GroupReport`.
        forecast: See `training.forecast.Forecast`; None where nothing would be trained.
    """

    outcome: Literal["would train", "nothing new", "would fail"]
    reason: str
    since: str | None
    trains: str | None
    unfinished: list[str]
    judged_by: str
    heldout: int
    verifier: str
    learned_from: dict[str, Any]
    forecast: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def dry_run(
    store: SkillStore,
    night: Night,
    *,
    task_llm: bool,
    verifier: Verifier | None = None,
    gate_tasks: int = 50,
    sleep: bool = False,
) -> DryRun:
    """Returns what `retrain` would do now. The store and the disk stay as they are.

    Args:
        store: The store with histories and registry.
        night: The request.
        task_llm: Whether the gate has a task LLM.
        verifier: The operator's own verifier.
        gate_tasks: Held-out tasks that judge, at most.
        sleep: A vLLM server would be put to sleep, so memory that is taken now may be free then.

    Raises:
        ConfigurationError: something cannot work as it is set, or is missing; see `check_needs`.
        InvalidTaskError: a held-out task names no verifier, and none is given.
        InvalidHistoryError: the base model can compute none of the groups.
    """
    said = check_needs(store, night, task_llm=task_llm, verifier=verifier)
    judged_by = night.judged_by(store, task_llm=task_llm)
    live = store.checkpoints.live(night.logged_as)
    plan, since = night.plan(live), night.window(store)
    outcome: Literal["would train", "nothing new", "would fail"] = "would train"
    forecast = None
    # Beside where the night would write them, because they may be large; with a database elsewhere there may be no home yet.
    with tempfile.TemporaryDirectory(prefix="dry-run-", dir=night.home if night.home.is_dir() else None) as name:
        report = night.groups(store, Path(name), since=since, plan=plan).to_json()
        if (why := night.nothing_new(store, since)) is not None:
            outcome, reason = "nothing new", why
        elif (nothing := nothing_in(report, store.namespace, since)) is not None:
            outcome, reason = ("would fail" if nothing[0] == "failed" else "nothing new"), nothing[1]
        else:
            from skill_plugin.training.forecast import forecast as of  # noqa: PLC0415 - torch takes seconds to import
            from skill_plugin.training.trainer import pairs_in  # noqa: PLC0415

            found = of(Groups(Path(name) / TRAIN), plan, night.home, pairs_in(Path(name), plan))
            pairs = f" and {report['imitable']} texts to imitate" if plan.train.imitates_pairs else ""
            forecast, reason = found.to_json(), f"{found.steps} steps on {found.groups} groups{pairs}"
            if found.problem is not None and not sleep and night.launcher is None:
                outcome, reason = "would fail", found.problem
    return DryRun(
        outcome=outcome,
        reason=reason,
        since=since.isoformat() if since else None,
        trains=live.id if live else None,
        unfinished=[run.id for run in store.runs.training.list() if run.outcome is None],
        judged_by=judged_by,
        heldout=len(store.tasks.list(split="heldout", limit=gate_tasks)),
        verifier=said,
        learned_from=report,
        forecast=forecast,
    )
