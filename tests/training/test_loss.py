import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rows import adapted, apart, completions, gradients, ragged
from skill_plugin.training.loss import token_losses
from skill_plugin.training.model.scoring import Scorer
from skill_plugin.training.settings import LossSettings

PLAIN = LossSettings(kl_weight=0.0, ratio_cap=None)
NUMBERS = st.floats(-3, 3, allow_nan=False)


def of(log_ratio, pull, push, settings=PLAIN, reference=None):
    """The losses of one token, and the gradient of its log-probability."""
    logprob = torch.tensor([log_ratio - 1.0], dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, dtype=torch.float64)
    given_reference = None if reference is None else reference * one
    losses = token_losses(logprob, -one, given_reference, pull * one, push * one, settings)
    losses.total.sum().backward()
    return losses, logprob.grad.item()


@given(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=8))
def test_pull_and_push_are_the_mean_over_rollouts(log_ratio, advantages):
    ratio = math.exp(log_ratio)
    clip = min(max(ratio, 0.8), 1.2)
    count = len(advantages)

    losses, _ = of(log_ratio, sum(max(a, 0) for a in advantages) / count, sum(min(a, 0) for a in advantages) / count)

    assert losses.policy.item() == pytest.approx(-sum(min(ratio * a, clip * a) for a in advantages) / count, abs=1e-9)


@given(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=8))
def test_with_a_cap_they_are_the_mean_of_the_dual_clip(log_ratio, advantages):
    ratio = math.exp(log_ratio)
    clip = min(max(ratio, 0.8), 1.2)
    count = len(advantages)
    each = [max(min(ratio * a, clip * a), 3 * a) if a < 0 else min(ratio * a, clip * a) for a in advantages]

    losses, _ = of(
        log_ratio, sum(max(a, 0) for a in advantages) / count, sum(min(a, 0) for a in advantages) / count,
        LossSettings(kl_weight=0.0, ratio_cap=3.0),
    )  # fmt: skip

    assert losses.policy.item() == pytest.approx(-sum(each) / count, abs=1e-9)


@pytest.mark.parametrize(
    ("ratio", "pull", "push", "policy", "gradient", "clipped"),
    [
        (1.0, 0.5, 0.0, -0.5, -0.5, False),
        (1.5, 0.5, 0.0, -0.6, 0.0, True),  # 0.5 * 1.2
        (0.5, 0.5, 0.0, -0.25, -0.25, False),
        (1.5, 0.0, -0.5, 0.75, 0.75, False),
        (0.5, 0.0, -0.5, 0.4, 0.0, True),  # 0.5 * 0.8
        (9.0, 0.0, -0.5, 1.5, 0.0, False),  # 0.5 * the cap of 3
    ],
)
def test_worked_examples(ratio, pull, push, policy, gradient, clipped):
    losses, found = of(math.log(ratio), pull, push, LossSettings(kl_weight=0.0))

    assert losses.policy.item() == pytest.approx(policy)
    assert found == pytest.approx(gradient)
    assert losses.clipped.item() is clipped


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(math.log(0.81), math.log(1.19)))
def test_inside_the_clip_the_rollouts_of_one_candidate_have_no_gradient_of_their_own(rewards, log_ratio):
    """Advantages over K of one skill sum to 0, and its tokens have one ratio: Skill-R1's intra term is silent at C = 1."""
    mean = sum(rewards) / len(rewards)
    advantages = [reward - mean for reward in rewards]

    _, gradient = of(
        log_ratio, sum(max(a, 0) for a in advantages) / len(rewards), sum(min(a, 0) for a in advantages) / len(rewards)
    )

    assert gradient == pytest.approx(0, abs=1e-12)


def test_outside_the_clip_they_pull_back_to_it():
    assert of(math.log(1.5), 0.25, -0.25)[1] == pytest.approx(
        0.375
    )  # a step down the gradient makes the token less likely
    assert of(math.log(0.5), 0.25, -0.25)[1] == pytest.approx(-0.125)


@given(st.floats(-4, 4), st.floats(-4, 4))  # apart by less than the limit that the exponent is cut to
def test_k3_is_never_negative_and_0_where_both_agree(log_ratio, reference):
    losses, _ = of(log_ratio, 0.0, 0.0, LossSettings(), reference)

    difference = reference - (log_ratio - 1)
    assert losses.kl.item() == pytest.approx(math.exp(difference) - difference - 1, abs=1e-9)
    assert losses.kl.item() >= -1e-12
    assert of(0.0, 0.0, 0.0, LossSettings(), -1.0)[0].kl.item() == 0


def test_the_mean_of_k3_under_the_policy_is_its_kl_divergence():
    torch.manual_seed(0)
    policy, reference = torch.randn(2, 5, dtype=torch.float64).log_softmax(-1)
    zero = torch.zeros(5, dtype=torch.float64)

    losses = token_losses(policy, policy, reference, zero, zero, LossSettings())

    assert (policy.exp() * losses.kl).sum().item() == pytest.approx((policy.exp() * (policy - reference)).sum().item())


def test_the_kl_term_is_weighed_by_the_ratio_where_settings_say_so():
    with_ratio, _ = of(0.5, 0.0, 0.0, LossSettings(kl_weight=0.1, kl_importance=True), -2.0)
    without, _ = of(0.5, 0.0, 0.0, LossSettings(kl_weight=0.1, kl_importance=False), -2.0)

    assert with_ratio.total.item() == pytest.approx(0.1 * with_ratio.kl.item() * math.exp(0.5))
    assert without.total.item() == pytest.approx(0.1 * without.kl.item())


@pytest.mark.parametrize("log_ratio", [-50.0, 50.0])
def test_a_ratio_far_off_stays_finite_also_in_its_gradient(log_ratio):
    losses, gradient = of(log_ratio, 0.5, -0.5, LossSettings(), -1.0)

    assert all(torch.isfinite(one).all() for one in losses)
    assert math.isfinite(gradient)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(5))
def test_what_is_not_finite_makes_a_loss_that_is_nan(place, bad):
    vectors = [torch.full((3,), value) for value in (-1.0, -1.1, -1.2, 0.5, -0.5)]
    vectors[place][1] = bad

    total = token_losses(*vectors, LossSettings()).total

    assert total.isnan().tolist() == [False, True, False]


@pytest.fixture(scope="module")
def trl_trainer(tmp_path_factory):
    """TRL's own trainer of a tiny Llama with an adapter; its options are read again at each loss."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what importing and building TRL 1.16 warns of is not ours
        from datasets import Dataset  # noqa: PLC0415
        from trl import GRPOConfig, GRPOTrainer  # noqa: PLC0415

        from tiny_models import tiny_tokenizer  # noqa: PLC0415

        options = GRPOConfig(
            str(tmp_path_factory.mktemp("trl")), report_to="none", use_cpu=True, bf16=False, beta=0.04, epsilon=0.2,
            loss_type="dapo", per_device_train_batch_size=4, num_generations=4, gradient_checkpointing=False,
            max_completion_length=16, disable_tqdm=True,
        )  # fmt: skip
        model = adapted("llama")
        config = model.peft_config["default"]
        weights = {name: one.clone() for name, one in model.state_dict().items() if "lora_" in name}
        trainer = GRPOTrainer(
            model.unload(), reward_funcs=lambda completions, **_: [0.0] * len(completions), args=options,
            train_dataset=Dataset.from_dict({"prompt": ["p"]}), processing_class=tiny_tokenizer(), peft_config=config,
        )  # fmt: skip
    assert not trainer.model.load_state_dict(weights, strict=False).unexpected_keys
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


@pytest.mark.parametrize("importance", [True, False])
@pytest.mark.parametrize("cap", [None, 1.5])
def test_it_is_trls_loss_on_the_same_batch(trl_trainer, importance, cap):
    """TRL 1.16, `loss_type="dapo"`, advantages of whole candidates (no inter term): values and gradients to 1e-5."""
    model, group = adapted("llama").train(), ragged()
    settings = LossSettings(kl_weight=0.04, kl_importance=importance, ratio_cap=cap)
    logprobs = Scorer(model, way="shared")(group.prompt_token_ids, completions(group), 1.0)
    torch.manual_seed(5)
    behaviour = logprobs.detach() + 0.4 * torch.randn(len(logprobs))
    reference = logprobs.detach() + 0.4 * torch.randn(len(logprobs))
    advantages = [-0.5, 0.25, 0.75, -0.5]
    each = torch.tensor([a for a, one in zip(advantages, completions(group), strict=True) for _ in one])

    losses = token_losses(logprobs, behaviour, reference, each.clamp(min=0), each.clamp(max=0), settings)
    ours = losses.total.sum() / len(logprobs)
    ours.backward()

    def padded(values):
        parts = torch.as_tensor(values).split([len(one) for one in completions(group)])
        return torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True)

    prompts = torch.tensor([group.prompt_token_ids] * 4)
    inputs = {
        "prompt_ids": prompts, "prompt_mask": torch.ones_like(prompts),
        "completion_ids": padded([token for one in completions(group) for token in one]),
        "completion_mask": padded([1] * len(logprobs)), "advantages": torch.tensor(advantages),
        "old_per_token_logps": padded(behaviour), "ref_per_token_logps": padded(reference),
        "num_items_in_batch": torch.tensor(len(logprobs)),
    }  # fmt: skip
    trl_trainer.args.use_bias_correction_kl, trl_trainer.args.delta = importance, cap
    theirs = trl_trainer.compute_loss(trl_trainer.model, inputs)
    theirs.backward()

    assert bool(losses.clipped.any())
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    assert apart(gradients(model), gradients(trl_trainer.model)) < 1e-5
