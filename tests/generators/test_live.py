"""`@live` where a generator is named: the checkpoint that is live, also for an agent that ran before it was."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters import adapter
from cli_jobs import EVOLVE
from skill_plugin import Task, generators
from skill_plugin.errors import ConfigurationError, StoreError
from skill_plugin.graphs import agent
from skill_plugin.settings import Settings
from skill_plugin.store import SkillStore
from stub_llm import Reply, fails, says, stub_llm, wrote
from tiny_models import tiny_adapter, tiny_model

pytestmark = pytest.mark.usefixtures("hashing")

URL = "http://localhost:1/v1"
TASK = Task("2 + 2?")


@pytest.fixture
def opened(home):
    """One whose files are no model: for a server that is not there."""
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        yield store


@pytest.fixture
def promoted(opened, tmp_path):
    """Makes another checkpoint live, or one that was."""

    def promote(number, base_model="org/base"):
        folder = tmp_path / f"night-{number}"
        if not folder.exists():
            adapter(folder, seed=number)
        one = opened.checkpoints.register(folder, base_model=base_model)
        return opened.checkpoints.promote(one.id, by="gate", reason="")

    return promote


def named(store, name="vllm:base@live", url=URL):
    return generators.from_settings(Settings.load(generator=name, base_url=url), store.checkpoints.live)


def test_it_is_the_live_checkpoint_under_its_id_and_its_folder_is_known(opened, promoted):
    one = promoted(0)
    unknown, loaded = fails(404, "The model does not exist."), Reply(b"Success")
    with stub_llm(unknown, loaded, wrote()) as server:
        found = named(opened, url=server.url)
        [revision] = found.propose(TASK, [], n=1)

    assert (found.checkpoint, revision.checkpoint, revision.model) == (one.id, one.id, "base")
    assert server.calls[1] == {"lora_name": one.id, "lora_path": one.path}


def test_with_none_it_is_the_base_model(opened):
    found = named(opened)
    assert (found.model, found.checkpoint, found.generator.checkpoint) == ("base", None, None)


async def test_it_follows_promotions_and_rollbacks_and_every_text_says_who_wrote_it(opened, promoted, caplog):
    caplog.set_level(logging.INFO, "skill_plugin")
    wrote_by = []
    with stub_llm(wrote()) as server:
        found = named(opened, url=server.url)

        def write():
            wrote_by.extend(one.checkpoint for one in found.propose(TASK, [], n=1))

        write()
        one = promoted(1)
        write()
        same = found.generator
        write()
        assert found.generator is same
        two = promoted(2)
        wrote_by.extend(one.checkpoint for one in await found.apropose(TASK, [], n=1))
        opened.checkpoints.rollback(by="human", reason="odd")
        write()
        opened.checkpoints.rollback(by="human", reason="odd")
        write()

    assert wrote_by == [None, one.id, one.id, two.id, one.id, None]
    assert [call["model"] for call in server.calls] == ["base", one.id, one.id, two.id, one.id, "base"]
    assert caplog.messages[-1] == f"base writes now, in place of {one.id}"


def test_a_model_in_this_process_takes_the_new_adapter(opened, tmp_path):
    base = tiny_model(tmp_path / "model")
    found = named(opened, f"local:{base}@live")
    assert (found.checkpoint, found.generator.path) == (None, str(base))
    folder = tiny_adapter(tmp_path / "night", base)
    one = opened.checkpoints.register(folder, base_model=str(base))
    opened.checkpoints.promote(one.id, by="gate", reason="")

    now = found.current()
    assert now.checkpoint == found.checkpoint == one.id
    assert now.logprobs([5], [6]) == generators.local(base, folder).logprobs([5], [6])
    assert now.logprobs([5], [6]) != generators.local(base).logprobs([5], [6])


def test_threads_make_one_generator(opened, promoted):
    made = []

    def make(checkpoint):
        made.append(checkpoint)
        return generators.vllm(URL, "base", checkpoint and checkpoint.id)

    found = generators.live("base", opened.checkpoints.live, make)
    one = promoted(1)
    with ThreadPoolExecutor(8) as pool:
        currents = [future.result() for future in [pool.submit(found.current) for _ in range(32)]]

    assert [checkpoint and checkpoint.id for checkpoint in made] == [None, one.id]
    assert {current.checkpoint for current in currents} == {one.id}


def test_files_that_have_changed_are_not_served(opened, promoted, tmp_path, caplog):
    one = promoted(1)
    found = named(opened)
    two = promoted(2)
    weights = tmp_path / "night-2" / "adapter_model.safetensors"
    intact = weights.read_bytes()
    weights.write_bytes(intact[:-1] + b"\1")

    with pytest.raises(ConfigurationError, match="has changed since it was registered"):
        named(opened)
    assert found.current().checkpoint == one.id  # what served before goes on
    assert f"what is live now cannot be used, {one.id} writes on: " in caplog.text
    weights.write_bytes(intact)
    assert found.current().checkpoint == two.id


def test_a_registry_that_cannot_be_asked_is_asked_again(opened, promoted, caplog):
    away = [False]

    def live_checkpoint():
        if away[0]:
            raise StoreError("the database is away")
        return opened.checkpoints.live()

    found = generators.live("base", live_checkpoint, lambda one: generators.vllm(URL, "base", one and one.id))
    one = promoted(1)
    away[0] = True
    assert found.current().checkpoint is None
    assert "base writes on: the database is away" in caplog.text
    away[0] = False
    assert found.current().checkpoint == one.id


def test_another_model_than_it_was_trained_on_is_a_warning(opened, promoted, caplog):
    promoted(1)
    named(opened)
    assert caplog.records == []
    named(opened, "vllm:other@live")

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "was trained on 'org/base', but is loaded onto 'other'" in caplog.text


def test_without_a_store_it_cannot_be_known():
    with pytest.raises(ConfigurationError, match="needs a store that knows what is live"):
        generators.from_settings(Settings.load(generator="vllm:base@live", base_url=URL))


def test_evolve_writes_with_what_is_live_and_begins_anew_when_that_changes(cli, work, opened, promoted):
    options = ("--tasks", work / "tasks.jsonl", "--candidates", 1, "--rollouts", 1, "--generations", 1, "--json")
    with stub_llm(wrote()) as server:
        command = (*EVOLVE, "--generator", "vllm:base@live", "--base-url", server.url, *options)
        first = json.loads(cli(*command))["run_id"]
        one = promoted(1, base_model="base")
        second = json.loads(cli(*command))["run_id"]
        again = json.loads(cli(*command))["run_id"]

    assert [call["model"] for call in server.calls] == ["base", "base", one.id, one.id]
    assert first != second == again


def test_the_served_agent_has_it_too_and_follows(opened, promoted, monkeypatch):
    one = promoted(1)
    monkeypatch.setattr(SkillStore, "from_settings", lambda *_: opened)
    with stub_llm(says("5"), wrote(), says("4")) as server:
        settings = Settings.load(
            model="openai:stub", generator="vllm:base@live", base_url=server.url, verifier="exact_match", max_generations=1,
        )  # fmt: skip
        graph = agent._real(settings)
        graph.invoke({"task": "add 2 and 2", "reference": "4"})
        two = promoted(2)
        server.calls.clear()
        graph.invoke({"task": "add 3 and 3", "reference": "6"})

    assert one.id != two.id
    assert two.id in [call["model"] for call in server.calls]
