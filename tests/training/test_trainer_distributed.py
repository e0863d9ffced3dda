"""Two processes make the adapter of one: each with the whole model (DDP), and with half of it (FSDP)."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from skill_plugin.training.files.manifest import read_json
from skill_plugin.training.files.metrics import read_metrics
from tiny_models import tiny_model
from training_processes import KILLED
from training_runs import edit_groups, make_run

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
KINDS = pytest.mark.parametrize("env", [{}, FSDP], ids=["ddp", "fsdp"])
GROUPS = 5
"""With 3 in a step, one of two processes has more than the other."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "base")


def new_run(folder, base, **train):
    """One of its groups has log-probs of another model, which one of two processes finds out."""
    made = make_run(folder, base, groups=GROUPS, groups_per_step=3, gradient_checkpointing=True, **train)

    def of_another_model(groups):
        for candidate in groups[2]["candidates"]:
            candidate["logprobs"] = [value - 1 for value in candidate["logprobs"]]

    edit_groups(made / "data" / "train", of_another_model)
    return made


@pytest.fixture(scope="module")
def alone(base, tmp_path_factory, trainers):
    folder = new_run(tmp_path_factory.mktemp("runs") / "alone", base)
    code, output = trainers.run(folder)
    assert code == 0, output
    return folder


def assert_same(folder, alone):
    one, other = (load_file(place / "adapter" / "adapter_model.safetensors") for place in (folder, alone))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    result, expected = (read_json(place / "result.json") for place in (folder, alone))
    assert result["refused_groups"] == expected["refused_groups"]
    assert list(expected["refused_groups"]) == ["group-2"]
    assert (result["step"], result["tokens"]) == (expected["step"], expected["tokens"])
    for row, like in zip(*(read_metrics(place / "metrics.jsonl") for place in (folder, alone)), strict=True):
        assert {**row, "tokens_per_second": 0} == pytest.approx({**like, "tokens_per_second": 0}, rel=1e-4, abs=1e-6)


@KINDS
def test_two_processes_make_the_adapter_of_one(env, base, alone, tmp_path, trainers):
    folder = new_run(tmp_path / "run", base)

    code, output = trainers.run(folder, processes=2, env=env)

    assert code == 0, output
    assert_same(folder, alone)
    assert output.count("step 1 of 4") == 1


@KINDS
def test_two_processes_that_are_killed_go_on(env, base, alone, tmp_path, trainers):
    folder = new_run(tmp_path / "run", base)

    code, output = trainers.run(folder, processes=2, env=env, kill="step 2 of 4")
    assert code == KILLED, output
    code, output = trainers.run(folder, processes=2, env=env)

    assert code == 0, output
    assert "step 1 of 4" not in output
    assert_same(folder, alone)


def test_more_processes_than_groups_in_a_step(base, tmp_path, trainers):
    folders = [make_run(tmp_path / str(count), base, groups=3, groups_per_step=1, way="plain") for count in (1, 2)]
    for count, folder in enumerate(folders, 1):
        code, output = trainers.run(folder, processes=count)
        assert code == 0, output

    one, other = (load_file(place / "adapter" / "adapter_model.safetensors") for place in folders)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_the_first_version_of_fsdp_is_refused(base, tmp_path, trainers):
    env = {**FSDP, "FSDP_VERSION": "1"}

    code, output = trainers.run(make_run(tmp_path, base), processes=2, env=env)

    assert code == 1
    assert "error: FSDP 1 takes no frozen base with an adapter; add --fsdp_version 2 to accelerate launch" in output


def test_accelerate_launch_starts_it(base, alone, tmp_path):
    folder = new_run(tmp_path / "run", base)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]

    found = subprocess.run(
        [*launch, "-m", "skill_plugin.training", str(folder)], capture_output=True, text=True, timeout=240
    )

    assert found.returncode == 0, found.stdout + found.stderr
    assert_same(folder, alone)
