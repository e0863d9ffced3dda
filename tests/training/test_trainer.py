"""Whole training runs of tiny real models: what comes out of one, and what it does not depend on."""

import pytest
import torch
from accelerate import Accelerator
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from skill_plugin.errors import ConfigurationError
from skill_plugin.training.data.groups import Groups
from skill_plugin.training.files.manifest import read_json
from skill_plugin.training.files.metrics import read_metrics
from skill_plugin.training.job import run
from skill_plugin.training.model.base_model import base_revision
from skill_plugin.training.plan import TrainPlan
from skill_plugin.training.settings import LossSettings
from skill_plugin.training.trainer import _Learner
from tiny_models import tiny_adapter, tiny_model
from training_runs import adapter_bytes, edit_groups, make_groups, make_run, trained

STEPS = 6
"""Of a run with 4 groups, 2 in a step, and 3 epochs."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def parent(base):
    return tiny_adapter(base.parent / "parent", base, seed=1)


@pytest.fixture(scope="module")
def finished(base, tmp_path_factory):
    """A run whose held-back groups are those it learns from, so that its scores show what it has learned."""
    folder = make_run(tmp_path_factory.mktemp("runs") / "finished", base, epochs=3)
    make_groups(folder / "data" / "validation", base)
    told = []
    trained = run(folder, on_step=lambda done: told.append(done.step))
    assert told == list(range(1, STEPS + 1))
    return folder, trained


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def scores(folder, when):
    return {(one["group"], one["number"]): one for one in read_json(folder / f"validation-{when}.json")}


def learner(folder):
    plan = TrainPlan.from_json(read_json(folder / "plan.json"))
    return _Learner(folder, plan, base_revision(plan.base_model), Accelerator(mixed_precision="no"))


def gradients(learner, step=0):
    """Of a step, as one vector, and its values."""
    values = learner.gradients(step, {})
    found = torch.cat([one.grad.flatten().clone() for one in learner.policy.trainable().values()])
    learner.policy.forget_gradients()
    return found, values


def test_what_was_rewarded_becomes_likelier_and_what_was_not_less_likely(finished):
    folder, _ = finished
    before, after = scores(folder, "before"), scores(folder, "after")

    moved = [
        (candidate.pull + candidate.push) * (after[key]["logprob"] - before[key]["logprob"])
        for group in Groups(folder / "data" / "train")
        for candidate in group.candidates
        if (key := (group.id, candidate.number))
    ]

    assert sum(moved) > 0.1
    first, *_, last = read_metrics(folder / "metrics.jsonl")
    assert last["loss"] < first["loss"]


def test_a_run_leaves_its_adapter_its_numbers_and_what_it_was_made_of(finished, base):
    folder, trained = finished

    assert (trained.outcome, trained.step, trained.steps, trained.skipped) == ("trained", STEPS, STEPS, 0)
    assert read_json(folder / "result.json") == trained.to_json()
    manifest = read_json(folder / "manifest.json")
    assert manifest["base_revision"] == base_revision(base)
    assert manifest["data"]["data/train"] == Groups(folder / "data" / "train").sha256
    rows = read_metrics(folder / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert rows[0]["ratio"] == pytest.approx(1, abs=1e-5)
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-8)
    assert sum(row["tokens"] for row in rows) == trained.tokens
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    # What only going on needs is a gigabyte a night for a model of billions of parameters.
    assert not any((folder / name).exists() for name in ("snapshots", "references"))


def test_the_adapter_is_one_that_peft_reads_and_that_changes_the_model(finished, base):
    folder, _ = finished
    ids = torch.tensor([[5, 6, 7, 8]])
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        before = model(ids).logits
        after = PeftModel.from_pretrained(model, folder / "adapter")(ids).logits

    assert (after - before).abs().max() > 1e-3


def test_the_scores_of_what_is_held_back_are_those_of_the_adapter_that_is_saved(finished, base):
    folder, _ = finished
    group = Groups(folder / "data" / "validation")[0]
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder / "adapter")
    one = group.candidates[0]
    with torch.no_grad():
        logits = model(torch.tensor([[*group.prompt_token_ids, *one.completion_token_ids]])).logits[0]
    logprobs = logits.log_softmax(-1)[len(group.prompt_token_ids) - 1 : -1]
    expected = sum(float(row[token]) for row, token in zip(logprobs, one.completion_token_ids, strict=True))

    scored = scores(folder, "after")[group.id, 0]

    assert scored["logprob"] == pytest.approx(expected, abs=1e-3)
    assert scored["behaviour"] == pytest.approx(sum(one.logprobs))
    assert scored["behaviour"] == pytest.approx(scores(folder, "before")[group.id, 0]["logprob"], abs=1e-3)


def test_a_finished_run_that_is_started_again_stays_as_it_is(finished):
    folder, trained = finished
    before = contents(folder)

    (folder / "snapshots").mkdir()  # it was killed between its result and this

    assert run(folder) == trained
    assert contents(folder) == before
    assert not (folder / "snapshots").exists()


def test_there_is_a_snapshot_before_the_first_step(base, tmp_path):
    folder = make_run(tmp_path, base)

    def killed(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(folder, on_step=killed)

    assert [one.name for one in (folder / "snapshots").iterdir()] == ["step-00000000"]


def test_a_step_of_many_groups_has_the_gradient_of_all_their_tokens(base, parent, tmp_path):
    plan = {"parent": str(parent), "loss": LossSettings(kl_weight=0.1)}
    whole, values = gradients(learner(make_run(tmp_path / "a", base, groups_per_step=4, plan=plan)))
    single = learner(make_run(tmp_path / "b", base, groups_per_step=1, plan=plan))
    parts = [gradients(single, step) for step in range(4)]

    tokens = sum(part["tokens"] for _, part in parts)

    torch.testing.assert_close(whole, sum(one * part["tokens"] for one, part in parts) / tokens, rtol=1e-4, atol=1e-6)
    assert values["loss"] == pytest.approx(sum(part["loss"] * part["tokens"] for _, part in parts) / tokens, rel=1e-4)
    assert whole.abs().max() > 1e-3


@pytest.mark.parametrize(
    "other",
    [
        {"way": "plain", "rows": 1},
        {"way": "plain", "rows": 3},
        {"gradient_checkpointing": True},
        {"way": "plain", "gradient_checkpointing": True, "head_chunk": 3},
    ],
    ids=str,
)
def test_the_gradient_does_not_depend_on_how_it_is_computed(other, base, parent, tmp_path):
    plan = {"parent": str(parent)}
    expected, values = gradients(learner(make_run(tmp_path / "a", base, way="shared", plan=plan)))

    found, same = gradients(learner(make_run(tmp_path / "b", base, **other, plan=plan)))

    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert same == pytest.approx(values, rel=1e-4, abs=1e-6)


def test_the_shared_and_the_plain_way_make_the_same_adapter(base, tmp_path):
    folders = [make_run(tmp_path / way, base, way=way, rows=2, max_steps=2) for way in ("shared", "plain")]
    assert [trained(folder).way for folder in folders] == ["shared", "plain"]

    one, other = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in folders)

    # AdamW moves by the sign of a gradient at first, and the sign of what is nothing but rounding is arbitrary.
    apart = torch.cat([(one[name] - other[name]).abs().flatten() for name in one])
    assert float((apart > 1e-5).float().mean()) < 0.02


def test_drop_out_in_the_base_is_off(tmp_path):
    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    folder = tiny_model(tmp_path / "base")
    model = GPT2LMHeadModel(GPT2Config(**sizes, resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5))
    model.save_pretrained(folder)
    one = learner(make_run(tmp_path / "run", folder, gradient_checkpointing=True))

    first, _ = gradients(one)
    again, values = gradients(one)

    assert torch.equal(first, again)
    assert values["ratio"] == pytest.approx(1, abs=1e-4)


def test_an_adapter_is_trained_further(base, parent, tmp_path):
    folder = make_run(
        tmp_path, base, plan={"parent": str(parent), "parent_checkpoint": "first"}, max_steps=1, max_ratio=1e6
    )

    run(folder)

    was, now = (load_file(one / "adapter_model.safetensors") for one in (parent, folder / "adapter"))
    assert was.keys() == now.keys()
    assert 0 < max(float((was[name] - now[name]).abs().max()) for name in was) < 0.1
    assert read_json(folder / "manifest.json")["parent_sha256"]


def test_an_adapter_of_another_base_is_refused(base, tmp_path):
    other = tiny_model(tmp_path / "other", hidden_size=32, num_attention_heads=1)
    parent = tiny_adapter(tmp_path / "adapter", other)

    with pytest.raises(ConfigurationError, match=r"is an adapter of another base .* begin with a new adapter"):
        run(make_run(tmp_path / "run", base, plan={"parent": str(parent)}))


def test_without_kl_no_reference_is_computed(base, tmp_path):
    folder = make_run(tmp_path, base, max_steps=2, plan={"loss": LossSettings(kl_weight=0)})

    done = trained(folder)

    assert done.last["kl"] == 0
    assert [path.stat().st_size for path in (folder / "references").iterdir()] == [0]


def test_each_group_is_scored_by_the_base_once(base, tmp_path):
    folder = make_run(tmp_path, base, groups=3, epochs=4)

    trained(folder)

    tokens = sum(group.completion_tokens for group in Groups(folder / "data" / "train"))
    assert [path.stat().st_size for path in (folder / "references").iterdir()] == [4 * tokens + 3 * 20]


@pytest.mark.parametrize(
    ("budget", "reason", "steps"),
    [({"max_steps": 3}, "the budget of 3 steps", 3), ({"max_minutes": 1e-4}, "the budget of 0.0001 minutes", None)],
)
def test_a_spent_budget_ends_a_run_that_still_makes_an_adapter(budget, reason, steps, base, tmp_path):
    folder = make_run(tmp_path, base, epochs=500, snapshot_steps=1000, **budget)

    done = trained(folder)

    if done.step == 0:  # the clock was over before the first step
        assert (done.outcome, done.reason) == ("failed", f"no step changed the adapter ({reason} is spent)")
    else:
        assert (done.outcome, done.reason) == ("trained", f"{reason} is spent")
        assert done.step == (steps or done.step)
        assert adapter_bytes(folder)


def test_a_cold_start_learns_accepted_revisions_alone_before_anything_else(base, tmp_path):
    folder = make_run(tmp_path, base, sft_epochs=4, epochs=1, groups_per_step=4)

    def rewards(groups):
        for group in groups:
            for candidate in group["candidates"]:
                candidate["rewards"] = [1.0 if candidate["number"] == 1 else 0.4]
        groups[0]["previous_rewards"] = [1.0]  # nothing of it is better than what it revised
        groups[1]["candidates"][1]["well_formed"] = False

    edit_groups(folder / "data" / "train", rewards)
    groups = list(Groups(folder / "data" / "train"))

    done = trained(folder)

    warm, *_, last = read_metrics(folder / "metrics.jsonl")
    assert done.step == 4 + 1
    assert warm["tokens"] == sum(len(group.candidates[1].completion_token_ids) for group in groups[2:])
    assert warm["policy_loss"] == 0
    assert warm["loss"] > 1
    assert last["tokens"] == sum(group.completion_tokens for group in groups)


def test_a_cold_start_makes_accepted_revisions_likelier(base, tmp_path):
    folder = make_run(tmp_path, base, sft_epochs=4, epochs=1, groups_per_step=4)

    trained(folder)

    first, *_, last, _ = [row["loss"] for row in read_metrics(folder / "metrics.jsonl")]
    assert last < first


def test_a_run_of_one_group_has_a_step_an_epoch(base, tmp_path):
    folder = make_run(tmp_path, base, groups=1, epochs=3, groups_per_step=8)

    assert trained(folder).step == 3
    assert adapter_bytes(folder)
