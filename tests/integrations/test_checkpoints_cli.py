"""`skill-plugin checkpoints`."""

import json

import pytest

from adapters import adapter
from skill_plugin.store import SkillStore

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
            store.checkpoints.register(adapter(tmp_path / f"night-{n}", seed=n), base_model="org/base").id
            for n in range(3)
        ]
        store.checkpoints.promote(ids[0], by="gate", reason="3 > 1", gate=YES)
        store.checkpoints.keep(ids[1], by="gate", reason="1 < 3", gate=NO)
    return ids


def listed(cli, *words):
    return {row["id"]: row["status"] for row in json.loads(cli("checkpoints", "list", "--json", *words))}


@pytest.mark.usefixtures("hashing")
class TestCommands:
    def test_list(self, cli, nights):
        table = cli("checkpoints", "list")
        rows = {line.split()[0]: line for line in table.splitlines() if "ckpt_" in line}

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
        assert set(listed(cli).values()) == {"candidate", "retired"}
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
