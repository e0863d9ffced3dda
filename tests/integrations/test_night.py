"""The whole night with real parts: a tiny real generator evolves skills, is trained on what was logged, judged, and put in service."""

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from nights import NIGHT, SETTINGS, evolving, run, tasks_file, variables
from skill_plugin import generators
from skill_plugin.integrations.page.app import page_app
from skill_plugin.settings import Settings
from skill_plugin.store import SkillStore
from skill_plugin.training.files.metrics import read_metrics
from tiny_writer import tiny_writer, total_tasks


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return tiny_writer(tmp_path_factory.mktemp("models") / "writer")


@pytest.fixture(scope="module")
def evolved(writer, tmp_path_factory):
    """A home in which one evolve was run from which a night is promoted; tests work in copies of it.

    The draw is the machine's own, and now and then it trains texts that loop, which the gate is right to keep. From one draw training
    is the same each time; only the gate samples anew.
    """
    for _ in range(3):
        folder = tmp_path_factory.mktemp("evolved")
        home, tried = folder / "home", folder / "tried"
        run(evolving(tasks_file(folder, "first", range(100, 200), heldout=range(900, 920))), home, writer)
        shutil.copytree(home, tried)
        if json.loads(run(("retrain", *NIGHT, *SETTINGS, "--json"), tried, writer))["outcome"] == "promoted":
            break
    return home


@pytest.fixture
def night(evolved, writer, home, monkeypatch):
    shutil.copytree(evolved, home)
    for name, value in variables(home, writer).items():
        monkeypatch.setenv(name, value)
    return home


def opened(home):
    return SkillStore.open(home, embedder="hashing", chroma=False)


def retrain(cli, *words):
    return json.loads(cli("retrain", *NIGHT, *SETTINGS, *words, "--json"))


def killed_when_it_says(words):
    """Starts a night in a process group of its own, and ends the group when a line has the words."""
    command = [sys.executable, "-u", "-m", "skill_plugin.integrations.cli", "retrain", *NIGHT, *SETTINGS]
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    said = []
    with process:
        for line in process.stderr:
            said.append(line)
            if words in line:
                os.killpg(process.pid, signal.SIGKILL)
                break
        else:
            pytest.fail(f"it never said {words!r}: {''.join(said)}")
    assert process.returncode == -signal.SIGKILL


def test_a_night_puts_a_better_generator_in_service_and_the_next_one_learns_from_what_that_writes(
    cli, night, writer, tmp_path
):
    with opened(night) as store:
        agents = generators.from_settings(Settings.load(), store.checkpoints.live)  # made before the night
        assert agents.checkpoint is None
        first = retrain(cli)
        assert agents.propose(*total_tasks([777], families=["invoices"]), [])[0].checkpoint == first["live"]

    assert (first["outcome"], first["live"]) == ("promoted", first["checkpoint"]), first["reason"]
    assert first["gate"]["kind"] == "paired"
    assert not (night / "training" / first["run_id"] / "adapter").exists()  # there is one copy, that of the registry
    assert first["gate"]["after"] > first["gate"]["before"]
    folder = Path(first["folder"])
    assert all(0 <= row["reward"] <= 1 for row in read_metrics(folder / "metrics.jsonl"))
    assert (folder / "curves.png").stat().st_mtime_ns > (
        folder / "result.json"
    ).stat().st_mtime_ns  # with the gate's decision
    assert datetime.fromisoformat(json.loads(cli("status", "--json"))["last_night"]["at"]) <= datetime.now(UTC)
    with opened(night) as store:
        assert {task.verifier["name"] for task in store.tasks.list(split="heldout")} == {"tiny_writer:own_judge"}
        assert store.tasks.times_judged_checkpoints() == dict.fromkeys(first["gate"]["judges"], 1)
        assert len(first["gate"]["judges"]) == 20
    [listed] = json.loads(cli("checkpoints", "list", "--json"))
    assert (listed["id"], listed["status"]) == (first["checkpoint"], "live")
    with opened(night) as store, TestClient(page_app(store, night), base_url="http://127.0.0.1") as page:
        said, steps = (page.get(f"/nights{what}?night={first['run_id']}").text for what in ("", ".csv"))
    assert "Mean probability ratio, by step" in said
    assert first["reason"].split(";")[0].replace(">", "&gt;") in said
    assert steps.count("\n") == 1 + len(read_metrics(folder / "metrics.jsonl"))

    nothing = retrain(cli)
    assert (nothing["outcome"], nothing["checkpoint"], nothing["live"]) == ("nothing new", None, first["live"])

    evening = datetime.now(UTC)
    cli(*evolving(tasks_file(tmp_path, "second", range(200, 224))))
    with opened(night) as store:
        wrote = {row["checkpoint"] for row in store.histories.rows(since=evening) if row["generation"] > 0}
    assert wrote == {first["checkpoint"]}

    second = retrain(cli)
    assert second["outcome"] in ("promoted", "kept")
    assert second["learned_from"]["checkpoints"] == {first["checkpoint"]: second["learned_from"]["candidates"]}


def test_a_night_that_is_killed_again_and_again_ends_as_one_that_never_was(cli, night):
    killed_when_it_says("reading histories")
    killed_when_it_says("step 7 of")
    result = retrain(cli)

    assert (result["outcome"], result["resumed"]) == ("promoted", True), result["reason"]
    with opened(night) as store:
        assert [one.id for one in store.checkpoints.list()] == [result["checkpoint"]]
        assert [one.outcome for one in store.runs.training.list()] == ["promoted"]
        assert [(one.kind, one.by) for one in store.checkpoints.events()] == [
            ("registered", "retrain"), ("promoted", "retrain"),
        ]  # fmt: skip


def test_a_night_that_is_killed_before_the_gate_or_after_promoting_makes_no_second_checkpoint(cli, night):
    killed_when_it_says("the gate:")
    result = retrain(cli)
    assert (result["outcome"], result["resumed"]) == ("promoted", True), result["reason"]
    with opened(night) as store:
        [run] = store.runs.training.list()
        store.runs.training.save(run.id, run.progress)  # as if it had been killed before it could say what came of it

    again = retrain(cli)
    assert (again["outcome"], again["live"]) == ("promoted", result["checkpoint"])
    with opened(night) as store:
        assert [one.id for one in store.checkpoints.list()] == [result["checkpoint"]]
