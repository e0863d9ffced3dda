"""Tiny models of several families with a LoRA adapter, and ragged groups for them."""

from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GptOssConfig,
    GraniteConfig,
    Lfm2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
    StableLmConfig,
)  # fmt: skip
from transformers.models.stablelm import modeling_stablelm

from skill_plugin.training.data.groups import Candidate, Group

TINY = {
    "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.05, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (LlamaConfig, {}),
    "qwen2": (Qwen2Config, {}),
    "qwen3": (Qwen3Config, {"head_dim": 16}),
    "mistral": (MistralConfig, {"sliding_window": None}),
    "gemma": (GemmaConfig, {"head_dim": 16}),
    "gemma2": (Gemma2Config, {"head_dim": 16}),
    "gemma3": (Gemma3TextConfig, {"head_dim": 16, "sliding_window": 512}),
    "granite": (GraniteConfig, {"logits_scaling": 3.0}),
    "stablelm": (StableLmConfig, {}),
    "gpt_oss": (
        GptOssConfig,
        {"head_dim": 16, "num_local_experts": 4, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    ),
    "lfm2": (Lfm2Config, {"layer_types": ["conv", "full_attention"]}),
}
SHARING = ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma3", "granite"]
if hasattr(modeling_stablelm, "ALL_ATTENTION_FUNCTIONS"):  # not so in transformers 4.57: its attention is its own
    SHARING.append("stablelm")


def bare(family: str, **options: Any) -> Any:
    kind, own = FAMILIES[family]
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(kind(**{**TINY, **own, **options}))


def adapted(family: str, *, targets: Any = "all-linear", **options: Any) -> Any:
    """With an adapter of random weights, B too, as small as a trained one's."""
    model = get_peft_model(
        bare(family, **options), LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM")
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora_" in name:
                weights.normal_(0, 0.05)
    return model


def checkpointing(model: Any) -> Any:
    """Activations are computed again in backward; transformers 5.23 has a new name for it."""
    name = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    getattr(model, f"{name}_checkpointing_enable")({"use_reentrant": False})
    return model


def ragged(
    prompt: int = 21, lengths: tuple[int, ...] = (9, 1, 14, 5), *, vocabulary: int = 128, temperature: float = 1.0
) -> Group:
    torch.manual_seed(2)
    ids = torch.randint(0, vocabulary, (prompt + sum(lengths),)).tolist()
    candidates, at = [], prompt
    for number, length in enumerate(lengths):
        candidates.append(
            Candidate(
                number=number, completion_token_ids=tuple(ids[at : at + length]), logprobs=(-4.5,) * length,
                rewards=(0.0, 1.0), pull=0.1 + 0.2 * (number % 3), push=-0.2 * (number % 2) - 0.1,
            )
        )  # fmt: skip
        at += length
    return Group(
        id="g", task="t", family="f", generation=1, prompt_token_ids=tuple(ids[:prompt]), temperature=temperature,
        candidates=tuple(candidates),
    )  # fmt: skip


def completions(group: Group) -> list[tuple[int, ...]]:
    return [candidate.completion_token_ids for candidate in group.candidates]


def tokenwise(group: Group, name: str) -> torch.Tensor:
    """A number of each candidate, once for each of its tokens."""
    return torch.tensor([getattr(one, name) for one in group.candidates for _ in one.completion_token_ids])


def gradients(model: Any) -> dict[str, torch.Tensor]:
    """And forgets them."""
    found = {name: weights.grad for name, weights in model.named_parameters() if weights.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def apart(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Relative, by Frobenius norm, of all together."""
    assert found.keys() == expected.keys()
    difference = torch.stack([(found[name] - expected[name]).norm() for name in expected]).norm()
    return float(difference / torch.stack([one.norm() for one in expected.values()]).norm())
