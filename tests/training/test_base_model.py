"""The base model and the adapter on it, with real tiny models."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from skill_plugin.errors import ConfigurationError
from skill_plugin.training.model.base_model import (
    attach_adapter,
    base_revision,
    linear_layers,
    load_base,
    pick_dtype,
    save_adapter,
)
from tiny_models import tiny_adapter, tiny_model

IDS = torch.tensor([[5, 6, 7, 8]])
ALL = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny_adapter(folder / "a", tiny_model(folder / "model"), seed=1)
    return folder


@pytest.fixture
def base(folder):
    return load_base(folder / "model", "float32", "cpu")[0]


def logits(model):
    with torch.inference_mode():
        return model(IDS).logits


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


class TestRevision:
    def test_it_is_the_same_wherever_the_folder_is_and_another_for_other_weights(self, folder, tmp_path):
        copied = shutil.copytree(folder / "model", tmp_path / "copied")
        (copied / "README.md").write_text("Read me")
        other = tiny_model(tmp_path / "other", seed=1)

        revision = base_revision(folder / "model")
        assert revision.startswith("sha256:")
        assert len(revision) == len("sha256:") + 16
        assert base_revision(str(copied)) == revision != base_revision(other)

    def test_another_config_is_another_model(self, folder, tmp_path):
        copied = shutil.copytree(folder / "model", tmp_path / "copied")
        config = json.loads((copied / "config.json").read_text())
        (copied / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))

        assert base_revision(copied) != base_revision(folder / "model")

    def test_of_a_name_it_is_the_commit_that_is_here_or_the_name(self, tmp_path):
        config = tmp_path / "models--some--model" / "snapshots" / "0123abc" / "config.json"
        config.parent.mkdir(parents=True)
        config.write_text("{}")
        (tmp_path / "models--some--model" / "refs").mkdir()
        (tmp_path / "models--some--model" / "refs" / "main").write_text("0123abc")
        code = "from skill_plugin.models.base_models import base_revision as b; print(b('some/model'), b('some/other'))"
        ran = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True,
            env={"HF_HUB_CACHE": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        )  # fmt: skip

        assert ran.stdout.split() == ["0123abc", "some/other"]

    def test_a_folder_without_a_model_is_refused(self, folder, tmp_path):
        with pytest.raises(
            ConfigurationError, match=r"holds no model, it has no \*\.safetensors; get one with: hf download"
        ):
            base_revision(tmp_path)
        shutil.copy(folder / "model" / "model.safetensors", tmp_path)
        with pytest.raises(ConfigurationError, match=r"it has no config\.json"):
            base_revision(tmp_path)
        with pytest.raises(ConfigurationError, match="there is no model folder"):
            base_revision(tmp_path / "nowhere")


class TestLoading:
    def test_it_is_frozen_and_drops_nothing_out(self, folder):
        model, tokenizer = load_base(str(folder / "model"), device="cpu")

        assert model.dtype == torch.float32
        assert not model.training
        assert not any(one.requires_grad for one in model.parameters())
        assert model.config._attn_implementation == "sdpa"
        assert tokenizer.chat_template
        assert load_base(folder / "model", "bfloat16", "cpu")[0].dtype == torch.bfloat16

    def test_the_dtype_is_chosen_by_the_device(self):
        assert pick_dtype("auto", "cpu") == pick_dtype("float32", "cuda") == torch.float32
        assert pick_dtype("bfloat16", "cpu") == torch.bfloat16
        with pytest.raises(ConfigurationError, match="'float31' is not a dtype; use auto, float32 or bfloat16"):
            pick_dtype("float31", "cpu")

    def test_weights_that_could_run_code_are_never_opened(self, folder, tmp_path):
        copied = shutil.copytree(folder / "model", tmp_path / "model")
        (copied / "model.safetensors").unlink()
        trap = tmp_path / "ran"
        (copied / "pytorch_model.bin").write_bytes(b"cposix\nsystem\n(S'touch " + str(trap).encode() + b"'\ntR.")

        for load in (load_base, base_revision):
            with pytest.raises(ConfigurationError, match=r"its \.bin files can run code and are not read; convert it"):
                load(copied)
        assert not trap.exists()

    def test_code_that_a_model_brings_is_not_run(self, folder, tmp_path):
        copied = shutil.copytree(folder / "model", tmp_path / "model")
        config = json.loads((copied / "config.json").read_text())
        own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
        (copied / "config.json").write_text(json.dumps(config | own))
        (copied / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")

        with pytest.raises(ConfigurationError, match="cannot be loaded"):
            load_base(copied)
        assert not (tmp_path / "ran").exists()

    def test_other_kinds_of_models_are_told_apart(self, tmp_path):
        bert = BertConfig(
            vocab_size=99, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
        BertForMaskedLM(bert).save_pretrained(tmp_path / "bert")
        t5 = T5Config(vocab_size=99, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        T5ForConditionalGeneration(t5).save_pretrained(tmp_path / "t5")

        for name, kind in (("bert", "BertForMaskedLM"), ("t5", "T5ForConditionalGeneration")):
            with pytest.raises(ConfigurationError, match=rf"is not a causal language model \(it is {kind}\)"):
                load_base(tmp_path / name)

    def test_a_model_whose_weights_are_not_all_there(self, folder, tmp_path):
        """transformers would fill the gap with random numbers."""
        copied = shutil.copytree(folder / "model", tmp_path / "model")
        weights = load_file(copied / "model.safetensors")
        lost = weights.pop("model.layers.1.mlp.up_proj.weight")
        save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})

        assert lost.numel()
        with pytest.raises(
            ConfigurationError, match=r"1 of its tensors are not in its files, such as '.*up_proj\.weight'"
        ):
            load_base(copied, device="cpu")

    def test_what_cannot_be_loaded_is_one_line(self, folder, tmp_path):
        damaged = shutil.copytree(folder / "model", tmp_path / "damaged")
        (damaged / "model.safetensors").write_bytes(b"damaged")

        for path, device in ((damaged, "cpu"), (tmp_path, "cpu"), (folder / "model", "cuda:99")):
            with pytest.raises(ConfigurationError, match="cannot be loaded: ") as caught:
                load_base(path, "float32", device)
            assert "\n" not in str(caught.value)

    def test_a_hub_that_cannot_be_reached(self):
        code = "from skill_plugin.training.model.base_model import load_base; load_base('no-one/no-model')"
        ran = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True,
            env={"HF_HUB_OFFLINE": "1", "PYTHONPATH": ":".join(sys.path)},
        )  # fmt: skip

        assert "ConfigurationError: the model 'no-one/no-model' cannot be loaded" in ran.stderr
        assert ran.stderr.rstrip().endswith("get one with: hf download NAME --local-dir FOLDER")


class TestTargets:
    def test_they_are_the_linear_layers_of_the_blocks(self, base):
        assert linear_layers(base) == ALL

    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            (
                LlamaForCausalLM(LlamaConfig(
                    vocab_size=99, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
                )),
                ALL,
            ),
            (
                GPT2LMHeadModel(GPT2Config(vocab_size=99, n_embd=16, n_layer=1, n_head=2)),
                ["c_attn", "c_fc", "c_proj"],
            ),
            (
                Qwen3MoeForCausalLM(Qwen3MoeConfig(
                    vocab_size=99, hidden_size=16, intermediate_size=16, moe_intermediate_size=16, num_hidden_layers=1,
                    num_attention_heads=2, num_key_value_heads=1, num_experts=2, num_experts_per_tok=1, head_dim=8,
                )),
                ["k_proj", "o_proj", "q_proj", "v_proj"],  # neither its experts nor its router
            ),
        ],
        ids=["llama", "gpt2", "qwen3_moe"],
    )  # fmt: skip
    def test_in_other_families(self, model, expected):
        assert linear_layers(model) == expected
        assert set(attach_adapter(model).peft_config["default"].target_modules) == set(expected)

    def test_a_name_that_also_means_something_elsewhere_is_said_in_full(self, base):
        base.q_proj = torch.nn.Linear(4, 4)

        names = linear_layers(base)
        assert len(names) == 14
        assert names[0] == "model.layers.0.mlp.down_proj"
        assert "q_proj" not in names

    def test_targets_that_are_not_there(self, base):
        with pytest.raises(ConfigurationError, match=r"no adapter can be made for .*nothing.*; see targets"):
            attach_adapter(base, targets=["nothing"])


class TestNewAdapter:
    def test_it_changes_nothing_yet_and_alone_is_trained(self, base):
        before = logits(base)
        model = attach_adapter(base, rank=4, alpha=8)

        trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
        assert torch.equal(logits(model), before)
        assert len(trained) == 2 * 2 * len(ALL)
        assert all("lora_" in name for name in trained)
        assert model.peft_config["default"].lora_dropout == 0

    def test_the_seed_alone_decides_it(self, folder, tmp_path):
        for name, seed, noise in (("a", 3, 0), ("b", 3, 1), ("c", 4, 0)):
            torch.manual_seed(noise)
            expected = torch.rand(2)
            torch.manual_seed(noise)
            save_adapter(attach_adapter(load_base(folder / "model")[0], rank=4, seed=seed), tmp_path / name)
            assert torch.equal(torch.rand(2), expected)

        assert files(tmp_path / "a") == files(tmp_path / "b")
        assert files(tmp_path / "a") != files(tmp_path / "c")

    def test_it_is_float32_on_a_base_in_half_precision(self, folder):
        model = attach_adapter(load_base(folder / "model", "bfloat16", "cpu")[0])

        assert {one.dtype for name, one in model.named_parameters() if "lora_" in name} == {torch.float32}
        assert {one.dtype for name, one in model.named_parameters() if "lora_" not in name} == {torch.bfloat16}


class TestSaving:
    def test_what_is_saved_is_what_was_trained(self, folder, base, tmp_path):
        model = attach_adapter(base, parent=folder / "a")
        save_adapter(model, tmp_path / "b")
        save_adapter(model, tmp_path / "b")
        again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "model"), tmp_path / "b")
        written = json.loads((tmp_path / "b" / "adapter_config.json").read_text())

        assert torch.equal(logits(again), logits(model))
        assert sorted(files(tmp_path / "b")) == ["adapter_config.json", "adapter_model.safetensors"]
        assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
        assert written["base_model_name_or_path"] == str(folder / "model")
        assert written["target_modules"] == ["q_proj", "v_proj"]
        assert written["inference_mode"] is True

    def test_the_bytes_depend_on_no_hash_seed(self, folder, tmp_path):
        code = (
            "import sys; from pathlib import Path; from skill_plugin.training.model.base_model import *\n"
            f"save_adapter(attach_adapter(load_base({str(folder / 'model')!r}, device='cpu')[0]), Path(sys.argv[1]))"
        )
        for seed in ("1", "2"):
            subprocess.run(
                [sys.executable, "-c", code, tmp_path / seed],
                check=True, env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            )  # fmt: skip

        assert files(tmp_path / "1") == files(tmp_path / "2")


class TestTrainingFurther:
    def test_it_goes_on_where_the_parent_was(self, folder, base):
        plain = AutoModelForCausalLM.from_pretrained(folder / "model")
        expected = logits(PeftModel.from_pretrained(plain, folder / "a"))

        model = attach_adapter(base, parent=folder / "a", rank=99)

        assert torch.equal(logits(model), expected)
        assert model.peft_config["default"].r == 4
        assert {name for name, one in model.named_parameters() if one.requires_grad} == {
            name for name, _ in model.named_parameters() if "lora_" in name
        }

    def test_an_adapter_of_another_base(self, folder, base, tmp_path):
        for name, config in (("wide", {"hidden_size": 128}), ("deep", {"num_hidden_layers": 3})):
            adapter = tiny_adapter(tmp_path / name, tiny_model(tmp_path / f"{name}-base", **config))
            with pytest.raises(
                ConfigurationError, match=r"is an adapter of another base than .* has shape .*; use the base"
            ):
                attach_adapter(load_base(folder / "model")[0], parent=adapter)
        adapter = shutil.copytree(folder / "a", tmp_path / "names")
        config = json.loads((adapter / "adapter_config.json").read_text())
        (adapter / "adapter_config.json").write_text(json.dumps(config | {"target_modules": ["c_attn"]}))
        with pytest.raises(ConfigurationError, match=r"is an adapter of another base than .*c_attn"):
            attach_adapter(base, parent=adapter)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("adapter_model.safetensors", b"damaged"),
            ("adapter_model.safetensors", (2**60).to_bytes(8, "little") + b"{}"),
            ("adapter_config.json", b"{"),
            ("adapter_config.json", b'{"peft_type": "SOMETHING"}'),
        ],
    )
    def test_a_damaged_one(self, folder, base, tmp_path, name, content):
        adapter = shutil.copytree(folder / "a", tmp_path / "a")
        (adapter / name).write_bytes(content)

        with pytest.raises(ConfigurationError, match=r"the adapter '.*' is damaged: ") as caught:
            attach_adapter(base, parent=adapter)
        assert "\n" not in str(caught.value)

    def test_one_with_values_that_are_no_numbers(self, folder, base, tmp_path):
        adapter = shutil.copytree(folder / "a", tmp_path / "a")
        weights = load_file(adapter / "adapter_model.safetensors")
        next(iter(weights.values()))[0, 0] = float("nan")
        save_file(weights, adapter / "adapter_model.safetensors")

        with pytest.raises(ConfigurationError, match="holds values that are not numbers"):
            attach_adapter(base, parent=adapter)

    def test_a_pickle(self, folder, base, tmp_path):
        adapter = shutil.copytree(folder / "a", tmp_path / "a")
        (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")

        with pytest.raises(ConfigurationError, match=r"its \.bin file can run code and is not read"):
            attach_adapter(base, parent=adapter)
