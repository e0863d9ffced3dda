"""Texts from standard input, and from the user's editor."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli_jobs import EVOLVE
from fakes import MACHINE, skill_text
from recorded import TAU
from skill_plugin.integrations.cli import app
from stub_llm import says, stub_llm

pytestmark = pytest.mark.usefixtures("hashing")


def fed(text, *words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words], input=text)
    assert result.exit_code == code, result.output + result.stderr
    return result.stderr if code else result.stdout


@pytest.fixture
def editor(tmp_path, monkeypatch):
    """Sets $EDITOR to a program that does something to the file; its `FILE` is the path."""

    def does(line):
        script = tmp_path / "editor.py"
        script.write_text(f"import pathlib, sys\nFILE = pathlib.Path(sys.argv[-1])\n{line}\n")
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", f"'{sys.executable}' '{script}' --wait")

    return does


CHANGED = "FILE.write_text(FILE.read_text().replace('fingers', 'toes'))"


def test_a_skill_from_standard_input(cli):
    assert "added adding version 1" in fed(skill_text(), "skills", "add", "-")
    assert "staged adding version 2" in fed(MACHINE, "skills", "revise", "adding", "-")
    assert "front matter" in fed("nothing", "skills", "revise", "adding", "-", code=1)
    assert "is not UTF-8" in fed(b"\xff", "skills", "add", "-", code=1)


def test_tasks_from_standard_input(work):
    tasks = (work / "tasks.jsonl").read_text()
    small = ("--candidates", 1, "--rollouts", 1, "--generations", 1, "--json")
    with stub_llm(*[says(MACHINE)] * 2) as server:
        options = ("--generator", "openai:writer", "--base-url", server.url)
        said = json.loads(fed(tasks, *EVOLVE, "--tasks", "-", *options, *small))
    assert said["tasks"] == 2
    assert "standard input:1: no JSON" in fed("{", *EVOLVE, "--tasks", "-", "--generator", "x:y", code=1)
    assert "holds no task" in fed("", *EVOLVE, "--tasks", "-", "--generator", "x:y", code=1)


def test_histories_and_whole_stores_from_standard_input(cli, tmp_path):
    log = "\n".join(map(json.dumps, TAU)) + "\n"
    assert json.loads(fed(log, "histories", "import", "auto", "-", "--json"))["imported"] == 4
    cli("export", tmp_path / "store.jsonl.gz")
    whole = (tmp_path / "store.jsonl.gz").read_bytes()
    assert json.loads(fed(whole, "import", "-", "--home", tmp_path / "other", "--json"))
    assert fed("", "histories", "import", "auto", "-", code=1).startswith("error: standard input is empty")
    assert "standard input cannot be read" in fed("no dump", "import", "-", code=1)


def test_what_is_saved_in_the_editor_is_a_staged_version(cli, editor):
    fed(skill_text(), "skills", "add", "-")
    editor(CHANGED)

    assert "staged adding version 2" in cli("skills", "edit", "adding")
    assert "Use your toes." in cli("skills", "show", "adding@2")
    editor("FILE.write_text(FILE.read_text().replace('toes', 'nose'))")
    assert json.loads(cli("skills", "edit", "adding@2", "--json"))["parent"] == 2


def test_an_unchanged_text_makes_no_version(cli, editor):
    fed(skill_text(), "skills", "add", "-")
    editor("FILE.read_text()")

    assert cli("skills", "edit", "adding") == "adding is unchanged\n"
    assert len(json.loads(cli("skills", "show", "adding", "--json"))["versions"]) == 1


def test_a_text_that_is_refused_is_not_lost(cli, editor):
    fed(skill_text(), "skills", "add", "-")
    editor("FILE.write_text('half a thought')")
    said = cli("skills", "edit", "adding", code=1)

    assert "skill-plugin skills revise adding" in said
    assert Path(said.split()[-1]).read_text() == "half a thought"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (None, "no editor is set; set VISUAL or EDITOR"),
        ("no-such-editor", "'no-such-editor' cannot be started"),
        ("'open", "cannot be started: No closing quotation"),
        (f"'{sys.executable}' -c 'raise SystemExit(3)'", "ended with status 3; nothing was changed"),
    ],
)
def test_an_editor_that_cannot_be_used_is_one_line(cli, monkeypatch, named, said):
    fed(skill_text(), "skills", "add", "-")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    if named:
        monkeypatch.setenv("EDITOR", named)

    line = cli("skills", "edit", "adding", code=1)
    assert said in line
    assert line.count("\n") == 1
    assert "no skill 'subtracting'" in cli("skills", "edit", "subtracting", code=1)


@pytest.mark.parametrize("words", [["-h"], ["skills", "-h"], ["skills", "edit", "-h"], ["checkpoints", "prune", "-h"]])
def test_h_helps_everywhere(words):
    assert "Usage" in CliRunner().invoke(app, words).output
