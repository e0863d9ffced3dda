"""Nights on a real vLLM server on this machine's processor: it writes, its texts are learned from, it serves what was learned.

The writer is tiny and real (see `tiny_writer`), the task LLM simulated. `make test-vllm` runs this.
"""

import json
from itertools import count

import pytest

from skill_plugin import generators
from skill_plugin.errors import ModelError
from skill_plugin.generators.vllm_server import VllmServer
from skill_plugin.integrations.retrain.job import retrain
from skill_plugin.integrations.retrain.request import Night
from skill_plugin.store import SkillStore
from skill_plugin.tasks.files import write_tasks
from skill_plugin.training import options
from tiny_writer import LEARNS_IN_A_NIGHT, tiny_writer, total_tasks
from vllm_servers import TOLERANCE, served

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

CONTEXT = 4096
FAMILIES = ["invoices"]
TRAIN, HELDOUT, CANDIDATES = 100, 20, 4
"""Tasks, and texts for each of them."""

CLERK = ("--agent", "tiny_writer:simulated_clerk")
GATE = ("--gate-candidates", CANDIDATES, "--gate-most-candidates", CANDIDATES, "--gate-rollouts", 1)
RETRAIN = ("retrain", *CLERK, "--logged-as", "tiny", *GATE, "--json")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vllm-night")
    config = tiny_writer(folder / "model") / "config.json"
    # The command line leaves every completion 2048 tokens; positions have no weights, so there may be more of them.
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_position_embeddings": CONTEXT}))
    with served(folder, "--max-model-len", CONTEXT) as server:
        yield server


@pytest.fixture
def home(home, server, hashing, monkeypatch):
    """Set up as an operator does it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # on so small a model the trainer's threads only wait for each other
    names = {"generator": "vllm:tiny@live", "generator_url": server.url, "base_model": str(server.folder / "model")}
    names["model_timeout"] = 600.0  # the first call warms the server up, which a busy machine takes minutes for
    home.mkdir()
    (home / "settings.toml").write_text(f"{toml(names)}[retrain]\n{toml(LEARNS_IN_A_NIGHT)}")
    return home


@pytest.fixture
def evolve(home, cli, tmp_path):
    """Each call is on tasks of its own. Nothing goes live, so that the tasks of every night are as hard as the first's."""
    first = count(100, TRAIN)

    def run():
        start, path = next(first), tmp_path / "tasks.jsonl"
        heldout = total_tasks(range(900, 900 + HELDOUT), split="heldout", families=FAMILIES)
        write_tasks(path, [*total_tasks(range(start, start + TRAIN), families=FAMILIES), *heldout])
        small = ("--generations", 1, "--candidates", CANDIDATES, "--rollouts", 1, "--gate-tasks", 0, "--full-groups")
        small += ("--minibatch", 1, "--credit", "skill-r1")
        said = json.loads(cli("evolve", "--tasks", path, *CLERK, *small, "--json"))
        assert (said["outcome"], said["candidates"]) == ("finished", TRAIN * CANDIDATES)

    return run


def toml(values):
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def opened(home):
    return SkillStore.open(home, embedder="hashing", chroma=False)


def logged(home, checkpoint):
    with opened(home) as store:
        return [r for r in store.histories.rows() if r["kind"] == "revision" and r["checkpoint"] == checkpoint]


def largest_difference(rows, local):
    """Between the log-probabilities that were logged and those that a forward pass gives, in nats."""
    return max(
        abs(logged - computed)
        for row in rows
        for logged, computed in zip(
            row["logprobs"], local.logprobs(row["prompt_token_ids"], row["completion_token_ids"]), strict=True
        )
    )


def completions(server):
    """Calls that it has answered."""
    return server.log.read_text().count('POST /v1/chat/completions HTTP/1.1" 200')


def checkpoints(cli):
    return {one["id"]: one["status"] for one in json.loads(cli("checkpoints", "list", "--json"))}


def test_a_night_waits_for_its_server_and_the_next_texts_are_of_what_it_learned(server, home, evolve, cli, capsys):
    evolve()

    # The server is away: the night trains, says in one line what it lacks, and promotes nothing.
    server.kill()
    folder, away = str(server.folder / "model"), VllmServer(server.url, patience=1)
    told = Night(base_model=folder, logged_as="tiny", home=home, parts=options.parts(LEARNS_IN_A_NIGHT))
    with opened(home) as store, pytest.raises(ModelError, match=r"is trained but not judged: .* is away") as said:
        retrain(store, told, writer=lambda _: pytest.fail("nothing can be written"), server=away)
    assert "\n" not in str(said.value)
    assert list(checkpoints(cli).values()) == ["candidate"]

    # It is back: the same night goes on with the gate, which the server writes for.
    server.start()
    server.wait()
    answered = completions(server)
    night = json.loads(cli(*RETRAIN))
    new, size = night["checkpoint"], TRAIN * CANDIDATES
    assert (night["outcome"], night["live"], night["resumed"]) == ("promoted", new, True), night["reason"]
    assert night["learned_from"]["read"] == size
    assert night["trained"]["refused_groups"] == {}  # the log-probs are the base's
    assert (night["gate"]["kind"], night["gate"]["tasks"]) == ("paired", HELDOUT)
    assert completions(server) - answered == 2 * HELDOUT  # all texts for a task come of one call
    assert checkpoints(cli) == {new: "live"}
    adapter = home / "adapters" / night["run_id"]
    assert VllmServer(server.url).served() == {"tiny": folder, new: str(adapter)}
    assert night["serving"] == [f"{server.url} serves {new}"]

    # The next evolve has other texts, and they are the new checkpoint's.
    evolve()
    assert [len(logged(home, checkpoint)) for checkpoint in (None, new)] == [size, size]
    local = {None: generators.local(folder), new: generators.local(folder, adapter)}
    differences = [largest_difference(logged(home, checkpoint), local[checkpoint]) for checkpoint in local]
    assert max(differences) < TOLERANCE
    assert largest_difference(logged(home, new), local[None]) > 100 * TOLERANCE

    assert "no checkpoint is live" in cli("checkpoints", "rollback")
    assert checkpoints(cli) == {new: "retired"}
    with capsys.disabled():
        print(f"\n{night['reason']}; log-probs are off by {differences[0]:.1e} and {differences[1]:.1e} nats")  # noqa: T201 - the figures
