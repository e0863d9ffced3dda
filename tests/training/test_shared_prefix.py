import threading

import pytest
import torch

from rows import SHARING, adapted, apart, bare, checkpointing, completions, gradients, ragged, tokenwise
from skill_plugin.errors import ConfigurationError
from skill_plugin.training.loss import token_losses
from skill_plugin.training.model import shared_prefix
from skill_plugin.training.model.scoring import Scorer, batches
from skill_plugin.training.settings import LossSettings

SETTINGS = LossSettings(kl_weight=0.04)


def update(model, group, way, rows=2):
    """Log-probabilities and the adapter's gradients of one update."""
    scorer, found = Scorer(model, way=way, head_chunk=8), []
    tokens = group.completion_tokens
    torch.manual_seed(3)
    reference = -4.5 + torch.randn(tokens)
    given = [tokenwise(group, name) for name in ("pull", "push")]
    begin = 0
    for chosen in batches(group, way, rows):
        logprobs = scorer(group.prompt_token_ids, [completions(group)[c] for c in chosen], group.temperature)
        behaviour = (
            logprobs.detach()
            + 0.3 * torch.randn(tokens, generator=torch.Generator().manual_seed(4))[begin:][: len(logprobs)]
        )
        at = slice(begin, begin + len(logprobs))
        losses = token_losses(logprobs, behaviour, reference[at], given[0][at], given[1][at], SETTINGS)
        (losses.total.sum() / tokens).backward()
        found.append(logprobs.detach())
        begin += len(logprobs)
    return torch.cat(found), gradients(model)


@pytest.mark.parametrize("again", [False, True], ids=["kept", "checkpointing"])
@pytest.mark.parametrize("family", SHARING)
def test_gradients_are_those_of_plain_rows(family, again):
    model, group = adapted(family).train(), ragged(temperature=0.8)
    if again:
        checkpointing(model)

    plain_logprobs, plain = update(model, group, "plain")
    shared_logprobs, shared = update(model, group, "shared")

    assert torch.allclose(shared_logprobs, plain_logprobs, rtol=0, atol=1e-5)
    assert apart(shared, plain) < 1e-6  # measured: 2.4e-7 to 4.6e-7
    assert all(one.norm() > 0 for one in plain.values())


@pytest.mark.parametrize("lengths", [(1,), (7,), (1, 1, 1), (1, 12)])
def test_groups_of_one_candidate_and_candidates_of_one_token(lengths):
    model, group = adapted("qwen2").train(), ragged(1, lengths)

    plain_logprobs, plain = update(model, group, "plain")
    shared_logprobs, shared = update(model, group, "shared")

    assert torch.allclose(shared_logprobs, plain_logprobs, rtol=0, atol=1e-5)
    assert apart(shared, plain) < 1e-6


def test_a_layout_is_there_in_backward_in_another_thread_and_after_other_calls():
    """Backward of a GPU's graph runs in threads of its own, and computes checkpointed layers again there."""
    model, one, two = checkpointing(adapted("llama").train()), ragged(), ragged(9, (3, 11))
    shared, plain = Scorer(model, way="shared"), Scorer(model, way="plain")
    shared(two.prompt_token_ids, completions(two), 1.0).sum().backward()
    expected = gradients(model)

    total = shared(two.prompt_token_ids, completions(two), 1.0).sum()
    shared(one.prompt_token_ids, completions(one), 1.0)
    with torch.no_grad(), model.disable_adapter():
        plain(one.prompt_token_ids, completions(one), 1.0)
    thread = threading.Thread(target=total.backward)
    thread.start()
    thread.join()

    assert apart(gradients(model), expected) == 0


def test_ordinary_calls_of_a_model_that_shares_are_what_they_were():
    model, group = bare("qwen2").eval(), ragged()
    ids = torch.tensor([[*group.prompt_token_ids, 5, 6, 7]] * 2)
    mask = torch.ones_like(ids)
    mask[0, :4] = 0  # padded on its left
    before = [
        model(ids).logits,
        model(ids, attention_mask=mask).logits,
        model.generate(ids[:1], max_new_tokens=5, do_sample=False),
    ]

    Scorer(model, way="shared")(group.prompt_token_ids, completions(group), 1.0)

    after = [
        model(ids).logits,
        model(ids, attention_mask=mask).logits,
        model.generate(ids[:1], max_new_tokens=5, do_sample=False),
    ]
    assert [torch.equal(*pair) for pair in zip(before, after, strict=True)] == [True] * 3


def test_a_layer_that_loses_the_layout_is_an_error_and_never_plain_attention():
    model, group = bare("llama"), ragged()

    def lose(_module, args, kwargs):
        return args, {**kwargs, "attention_mask": None}

    model.model.layers[1].self_attn.register_forward_pre_hook(lose, with_kwargs=True)

    with pytest.raises(ConfigurationError, match="does not hand on the layout"):
        Scorer(model, way="shared")(group.prompt_token_ids, completions(group), 1.0)


def test_a_layer_that_does_not_attend_is_an_error():
    model, group = bare("llama"), ragged()
    model.model.layers[1].self_attn.forward = lambda hidden_states, **_: (hidden_states, None)

    with pytest.raises(ConfigurationError, match="1 of the 2 layers"):
        Scorer(model, way="shared")(group.prompt_token_ids, completions(group), 1.0)


@pytest.mark.parametrize(
    ("family", "options", "reason"),
    [
        ("gemma2", {}, "softcap"),
        ("gpt_oss", {}, "s_aux"),
    ],
)
def test_a_model_that_attends_in_another_way_is_an_error(family, options, reason):
    group = ragged()

    with pytest.raises(ConfigurationError, match=reason):
        Scorer(bare(family, **options), way="shared")(group.prompt_token_ids, completions(group), 1.0)


@pytest.mark.parametrize(
    ("family", "window"), [("mistral", w) for w in (1, 2, 12, 30, 35, 36)] + [("gemma3", 8), ("gemma3", 25)]
)
def test_a_window_shorter_than_a_prompt_or_a_row_shares_as_plain_rows_attend(family, window):
    """The prompt has 21 tokens, the longest row 35. Gemma's layers have a window or none."""
    kinds = {"layer_types": ["sliding_attention", "full_attention"]} if family == "gemma3" else {}
    model, group = adapted(family, sliding_window=window, **kinds).train(), ragged()

    plain_logprobs, plain = update(model, group, "plain")
    shared_logprobs, shared = update(model, group, "shared")

    assert torch.allclose(shared_logprobs, plain_logprobs, rtol=0, atol=1e-5)
    assert apart(shared, plain) < 1e-6


def test_a_window_makes_a_difference():
    group = ragged()
    found = [
        Scorer(bare("mistral", sliding_window=window), way="shared")(group.prompt_token_ids, completions(group), 1.0)
        for window in (8, 35)
    ]
    assert not torch.allclose(*found, rtol=0, atol=1e-3)


def test_a_row_has_no_padding_for_a_candidate_that_ran_away():
    group = ragged(21, (3, 90, 4))
    packed = shared_prefix.pack(group.prompt_token_ids, completions(group), torch.device("cpu"))

    assert packed.ids_1_L.shape == (1, 21 + 97)
    assert packed.layout_1_1_1_M.tolist() == [[[[21, 3, 90, 4]]]]


def test_a_model_gets_its_attention_back_also_when_something_fails():
    model, seen = bare("llama"), []

    with pytest.raises(LookupError, match="on purpose"):  # noqa: PT012, SIM117 - what is inside is what fails
        with shared_prefix.installed(model):
            seen.append(model.config._attn_implementation)
            raise LookupError("on purpose")

    assert [*seen, model.config._attn_implementation] == ["shared_prefix", "sdpa"]
