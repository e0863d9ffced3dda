"""Forecast of a run from its plan and its groups, without the base model's weights."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from skill_plugin.disk import check_disk
from skill_plugin.errors import ConfigurationError, InvalidHistoryError
from skill_plugin.models.base_models import ADAPTER_WEIGHTS
from skill_plugin.training.data.groups import Groups
from skill_plugin.training.data.order import orders
from skill_plugin.training.data.pairs import Pairs
from skill_plugin.training.data.survey import survey
from skill_plugin.training.files.snapshots import needed_bytes
from skill_plugin.training.model import base_model, memory
from skill_plugin.training.plan import TrainPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Size, memory and disk space of a run that has not begun.

    Args:
        groups: Number of groups to learn from.
        imitated: Number of groups or pairs that supervised training learns from; 0 if there is none.
        refused_groups: Reasons why the base model cannot compute the others, by id.
        steps: Steps of the optimizer; a budget may end them sooner.
        trained_parameters: Number of the adapter's weights.
        device: The device that it would train on.
        dtype: The base model's data type there.
        memory: Memory of its largest step, on one device, with a shared prompt unless `way` is plain.
        needed_bytes: That memory with an allocator's share.
        free_bytes: Bytes that are free there now; None if that cannot be told.
        disk_bytes: Bytes of its snapshots and its adapter.
        problem: The reason why memory or disk is too small, and what to lower; None if both are enough.
    """

    groups: int
    imitated: int
    refused_groups: dict[str, str]
    steps: int
    trained_parameters: int
    device: str
    dtype: str
    memory: memory.MemoryEstimate
    needed_bytes: int
    free_bytes: int | None
    disk_bytes: int
    problem: str | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def forecast(groups: Groups, plan: TrainPlan, folder: Path, pairs: Pairs | None = None) -> Forecast:
    """Returns the forecast of training on these groups.

    Args:
        groups: Groups to learn from.
        plan: The run's plan.
        folder: The run's folder, which need not exist.
        pairs: The pairs that it begins with, if it does.

    Raises:
        ConfigurationError: the model does not exist, or a setting does not fit it.
        InvalidHistoryError: the base model can compute none of the groups.
    """
    config, settings = base_model.load_config(plan.base_model), plan.train
    surveyed = survey(groups, config, pairs)
    if not surveyed.places and not surveyed.accepted:
        raise InvalidHistoryError(
            f"there is no group to learn from: {next(iter(surveyed.refused.values()), 'none at all')}"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = base_model.pick_dtype(settings.dtype, device)
    lora = _trained(config, plan)
    way: Literal["shared", "plain"] = "plain" if settings.way == "plain" else "shared"
    needs = memory.of_run(config, settings, surveyed, way=way, dtype=dtype, lora=lora)
    free, disk, problem = memory.free_memory(device), needed_bytes(lora * memory.FLOAT32), None
    try:
        if free is not None:
            memory.check(needs, free)
        check_disk(folder, disk)
    except ConfigurationError as exc:
        problem = str(exc)
    return Forecast(
        groups=len(surveyed.places),
        imitated=len(surveyed.accepted) if settings.sft_epochs else 0,
        refused_groups=surveyed.refused,
        steps=sum(one.steps for one in orders(surveyed, settings)),
        trained_parameters=lora,
        device=device,
        dtype=str(dtype).removeprefix("torch."),
        memory=needs,
        needed_bytes=needs.needed,
        free_bytes=free,
        disk_bytes=disk,
        problem=problem,
    )


def _trained(config: Any, plan: TrainPlan) -> int:
    """Returns the number of the adapter's weights."""
    if plan.parent is not None:
        return sum(one.numel() for one in load_file(Path(plan.parent) / ADAPTER_WEIGHTS).values())
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
        model.requires_grad_(requires_grad=False)
        adapted = base_model.attach_adapter(
            model, rank=plan.train.rank, alpha=plan.train.alpha, targets=plan.train.targets
        )
    return sum(one.numel() for one in adapted.parameters() if one.requires_grad)
