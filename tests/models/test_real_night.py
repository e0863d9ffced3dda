"""A whole night with a real language model, by the commands that a user runs: its skills help, its logs are learned from, its gate decides."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from rows import apart, gradients
from skill_plugin import Generation, generators
from skill_plugin.demo.facts import FactWorld
from skill_plugin.models.gguf import get_model
from skill_plugin.models.named_models import PACKAGED, models_folder
from skill_plugin.models.starters import starter_folder
from skill_plugin.tasks.files import write_tasks
from skill_plugin.training.model.scoring import Scorer

SMOL = PACKAGED["smollm2-135m"]
JUDGED = ("--verifier", "skill_plugin.demo.facts:judge")
pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(request):
    """The model's folder, which is made once for all sessions, in pytest's cache."""
    lacking = [name for name in (SMOL.module, "gguf") if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"no weights of SmolLM2 here ({lacking[0]} is missing); run: make test-real")
    return get_model(SMOL.name, request.config.cache.mkdir("smollm2"))


def command(home, *words):
    ran = subprocess.run(
        [sys.executable, "-m", "skill_plugin.integrations.cli", *words, "--json", "--home", str(home)],
        capture_output=True,
        text=True,
        env={**os.environ, "SKILL_PLUGIN_TASK_MAX_TOKENS": "24"},
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def night(folder, tmp_path_factory):
    """What `evolve` and `retrain` said of a few families, and what was solved before and after."""
    home = tmp_path_factory.mktemp("night") / "home"
    home.mkdir()
    models_folder(home).mkdir()
    (models_folder(home) / SMOL.name).symlink_to(folder)
    tasks = home / "tasks.jsonl"
    write_tasks(tasks, [task for fact in FactWorld(seed=3, facts=5).draw() for task in fact.tasks()])
    both = ("--model", f"local:{SMOL.name}", "--generator", f"local:{SMOL.name}@live", "--generator-max-tokens", "160")
    command(home, "checkpoints", "add", f"{SMOL.name}@starter", "--promote")
    said = {"evolve": command(
        home, "evolve", "--tasks", str(tasks), *both, *JUDGED, "--generations", "1", "--rollouts", "1", "--siblings", "2",
        "--controls", "0", "--gate-tasks", "3", "--full-groups", "--concurrency", "32",
    )}  # fmt: skip
    small = {"max_steps": 2, "groups_per_step": 2, "epochs": 1, "learning_rate": 3e-4, "dtype": "bfloat16"}
    small |= {"validation_groups": 0, "logprob_samples": 2}
    sets = [word for name, value in small.items() for word in ("--set", f"{name}={value}")]
    gate = ("--gate-tasks", "4", "--gate-candidates", "1", "--gate-most-candidates", "1", "--gate-rollouts", "1")
    return said | {"retrain": command(home, "retrain", *both, *JUDGED, *sets, *gate)}


def test_skills_of_a_real_generator_help_a_real_model(night):
    """It begins at nothing: nobody has told the model these facts."""
    said = night["evolve"]

    assert said["solved_before"] == 0
    assert said["solved_after"] > 0
    assert len(said["accepted"]) > 0
    assert said["malformed"] < said["candidates"] / 2


def test_its_logs_are_learned_from_and_the_gate_decides(night):
    """The trainer itself refuses log-probs that are not the model's own: those logged agree with recomputed ones."""
    said = night["retrain"]

    assert said["outcome"] in {"promoted", "kept"}
    assert said["gate"]["kind"] == "paired"
    assert said["learned_from"]["candidates"] >= 4
    assert said["trained"]["step"] == 2
    assert said["trained"]["skipped"] == 0
    assert abs(said["trained"]["last"]["ratio"] - 1) < 0.2


@pytest.fixture(scope="module")
def written(folder):
    """Two texts of the starter, from one prompt, sampled in float32."""
    generator = generators.local(folder, starter_folder(folder), dtype="float32", max_new_tokens=40, seed=1)
    task = FactWorld(seed=4, facts=1).draw()[0].tasks("train")[0]
    return generator, generator.propose(task, [Generation(number=0, text=None)], n=2)


def test_logged_log_probs_are_those_of_one_forward_pass(written):
    generator, revisions = written
    for one in revisions:
        again = generator.logprobs(one.prompt_token_ids, one.completion_token_ids)
        assert max(abs(logged - computed) for logged, computed in zip(one.logprobs, again, strict=True)) < 0.01


def test_a_shared_prompt_has_the_gradients_of_plain_rows_on_real_weights(folder, written):
    _, revisions = written
    prompt, texts = revisions[0].prompt_token_ids[-60:], [one.completion_token_ids[:12] for one in revisions]
    found = []
    for way in ("plain", "shared"):
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        model = PeftModel.from_pretrained(base, starter_folder(folder), is_trainable=True)
        logprobs = Scorer(model, way=way)(prompt, texts, 1.0)
        logprobs.sum().backward()
        found.append((logprobs.detach(), gradients(model)))

    (plain, of_plain), (shared, of_shared) = found
    assert torch.allclose(plain, shared, rtol=0, atol=1e-3)
    assert apart(of_shared, of_plain) < 1e-4
