"""`skill-plugin retrain` where it cannot train, or does not have to: one line each, and what it leaves behind."""

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from adapters import adapter
from lineages import lineage, written
from skill_plugin import Revision, Task
from skill_plugin.errors import BusyError
from skill_plugin.integrations.cli import app
from skill_plugin.store import SkillStore
from tiny_models import tiny_model

RETRAIN = ("retrain", "--embedder", "hashing", "--base-model", "qwen")
DYING = ("--launcher", "sh -c 'exit 1' --")
"""A trainer that dies at once."""

GOOD, BAD = (1.0, 1.0), (0.0, 0.0)


@pytest.fixture
def opened(home):
    def open_one():
        return SkillStore.open(home, embedder="hashing", chroma=False)

    with open_one() as store:
        store.add(name="adding", description="Adds.", body="Add.")
    return open_one


def many(store, revisions, rewards):
    """Enough lineages that some are learned from and some are held back."""
    for number in range(12):
        lineage(store, number, revisions(number), rewards)


@pytest.mark.parametrize("dry", [("--dry-run",), ()])
def test_a_night_without_a_store_is_nothing_new(cli, home, dry):
    said = cli(*RETRAIN, *dry)

    assert said.startswith(f"nothing to train yet: there is no store in {home}; evolve makes one")
    assert said.count("\n") == 1
    assert not home.exists()


def test_a_night_without_histories_is_nothing_new_and_says_where_they_come_from(cli, opened):
    said = json.loads(cli(*RETRAIN, "--json"))

    assert said["outcome"] == "nothing new"
    assert "there are no revisions in the histories of namespace 'default'; log" in said["reason"]


def test_the_record_of_a_night_is_one_line_with_its_time(cli, opened):
    log = [cli(*RETRAIN, "--json"), cli(*RETRAIN, "--dry-run", "--json"), cli(*RETRAIN, "--json", "--new")]

    assert [line.count("\n") for line in log] == [1, 1, 1]
    nights = [json.loads(line) for line in "".join(log).splitlines()]
    assert all(datetime.fromisoformat(night["at"]).tzinfo for night in nights)
    assert {night["outcome"] for night in nights} == {"nothing new"}


def test_what_goes_on_is_said_on_standard_error_with_the_time_and_not_if_it_is_to_be_quiet(opened):
    def said(*words):
        return CliRunner().invoke(app, [*words, "--json"])

    loud, quiet, silent = said(*RETRAIN), said(*RETRAIN, "--quiet"), said("--quiet", *RETRAIN)

    lines = loud.stderr.splitlines()
    assert [line.partition(" INFO ")[2] for line in lines if "histories" in line] == ["reading histories"]
    assert all(datetime.fromisoformat(line.split()[0]).tzinfo for line in lines)
    assert (quiet.stderr, silent.stderr) == ("", "")
    assert [json.loads(one.stdout)["outcome"] for one in (loud, quiet, silent)] == ["nothing new"] * 3
    assert "give one" in said(*RETRAIN, "-q", "-v").stderr


def test_a_first_night_on_which_everything_is_refused_fails_and_says_why(cli, opened):
    with opened() as store:
        many(store, lambda n: [written(2 * n, logprobs=None), written(2 * n + 1, model="llama")], [GOOD, BAD])

    said = " ".join(cli(*RETRAIN, code=1).split())

    assert "none of the 24 revisions can be learned from: 12 no log-probs, 12 other base model" in said
    with opened() as store:
        assert [run.outcome.partition(":")[0] for run in store.runs.training.list()] == ["failed"]


def test_equal_rewards_are_nothing_new_and_no_failure(cli, opened):
    with opened() as store:
        for number in range(12):
            lineage(store, number, [written(2 * number), written(2 * number + 1)], [GOOD, GOOD], baseline=GOOD)

    said = json.loads(cli(*RETRAIN, "--json"))

    assert (said["outcome"], said["checkpoint"], said["live"]) == ("nothing new", None, None)
    assert said["learned_from"]["refused"] == {"no signal": 24}


def test_a_chat_models_texts_cannot_be_trained_on_and_no_base_model_is_guessed(cli, opened):
    assert "pass --base-model FOLDER" in cli("retrain", "--embedder", "hashing", code=1)
    with opened() as store:
        task_texts = [Revision(completion=written(n).completion, text=written(n).text) for n in range(2)]
        lineage(store, 0, task_texts, [GOOD, BAD])

    assert "2 no token ids" in cli(*RETRAIN, code=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "lerning_rate=1"), "there is no training setting 'lerning_rate'; known are alpha,"),
        (("--set", "learning_rate"), "--set takes NAME=VALUE, such as learning_rate=1e-5, got 'learning_rate'"),
        (("--set", "learning_rate=fast"), "learning_rate is 'fast'; give a number"),
        (("--set", "epochs=0"), "epochs is 0; give a whole number from 1"),
        (("--set", "kl_importance=maybe"), "kl_importance is 'maybe'; give true or false"),
        (("--set", "intra=best"), "intra is 'best'; give one of candidate, rollout"),
        (("--max-minutes", "0"), "max_minutes is 0.0; give a number above 0, or None"),
        (("--gate", "maybe"), "gate is 'maybe'; it is one of auto, paired, off-policy"),
        (("--gate", "paired"), "the gate is to be paired and no task LLM is given; give one, or let the gate be auto"),
        (
            ("--gate", "paired", "--agent", "tiny_writer:simulated_clerk"),
            "there are no held-out tasks; evolve with some, or let",
        ),
        (("--agent", "no.such:agent"), "no.such"),
    ],
)
def test_a_wrong_option_is_one_line(cli, opened, options, said):
    assert said in " ".join(cli(*RETRAIN, *options, code=1).split())


CLERK = ("--agent", "tiny_writer:simulated_clerk")


@pytest.mark.parametrize("dry", [("--dry-run",), ()])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--launcher", "no-such-launcher --here"), "the launcher 'no-such-launcher' cannot be started: there is no"),
        (("--launcher", "sh -c 'open"), "is not a command: No closing quotation; see --launcher"),
        (("--verifier", "mine:judge"), "'mine:judge' cannot be imported: there is no module 'mine'"),
        (("--agent", "mine:agent"), "'mine:agent' cannot be imported: there is no module 'mine'"),
        (CLERK, "a verifier of your own, 'mine:judge', and names that came with data are not imported"),
        ((*CLERK, "--verifier", "numeric"), "and 'numeric' cannot stand for it"),
    ],
)
def test_what_the_night_will_lack_is_one_line_before_it_begins(cli, opened, options, said, dry):
    with opened() as store:
        many(store, lambda n: [written(2 * n), written(2 * n + 1)], [GOOD, BAD])
        store.tasks.claim_splits([Task("add 99", split="heldout", verifier={"name": "mine:judge", "params": {}})])

    assert said in " ".join(cli(*RETRAIN, *options, *dry, code=1).split())
    with opened() as store:
        assert store.runs.training.list() == []


def test_a_live_adapter_whose_files_are_gone_is_found_before_the_night_begins(cli, opened, tmp_path):
    with opened() as store:
        many(store, lambda n: [written(2 * n), written(2 * n + 1)], [GOOD, BAD])
        folder = adapter(tmp_path / "adapter")
        live = store.checkpoints.register(folder, base_model="qwen")
        store.checkpoints.promote(live.id, by="human", reason="")
    folder.joinpath("adapter_model.safetensors").unlink()

    assert "adapter_model.safetensors" in cli(*RETRAIN, code=1)
    with opened() as store:
        assert store.runs.training.list() == []


def test_a_base_model_that_is_not_there_says_how_to_get_it(cli, opened, tmp_path):
    with opened() as store:
        many(store, lambda n: [written(2 * n), written(2 * n + 1)], [GOOD, BAD])
    place = str(tmp_path / "models" / "base")

    said = " ".join(
        cli("retrain", "--embedder", "hashing", "--base-model", place, "--logged-as", "qwen", code=1).split()
    )

    assert "there is no model folder" in said
    assert "hf download" in said


def test_log_probs_of_another_model_are_found_out_before_the_first_step(cli, opened, tmp_path):
    base = tiny_model(tmp_path / "base")
    with opened() as store:
        many(store, lambda n: [written(2 * n), written(2 * n + 1)], [GOOD, BAD])

    said = cli("retrain", "--embedder", "hashing", "--base-model", base, "--logged-as", "qwen", code=1)

    assert "are not those of" in said
    with opened() as store:
        assert store.checkpoints.list() == []


def test_a_run_that_never_ends_is_given_up_after_three_starts(cli, opened):
    with opened() as store:
        many(store, lambda n: [written(2 * n), written(2 * n + 1)], [GOOD, BAD])
    for _ in range(4):
        cli(*RETRAIN, *DYING, code=1)

    with opened() as store:
        runs = store.runs.training.list()
    assert len(runs) == 2
    assert runs[0].outcome == "given up: begun with other settings, or started 3 times"
    assert (runs[1].outcome, "the trainer ended with status 1" in runs[1].progress["error"]) == (None, True)


def test_logs_that_made_no_better_generator_are_learned_from_again_once_there_are_more(cli, home, opened):
    with opened() as store:
        lineage(store, 0, [written(0), written(1)], [GOOD, BAD])
        store.runs.training.begin("first", {}, data_to=datetime.now(UTC))
        store.runs.training.save("first", {}, outcome="kept")
    said = json.loads(cli(*RETRAIN, "--json"))
    with opened() as store:
        for number in range(1, 12):
            lineage(store, number, [written(2 * number), written(2 * number + 1)], [GOOD, BAD])
    cli(*RETRAIN, *DYING, code=1)

    assert (said["outcome"], "nothing was logged since" in said["reason"]) == ("nothing new", True)
    with opened() as store:
        last = store.runs.training.list()[-1]
        report = json.loads((home / "training" / last.id / "data" / "report.json").read_text())
    assert (last.data_from, report["read"]) == (None, 24)


def test_two_nights_at_once_are_one(cli, opened):
    with opened() as store, store.runs.alone("retrain"):
        said = cli(*RETRAIN, code=1)
        with pytest.raises(BusyError), store.runs.alone("retrain"):
            pass

    assert "another retrain is running on namespace 'default'" in said
