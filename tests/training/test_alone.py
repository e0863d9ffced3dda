"""Training from an exported file, with what the `train` extra brings and nothing else of this library's dependencies."""

import subprocess
import sys

import pytest
from transformers import AutoModelForCausalLM

from fakes import skill_text
from lineages import lineage, written
from skill_plugin.histories import columns
from skill_plugin.training.data.groups import Groups
from skill_plugin.training.files.manifest import read_json
from tiny_models import tiny_model
from training_runs import adapter_bytes, completion_logprobs

ALONE = """
import sys
from importlib.machinery import PathFinder

ABSENT = {"sqlmodel", "sqlalchemy", "alembic", "langgraph", "langchain", "langchain_core", "chromadb", "typer", "pydantic",
          "pydantic_settings", "pyarrow", "tensorboard", "matplotlib", "sentence_transformers", "mcp"}

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in ABSENT else super().find_spec(name, path, target)

sys.meta_path = [Without if one is PathFinder else one for one in sys.meta_path]
from skill_plugin.training.__main__ import main
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture
def exported(store, base, tmp_path):
    """A file of eight lineages, whose candidates are the base model's."""
    store.add_text(skill_text())
    model = AutoModelForCausalLM.from_pretrained(base)
    for number in range(8):
        prompt, texts = (5 + number, 6, 7), ((20 + number, 21, 2), (30 + number, 31, 32, 2))
        candidates = [
            written(
                2 * number + at,
                model="tiny",
                prompt_token_ids=prompt,
                completion_token_ids=text,
                logprobs=tuple(completion_logprobs(model, prompt, text)),
            )
            for at, text in enumerate(texts)
        ]
        lineage(store, number, candidates, [(1.0, 1.0), (0.0, 0.0)])
    path = tmp_path / "histories.jsonl"
    columns.write(path, store.histories.rows())
    return path


def options(folder, exported, base):
    return [
        folder,
        "--histories",
        exported,
        "--base-model",
        base,
        "--logged-as",
        "tiny",
        "--groups-per-step",
        "4",
        "--rank",
        "4",
    ]


def test_training_runs_without_the_rest_of_the_library(exported, base, tmp_path):
    folder = tmp_path / "run"
    words = list(map(str, options(folder, exported, base)))
    code = f"{ALONE}\nsys.exit(main({words!r}))"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)

    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.startswith("8 groups of 16 candidates; refused: none\nstep 1 of ")
    assert adapter_bytes(folder)
    assert read_json(folder / "result.json")["outcome"] == "trained"
    assert found.stderr == ""
    assert not (folder / "curves.png").exists()


def test_a_run_that_is_there_is_gone_on_with_and_never_silently_another_one(exported, base, tmp_path, trainers):
    folder = tmp_path / "run"
    words = options(folder, exported, base)
    code, output = trainers.run(*words)
    assert code == 0, output
    before = adapter_bytes(folder)

    code, output = trainers.run(*words)
    assert code == 0, output
    code, output = trainers.run(*words, "--epochs", "7", "--rank", "8")

    assert adapter_bytes(folder) == before
    assert (code, output) == (
        1,
        f"error: the run in {str(folder)!r} was begun with rank 4, epochs 3; use a new folder, or leave these out\n",
    )


def test_two_processes_build_the_groups_once(exported, base, tmp_path, trainers):
    folder = tmp_path / "run"

    code, output = trainers.run(*options(folder, exported, base), processes=2)

    assert code == 0, output
    assert output.count("8 groups of 16 candidates") == 1


def test_a_text_longer_than_the_context_is_refused_while_groups_are_built(exported, tmp_path, trainers):
    short = tiny_model(tmp_path / "short", max_position_embeddings=6)
    folder = tmp_path / "run"

    code, output = trainers.run(*options(folder, exported, short))

    assert code == 0, output
    assert "refused: {'longer than the context': 8}" in output, output
    assert (
        max(
            len(one.prompt_token_ids) + len(one.candidates[0].completion_token_ids)
            for one in Groups(folder / "data" / "train")
        )
        == 6
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"--histories": "none.jsonl"},
            "'none.jsonl' is not there; give a file that `skill-plugin histories export` wrote",
        ),
        (
            {"--base-model": None},
            "no base model is given; pass --base-model FOLDER, the model that wrote the histories",
        ),
        ({"--base-model": "/no/such/model"}, "there is no model folder '/no/such/model'; get one with: hf download"),
        ({"--way": "fast"}, "way is 'fast'; give one of auto, shared, plain"),
        ({"--epochs": "many"}, "epochs is 'many'; give a whole number"),
        ({"--learning-rate": "-1"}, "learning_rate is -1.0; give a number above 0"),
        ({"--parent": "/no/adapter"}, "'/no/adapter' is not an adapter"),
        ({"--logged-as": "another"}, "has no group to learn from: of 16 revisions 16 other base model"),
    ],
    ids=str,
)
def test_wrong_input_is_one_line(changed, said, exported, base, tmp_path, trainers):
    given = {"--histories": exported, "--base-model": base, "--logged-as": "tiny", **changed}
    words = [word for name, value in given.items() if value is not None for word in (f"{name}={value}",)]

    code, output = trainers.run(tmp_path / "run", *words)

    lines = [line for line in output.splitlines() if not line.startswith("8 groups")]
    assert (code, len(lines)) == (1, 1), output
    assert said in lines[0]
    assert lines[0].startswith("error: ")


def test_a_folder_that_holds_no_run_is_one_line(tmp_path, trainers):
    code, output = trainers.run(tmp_path)

    assert (code, output) == (1, f"error: there is no plan.json in {str(tmp_path)!r}; give the folder of a run\n")
