"""The estimate of a step's memory, against what torch allocates in a real one."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, GPT2Config, Qwen2Config, Qwen3MoeConfig

from skill_plugin.errors import ConfigurationError
from skill_plugin.training.model.base_model import attach_adapter
from skill_plugin.training.model.memory import check, estimate, free_memory, parameters

CONFIG = Qwen2Config(
    vocab_size=8192, hidden_size=256, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=4,
    num_key_value_heads=2,
)  # fmt: skip
PROMPT, COMPLETION, ROWS, CHUNK = 256, 128, 2, 64
STEP = {
    "dtype_bytes": 4, "lora_parameters": 1000, "tokens": 300, "prompt_tokens": 4096, "completion_tokens": 2000, "group": 16,
    "way": "shared",
    "head_chunk": 1024, "gradient_checkpointing": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads that wait for each other on busy cores take twenty times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def update(device, dtype, *, checkpointing):
    """One update of an adapter in plain rows with a chunked head; bytes that are estimated for it."""
    with torch.device(device):
        base = AutoModelForCausalLM.from_config(CONFIG, dtype=dtype).requires_grad_(requires_grad=False)
    model = attach_adapter(base)
    if checkpointing:
        older = getattr(base, "gradient_checkpointing_enable", None)  # of transformers before 5.23
        getattr(base, "activation_checkpointing_enable", older)({"use_reentrant": False})
        model.train()
    adapter = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(adapter)
    ids_R_T = torch.randint(CONFIG.vocab_size, (ROWS, PROMPT + COMPLETION), device=device)
    hidden = base.model(ids_R_T, use_cache=False).last_hidden_state[:, PROMPT - 1 : -1].flatten(0, 1)
    targets = ids_R_T[:, PROMPT:].flatten()

    def head(hidden, targets):
        return base.lm_head(hidden).float().log_softmax(-1).gather(1, targets[:, None]).sum()

    pieces = zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True)
    (-sum(checkpoint(head, *piece, use_reentrant=False) for piece in pieces)).backward()
    optimizer.step()
    return estimate(
        CONFIG, dtype_bytes=dtype.itemsize, lora_parameters=sum(one.numel() for one in adapter), tokens=COMPLETION,
        prompt_tokens=PROMPT, completion_tokens=COMPLETION * ROWS, group=ROWS, way="plain", head_chunk=CHUNK, gradient_checkpointing=checkpointing,
    ).total  # fmt: skip


@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_estimate_is_what_torch_allocates_for_a_step(dtype, checkpointing):
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        estimated = update("cpu", dtype, checkpointing=checkpointing)
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)

    assert 0.8 < estimated / peak < 2, (estimated, peak)


@pytest.mark.gpu
@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_estimate_is_what_torch_allocates_on_a_gpu(dtype, checkpointing):
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    torch.cuda.reset_peak_memory_stats()
    estimated = update("cuda", dtype, checkpointing=checkpointing)

    assert 0.8 < estimated / torch.cuda.max_memory_allocated() < 2


class TestParts:
    def test_they_are_those_of_the_formulas(self):
        """By hand, at the width of Qwen2.5-0.5B: 896, 14 heads of 64, 2 for keys and values, 4864 in the MLP."""
        config = Qwen2Config(
            vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=2, num_attention_heads=14,
            num_key_value_heads=2, tie_word_embeddings=True,
        )  # fmt: skip
        layer = 4 * (4 * 896 + 2 * 896 + 2 * 128 + 4 * 4864)
        rows = 4096 + 2000

        found = estimate(config, **STEP)
        assert found.weights == 4 * parameters(config)
        assert found.adapter == 16 * 1000
        assert found.activations == rows * (layer + 2 * 896 * 4)
        assert found.logits == 1024 * 151_936 * 4 * 3
        assert found.prefix_copies == (16 * 4096 + 2000) * 2 * 128 * 4
        assert found.total == (found.weights + found.adapter + found.activations + found.logits + found.prefix_copies)
        kept = estimate(config, **STEP | {"gradient_checkpointing": False})
        assert (kept.activations, kept.prefix_copies) == (rows * 2 * layer, 2 * found.prefix_copies)
        half = estimate(config, **STEP | {"dtype_bytes": 2})
        assert half.activations == rows * (
            (7 * 896 + 896 + 4864) * 4 + (2 * 896 + 2 * 128 + 3 * 4864) * 2 + 2 * 896 * 2
        )
        plain = estimate(config, **STEP | {"way": "plain", "group": 2})
        assert plain.activations == 2 * 4396 * (layer + 2 * 896 * 4)
        assert (plain.prefix_copies, plain.logits) == (0, 600 * 151_936 * 4 * 3)

    def test_weights_are_counted_without_making_them(self):
        config = Qwen2Config(
            vocab_size=50, hidden_size=8, intermediate_size=4, num_hidden_layers=1, num_attention_heads=2
        )
        model = AutoModelForCausalLM.from_config(config)

        assert parameters(config) == sum(one.numel() for one in model.parameters())
        large = Qwen2Config(vocab_size=151_936, hidden_size=8192, intermediate_size=29_568, num_hidden_layers=80,
                            num_attention_heads=64, num_key_value_heads=8, tie_word_embeddings=False)  # fmt: skip
        assert parameters(large) == pytest.approx(72.7e9, rel=0.01)

    def test_other_families_have_one_too(self):
        experts = Qwen3MoeConfig(vocab_size=99, hidden_size=16, moe_intermediate_size=8, num_experts=4,
                                 num_experts_per_tok=2, num_hidden_layers=1, num_attention_heads=2,
                                 num_key_value_heads=1, head_dim=8)  # fmt: skip
        for config, mlp in ((experts, 16), (GPT2Config(vocab_size=99, n_embd=16, n_layer=1, n_head=2), 64)):
            keys = 8 if config is experts else 16
            layer = 4 * (4 * 16 + 2 * 16 + 2 * keys + 4 * mlp)
            found = estimate(config, **STEP | {"gradient_checkpointing": False, "way": "plain", "group": 1})
            assert found.activations == 4396 * layer


class TestCheck:
    def test_what_fits_is_no_matter(self):
        found = estimate(CONFIG, **STEP)

        check(found, 2 * found.total)

    @pytest.mark.parametrize(
        ("change", "advice"),
        [
            ({"tokens": 3000, "gradient_checkpointing": False}, "first use gradient checkpointing"),
            ({"head_chunk": 4800}, "first lower head_chunk"),
            (
                {"tokens": 1, "prompt_tokens": 1, "completion_tokens": 1, "group": 1, "head_chunk": 1},
                "first use a smaller base, or bfloat16",
            ),
            ({"lora_parameters": 10**9}, "first lower the rank"),
        ],
    )
    def test_what_does_not_is_told_with_what_to_lower(self, change, advice):
        found = estimate(CONFIG, **STEP | change)

        with pytest.raises(ConfigurationError) as caught:
            check(found, found.total)
        words = str(caught.value)
        assert "training needs about " in words
        assert f"GB of memory and {found.total / 1e9:.2f} GB are free" in words
        assert advice in words
        assert words.endswith("(a vLLM server on this GPU can be put to sleep)")
        assert "\n" not in words

    def test_how_much_is_free_can_be_told(self):
        free = free_memory("cpu")

        assert free is None or free > 1e6
