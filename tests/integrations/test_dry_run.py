"""`retrain --dry-run`: the same words as of a night, and nothing is other than before."""

import json
from hashlib import sha256

import pytest
from typer.testing import CliRunner

from lineages import lineage, written
from skill_plugin import Task
from skill_plugin.integrations.cli import app
from skill_plugin.store import SkillStore
from skill_plugin.training import forecast
from tiny_models import tiny_model

GOOD, BAD = (1.0, 1.0), (0.0, 0.0)


@pytest.fixture
def dry(home, tmp_path):
    base = str(tiny_model(tmp_path / "base"))

    def run(*words, code=0):
        told = ("retrain", "--embedder", "hashing", "--base-model", base, "--logged-as", "qwen", "--dry-run")
        ended = CliRunner().invoke(app, [*told, *words])
        assert ended.exit_code == code, ended.output
        return ended.stdout

    return run


@pytest.fixture
def store(home):
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        store.add(name="adding", description="Adds.", body="Add.")
        yield store


@pytest.fixture
def logged(store):
    for number in range(12):
        lineage(store, number, [written(2 * number), written(2 * number + 1)], [GOOD, BAD])
    return store


def contents(home):
    """Of all files but that in which SQLite keeps who reads."""
    files = [path for path in home.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    return {path: sha256(path.read_bytes()).hexdigest() for path in files}


def test_it_says_what_would_be_trained_and_leaves_everything_as_it_is(dry, logged, home):
    before = contents(home)
    found = json.loads(dry("--json"))
    assert contents(home) == before

    learned, run = found["learned_from"], found["forecast"]
    assert (found["outcome"], found["trains"], found["judged_by"]) == ("would train", None, "off-policy")
    assert learned["groups"] - learned["validation_groups"] == run["groups"]
    assert found["reason"] == f"{run['steps']} steps on {run['groups']} groups"
    assert (logged.runs.training.list(), logged.checkpoints.list()) == ([], [])


def test_people_read_a_table(dry, logged, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")

    said = dry()

    assert "a new adapter" in said
    assert "GB on cpu in float32" in said
    assert "would train:" in said


def test_a_base_that_writes_no_skill_is_told_to_imitate_and_a_night_of_that_alone_is_foretold(dry, store, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    none = {"prompt_token_ids": None, "completion_token_ids": None, "logprobs": None, "sampling": {}}
    for number in range(12):
        refused = [written(2 * number, text=None, error="no front matter")]
        prompt = ({"role": "user", "content": f"Write skill {number}."},)
        taught = [written(2 * number + 1, model="gpt-5", prompt=prompt, **none)]
        lineage(store, 100 + number, refused, [], baseline=(0.0, 0.0))
        lineage(store, number, taught, [GOOD])

    own = json.loads(dry("--json"))
    found = json.loads(dry("--json", "--set", "sft_epochs=2", "--set", "sft_from=any"))

    count = found["learned_from"]["imitable"]
    advice = f"0 of 12 texts of the base model are skills: begin with --set sft_epochs=2 --set sft_from=any, which imitates the {count}"
    assert advice in own["reason"]
    assert advice in dry()
    assert 5 < count < 12  # the others are of tasks that are held back
    assert (found["outcome"], found["forecast"]["groups"], found["forecast"]["imitated"]) == ("would train", 0, count)
    assert found["reason"] == f"{found['forecast']['steps']} steps on 0 groups and {count} texts to imitate"


def test_nothing_to_learn_from_is_nothing_new(dry, store):
    found = json.loads(dry("--json"))

    assert (found["outcome"], found["forecast"]) == ("nothing new", None)
    assert "there are no revisions in the histories of namespace 'default'" in found["reason"]


def test_a_gate_that_tasks_judge_says_how_many_and_by_whose_verifier(dry, logged):
    logged.tasks.claim_splits(
        [Task(f"add {n}", split="heldout", verifier={"name": "mine:judge"}) for n in range(100, 107)]
    )

    told = ("--agent", "tiny_writer:simulated_clerk", "--verifier", "tiny_writer:own_judge", "--gate-tasks", "5")
    found = json.loads(dry("--json", *told))

    assert (found["judged_by"], found["heldout"]) == ("paired", 7)  # 5 at its first look
    assert found["verifier"] == (
        "7 tasks were logged with the verifier 'mine:judge'; 'tiny_writer:own_judge' judges now"
    )


def test_too_little_memory_would_fail_unless_a_server_goes_to_sleep(dry, logged, monkeypatch):
    monkeypatch.setattr(forecast.memory, "free_memory", lambda _: 1000)

    assert json.loads(dry("--json", "--sleep"))["outcome"] == "would train"
    assert "training needs about" in json.loads(dry("--json", code=1))["reason"]
