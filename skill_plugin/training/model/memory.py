"""Memory that a training step needs, told before a model is loaded rather than when it fails."""

import ctypes
import sys
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM

from skill_plugin.errors import ConfigurationError
from skill_plugin.training.data.survey import Survey
from skill_plugin.training.settings import TrainSettings

FLOAT32 = 4
# Share of an allocator and kernels beside the tensors that are counted here.
MARGIN = 1.15


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Bytes on one device at the peak of a step.

    Args:
        weights: Weights of the frozen base.
        adapter: Its weights, gradients and Adam's two moments.
        activations: Tensors that are kept for the backward pass.
        logits: Logits of one chunk of the head, with their gradient.
        prefix_copies: The prompt's keys and values beside each candidate's, of the shared way.
    """

    weights: int
    adapter: int
    activations: int
    logits: int
    prefix_copies: int

    @property
    def total(self) -> int:
        return self.weights + self.adapter + self.activations + self.logits + self.prefix_copies

    @property
    def needed(self) -> int:
        """All bytes, with the share of an allocator and kernels."""
        return int(self.total * MARGIN)

    def __str__(self) -> str:
        parts = ("weights", "adapter", "activations", "logits", "prefix_copies")
        said = ", ".join(f"{name.replace('_', ' ')} {_gb(getattr(self, name))}" for name in parts)
        return f"{_gb(self.total)} ({said})"


def estimate(
    config: Any,
    *,
    dtype_bytes: int,
    lora_parameters: int,
    tokens: int,
    prompt_tokens: int,
    completion_tokens: int,
    group: int,
    way: Literal["shared", "plain"],
    head_chunk: int,
    gradient_checkpointing: bool,
) -> MemoryEstimate:
    """Returns the memory of one forward and backward pass, with LoRA on all linear layers and a frozen base.

    In elements of one token of one layer, with H the hidden size, A = heads * head size, K = key-value heads * head
    size and I the width that a token takes through the MLP, the backward pass needs: both norms' inputs (2 H) and
    outputs (2 H), the rotated query and its key and value and the attention's output (2 A + 2 K), and gate, SiLU(gate),
    up and their product (4 I): `4 H + 2 A + 2 K + 4 I`. If the base is in half precision the norms compute in float32
    and each adapter keeps its own float32 copy of its input:
    `(2 H + 5 H + A + I) * 4 + (2 A + 2 K + 3 I) * dtype_bytes` bytes.

    Rows of tokens R: shared `P + N`, plain `G (P + C)`. With checkpointing each layer keeps its input (H) and one layer at a
    time is computed again. The logits are computed `head_chunk` tokens at a time and again in the backward pass: three
    float32 tensors (logits, their log-softmax, the gradient), and one in the base's own precision. The prefix's copies are
    `(G P + N) * 2 K * dtype_bytes` a layer, of one layer at a time with checkpointing. An adapter's parameter costs 16 bytes: itself, its
    gradient and two moments. A sum of the parts, though not all of them peak together.

    Args:
        config: The base's configuration, as `AutoConfig` reads it.
        dtype_bytes: Bytes of a weight of the base: 4, or 2 for bfloat16.
        lora_parameters: Number of the adapter's weights.
        tokens: C, the tokens of the longest completion.
        prompt_tokens: P, the tokens of the prompt.
        completion_tokens: N, the tokens of all completions of a group.
        group: G, the candidates of one forward pass: the whole group in the shared way, `rows` in the plain way.
        way: The way in which they are computed.
        head_chunk: Tokens whose logits are in memory at a time.
        gradient_checkpointing: Whether activations are computed again rather than kept.
    """
    text = config.get_text_config()
    layers, hidden, vocabulary = text.num_hidden_layers, text.hidden_size, text.vocab_size
    head = getattr(text, "head_dim", None) or hidden // text.num_attention_heads
    attention = head * text.num_attention_heads
    keys = head * (getattr(text, "num_key_value_heads", None) or text.num_attention_heads)
    mlp = _mlp_width(text)
    scored = completion_tokens if way == "shared" else group * tokens
    rows = prompt_tokens + completion_tokens if way == "shared" else group * (prompt_tokens + tokens)
    if dtype_bytes < FLOAT32:
        layer = (7 * hidden + attention + mlp) * FLOAT32 + (2 * attention + 2 * keys + 3 * mlp) * dtype_bytes
    else:
        layer = (4 * hidden + 2 * attention + 2 * keys + 4 * mlp) * FLOAT32
    copies = (group * prompt_tokens + completion_tokens) * 2 * keys * dtype_bytes if way == "shared" else 0
    chunk = min(head_chunk, scored)
    own = dtype_bytes if dtype_bytes < FLOAT32 else 0
    return MemoryEstimate(
        weights=parameters(config) * dtype_bytes,
        adapter=lora_parameters * 4 * FLOAT32,
        activations=rows * (layer + layers * hidden * dtype_bytes if gradient_checkpointing else layers * layer),
        logits=chunk * vocabulary * (3 * FLOAT32 + own),
        prefix_copies=copies if gradient_checkpointing else layers * copies,
    )


def of_run(
    config: Any,
    settings: TrainSettings,
    surveyed: Survey,
    *,
    way: Literal["shared", "plain"],
    dtype: torch.dtype,
    lora: int,
) -> MemoryEstimate:
    """Returns the memory of a run's largest step; `lora` is the number of the adapter's weights; see `estimate`."""
    return estimate(
        config,
        dtype_bytes=dtype.itemsize,
        lora_parameters=lora,
        tokens=surveyed.completion,
        prompt_tokens=surveyed.prompt,
        completion_tokens=surveyed.completions,
        group=surveyed.candidates if way == "shared" else min(settings.rows, surveyed.candidates),
        way=way,
        head_chunk=settings.head_chunk,
        gradient_checkpointing=settings.gradient_checkpointing,
    )


_M_MMAP_THRESHOLD = -3
_GIVEN_BACK = 1 << 20


def give_back_freed_memory() -> None:
    """Makes the C library give large freed blocks back to the system at once; nothing where it is not glibc.

    It raises the size from which it does so as blocks are freed, and then keeps what lies between blocks in use: a step of 704
    tokens through SmolLM2-135M on a processor held 1.47 GB, and 0.99 GB with a fixed size.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_MMAP_THRESHOLD, _GIVEN_BACK)


def parameters(config: Any) -> int:
    """Returns how many weights the model of a config has, without making it."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
    return sum(one.numel() for one in model.parameters())


def check(estimate: MemoryEstimate, free_bytes: int) -> None:
    """Checks that a step fits into the memory that was free before the model was loaded.

    Raises:
        ConfigurationError: it does not fit; gives the estimate, the free memory and what to lower.
    """
    if (needed := estimate.needed) > free_bytes:
        largest = max(_ADVICE, key=lambda name: getattr(estimate, name))
        raise ConfigurationError(
            f"training needs about {_gb(needed)} of memory and {_gb(free_bytes)} are free; the tensors are {estimate}; "
            f"first {_ADVICE[largest]}; else lower rows or head_chunk, use gradient checkpointing, bfloat16 or a smaller base, "
            "or free what another process holds (a vLLM server on this GPU can be put to sleep)"
        )


_ADVICE = {
    "weights": "use a smaller base, or bfloat16",
    "adapter": "lower the rank",
    "activations": "use gradient checkpointing, the plain way with fewer rows, or shorter tasks",
    "logits": "lower head_chunk",
    "prefix_copies": "use gradient checkpointing, or the plain way",
}


def free_memory(device: str) -> int | None:
    """Returns the bytes that are free on a device now; None if that cannot be told."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - a file of the kernel
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None


def _mlp_width(text: Any) -> int:
    """Returns I; for a mixture of experts, the width of those that a token takes."""
    width = getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * text.hidden_size
    experts = getattr(text, "num_experts_per_tok", None)
    if experts:
        width = experts * (getattr(text, "moe_intermediate_size", None) or width)
    return int(width)


def _gb(number: int) -> str:
    return f"{number / 1e9:.2f} GB"
