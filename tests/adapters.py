"""LoRA adapters as PEFT saves them, written in a millisecond; `tiny_models.tiny_adapter` makes ones that fit a model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

BASE_MODEL = "org/base"
"""What they were trained on, where a test does not say."""

MODULE = "base_model.model.model.layers.{}.self_attn.q_proj"


def tensors(*, rank: int = 4, layers: int = 1, seed: int = 0, dtype: Any = np.float32) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    found = {}
    for layer in range(layers):
        found[f"{MODULE.format(layer)}.lora_A.weight"] = draw.normal(size=(rank, 8)).astype(dtype)
        found[f"{MODULE.format(layer)}.lora_B.weight"] = draw.normal(size=(6, rank)).astype(dtype)
    return found


def adapter(folder: Path, *, rank: int = 4, seed: int = 0, weights: Any = None, **config: Any) -> Path:
    """A folder with an adapter; another seed is another adapter."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors(rank=rank, seed=seed) if weights is None else weights, folder / "adapter_model.safetensors")
    said = {"peft_type": "LORA", "r": rank, "rank_pattern": {}, "base_model_name_or_path": "anything", **config}
    (folder / "adapter_config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder
