"""A night on a real vLLM server on this machine's processor: what it writes is learned from, and it serves what was learned.

The writer is tiny and real (see `tiny_writer`), the task LLM simulated. `make test-vllm` runs this.
"""

import json
from itertools import count

import pytest

from skill_plugin import generators
from skill_plugin.generators.vllm_server import VllmServer
from skill_plugin.store import SkillStore
from skill_plugin.task_files import write_tasks
from test_vllm import Server
from tiny_writer import tiny_writer, total_tasks

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

CLERK = "tiny_writer:simulated_clerk"
LEARNING = {"rank": 8, "alpha": 16, "learning_rate": 5e-3, "epochs": 4, "gradient_checkpointing": False}
"""Settings that a model of 89,000 weights learns with; see benchmarks/learning.py."""

TRAIN, HELDOUT = 16, 8
"""Tasks of each family."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vllm-night")
    tiny_writer(folder / "model")
    server = Server(folder, "--max-model-len", 4096)  # the command line leaves a completion 2048 tokens
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.kill()


@pytest.fixture
def home(home, server, hashing, monkeypatch):
    """With settings as an operator has them."""
    home.mkdir()
    lines = {"generator": "vllm:tiny@live", "generator_url": server.url, "base_model": str(server.folder / "model")}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    (home / "settings.toml").write_text(
        f"{text}\n[retrain]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in LEARNING.items())
    )
    return home


@pytest.fixture
def evolve(cli, tmp_path):
    """Evolves on tasks that it was not called with before; nothing goes live, so that every night's tasks are as hard."""
    calls = count()

    def run():
        call = next(calls)
        path, first = tmp_path / f"tasks-{call}.jsonl", 100 + TRAIN * call
        heldout = total_tasks(range(900, 900 + HELDOUT), split="heldout")
        write_tasks(path, [*total_tasks(range(first, first + TRAIN)), *heldout])
        small = ("--generations", 1, "--candidates", 4, "--rollouts", 1, "--gate-tasks", 0)
        said = json.loads(cli("evolve", "--tasks", path, "--agent", CLERK, *small, "--json"))
        assert (said["outcome"], said["failed"]) == ("finished", [])
        return said

    return run


def revisions(home):
    """What was logged: the histories' revisions of each checkpoint."""
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        rows = [row for row in store.history_rows() if row["kind"] == "revision"]
    return {name: [row for row in rows if row["checkpoint"] == name] for name in {row["checkpoint"] for row in rows}}


def largest_difference(rows, local):
    return max(
        abs(logged - computed)
        for row in rows
        for logged, computed in zip(
            row["logprobs"], local.logprobs(row["prompt_token_ids"], row["completion_token_ids"]), strict=True
        )
    )


def calls(server):
    return server.log.read_text().count('POST /v1/chat/completions HTTP/1.1" 200')


def test_what_a_server_wrote_is_learned_from_and_the_next_evolve_is_written_by_the_new_checkpoint(
    server, home, evolve, cli, capsys
):
    first = evolve()
    before = calls(server)
    night = json.loads(cli("retrain", "--agent", CLERK, "--logged-as", "tiny", "--json"))
    print(json.dumps(night, indent=1)[:6000])
    judged = calls(server) - before
    second = evolve()
    logged = revisions(home)
    new = night["checkpoint"]
    print(first, second, {k: len(v) for k, v in logged.items()}, judged)
    for name, rows in logged.items():
        local = generators.local(server.folder / "model", home / "adapters" / night["run_id"] if name else None)
        print(name, largest_difference(rows, local))
    print(VllmServer(server.url).served())
    assert 0
