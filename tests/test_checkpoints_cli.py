"""`skill-plugin checkpoints`, and `@live` where a generator is named."""

import json
import logging

import pytest

from adapters import adapter
from skill_plugin import Task, generators
from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs import agent
from skill_plugin.integrations import wiring
from skill_plugin.settings import Settings
from skill_plugin.store import SkillStore
from stub_llm import Reply, fails, says, stub_llm
from test_evolve_cli import EVOLVE, work  # noqa: F401 - a fixture
from test_vllm_generator import wrote
from tiny_models import tiny_adapter, tiny_model

YES, NO = {"promote": True}, {"promote": False}


@pytest.fixture
def opened(home):
    def open_one():
        return SkillStore.open(home, embedder="hashing", chroma=False)

    return open_one


@pytest.fixture
def nights(opened, tmp_path):
    """Three checkpoints: one that is live, one that the gate refused, one that it never saw."""
    with opened() as store:
        ids = [
            store.register_checkpoint(adapter(tmp_path / f"night-{n}", seed=n), base_model="org/base").id
            for n in range(3)
        ]
        store.promote_checkpoint(ids[0], by="gate", reason="3 > 1", gate=YES)
        store.keep_checkpoint(ids[1], by="gate", reason="1 < 3", gate=NO)
    return ids


def listed(cli, *words):
    return {row["id"]: row["status"] for row in json.loads(cli("checkpoints", "list", "--json", *words))}


@pytest.mark.usefixtures("hashing")
class TestCommands:
    def test_list(self, cli, nights):
        table = cli("checkpoints", "list")
        rows = {line.split()[1]: line for line in table.splitlines() if "ckpt_" in line}

        assert list(rows) == nights[::-1]
        assert ["live" in rows[nights[0]], "refused" in rows[nights[1]]] == [True, True]
        assert listed(cli) == dict(zip(nights, ["live", "candidate", "candidate"], strict=True))
        assert list(listed(cli, "--status", "live")) == nights[:1]
        assert "use one of candidate" in cli("checkpoints", "list", "--status", "x", code=1)

    def test_show(self, cli, nights):
        said = cli("checkpoints", "show", nights[0])
        assert "status: live" in said
        assert "3 > 1" in said
        assert "acceptance: 0 of 0 revisions" in said
        found = json.loads(cli("checkpoints", "show", nights[1], "--json"))
        assert (found["gate"], found["acceptance"]) == (NO, {"decided": 0, "accepted": 0})
        assert [event["kind"] for event in found["events"]] == ["registered", "kept"]

    def test_what_the_gate_refused_or_never_saw_is_promoted_by_force_only(self, cli, nights):
        _, refused, unseen = nights
        assert "the gate refused it; to promote it all the same pass --force" in cli(
            "checkpoints", "promote", refused, code=1
        )
        assert "no gate has judged it" in cli("checkpoints", "promote", unseen, code=1)
        assert listed(cli)[nights[0]] == "live"

        assert cli("checkpoints", "promote", refused, "--force", "--reason", "I know better") == f"{refused} is live\n"
        assert json.loads(cli("checkpoints", "show", refused, "--json"))["events"][-1]["reason"] == "I know better"
        assert cli("checkpoints", "promote", refused) == f"{refused} is live\n"  # it is already
        assert cli("checkpoints", "promote", unseen, "--force") == f"{unseen} is live\n"
        assert "the gate refused it" in cli("checkpoints", "promote", refused, code=1)
        assert json.loads(cli("checkpoints", "promote", nights[0], "--json"))["status"] == "live"

    def test_rollback(self, cli, nights):
        cli("checkpoints", "promote", nights[2], "--force")
        assert cli("checkpoints", "rollback", "--reason", "odd") == f"{nights[0]} is live\n"
        assert json.loads(cli("checkpoints", "rollback", "--to", nights[2], "--json"))["live"]["id"] == nights[2]
        assert "the base model writes" in cli("checkpoints", "rollback", "--to", "base model")
        assert "none is live: the base model writes" in cli("checkpoints", "list")
        assert "no checkpoint is live" in cli("checkpoints", "rollback", code=1)
        assert "was never live" in cli("checkpoints", "rollback", "--to", nights[1], code=1)

    def test_check_finds_nothing_where_nothing_is_decided(self, cli, nights):
        assert cli("checkpoints", "check") == f"{nights[0]} is live\n"
        assert json.loads(cli("checkpoints", "check", "--json"))["rolled_back"] is None

    def test_what_goes_wrong_is_one_line(self, cli, nights, tmp_path):
        said = [
            cli("checkpoints", "show", "ckpt_x", code=1),
            cli("checkpoints", "list", "--home", tmp_path / "nowhere", code=1),
        ]
        (tmp_path / "night-2" / "adapter_model.safetensors").unlink()
        said.append(cli("checkpoints", "promote", nights[2], "--force", code=1))

        assert "it has no adapter_model.safetensors" in said[-1]
        assert all(line.startswith("error: ") and line.count("\n") == 1 for line in said)


class TestLive:
    URL = "http://localhost:1/v1"

    @pytest.mark.usefixtures("nights")
    def test_it_is_the_live_checkpoint_under_its_id_and_its_folder_is_known(self, nights, tmp_path):
        unknown, loaded = fails(404, "The model does not exist."), Reply(b"Success")
        with stub_llm(unknown, loaded, wrote()) as server:
            found = wiring.generator(Settings.load(generator="vllm:base@live", base_url=server.url, embedder="hashing"))
            [revision] = found.propose(Task("2 + 2?"), [], n=1)

        assert (found.checkpoint, revision.checkpoint, revision.model) == (nights[0], nights[0], "base")
        assert server.calls[1] == {"lora_name": nights[0], "lora_path": str(tmp_path / "night-0")}

    def test_with_none_it_is_the_base_model(self):
        found = wiring.generator(Settings.load(generator="vllm:base@live", base_url=self.URL))
        assert (found.model, found.checkpoint) == ("base", None)

    def test_in_this_process_it_is_the_adapters_folder(self, opened, tmp_path):
        base = tiny_model(tmp_path / "model")
        folder = tiny_adapter(tmp_path / "night", base)
        assert wiring.generator(Settings.load(generator=f"local:{base}@live")).checkpoint is None
        with opened() as store:
            one = store.register_checkpoint(folder, base_model=str(base))
            store.promote_checkpoint(one.id, by="gate", reason="")
            found = wiring.generator(Settings.load(generator=f"local:{base}@live"), store)

        assert (found.path, found.checkpoint) == (str(base), one.id)
        assert found.logprobs([5], [6]) == generators.local(base, folder).logprobs([5], [6])
        assert found.logprobs([5], [6]) != generators.local(base).logprobs([5], [6])

    def test_files_that_have_changed_are_not_served(self, nights, tmp_path):
        adapter(tmp_path / "night-0", seed=9)
        assert nights
        with pytest.raises(ConfigurationError, match="has changed since it was registered"):
            wiring.generator(Settings.load(generator="vllm:base@live", base_url=self.URL))

    @pytest.mark.usefixtures("nights")
    def test_another_model_than_it_was_trained_on_is_a_warning(self, caplog):
        wiring.generator(Settings.load(generator="vllm:base@live", base_url=self.URL))
        assert caplog.records == []
        wiring.generator(Settings.load(generator="vllm:other@live", base_url=self.URL))

        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "was trained on 'org/base', but is loaded onto 'other'" in caplog.text

    def test_without_a_store_it_cannot_be_known(self):
        with pytest.raises(ConfigurationError, match="needs a store that knows what is live"):
            generators.from_settings(Settings.load(generator="vllm:base@live", base_url=self.URL))

    @pytest.mark.usefixtures("hashing")
    def test_evolve_writes_with_what_is_live_and_begins_anew_when_that_changes(self, cli, work, opened, tmp_path):  # noqa: F811
        options = ("--tasks", work / "tasks.jsonl", "--candidates", 1, "--rollouts", 1, "--generations", 1, "--json")
        with stub_llm(wrote()) as server:
            command = (*EVOLVE, "--generator", "vllm:base@live", "--base-url", server.url, *options)
            first = json.loads(cli(*command))["run_id"]
            with opened() as store:
                one = store.register_checkpoint(adapter(tmp_path / "a"), base_model="base")
                store.promote_checkpoint(one.id, by="gate", reason="")
            second = json.loads(cli(*command))["run_id"]
            again = json.loads(cli(*command))["run_id"]

        assert [call["model"] for call in server.calls] == ["base", "base", one.id, one.id]
        assert first != second == again

    @pytest.mark.usefixtures("hashing")
    def test_the_served_agent_has_it_too(self, nights, monkeypatch):
        opened_, really_open = [], SkillStore.from_settings
        monkeypatch.setattr(
            SkillStore, "from_settings", lambda *args: opened_.append(really_open(*args, index=False)) or opened_[-1]
        )
        reply = wrote()
        with stub_llm(says("5"), reply, says("4")) as server:
            settings = Settings.load(
                model="openai:stub", generator="vllm:base@live", base_url=server.url, verifier="exact_match",
                embedder="hashing", max_generations=1,
            )  # fmt: skip
            agent._real(settings).invoke({"task": "add 2 and 2", "reference": "4"})
        for store in opened_:
            store.close()

        assert server.calls[1]["model"] == nights[0]
