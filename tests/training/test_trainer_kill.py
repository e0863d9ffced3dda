"""A run that is killed again and again makes the adapter of one that never was, bit for bit."""

import random

import pytest

from skill_plugin.training.files.manifest import read_json
from skill_plugin.training.files.metrics import read_metrics
from tiny_models import tiny_model
from training_processes import KILLED
from training_runs import adapter_bytes, make_run

KILLS = 20


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "base")


def result(folder):
    """All that does not tell the time."""
    rows = [{**row, "tokens_per_second": None} for row in read_metrics(folder / "metrics.jsonl")]
    said = {**read_json(folder / "result.json"), "seconds": None}
    return adapter_bytes(folder), rows, said, read_json(folder / "validation-after.json")


def test_a_run_that_is_killed_at_20_random_moments_makes_the_same_adapter(base, tmp_path, trainers):
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    whole = make_run(tmp_path / "whole", base, sft_epochs=1, snapshot_steps=2)
    code, output = trainers.run(whole)
    assert code == 0, output
    changes, seconds = trainers.changes, trainers.seconds
    kills, runs = [], 0
    while len(kills) < KILLS:
        folder = make_run(tmp_path / f"run-{runs}", base, sft_epochs=1, snapshot_steps=2)
        runs += 1
        while True:
            kill = rng.randint(1, changes) if rng.random() < 0.7 else rng.uniform(0.0, seconds)
            code, output = trainers.run(folder, kill=kill)
            told = f"seed {seed}, run {runs}, kills {kills}, {kill}: {output}"
            if code == 0:
                break
            assert code == KILLED, told
            kills.append(kill)
        assert result(folder) == result(whole), told
        assert not list(folder.glob("**/.*.tmp")), told
