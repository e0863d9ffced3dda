import asyncio
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from skill_plugin import Generation, Rollout, Task, generators
from skill_plugin.errors import ConfigurationError, MissingExtraError, ModelError
from skill_plugin.generators.prompt import PROMPT_VERSION, revise_prompt
from skill_plugin.generators.sampling import Sampling
from skill_plugin.models.local_calls import LocalSampling
from tiny_models import CONTEXT, tiny_adapter, tiny_model

TASK = Task("2 + 2?", reference="4")
HISTORY = [Generation(number=0, text=None, rollouts=(Rollout(generation=0, answer="5", reward=0.0),))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    base = tiny_model(folder / "model")
    tiny_adapter(folder / "a", base, seed=1)
    return folder


def writer(folder, *adapter, **options):
    return generators.local(folder / "model", *adapter, **{"seed": 1, "max_new_tokens": 60, **options})


def test_a_revision_carries_what_training_needs(folder):
    generator = writer(folder)

    revisions = generator.propose(TASK, HISTORY, n=4)

    prompt = revise_prompt(TASK, HISTORY)
    assert len({revision.completion for revision in revisions}) == 4
    for revision in revisions:
        ids = list(revision.completion_token_ids)
        assert revision.prompt == tuple(prompt)
        assert generator.tokenizer.decode(revision.prompt_token_ids).endswith("<|im_end|>\n<|im_start|>assistant\n")
        assert revision.completion == generator.tokenizer.decode(ids, skip_special_tokens=True)
        assert len(revision.logprobs) == len(ids) == revision.output_tokens
        assert revision.input_tokens == len(revision.prompt_token_ids)
        assert (revision.model, revision.checkpoint) == (str(folder / "model"), None)
        assert revision.sampling == {
            "temperature": 1.0, "top_p": 1.0, "max_tokens": 60, "seed": 1, "logprobs_mode": "processed_logprobs",
            "prompt_version": PROMPT_VERSION,
        }  # fmt: skip
        assert generator.logprobs(revision.prompt_token_ids, ids) == pytest.approx(revision.logprobs, abs=1e-4)


def test_a_completion_ends_with_its_own_end_and_no_padding_or_is_cut(folder):
    generator = writer(folder, max_new_tokens=300)
    revisions = generator.propose(TASK, HISTORY, n=8)
    ends = {generator.tokenizer.eos_token_id}

    whole = [revision for revision in revisions if "cut off" not in (revision.error or "")]
    cut = [revision for revision in revisions if revision not in whole]
    assert whole
    assert cut
    for revision in whole:
        assert [token in ends for token in revision.completion_token_ids].index(True) == revision.output_tokens - 1
    for revision in cut:
        assert revision.output_tokens == 300
        assert ends.isdisjoint(revision.completion_token_ids)
        assert revision.text is None


@pytest.mark.parametrize(("temperature", "top_p"), [(0.5, 1.0), (2.0, 1.0), (1.0, 0.7), (1.5, 0.5)])
def test_logprobs_are_those_of_the_distribution_that_was_sampled_from(folder, temperature, top_p):
    """Computed again from the definition: the smallest set of likeliest tokens whose mass reaches top_p, normalised."""
    generator = writer(folder, temperature=temperature, top_p=top_p)

    for revision in generator.propose(TASK, HISTORY, n=2):
        ids = torch.tensor([[*revision.prompt_token_ids, *revision.completion_token_ids]])
        with torch.inference_mode():
            logits = generator.model(ids).logits[0, revision.input_tokens - 1 : -1]
        expected = []
        for row, token in zip((logits / temperature).softmax(-1), revision.completion_token_ids, strict=True):
            mass, order = row.sort(descending=True)
            before = mass.cumsum(0) - mass
            kept = order[before < top_p]
            assert token in kept
            expected.append(float((row[token] / row[kept].sum()).log()))
        assert list(revision.logprobs) == pytest.approx(expected, abs=1e-3)


def test_tokens_are_drawn_as_often_as_their_logprobs_say(folder):
    """The model's own generation_config.json (top-k 20, top-p 0.8, a penalty) would cut the tail off."""
    generator = writer(folder, max_new_tokens=1)
    prompt = [5, 6, 7]
    # Seeded, for a bound of four standard errors is passed by chance in one run of some thousand.
    calls = [LocalSampling(temperature=1.0, max_tokens=1, seed=number) for number in range(1000)]
    drawn = [one.result().token_ids[0] for one in generator._engine.submit_ids(prompt, calls)]
    share = {token: math.exp(generator.logprobs(prompt, [token])[0]) for token in set(drawn)}

    assert len(share) > 60
    for token in sorted(share, key=share.get)[-5:]:
        error = (share[token] * (1 - share[token]) / len(drawn)) ** 0.5
        assert abs(drawn.count(token) / len(drawn) - share[token]) < 4 * error


def test_a_seed_gives_the_same_candidates_whatever_was_drawn_before(folder):
    first = writer(folder).propose(TASK, HISTORY, n=3)
    generator = writer(folder)
    generator.propose(Task("3 + 3?"), [], n=2)

    assert generator.propose(TASK, HISTORY, n=3) == first
    assert writer(folder, seed=2).propose(TASK, HISTORY, n=3) != first


def test_a_seed_leaves_the_random_numbers_of_the_process_alone(folder):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    writer(folder).propose(TASK, HISTORY, n=1)

    assert torch.equal(torch.rand(3), expected)
    free = writer(folder, seed=None)
    assert free.propose(TASK, HISTORY, n=1) != free.propose(TASK, HISTORY, n=1)
    assert "seed" not in free.propose(TASK, HISTORY, n=1)[0].sampling


async def test_prompts_that_wait_together_are_answered_as_alone(folder):
    generator = writer(folder)
    expected = generator.propose(TASK, HISTORY, n=2)

    for found in await asyncio.gather(*(generator.apropose(TASK, HISTORY, n=2) for _ in range(4))):
        for one, alone in zip(found, expected, strict=True):
            assert one.logprobs == pytest.approx(alone.logprobs, abs=1e-4)  # the sums of a wider batch round otherwise
            assert replace(one, logprobs=alone.logprobs) == alone


def test_an_adapter_changes_the_logprobs_and_is_logged(folder):
    plain, adapted = writer(folder), writer(folder, folder / "a")
    [revision] = adapted.propose(TASK, HISTORY, n=1)
    tokens = revision.prompt_token_ids, revision.completion_token_ids
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "model"), folder / "a")
    with torch.inference_mode():
        logits = again(torch.tensor([[*tokens[0], *tokens[1]]])).logits[0, len(tokens[0]) - 1 : -1].log_softmax(-1)

    assert revision.checkpoint == "a"
    assert writer(folder, folder / "a", checkpoint="ckpt_7").checkpoint == "ckpt_7"
    assert adapted.logprobs(*tokens) == pytest.approx(revision.logprobs, abs=1e-4)
    expected = logits.gather(1, torch.tensor(tokens[1])[:, None])[:, 0].tolist()
    assert adapted.logprobs(*tokens) == pytest.approx(expected, abs=1e-4)
    assert plain.logprobs(*tokens) != pytest.approx(revision.logprobs, abs=0.1)


def test_an_adapter_is_merged_in_float32_and_stays_beside_half_precision(folder):
    """A merge in bfloat16 would round most of a small adapter away."""
    whole, half = writer(folder, folder / "a"), writer(folder, folder / "a", dtype="bfloat16")

    assert not [name for name, _ in whole.model.named_parameters() if "lora" in name]
    assert {one.dtype for name, one in half.model.named_parameters() if "lora" in name} == {torch.bfloat16}
    [revision] = half.propose(TASK, HISTORY, n=1)
    tokens = revision.prompt_token_ids, revision.completion_token_ids
    assert half.logprobs(*tokens) == pytest.approx(revision.logprobs, abs=0.2)
    assert writer(folder, dtype="bfloat16").logprobs(*tokens) != pytest.approx(revision.logprobs, abs=0.2)


def test_no_tokens_have_no_logprobs(folder):
    assert writer(folder).logprobs([5, 6], []) == []


def test_weights_in_half_precision_give_logprobs_in_float32(folder):
    generator = writer(folder, dtype="bfloat16")
    [revision] = generator.propose(TASK, HISTORY, n=1)

    assert generator.model.dtype == torch.bfloat16
    assert generator.logprobs(revision.prompt_token_ids, revision.completion_token_ids) == pytest.approx(
        revision.logprobs, abs=0.2
    )


def test_the_tokens_that_end_a_text_are_the_models_and_the_tokenizers(folder, tmp_path):
    base = shutil.copytree(folder / "model", tmp_path / "model")
    config = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps(config | {"eos_token_id": [0, 77]}))
    generator = writer(tmp_path, max_new_tokens=300)

    revisions = generator.propose(TASK, HISTORY, n=8)
    ends = {revision.completion_token_ids[-1] for revision in revisions if revision.output_tokens < 300}

    assert ends <= {0, 77, generator.tokenizer.eos_token_id}
    assert len(ends) > 1


class TestContext:
    def test_a_prompt_that_does_not_fit_is_one_clear_error(self, folder):
        long = Task("x y " * CONTEXT)

        with pytest.raises(ModelError, match=rf"tokens long and the context of .* {CONTEXT}; use a model with"):
            writer(folder).propose(long, [], n=1)

    def test_a_long_history_is_cut_to_a_short_context(self, folder, tmp_path):
        long = [
            Generation(number=n, text=None, rollouts=(Rollout(generation=n, answer=f"{n} " * 200, reward=0.0),))
            for n in range(20)
        ]
        count = writer(folder).encode
        short = 2 * len(count(revise_prompt(TASK, HISTORY)))
        assert len(count(revise_prompt(TASK, long))) > short
        generator = generators.local(tiny_model(tmp_path / "model", max_position_embeddings=short), max_new_tokens=60)
        [revision] = generator.propose(TASK, long, n=1)

        assert revision.output_tokens
        assert "19 19" in revision.prompt[1]["content"]  # the newest attempt stays

    def test_a_completion_gets_the_room_that_is_left(self, tmp_path):
        need = len(generators.local(tiny_model(tmp_path / "model")).encode(revise_prompt(TASK, [])))
        generator = generators.local(
            tiny_model(tmp_path / "model", max_position_embeddings=need + 3), max_new_tokens=60, seed=0
        )

        assert max(revision.output_tokens for revision in generator.propose(TASK, [], n=8)) == 3


class TestModelsThatCannotBeUsed:
    def test_a_folder_that_is_not_there_is_told_with_how_to_get_it(self, tmp_path):
        for path in (tmp_path / "nowhere", str(tmp_path / "nowhere"), "./nowhere", "a/b/c"):
            with pytest.raises(ConfigurationError, match=r"there is no model folder .* hf download NAME --local-dir"):
                generators.local(path)

    def test_a_name_that_no_hub_can_be_asked_for(self):
        code = "from skill_plugin import generators; generators.local('no-one/no-model')"
        ran = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={"HF_HUB_OFFLINE": "1", "PYTHONPATH": ":".join(sys.path)},
        )

        assert "ConfigurationError: the model 'no-one/no-model' cannot be loaded" in ran.stderr
        assert "get it with: hf download NAME --local-dir FOLDER" in ran.stderr.splitlines()[-1]

    def test_a_folder_without_a_model(self, tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be loaded"):
            generators.local(tmp_path)

    def test_damaged_weights(self, folder, tmp_path):
        base = shutil.copytree(folder / "model", tmp_path / "model")
        (base / "model.safetensors").write_bytes(b"damaged")

        with pytest.raises(ConfigurationError, match="cannot be loaded") as caught:
            generators.local(base)
        assert "\n" not in str(caught.value)

    def test_pickled_weights_are_not_read(self, folder, tmp_path):
        base = shutil.copytree(folder / "model", tmp_path / "model")
        weights = generators.local(base).model.state_dict()
        (base / "model.safetensors").unlink()
        torch.save(weights, base / "pytorch_model.bin")

        with pytest.raises(ConfigurationError, match="cannot be loaded"):
            generators.local(base)

    def test_a_tokenizer_without_a_chat_template(self, tmp_path):
        with pytest.raises(ConfigurationError, match="has no chat template; use an instruction-tuned model") as caught:
            generators.local(tiny_model(tmp_path / "model", chat_template=None))
        assert "\n" not in str(caught.value)

    def test_a_device_that_is_not_there(self, folder):
        for device in ("tpu", "cuda:99"):
            with pytest.raises(ConfigurationError, match=f"on the device '{device}' cannot be loaded: .*; use cpu"):
                generators.local(folder / "model", device=device)

    @pytest.mark.parametrize("package", ["transformers", "peft"])
    def test_without_its_packages_the_extra_is_named(self, folder, monkeypatch, package):
        monkeypatch.setitem(sys.modules, package, None)

        with pytest.raises(MissingExtraError, match=r"pip install 'skill-plugin\[local\]'"):
            writer(folder, folder / "a")

    def test_a_dtype_that_is_none(self, folder):
        for dtype in ("float31", "nn"):
            with pytest.raises(ConfigurationError, match=f"'{dtype}' is not a dtype"):
                generators.local(folder / "model", dtype=dtype)


class TestAdaptersThatCannotBeUsed:
    def test_a_folder_that_is_none(self, folder, tmp_path):
        with pytest.raises(ConfigurationError, match=r"is not an adapter, it has no adapter_config\.json"):
            writer(folder, tmp_path)

    def test_a_pickle(self, folder, tmp_path):
        adapter = shutil.copytree(folder / "a", tmp_path / "a")
        (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")

        with pytest.raises(ConfigurationError, match=r"its \.bin file can run code and is not read"):
            writer(folder, adapter)

    def test_one_of_another_model(self, folder, tmp_path):
        other = tiny_model(tmp_path / "other", hidden_size=128, num_attention_heads=4)
        adapter = tiny_adapter(tmp_path / "b", other)

        with pytest.raises(ConfigurationError, match=r"cannot be loaded: .*; it must have been trained on"):
            writer(folder, adapter)


def test_sampling_says_what_it_is_made_of():
    assert Sampling().to_json("raw_logprobs") == {
        "temperature": 1.0, "top_p": 1.0, "max_tokens": 1024, "logprobs_mode": "raw_logprobs", "prompt_version": PROMPT_VERSION,
    }  # fmt: skip
    with pytest.raises(ConfigurationError, match="top_p is 0; give a number above 0 and at most 1"):
        Sampling(top_p=0)


def test_the_maker_of_the_tests_models_is_deterministic(folder, tmp_path):
    again = tiny_model(tmp_path / "model")
    tiny_adapter(tmp_path / "a", again, seed=1)

    for name in ("model/model.safetensors", "a/adapter_model.safetensors"):
        assert Path(folder / name).read_bytes() == (tmp_path / name).read_bytes()
