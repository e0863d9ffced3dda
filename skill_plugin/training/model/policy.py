"""The generator in training: the frozen base model and its adapter, in one process or sharded over many."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from peft.tuners.tuners_utils import BaseTunerLayer
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from skill_plugin.training.data.groups import Group
from skill_plugin.training.data.survey import Survey
from skill_plugin.training.files.snapshots import Snapshot
from skill_plugin.training.model import base_model, memory, scoring
from skill_plugin.training.plan import TrainPlan

ADAPTER, OPTIMIZER = "adapter", "optimizer"


class Policy:
    """Scores completions with the adapter on or off, and takes steps.

    Args:
        plan: Names the base model and the adapter to begin with.
        accelerator: Knows the processes that it is spread over.
        surveyed: Sizes of the groups that it is to compute.
        sample: One of them, to find out in which way the model can be computed.

    Raises:
        ConfigurationError: the model or the adapter cannot be loaded, or they do not fit into memory.
    """

    def __init__(self, plan: TrainPlan, accelerator: Accelerator, surveyed: Survey, sample: Group) -> None:
        settings = plan.train
        self._accelerator = accelerator
        device = str(accelerator.device)
        if device == "cpu":
            memory.give_back_freed_memory()
        free = memory.free_memory(device)
        self.dtype = base_model.pick_dtype(settings.dtype, device)
        model, _ = base_model.load_base(plan.base_model, settings.dtype, device)
        self.peft = base_model.attach_adapter(
            model,
            parent=Path(plan.parent) if plan.parent else None,
            rank=settings.rank,
            alpha=settings.alpha,
            targets=settings.targets,
            seed=settings.seed,
        )
        if settings.gradient_checkpointing:
            # The newer name of the older method, which transformers 6 will not have.
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": False})
            model.enable_input_require_grads()
            _no_dropout(self.peft)
            self.peft.train()  # checkpointing works in training mode only
        self.way, self.way_reason = scoring.choose_way(self.peft, settings.way, sample, longest=surveyed.tokens)
        if free is not None and accelerator.distributed_type != DistributedType.FSDP:
            lora = sum(one.numel() for one in self.peft.parameters() if one.requires_grad)
            memory.check(
                memory.of_run(model.config, settings, surveyed, way=self.way, dtype=self.dtype, lora=lora), free
            )
        scorer = scoring.Scorer(self.peft, way=self.way, head_chunk=settings.head_chunk)
        scorer._no_split_modules = model._no_split_modules  # noqa: SLF001 - FSDP shards by it
        optimizer = torch.optim.AdamW(
            [one for one in self.peft.parameters() if one.requires_grad],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self._scorer, self._optimizer = accelerator.prepare(scorer, optimizer)
        self._rows = settings.rows

    def passes(self, group: Group) -> Iterator[list[int]]:
        """Yields the numbers of a group's candidates that go into one forward pass each."""
        return scoring.batches(group, self.way, self._rows)

    def logprobs(self, group: Group, numbers: Sequence[int]) -> torch.Tensor:
        """Returns log-probabilities of some candidates' completion tokens, one after the other, in nats, shape [N]."""
        completions = [group.candidates[number].completion_token_ids for number in numbers]
        found: torch.Tensor = self._scorer(group.prompt_token_ids, completions, group.temperature)
        return found

    @torch.no_grad()
    def base_logprobs(self, group: Group, numbers: Sequence[int]) -> torch.Tensor:
        """Returns the log-probabilities that the frozen base model gives those tokens, in nats, shape [N]."""
        with _without_adapter(self.peft):
            return self.logprobs(group, numbers)

    def unsynced(self) -> AbstractContextManager[Any]:
        """Keeps the gradients of the passes inside in this process, until a pass outside."""
        found: AbstractContextManager[Any] = self._accelerator.no_sync(self._scorer)
        return found

    def step(self, *, learning_rate: float, max_norm: float) -> float:
        """Takes a step, unless the gradient is not finite; returns its norm before it was scaled down."""
        norm = self._accelerator.clip_grad_norm_(self.trainable().values(), max_norm)
        size = float(_whole(norm)) if norm is not None else math.nan
        if math.isfinite(size):
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate
            self._optimizer.step()
        self._optimizer.zero_grad()
        return size

    def forget_gradients(self) -> None:
        self._optimizer.zero_grad()

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        """Returns the adapter's weights by name."""
        for module in self._scorer.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # what it gathered for a forward pass is not one of the optimizer's parameters
        return {name: one for name, one in self.peft.named_parameters() if one.requires_grad}

    def parts(self) -> dict[str, dict[str, torch.Tensor]]:
        """Returns the tensors for a snapshot: the adapter's weights, and AdamW's moments of each."""
        state = self._optimizer.state
        weights = self.trainable()
        moments = {
            f"{name}.{key}": _whole(value) for name, one in weights.items() for key, value in state.get(one, {}).items()
        }
        return {ADAPTER: {name: _whole(one) for name, one in weights.items()}, OPTIMIZER: moments}

    @torch.no_grad()
    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to the state of a snapshot."""
        state = self._optimizer.state
        for name, one in self.trainable().items():
            one.copy_(_placed(snapshot.parts[ADAPTER][name].to(one.device), one))
            prefix = f"{name}."
            state[one] = {
                key.removeprefix(prefix): value if value.dim() == 0 else _placed(value.to(one.device), one)
                for key, value in snapshot.parts[OPTIMIZER].items()
                if key.startswith(prefix) and "." not in key.removeprefix(prefix)
            }

    def save(self, folder: Path) -> None:
        """Writes the adapter as PEFT reads it."""
        weights = self.parts()[ADAPTER]
        if self._accelerator.is_main_process:
            base_model.save_adapter(self.peft, folder, weights)
        self._accelerator.wait_for_everyone()


@contextmanager
def _without_adapter(model: torch.nn.Module) -> Iterator[None]:
    """Switches the adapter off for a while, but leaves `requires_grad`: FSDP may hold other parameters afterwards."""
    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer._disable_adapters = True  # noqa: SLF001 - what the method sets
    try:
        yield
    finally:
        for layer in layers:
            layer._disable_adapters = False  # noqa: SLF001 - what the method sets


def _no_dropout(model: torch.nn.Module) -> None:
    """Sets each drop-out to 0: a policy that drops units is not the one that sampled, and no two passes of it agree."""
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, float) and ("drop" in name or isinstance(module, torch.nn.Dropout)):
                setattr(module, name, 0.0)


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    """Gathers a tensor that FSDP has spread over processes; all of them must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _placed(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Spreads a tensor over processes in the way that another one is spread."""
    return distribute_tensor(tensor, like.device_mesh, like.placements) if isinstance(like, DTensor) else tensor
