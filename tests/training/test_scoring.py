import logging

import pytest
import torch
from peft import PromptTuningConfig, get_peft_model
from torch import nn

from rows import SHARING, adapted, apart, bare, completions, gradients, ragged
from skill_plugin.errors import ConfigurationError
from skill_plugin.training.model.scoring import Scorer, batches, choose_way

LOGGER = "skill_plugin.training.model.scoring"


def by_its_own_forward(model, group):
    """Log-probabilities of one row at a time, by the model's own forward pass and its full logits."""
    found = []
    for completion in completions(group):
        logits = model(torch.tensor([[*group.prompt_token_ids, *completion]])).logits[
            0, len(group.prompt_token_ids) - 1 : -1
        ]
        found.append((logits / group.temperature).log_softmax(1)[range(len(completion)), completion])
    return torch.cat(found)


@pytest.mark.parametrize("way", ["shared", "plain"])
@pytest.mark.parametrize("family", ["qwen3", "granite"])
@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_log_probabilities_are_those_of_the_models_own_forward_pass(family, way, chunk):
    """Granite divides its logits by 3."""
    model, group = adapted(family).eval(), ragged(temperature=0.7)

    found = Scorer(model, way=way, head_chunk=chunk)(group.prompt_token_ids, completions(group), group.temperature)

    assert (found.dtype, found.shape) == (torch.float32, (29,))
    assert torch.allclose(found, by_its_own_forward(model, group), rtol=0, atol=1e-5)


def test_soft_capped_logits_are_capped():
    model, group = bare("gemma2", final_logit_softcapping=0.5).eval(), ragged()

    found = Scorer(model, way="plain")(group.prompt_token_ids, completions(group), 1.0)

    assert torch.allclose(found, by_its_own_forward(model, group), rtol=0, atol=1e-5)
    assert not torch.allclose(
        found, by_its_own_forward(bare("gemma2", final_logit_softcapping=None).eval(), group), rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("way", ["shared", "plain"])
def test_an_adapter_of_the_head_gets_its_gradient(way):
    model, group = adapted("llama", targets=["q_proj", "lm_head"]), ragged()

    Scorer(model, way=way, head_chunk=8)(group.prompt_token_ids, completions(group), 1.0).sum().backward()
    found = gradients(model)
    by_its_own_forward(model, group).sum().backward()

    assert any("lm_head" in name for name in found)
    assert apart(found, gradients(model)) < 1e-5


@pytest.mark.parametrize("way", ["shared", "plain"])
def test_with_its_adapter_off_a_model_scores_as_the_base(way):
    model, group = adapted("llama").eval(), ragged()

    with torch.no_grad(), model.disable_adapter():
        found = Scorer(model, way=way)(group.prompt_token_ids, completions(group), 1.0)

    assert torch.allclose(found, by_its_own_forward(bare("llama").eval(), group), rtol=0, atol=1e-5)
    assert not torch.allclose(found, by_its_own_forward(model, group), rtol=0, atol=1e-3)


def test_a_call_is_one_forward_pass():
    model, group, calls = bare("llama"), ragged(), []
    model.model.register_forward_hook(lambda *_: calls.append(1))

    for way in ("shared", "plain"):
        Scorer(model, way=way, head_chunk=2)(group.prompt_token_ids, completions(group), 1.0)

    assert len(calls) == 2


def test_batches_cover_all_candidates_in_their_order():
    group = ragged(5, (1, 2, 3, 4, 5))

    assert list(batches(group, "shared", 2)) == [[0, 1, 2, 3, 4]]
    assert list(batches(group, "plain", 2)) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("prompt", "texts", "temperature", "reason"),
    [
        ([], [[1]], 1.0, "0 tokens"),
        ([1], [[1], []], 1.0, "0 tokens"),
        ([1], [], 1.0, "0 tokens"),
        ([1], [[1]], 0.0, "the temperature is 0.0"),
        ([1], [[1]], float("nan"), "the temperature is nan"),
    ],
)
def test_a_group_that_cannot_be_scored_is_an_error(prompt, texts, temperature, reason):
    with pytest.raises(ConfigurationError, match=reason):
        Scorer(bare("llama"), way="plain")(prompt, texts, temperature)


def test_a_prompt_as_an_adapter_is_refused():
    model = get_peft_model(bare("llama"), PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM"))

    with pytest.raises(ConfigurationError, match="train a LoRA adapter"):
        Scorer(model, way="plain")


@pytest.mark.parametrize("family", SHARING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ordinary_families_share(family, dtype):
    model = adapted(family).to(dtype).train()

    way, _ = choose_way(model, "auto", ragged())

    assert way == "shared"
    assert model.training
    assert model.get_base_model().config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("family", "options", "reason"),
    [("gemma2", {}, "softcap"), ("gpt_oss", {}, "s_aux"), ("lfm2", {}, "layers of conv")],
)
def test_other_families_fall_back_loudly_once(caplog, family, options, reason):
    model = bare(family, **options)

    with caplog.at_level(logging.WARNING, LOGGER):
        found = [choose_way(model, "auto", ragged()) for _ in range(2)]

    assert [way for way, _ in found] == ["plain", "plain"]
    assert reason in found[0][1]
    (record,) = [one for one in caplog.records if one.name == LOGGER]
    assert reason in record.message
    assert "several times as long" in record.message
    with pytest.raises(ConfigurationError, match=reason):
        choose_way(model, "shared", ragged())


@pytest.mark.parametrize(("family", "longest", "seen"), [("mistral", 64, 40), ("mistral", 65, 68), ("gemma3", 65, 68)])
def test_a_window_that_will_matter_is_seen_at_work_before_a_prompt_is_shared(family, longest, seen):
    model, lengths = bare(family, sliding_window=64), []
    model.model.register_forward_pre_hook(
        lambda _module, _args, said: lengths.append(said["input_ids"].shape[1]), with_kwargs=True
    )

    assert choose_way(model, "auto", ragged(), longest=longest)[0] == "shared"
    assert min(lengths) == seen + 3


class Leak(nn.Module):
    """Adds to each token something of the one before it, as a short convolution does."""

    def __init__(self, layer, share):
        super().__init__()
        self.layer, self.share = layer, share

    def forward(self, hidden, *args, **kwargs):
        return self.layer(hidden + self.share * hidden.roll(1, dims=1), *args, **kwargs)


def test_a_leak_from_one_candidate_to_the_next_is_found():
    model = bare("llama")
    model.model.layers[1].mlp = Leak(model.model.layers[1].mlp, 0.5)

    assert choose_way(model, "auto", ragged())[1] == "a candidate's tokens move the log-probabilities of the others"


def test_positions_that_a_model_counts_itself_are_found():
    """Candidates do not see each other, and every layer has the layout; the numbers are wrong all the same."""
    model = bare("llama")

    def count(_module, args, kwargs):
        ids = kwargs["input_ids"]
        return args, {**kwargs, "position_ids": torch.arange(ids.shape[1]).expand_as(ids)}

    model.model.register_forward_pre_hook(count, with_kwargs=True)

    assert "nats off those of single rows" in choose_way(model, "auto", ragged())[1]


def test_a_family_whose_head_is_not_reached_is_refused():
    model = bare("llama")
    forward = model.forward
    model.forward = lambda **options: replaced(forward(**options))  # as a wrapper might, beside the class

    def replaced(outputs):
        return type(outputs)(**{**outputs, "logits": outputs.logits * 30})

    with pytest.raises(ConfigurationError, match="nats off those of its own forward pass"):
        choose_way(model, "auto", ragged())


def test_what_is_asked_for_is_taken():
    assert choose_way(bare("llama"), "plain", ragged()) == ("plain", "asked for")
    assert choose_way(bare("llama"), "shared", ragged())[0] == "shared"
