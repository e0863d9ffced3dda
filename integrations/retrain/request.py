"""The request for a night of `retrain`, and what follows from that and the store alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from skill_plugin.checkpoints import Checkpoint
from skill_plugin.errors import ConfigurationError
from skill_plugin.store import SkillStore
from skill_plugin.training.data.dataset import GroupReport, build_groups
from skill_plugin.training.data.imitated import cold_start
from skill_plugin.training.files.manifest import read_json
from skill_plugin.training.plan import TrainPlan

NO_SIGNAL = "no signal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """A request for a night of `retrain`.

    Args:
        base_model: The generator's base: a folder, or a name on the Hugging Face Hub.
        logged_as: The base model's name in the histories.
        home: The home folder: runs go to `training/`, adapters to `adapters/`.
        parts: `train`, `loss` and `advantage` settings of the plan.
        since: Learn from lineages in which something was recorded from then on; None is since the last promotion.
        all_logs: Learn from everything.
        max_age: Checkpoints that a revision may be behind the live one.
        launcher: See `trainer_process.train`.
        gate: `paired` runs held-out tasks, `off-policy` asks the logs, `auto` is the first that is possible.
        promote: Promote what the gate accepts; else the checkpoint stays a candidate.
        new: Begin a run even if an unfinished one exists.
    """

    base_model: str
    logged_as: str
    home: Path
    parts: Mapping[str, Any] = field(default_factory=dict)
    since: datetime | None = None
    all_logs: bool = False
    max_age: int = 4
    launcher: str | None = None
    gate: Literal["auto", "paired", "off-policy"] = "auto"
    promote: bool = True
    new: bool = False

    def plan(self, live: Checkpoint | None) -> TrainPlan:
        """Returns the plan of training: the live adapter further, or a new one."""
        return TrainPlan(
            base_model=self.base_model,
            parent=live.path if live else None,
            parent_checkpoint=live.id if live else None,
            **self.parts,
        )

    def window(self, store: SkillStore) -> datetime | None:
        """Returns the time from which it learns; None is the beginning.

        The data of a night that was not promoted is learned from again, with what came since: it is lost otherwise, and
        still on-policy, because its writer has not changed.
        """
        return None if self.all_logs else self.since or store.runs.training.trained_until(promoted=True)

    def nothing_new(self, store: SkillStore, since: datetime | None) -> str | None:
        """Returns why it would be the last night once more, or None."""
        last = store.runs.training.trained_until()
        if self.new or self.all_logs or self.since or last in (None, since):
            return None
        if any(row["kind"] == "revision" for row in store.histories.rows(since=last)):
            return None
        return f"nothing was logged since {last:%Y-%m-%d %H:%M} UTC, and what was before made no better generator"

    def judged_by(self, store: SkillStore, *, task_llm: bool) -> Literal["paired", "off-policy"]:
        """Returns how its gate will judge.

        Raises:
            ConfigurationError: it is to be paired and cannot be.
        """
        lacks = None if task_llm else "no task LLM is given; give one"
        if task_llm and self.gate != "off-policy" and not store.tasks.list(split="heldout", limit=1):
            lacks = "there are no held-out tasks; evolve with some"
        if self.gate == "paired" and lacks is not None:
            raise ConfigurationError(f"the gate is to be paired and {lacks}, or let the gate be auto")
        return "off-policy" if self.gate == "off-policy" or lacks is not None else "paired"

    def groups(self, store: SkillStore, folder: Path, *, since: datetime | None, plan: TrainPlan) -> GroupReport:
        """Writes the groups, and the texts to imitate, that it learns from by its plan; see `build_groups`."""
        return build_groups(
            store.histories.rows(since=since),
            folder,
            base_model=self.logged_as,
            ages=store.histories.checkpoint_ages(),
            max_age=self.max_age,
            advantage=plan.advantage,
            max_tokens=context_of(self.base_model),
            imitate=plan.train.imitates_pairs,
        )


def nothing_in(
    report: Mapping[str, Any], namespace: str, since: datetime | None
) -> tuple[Literal["nothing new", "failed"], str] | None:
    """Returns why nothing can be learned from groups, by their report; None if something can.

    That there is nothing is not a failure; that all there is cannot be used is one.
    """
    if report["groups"] - report["validation_groups"] or (report.get("pairs_sha256") and report["imitable"]):
        return None
    refused = {reason: count for reason, count in report["refused"].items() if reason != NO_SIGNAL}
    if report["read"] == 0:
        reason = f"there are no revisions in the histories of namespace {namespace!r}"
        if since is not None:
            return "nothing new", f"{reason} since {since:%Y-%m-%d %H:%M} UTC"
        return (
            "nothing new",
            f"{reason}; log some with evolve, or with an agent that has a generator",
        )
    if sum(refused.values()) == report["read"]:
        counts = ", ".join(f"{count} {why}" for why, count in refused.items())
        advice = advice_of(report) or "see histories stats"
        return "failed", f"none of the {report['read']} revisions can be learned from: {counts}; {advice}"
    validation = report["validation_groups"]
    held = f", {validation} groups are held back" if validation else ""
    advice = f"; {said}" if (said := advice_of(report)) else ""
    return "nothing new", f"no group says which text is better{held}{advice}"


def advice_of(report: Mapping[str, Any]) -> str | None:
    """Returns the advice to begin with supervised training, by a report of groups; None if none is needed or it does."""
    if (
        report.get("pairs_sha256") or "base_texts" not in report
    ):  # a run that was begun by an earlier release does not say
        return None
    return cold_start(texts=report["base_texts"], skills=report["base_skills"], imitable=report["imitable"])


def context_of(base_model: str) -> int | None:
    """Returns how many tokens the model takes; None if that is not known before it is loaded."""
    path = Path(base_model).expanduser() / "config.json"
    if not path.is_file():
        return None
    config = read_json(path)
    text = config.get("text_config", config)
    found = text.get("max_position_embeddings")
    return found if isinstance(found, int) else None
