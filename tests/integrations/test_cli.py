"""The command line, through its own entry point: what it prints, what it refuses, how it ends."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from fakes import MACHINE, FingersAdder, ScriptedChat, skill_text
from skill_plugin import Rollout, Task, __version__
from skill_plugin.errors import ConfigurationError
from skill_plugin.functions import describe_runner
from skill_plugin.integrations import wiring
from skill_plugin.integrations.cli import app, upkeep
from skill_plugin.settings import Settings
from skill_plugin.store import SkillStore

pytestmark = pytest.mark.usefixtures("hashing")

TASKS = [
    {"task": f"add numbers {n} and {n}", "reference": str(2 * n), "verifier": "exact_match", "split": split}
    for n, split in ((1, "train"), (2, "train"), (3, "heldout"), (4, "heldout"))
]


@pytest.fixture
def skill(home):
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        return store.add_text(skill_text())


def test_an_outcome_that_comes_later(cli, home, skill):
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        used = Rollout(generation=0, answer="4", skill=skill.ref)
        store.runs.record(Task("add 2 and 2"), [used], run_id="run-1")

    assert cli("outcome", "run-1", "--reward", "1", "--feedback", "right") == "recorded\n"
    assert json.loads(cli("outcome", "run-1", "--reward", "1", "--feedback", "right", "--json"))["recorded"] is False
    assert "no run 'run-2'" in cli("outcome", "run-2", "--reward", "1", code=1)
    assert "from 0 to 1, got 3.0; scale it" in cli("outcome", "run-1", "--reward", "3", code=1)
    with SkillStore.open(home, embedder="hashing") as store:
        assert (store.get("adding").utility, store.get("adding").uses) == (1.0, 1)


def test_the_version(cli):
    assert cli("--version") == f"{__version__}\n"


def test_the_installed_command_is_the_same_program():
    command = [sys.executable, "-m", "skill_plugin.integrations.cli", "--version"]

    assert subprocess.run(command, capture_output=True, text=True).stdout == f"{__version__}\n"


def test_a_log_holds_no_bars_and_no_warnings_of_libraries_to_each_other():
    program = (
        "import sys, warnings; from skill_plugin.integrations.cli import main; sys.argv[1:] = ['--version']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "warnings.warn('is deprecated', FutureWarning)\n"
        "from transformers.utils import logging; print(logging.is_progress_bar_enabled())"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (ended.stdout, ended.stderr) == (f"{__version__}\nFalse\n", "")


def test_a_completion_script_can_be_had(cli, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")

    assert "skill-plugin" in cli("--show-completion", "bash")


def test_add_list_show_search(cli, tmp_path):
    folder = tmp_path / "adding"
    folder.mkdir()
    folder.joinpath("SKILL.md").write_text(skill_text())

    assert "added adding version 1" in cli("skills", "add", folder)
    assert "added sorting" in cli(
        "skills", "add", "--name", "sorting", "--description", "How to sort", "--body", "Sort."
    )
    assert [row["name"] for row in json.loads(cli("skills", "list", "--json"))] == ["adding", "sorting"]
    assert "How to add numbers" in cli("skills", "list")
    shown = cli("skills", "show", "adding")
    assert "Use your fingers." in shown
    assert "Not known whether it helps" in shown
    assert "no use of it was credited; shown in no run" in shown
    assert json.loads(cli("skills", "show", "adding", "--json"))["seen"] == {"runs": 0, "watched": 0, "seen": 0}
    assert json.loads(cli("skills", "show", "adding", "--json"))["versions"][0]["status"] == "live"
    assert json.loads(cli("search", "add two numbers", "-k", "1", "--json"))[0]["name"] == "adding"
    assert "adding" in cli("search", "add two numbers")


def test_revise_promote_history_diff(cli, skill, tmp_path):
    path = tmp_path / "SKILL.md"
    path.write_text(MACHINE)

    assert "staged adding version 2" in cli("skills", "revise", "adding", path)
    assert json.loads(cli("skills", "list", "--status", "live", "--json"))[0]["version"] == 1
    difference = cli("skills", "diff", "adding")
    assert "-Use your fingers.\n+Use a machine." in difference
    assert json.loads(cli("skills", "diff", "adding", "1", "2", "--json"))["diff"] == difference.splitlines()
    assert "promoted adding version 2" in cli("skills", "promote", "adding@2")
    assert [event["kind"] for event in json.loads(cli("skills", "history", "adding", "--json"))] == [
        "added",
        "revised",
        "promoted",
    ]
    assert "promoted" in cli("skills", "history", "adding")


def test_doctor_and_reindex(cli, skill):
    checks = json.loads(cli("doctor", "--json"))
    assert all(check["ok"] for check in checks)
    assert checks[-1]["name"] == "functions"
    assert json.loads(cli("reindex", "--json")) == {"embedded": 0, "rebuilt": True}
    assert "rebuilt" in cli("reindex")
    assert "WRONG" not in cli("doctor")


def test_doctor_says_what_runs_functions():
    def line(**given):
        return upkeep._check_functions(Settings.load(**given))

    assert (line().name, line().ok, line().detail) == ("functions", *describe_runner("sandbox"))
    assert "nothing else contains them" in line(function_runner="unsafe-subprocess").detail
    assert "no runner is called 'docker'" in line(function_runner="docker").detail
    assert not line(function_runner="docker").ok


def test_doctor_ends_with_1_if_something_is_wrong(cli, skill, monkeypatch):
    monkeypatch.setenv("SKILL_PLUGIN_EMBEDDER", "minilm")

    cli("doctor", code=1)


def test_another_embedder_by_reindex(cli, skill, monkeypatch):
    monkeypatch.setenv("SKILL_PLUGIN_EMBEDDER", "minilm")

    assert "made with 'hashing-256:name+description'" in cli("search", "add", code=1)
    assert json.loads(cli("reindex", "--json"))["embedded"] == 1
    assert json.loads(cli("search", "add", "--json"))[0]["name"] == "adding"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["search", ""], "the query is empty"),
        (["search", "x", "-k", "99"], "from 1 to 20"),
        (["search", "x", "--namespace", "nobody"], "no namespace 'nobody'"),
        (["search", "x", "--embedder", "magic"], "no embedder is called 'magic'"),
        (["search", "x", "--embedder", "minilm:/nowhere"], "no sentence-transformers model"),
        (["search", "x", "--database", "nonsense"], "not a SQL URL"),
        (["skills", "show", "addin"], "did you mean 'adding'"),
        (["skills", "list", "--status", "dead"], "is not a status"),
        (["skills", "add"], "give either"),
        (["skills", "add", "/nowhere"], "cannot be read"),
        (["skills", "add", "--name", "Bad Name", "--description", "d", "--body", "b"], "breaks the SKILL.md rules"),
        (["skills", "add", "--description", "d", "--body", "b"], "needs a name"),
        (["skills", "add", "--name", "adding", "--description", "d", "--body", "b"], "exists in namespace"),
        (["skills", "diff", "adding"], "no parent to compare with"),
        (["skills", "promote", "adding@9"], "no version 9"),
        (["run", "--tasks", "/nowhere", "--model", "x"], "cannot be read"),
    ],
)
def test_wrong_input_is_one_line_and_status_1(cli, skill, home, words, says):
    before = [path.read_bytes() for path in sorted(home.glob("skills.db"))]
    error = cli(*words, code=1)

    assert says in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert [path.read_bytes() for path in sorted(home.glob("skills.db"))] == before


@pytest.mark.parametrize(
    "words", [["search", "x"], ["skills", "list"], ["skills", "show", "x"], ["doctor"], ["reindex"]]
)
def test_looking_into_a_home_that_is_not_there_makes_none(cli, home, words):
    assert "no store at" in cli(*words, code=1)
    assert not home.exists()


def test_a_wrong_skill_makes_no_store(cli, home):
    cli("skills", "add", "--name", "Bad Name", "--description", "d", "--body", "b", code=1)

    assert not home.exists()


def test_a_home_that_cannot_be_written_is_named(cli, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    words = ["skills", "add", "--home", blocker / "home", "--name", "a", "--description", "d", "--body", "b"]

    assert "cannot be written" in cli(*words, code=1)
    assert "cannot be written" in cli("demo", "--simulated", "--home", blocker / "home", code=1)


def test_a_file_that_is_no_text_or_too_long_is_named(cli, tmp_path):
    path = tmp_path / "SKILL.md"
    path.write_bytes(b"---\xff")
    assert "not UTF-8" in cli("skills", "add", path, code=1)
    path.write_bytes("é".encode() * 50_000)
    assert "the limit is 65536" in cli("skills", "add", path, code=1)


def test_an_unexpected_error_is_one_line_too(cli, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(wiring, "open_store", broken)
    monkeypatch.setattr("skill_plugin.integrations.cli.skills.open_store", broken)

    assert cli("skills", "list", code=1) == "error: ZeroDivisionError: oops; for a traceback set SKILL_PLUGIN_DEBUG=1\n"
    monkeypatch.setenv("SKILL_PLUGIN_DEBUG", "1")
    assert isinstance(CliRunner().invoke(app, ["skills", "list"]).exception, ZeroDivisionError)


class Down(ScriptedChat):
    def _generate(self, *args, **kwargs):
        raise ConnectionError("no route\nto host")


class Flaky(FingersAdder):
    """Fails for one task of four."""

    def _generate(self, messages, *args, **kwargs):
        if messages[-1].text == "add numbers 2 and 2":
            raise TimeoutError("too slow")
        return super()._generate(messages, *args, **kwargs)


fingers, down, flaky = FingersAdder(), Down([]), Flaky()


@pytest.fixture
def tasks(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(f"{json.dumps(task)}\n" for task in TASKS))
    return path


@pytest.fixture
def models(monkeypatch):
    """`--agent here:name` finds this module; the generator's model is scripted."""
    monkeypatch.setitem(sys.modules, "here", sys.modules[__name__])
    writer = ScriptedChat(lambda _: MACHINE)
    monkeypatch.setattr("skill_plugin.models.chat_models.load", lambda *_, **__: writer)


def run(cli, tasks, *words, agent="here:fingers", code=0):
    return cli("run", "--tasks", tasks, "--agent", agent, "--generator", "scripted", *words, code=code)


def test_run_solves_revises_gates_and_sums_up(cli, tasks, models, skill, home):
    summary = json.loads(run(cli, tasks, "--json"))

    assert summary["tasks"] == 4
    assert summary["solved"] == {"first_attempt": 0.0, "after_revision": 0.5}
    assert [row["reason"] for row in summary["promoted"]] == ["2 repaired > 0 regressed of 2 held-out tasks"]
    assert (summary["refused"], summary["waiting"], summary["failed"]) == ([], [], [])
    again = json.loads(run(cli, tasks, "--json"))
    assert again["solved"] == {"first_attempt": 1.0, "after_revision": 1.0}
    assert again["promoted"] == []


def test_run_prints_a_summary_for_people(cli, tasks, models, skill):
    printed = run(cli, tasks)

    assert "4 tasks in" in printed
    assert "0% solved at first, 50% after revision" in printed
    assert "2 repaired > 0 regressed" in printed


def test_without_held_out_tasks_a_version_waits_for_a_person(cli, tasks, models, skill):
    tasks.write_text("".join(f"{json.dumps(task)}\n" for task in TASKS if task["split"] == "train"))
    printed = run(cli, tasks)

    assert "no held-out tasks in its family" in printed
    assert "skill-plugin skills promote adding@2" in printed


def test_a_task_whose_model_fails_is_reported_and_the_others_go_on(cli, tasks, models, skill):
    result = CliRunner().invoke(
        app, ["run", "--tasks", str(tasks), "--agent", "here:flaky", "--concurrency", "1", "--json"]
    )
    summary = json.loads(result.stdout)

    assert result.exit_code == 1
    assert summary["failed"] == [{"task": "add numbers 2 and 2", "error": "TimeoutError: too slow"}]


def test_a_model_that_is_not_there_ends_the_run(cli, tasks, models, skill, home):
    error = run(cli, tasks, agent="here:down", code=1)

    assert error == (
        "error: the model cannot be used: ConnectionError: no route to host; check its name, key and URL\n"
    )
    with SkillStore.open(home, embedder="hashing") as store:
        assert store.get("adding").uses == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "nobody:x"], "does not resolve"),
        ([], "no task LLM is given"),
        (["--agent", "nowhere:x"], "cannot be imported"),
        (["--agent", "json:nothing"], "cannot be imported"),
        (["--agent", "json.decoder:NaN"], "cannot execute tasks"),
        (["--model", "openai:x", "--system-prompt", "@/nowhere"], "'/nowhere' cannot be read"),
        (["--model", "openai:x", "--verifier", "magic"], "no verifier is called 'magic'"),
        (["--model", "openai:x", "--max-generations", "-1"], "max_generations"),
    ],
)
def test_run_refuses_wrong_parts_before_it_makes_a_store(cli, tasks, home, monkeypatch, words, says):
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    assert says in cli("run", "--tasks", tasks, *words, code=1)
    assert not home.exists()


def test_run_needs_a_verifier_and_a_reference_that_passes_it(cli, tasks, models):
    tasks.write_text('{"task": "x"}\n')
    assert "names no verifier" in run(cli, tasks, code=1)
    tasks.write_text('{"task": "x", "reference": "four", "verifier": "numeric"}\n')
    assert "holds no number" in run(cli, tasks, code=1)
    tasks.write_text('{"task": "add 1 and 1", "reference": "2"}\n')
    assert json.loads(run(cli, tasks, "--verifier", "numeric", "--json"))["tasks"] == 1


def test_a_function_of_ones_own_can_verify(cli, tasks, models, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "always", lambda task, answer: True, raising=False)

    assert json.loads(run(cli, tasks, "--verifier", "here:always", "--json"))["tasks"] == 4


def test_model_and_agent_resolve_in_one_place(monkeypatch):
    with pytest.raises(ConfigurationError, match="no task LLM"):
        wiring.task_llm(Settings.load())
    assert os.environ["SKILL_PLUGIN_EMBEDDER"] == "hashing"
