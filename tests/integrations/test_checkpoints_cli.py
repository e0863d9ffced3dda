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


@pytest.mark.usefixtures("hashing")
class TestPrune:
    @pytest.fixture
    def at_home(self, opened, home):
        """Adapters where `retrain` puts them: two that were replaced, the live one, two that were refused, one never judged."""
        ids = {}
        with opened() as store:
            for number, name in enumerate(["oldest", "before", "live", "refused", "newer", "unseen"]):
                place = adapter(home / "adapters" / name, seed=number)
                ids[name] = store.checkpoints.register(place, base_model="org/base").id
                if name in ("oldest", "before", "live"):
                    store.checkpoints.promote(ids[name], by="gate", reason="", gate=YES)
                if name in ("refused", "newer"):
                    store.checkpoints.keep(ids[name], by="gate", reason="", gate=NO)
        return ids

    def left(self, home):
        return {folder.name for folder in (home / "adapters").iterdir()}

    def test_it_deletes_files_of_what_was_refused_or_replaced_and_keeps_the_rows(self, cli, home, at_home):
        assert "deleted 3, " in cli("checkpoints", "prune", "--keep", "0", "--yes")

        assert self.left(home) == {"before", "live", "unseen"}
        assert len(listed(cli)) == 6
        event = json.loads(cli("checkpoints", "show", at_home["refused"], "--json"))["events"][-1]
        assert (event["kind"], event["reason"], event["evidence"]["bytes"] > 0) == (
            "pruned",
            "the gate refused it",
            True,
        )
        assert "nothing to delete" in cli("checkpoints", "prune", "--keep", "0")
        assert cli("checkpoints", "rollback") == f"{at_home['before']} is live\n"
        assert "is gone; put its folder back" in cli("checkpoints", "promote", at_home["oldest"], "--force", code=1)

    def test_the_newest_stay(self, cli, home, at_home):
        assert "nothing to delete" in cli("checkpoints", "prune")
        found = json.loads(cli("checkpoints", "prune", "--keep", "1", "--json", "--yes"))

        why = {row["id"]: (row["action"], row["reason"]) for row in found}
        assert why[at_home["newer"]] == ("keep", "one of the 1 newest")
        assert why[at_home["oldest"]] == ("delete", "another one took its place")
        assert why[at_home["live"]] == ("keep", "it is live")
        assert why[at_home["before"]] == ("keep", "a rollback goes to it")
        assert why[at_home["unseen"]] == ("keep", "no gate has refused it")
        assert self.left(home) == {"before", "live", "unseen", "newer"}

    def test_a_dry_run_and_a_script_without_yes_delete_nothing(self, cli, home, at_home):
        assert "3 to delete" in cli("checkpoints", "prune", "--keep", "0", "--dry-run")
        assert "3 folders would be; pass --yes" in cli("checkpoints", "prune", "--keep", "0", code=1)
        assert len(self.left(home)) == 6

    def test_what_lies_elsewhere_or_belongs_to_another_namespace_stays(self, cli, home, nights, opened):
        with opened() as store:
            place = adapter(home / "adapters" / "shared", seed=9)
            shared = store.checkpoints.register(place, base_model="org/base")
            store.checkpoints.keep(shared.id, by="gate", reason="", gate=NO)
        with SkillStore.open(home, embedder="hashing", chroma=False, namespace="tenant") as other:
            other.checkpoints.register(place, base_model="org/base")
        why = {row["id"]: row["reason"] for row in json.loads(cli("checkpoints", "prune", "--keep", "0", "--json"))}

        assert why[nights[1]] == f"it is not in {home / 'adapters'}"
        assert why[shared.id] == "another namespace has it too"

    def test_what_a_night_needs_stays_and_while_one_runs_nothing_is_deleted(self, cli, home, at_home, opened):
        with opened() as store:
            store.runs.training.begin("tr_1", {"parent_checkpoint": at_home["oldest"]})
            with store.runs.alone("retrain"):
                assert "another retrain is running" in cli("checkpoints", "prune", "--keep", "0", "--yes", code=1)
        cli("checkpoints", "prune", "--keep", "0", "--yes")

        assert "oldest" in self.left(home)


@pytest.mark.usefixtures("hashing")
def test_all_nights_are_drawn_into_one_picture(cli, opened, home, tmp_path):
    gate = {"kind": "paired", "before": 0.4, "after": 0.5, "low": 0.0, "high": 0.2, "promote": True}
    with opened() as store:
        store.add(name="adding", description="Adds.", body="Add.")
    assert "has no night that trained a checkpoint" in cli("checkpoints", "curves", code=1)
    with opened() as store:
        for number, (outcome, progress) in enumerate(
            [
                ("promoted", {"gate": gate, "learned_from": {"reward_mean": 0.3}}),
                ("kept", {"gate": {"kind": "none"}, "learned_from": {"reward_mean": None}}),
                ("failed: no", {}),
                (None, {}),
            ]
        ):
            store.runs.training.begin(f"tr_{number}", {})
            store.runs.training.save(f"tr_{number}", progress, outcome=outcome)

    nights = json.loads(cli("checkpoints", "curves", "--json"))
    assert [(night["promoted"], night["reward"], night["kind"]) for night in nights] == [
        (True, 0.3, "paired"),
        (False, None, None),
    ]
    assert cli("checkpoints", "curves") == f"drew 2 nights: {home / 'nights.png'}\n"
    cli("checkpoints", "curves", tmp_path / "all.png")
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    assert "cannot be written" in cli("checkpoints", "curves", tmp_path, code=1)


@pytest.mark.usefixtures("hashing")
class TestAdd:
    def test_an_adapter_from_elsewhere_is_a_candidate_with_files_of_its_own(self, cli, home, tmp_path):
        folder = adapter(tmp_path / "elsewhere", seed=7)
        added = json.loads(cli("checkpoints", "add", folder, "--base-model", "org/base", "--json"))

        assert (added["status"], added["base_model"]) == ("candidate", "org/base")
        assert added["path"].startswith(str(home / "adapters"))
        assert json.loads(cli("checkpoints", "add", folder, "--base-model", "org/base", "--json"))["id"] == added["id"]

    def test_it_is_live_at_once_if_one_says_so(self, cli, tmp_path):
        folder = adapter(tmp_path / "elsewhere", seed=7)
        said = cli("checkpoints", "add", folder, "--base-model", "org/base", "--promote", "--reason", "from the lab")

        assert said.strip().endswith("is live")
        [found] = json.loads(cli("checkpoints", "list", "--json"))
        assert found["status"] == "live"

    def test_what_cannot_be_added_is_one_line(self, cli, tmp_path):
        assert "there is no adapter folder" in cli("checkpoints", "add", tmp_path / "no", "--base-model", "b", code=1)
        assert "no base model is given" in cli("checkpoints", "add", adapter(tmp_path / "a"), code=1)
        said = cli("checkpoints", "add", "org/other@starter", "--base-model", "b", code=1)
        assert "no starter comes with the model 'org/other', only with smollm2-135m" in said
