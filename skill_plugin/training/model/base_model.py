"""The frozen base model and the adapter that is trained on it: loaded, made, saved."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.pytorch_utils import Conv1D

from skill_plugin.disk import whole_folder
from skill_plugin.errors import ConfigurationError
from skill_plugin.models.base_models import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    GET_ONE,
    adapter_folder,
    base_revision,
    loading,
    model_folder,
)

__all__ = [
    "attach_adapter", "base_revision", "linear_layers", "load_base", "load_config", "pick_dtype", "save_adapter",
]  # fmt: skip


def pick_dtype(wanted: str, device: str) -> torch.dtype:
    """Returns the dtype of `auto`, `float32` or `bfloat16`: `auto` is bfloat16 on a GPU that has it, else float32."""
    if wanted == "auto":
        has_it = device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_it else torch.float32
    found = getattr(torch, wanted, None)
    if not isinstance(found, torch.dtype):
        raise ConfigurationError(f"{wanted!r} is not a dtype; use auto, float32 or bfloat16")
    return found


def load_config(path: str | Path) -> Any:
    """Returns a causal language model's configuration, without its weights; raises as `load_base` does."""
    name = model_folder(path)
    with loading(f"the model {name!r}", GET_ONE):
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    _check_causal(config, name)
    return config


def load_base(path: str | Path, dtype: str = "auto", device: str | None = None) -> tuple[Any, Any]:
    """Loads a causal language model in safetensors, frozen and on its device, and its tokenizer.

    Code in the model's folder is not run.

    Args:
        path: A folder, or a model's name on the Hugging Face Hub.
        dtype: A name that `pick_dtype` takes.
        device: A device as torch names it; by default `cuda` where there is one, else `cpu`.

    Raises:
        ConfigurationError: the model does not exist, it is not a causal language model, its weights are damaged, incomplete or
            pickles, or it does not fit into memory.
    """
    name = model_folder(path)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    kind = pick_dtype(dtype, device)
    what = f"the model {name!r}"
    config = load_config(path)
    with loading(what, GET_ONE):
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    try:
        with loading(what, GET_ONE):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                name,
                config=config,
                dtype=kind,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation="sdpa",
                output_loading_info=True,
            )
        model, info = loaded
        if missing := sorted(info["missing_keys"]):
            raise ConfigurationError(
                f"{what} cannot be trained: {len(missing)} of its tensors are not in its files, such as {missing[0]!r}; "
                f"use the whole causal language model: {GET_ONE}"
            )
        with loading(f"{what} on the device {device!r}", "use cpu, or one that torch has here"):
            model.to(device)
    except ConfigurationError as exc:
        if _out_of_memory(exc.__cause__):
            raise ConfigurationError(
                f"{what} does not fit into the memory of {device!r} as {kind}; use a smaller base or bfloat16, or end what "
                "else is in that memory (a vLLM server can be put to sleep)"
            ) from exc
        raise
    model.requires_grad_(requires_grad=False)
    model.eval()  # no drop-out: the policy must be the one that sampled
    return model, tokenizer


def _check_causal(config: Any, name: str) -> None:
    kinds = config.architectures or []
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or (kinds and not any(_writes(kind) for kind in kinds)):
        raise ConfigurationError(
            f"the model {name!r} is not a causal language model (it is {', '.join(kinds) or config.model_type}); use an "
            "instruction-tuned one such as Qwen/Qwen3-4B-Instruct-2507"
        )


def _writes(architecture: str) -> bool:
    return architecture.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"))


def _out_of_memory(exc: BaseException | None) -> bool:
    return isinstance(exc, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(exc)


def linear_layers(model: Any) -> list[str]:
    """Returns the names of all linear layers in the model's decoder blocks, so not of the head or another tower.

    The experts of a mixture, which transformers 5 keeps in one tensor, and the router that chooses between them are
    left out.

    A name is the last part of a module's (`q_proj`) if that means the same in all blocks and nothing elsewhere, which
    servers read best; else the whole one.

    Raises:
        ConfigurationError: the model has no blocks, or no linear layers in them.
    """
    decoder = model.get_decoder()
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    prefix = next((f"{name}." for name, module in model.named_modules() if name and module is decoder), "")
    inside = {name for name in linear if name.startswith(prefix) and re.search(r"\.\d+\.", name)}
    inside = {name for name in inside if not re.search(r"\.experts\.|\.(gate|router)$", name)}
    if not inside:
        raise ConfigurationError(
            f"a {type(model).__name__} has no linear layers in decoder blocks; name the modules to adapt as targets"
        )
    short = {name.rsplit(".", 1)[-1] for name in inside}
    elsewhere = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules() if name not in inside}
    return sorted(inside if short & elsewhere else short)


def attach_adapter(
    model: Any,
    *,
    parent: Path | None = None,
    rank: int = 16,
    alpha: int = 32,
    targets: Sequence[str] | None = None,
    seed: int = 0,
) -> PeftModel:
    """Adds a trainable LoRA adapter in float32 without drop-out to the model, which is changed; the base stays frozen.

    Args:
        model: A model that `load_base` returned.
        parent: An adapter to train further, with its own rank, alpha and targets.
        rank: Rank of a new adapter, which changes nothing yet: its B is 0.
        alpha: Alpha of a new adapter; it is scaled by alpha / rank.
        targets: Modules that a new adapter is added to, by the last parts of their names; by default `linear_layers`.
        seed: Seed of a new adapter's A. The random numbers of the process are left alone.

    Raises:
        ConfigurationError: the parent is not an adapter, or one of another base; or the targets are not in this one.
    """
    if parent is not None:
        return _further(model, adapter_folder(parent))
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules=list(targets) if targets else linear_layers(model),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # weights are drawn on the processor, wherever the model is
        try:
            return _adapted(model, config)
        except ValueError as exc:
            reason = " ".join(str(exc).split())[:300]
            raise ConfigurationError(
                f"no adapter can be made for {model.name_or_path!r}: {reason}; see targets"
            ) from exc


def _further(model: Any, folder: Path) -> PeftModel:
    other = f"{str(folder)!r} is an adapter of another base than {model.name_or_path!r}"
    advice = "use the base that it was trained on, or begin with a new adapter"
    try:
        config = LoraConfig.from_pretrained(str(folder))
        weights = load_file(folder / ADAPTER_WEIGHTS)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as exc:
        reason = " ".join(str(exc).split())[:200]
        raise ConfigurationError(f"the adapter {str(folder)!r} is damaged: {reason}; {advice}") from exc
    if not isinstance(config, LoraConfig) or config.modules_to_save or config.bias != "none":
        raise ConfigurationError(f"the adapter {str(folder)!r} is not a plain LoRA adapter; {advice}")
    if bad := sorted(name for name, tensor in weights.items() if not tensor.isfinite().all()):
        raise ConfigurationError(f"the adapter {str(folder)!r} holds values that are not numbers ({bad[0]}); {advice}")
    config.lora_dropout = 0.0
    config.init_lora_weights = True  # another start would change the base, and all of it is overwritten
    config.inference_mode = False
    try:
        adapted = _adapted(model, config)
    except ValueError as exc:  # names that this base does not have
        raise ConfigurationError(f"{other}: {' '.join(str(exc).split())[:200]}; {advice}") from exc
    expected = {name: tuple(tensor.shape) for name, tensor in _weights(adapted).items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ConfigurationError(
                f"{other}: {name} has shape {found.get(name)} there and {expected.get(name)} here; {advice}"
            )
    set_peft_model_state_dict(adapted, weights)
    return adapted


def _adapted(model: Any, config: LoraConfig) -> PeftModel:
    config.base_model_name_or_path = None  # peft takes the model's
    adapted = get_peft_model(model, config, autocast_adapter_dtype=True)
    assert isinstance(adapted, PeftModel)  # noqa: S101 - peft says PeftMixedModel too
    return adapted


def _weights(model: PeftModel, gathered: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    # Embeddings: peft would ask a hub whether they were changed.
    return get_peft_model_state_dict(model, gathered, save_embedding_layers=False)  # type: ignore[no-any-return]


def save_adapter(model: PeftModel, folder: Path, gathered: dict[str, torch.Tensor] | None = None) -> None:
    """Writes `adapter_config.json` and `adapter_model.safetensors`; the folder is whole or not there.

    The same weights give the same bytes. `PeftModel.from_pretrained` and vLLM read it.

    Args:
        model: The model with the adapter.
        folder: The folder to write; an existing one is replaced.
        gathered: The adapter's weights by parameter name, if the model's own are spread over processes.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(_weights(model, gathered).items())}
    config = model.peft_config["default"].to_dict() | {"inference_mode": True}
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    with whole_folder(folder) as temporary:
        (temporary / ADAPTER_WEIGHTS).write_bytes(save(weights, metadata={"format": "pt"}))
        (temporary / ADAPTER_CONFIG).write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n", encoding="utf-8")
