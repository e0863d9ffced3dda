"""The loop: groups -> gradients -> an adapter. `train` reads from top to bottom."""

import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import DistributedDataParallelKwargs

from skill_plugin.disk import check_disk
from skill_plugin.errors import ConfigurationError, InvalidHistoryError
from skill_plugin.training.data.groups import Group, Groups
from skill_plugin.training.data.order import learning_rate, orders
from skill_plugin.training.data.pairs import Pairs
from skill_plugin.training.data.survey import Accepted, Survey, survey
from skill_plugin.training.files.manifest import write_json
from skill_plugin.training.files.metrics import MetricsLog
from skill_plugin.training.files.snapshots import Snapshots, needed_bytes
from skill_plugin.training.model import base_model
from skill_plugin.training.model.chat_tokens import ChatTokens
from skill_plugin.training.model.policy import Policy
from skill_plugin.training.plan import TrainPlan
from skill_plugin.training.reference import ReferenceCache, References
from skill_plugin.training.settings import TrainSettings
from skill_plugin.training.step import Source, StepSums, passes, without
from skill_plugin.training.validation import score

DATA, TRAIN, VALIDATION = "data", "data/train", "data/validation"
SNAPSHOTS, REFERENCES, FINAL = "snapshots", "references", "adapter"
BEFORE, AFTER = "validation-before.json", "validation-after.json"


@dataclass(kw_only=True)
class TrainingResult:
    """Result of a run. A run that `failed` has no adapter.

    `skipped` counts steps that changed nothing: they were not finite, or all their groups were refused;
    `skipped_in_a_row` counts only those that were not finite. `last` has the finite numbers of the last step.
    """

    outcome: Literal["trained", "failed"] = "trained"
    reason: str = "all steps done"
    step: int = 0
    steps: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    tokens: int = 0
    seconds: float = 0.0
    way: str = ""
    way_reason: str = ""
    refused_groups: dict[str, str] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def count(self, values: Mapping[str, float], *, seconds: float) -> None:
        """Counts a step: one whose gradient has no finite norm was skipped."""
        finite = math.isfinite(values["grad_norm"])
        self.step += 1
        self.skipped += not finite
        if values["tokens"]:
            self.skipped_in_a_row = 0 if finite else self.skipped_in_a_row + 1
        self.tokens += int(values["tokens"])
        self.seconds = seconds
        self.last = {name: value for name, value in values.items() if math.isfinite(value)}

    def fail(self, reason: str) -> None:
        self.outcome, self.reason = "failed", reason

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def train(
    folder: Path, plan: TrainPlan, *, revision: str, on_step: Callable[[TrainingResult], None] | None = None
) -> TrainingResult:
    """Trains an adapter on the groups under `folder/data/train`, resuming from the newest snapshot there is.

    Token-level GRPO (arXiv:2402.03300) with the logged log-probabilities as the old policy's: the loss of a step is the sum
    over all completion tokens of its groups, divided by their number (DAPO, arXiv:2503.14476), so that a token weighs the same
    whatever its candidate, group or process.

    Args:
        folder: The run's folder.
        plan: The run's plan.
        revision: The base model's revision; log-probabilities of another one are not taken from the run's cache.
        on_step: Called after each step with the result so far.

    Raises:
        InvalidHistoryError: no group can be learned from.
        ConfigurationError: the model, the adapter or a setting cannot work, or the log-probs are of another model.
    """
    accelerator = _accelerator()
    settings = plan.train
    learner = _Learner(folder, plan, revision, accelerator)
    done, snapshots = learner.done, Snapshots(folder / SNAPSHOTS)
    if (snapshot := snapshots.newest()) is not None:
        learner.policy.restore(snapshot)
        done = TrainingResult(**snapshot.state["done"])
    else:
        check_disk(folder, needed_bytes(sum(one.nbytes for one in learner.policy.trainable().values())))
        learner.references.check_logprobs()
        learner.validate(folder / BEFORE)
        learner.keep(snapshots, done)  # before the first step, so that there is always a snapshot to go back to
    began, earlier, tell = time.monotonic(), done.seconds, on_step or (lambda _: None)

    with MetricsLog(folder, step=done.step) if accelerator.is_main_process else nullcontext() as metrics:
        while done.step < done.steps:
            started = time.monotonic()
            if reason := _spent(settings, done.step, started - began, accelerator):
                done.reason = reason
                break
            values = learner.gradients(done.step, done.refused_groups)
            if reason := _strayed(plan, values):
                learner.go_back(snapshots, done, reason)
                break
            values |= learner.update(done.step, values)
            done.count(values, seconds=earlier + time.monotonic() - began)
            if metrics is not None:
                took = time.monotonic() - started
                metrics.write(
                    done.step, {**values, "skipped": done.skipped, "tokens_per_second": values["tokens"] / took}
                )
                tell(done)
            if done.skipped_in_a_row >= settings.max_bad_steps:
                done.fail(f"{done.skipped_in_a_row} steps in a row had no finite loss and gradient")
                break
            if done.step % settings.snapshot_steps == 0 or done.step in (learner.imitating, done.steps):
                learner.keep(snapshots, done)

    if done.step == done.skipped:
        done.fail(f"no step changed the adapter ({done.reason})")
    if done.outcome == "trained":
        learner.validate(folder / AFTER)
        learner.policy.save(folder / FINAL)
    return done


class _Learner:
    """The model and the data, and the making of one step from them."""

    def __init__(self, folder: Path, plan: TrainPlan, revision: str, accelerator: Accelerator) -> None:
        self._plan, self._accelerator = plan, accelerator
        settings, config = plan.train, base_model.load_config(plan.base_model)
        self._groups, self._held_back = groups, held_back = Groups(folder / TRAIN), Groups(folder / VALIDATION)
        pairs = pairs_in(folder / DATA, plan)
        self._imitated: Source = Accepted(groups) if pairs is None else pairs
        self._surveyed = surveyed = survey(groups, config, pairs)
        sample = any_group(surveyed, groups, self._imitated)
        self._validation = survey(held_back, config).places[: settings.validation_groups]
        self._warm, self._order = orders(surveyed, settings)
        self._steps = self._warm.steps + self._order.steps
        self.policy = policy = Policy(plan, accelerator, surveyed, sample)
        name = f"{revision[-16:]}-{policy.dtype}-{policy.way}-{accelerator.process_index}.bin"
        cache = ReferenceCache(folder / REFERENCES / name.replace("/", "_").replace(":", "_"))
        self.references = References(cache, policy, groups, surveyed.places, plan, accelerator)

    @property
    def imitating(self) -> int:
        """The steps of supervised training, which are the first ones."""
        return self._warm.steps

    @property
    def done(self) -> TrainingResult:
        """The result of a run that has not begun."""
        policy = self.policy
        return TrainingResult(
            steps=self._steps,
            way=policy.way,
            way_reason=policy.way_reason,
            refused_groups=dict(self._surveyed.refused),
        )

    def gradients(self, number: int, refused: dict[str, str]) -> dict[str, float]:
        """Leaves the gradients of a step on the adapter, and returns the step's means."""
        source: Source
        if supervised := number < self._warm.steps:
            source, places = self._imitated, [self._surveyed.accepted[at] for at in self._warm.step(number)]
        else:
            at_step = self._order.step(number - self._warm.steps)
            source, places = self._groups, [self._surveyed.places[at] for at in at_step]
        mine = passes(places, source, self.policy, self._accelerator)
        if not supervised:
            self.references.prepare(mine, refused)
        share = 1.0 if supervised else self._plan.loss.max_share
        step = StepSums(without(mine, refused), self._accelerator, max_share=share)
        last = len(step.passes) - 1
        for place, one in enumerate(step.passes):
            with self.policy.unsynced() if place < last else nullcontext():
                logprobs_N = self.policy.logprobs(one.group, one.numbers)
                if supervised:
                    loss = step.supervised(one, logprobs_N)
                else:
                    loss = step.loss(one, logprobs_N, self.references.of(one), self._plan.loss)
                self._accelerator.backward(loss)
        return step.values()

    def update(self, number: int, values: Mapping[str, float]) -> dict[str, float]:
        """Takes the step, or forgets its gradients if they are not finite."""
        rate = learning_rate(number, self._steps, self._plan.train)
        norm = math.nan
        if values["tokens"] and math.isfinite(values["loss"]):
            norm = self.policy.step(learning_rate=rate, max_norm=self._plan.train.max_grad_norm)
        self.policy.forget_gradients()
        return {"grad_norm": norm, "learning_rate": rate}

    def validate(self, path: Path) -> None:
        """Scores the revisions that were held back from training."""
        found = score(self.policy, self._held_back, self._validation)
        if self._accelerator.is_main_process:
            write_json(path, [one.to_json() for one in found])

    def keep(self, snapshots: Snapshots, done: TrainingResult) -> None:
        parts = self.policy.parts()  # every process takes part in gathering them
        if self._accelerator.is_main_process:
            snapshots.save(done.step, parts, {"done": done.to_json()})
        self._accelerator.wait_for_everyone()

    def go_back(self, snapshots: Snapshots, done: TrainingResult, reason: str) -> None:
        """Goes back to the last snapshot: the steps after it led the policy too far."""
        self.policy.forget_gradients()
        if (snapshot := snapshots.newest()) is not None:
            self.policy.restore(snapshot)
            done.reason = f"stopped early in step {done.step + 1}: {reason}; went back to step {snapshot.step}"
            done.step, done.skipped = snapshot.step, snapshot.state["done"]["skipped"]


def pairs_in(data: Path, plan: TrainPlan) -> Pairs | None:
    """Returns the pairs that a run begins with, in its base model's token ids; None if it begins with none."""
    return Pairs(data, ChatTokens(plan.base_model)) if plan.train.imitates_pairs else None


def any_group(surveyed: Survey, groups: Source, imitated: Source) -> Group:
    """Returns a group that can be computed.

    Raises:
        InvalidHistoryError: there are none.
    """
    if surveyed.places:
        return groups[surveyed.places[0]]
    if surveyed.accepted:
        return imitated[surveyed.accepted[0]]
    why = "; ".join(sorted(set(surveyed.refused.values()))[:1]) or "the report says what was refused and why"
    raise InvalidHistoryError(f"there is no group to learn from: {why}")


def _accelerator() -> Accelerator:
    """Returns the accelerator, which knows this process among the others."""
    # Each process loads the base and looks at it; with FSDP transformers would leave all but the first without weights.
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    os.environ.setdefault("FSDP_AUTO_WRAP_POLICY", "TRANSFORMER_BASED_WRAP")
    # The dtype is ours to set. Buffers never change; sending them would be a collective call in every forward pass.
    parallel = DistributedDataParallelKwargs(broadcast_buffers=False)
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=[parallel])
    if accelerator.distributed_type == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise ConfigurationError(
            "FSDP 1 takes no frozen base with an adapter; add --fsdp_version 2 to accelerate launch"
        )
    return accelerator


def _spent(settings: TrainSettings, step: int, seconds: float, accelerator: Accelerator) -> str | None:
    """Returns which budget is spent, or None. The clocks of processes differ, so the first one's counts."""
    if settings.max_steps is not None and step >= settings.max_steps:
        return f"the budget of {settings.max_steps} steps is spent"
    if settings.max_minutes is not None:
        over = torch.tensor([float(seconds >= settings.max_minutes * 60)], device=accelerator.device)
        if accelerator.gather(over)[0] > 0:
            return f"the budget of {settings.max_minutes:g} minutes is spent"
    return None


def _strayed(plan: TrainPlan, values: Mapping[str, float]) -> str | None:
    """Returns why the policy is too far from the reference or the data's policy, or None; non-finite values pass."""
    if not math.isfinite(values["loss"]):
        return None
    settings = plan.train
    if values["kl"] > settings.max_kl:
        to = "base" if plan.reference == "base" else "policy that wrote the texts"
        return f"the KL to the {to} is {values['kl']:.3g} nats a token, and {settings.max_kl:g} is allowed"
    if values["ratio"] > settings.max_ratio or 0 < values["ratio"] < 1 / settings.max_ratio:
        return f"the mean ratio is {values['ratio']:.3g}, and up to {settings.max_ratio:g} is allowed"
    return None
