"""`skill-plugin replay`: the first thing that somebody runs who hesitates."""

import json
import tempfile

import pytest

from fakes import skill_text
from recorded import OTEL, evaluation, said, span, write
from skill_plugin.settings import SETTINGS_FILE
from stub_llm import says, stub_llm

SKILL = skill_text(description="How to add numbers: add 1 and 2, add 3 and 2.", body="Use a machine.")
"""Search by hashed words finds it."""

pytestmark = pytest.mark.usefixtures("hashing")


def row(number, **fields):
    asked = {"task": f"add {number} and 2", "reference": str(number + 2)}
    return {**asked, "output": str(number + 1), "reward": 0.0, **fields}


@pytest.fixture
def traces(work):
    return write(work / "traces.jsonl", [*map(row, range(1, 9)), row(9, output="11", reward=1.0)])


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary folders are made."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def replay(cli, work, monkeypatch):
    """Replays with a user's agent and a model that writes the skill; in the folder with the traces."""
    monkeypatch.chdir(work)

    def run(*words, text=SKILL, **expected):
        with stub_llm(says(text)) as server:
            by = ("--agent", "agent_for_evolve:agent", "--generator", "openai:writer", "--base-url", server.url)
            return cli("replay", *by, *words, **expected)

    return run


def test_one_command_writes_one_page_and_touches_nothing_else(replay, traces, work, home, scratch, monkeypatch):
    home.mkdir()
    (home / SETTINGS_FILE).write_text("not = [settings")  # it would be an error to read them
    monkeypatch.setenv("SKILL_PLUGIN_DATABASE", f"sqlite:///{work / 'mine.db'}")
    before = {path.name for path in work.iterdir()}
    told = replay("traces.jsonl")

    assert "8 of 8 failures would have been solved" in told
    assert "held out from every writer" in told
    assert "not called through LangChain" in " ".join(told.split())
    assert "the page: replay.html" in told
    html = (work / "replay.html").read_text(encoding="utf-8")
    assert "<h1>8 of 8 failures would have been solved</h1>" in html
    assert "Use a machine." in html
    assert {path.name for path in work.iterdir()} - before - {"__pycache__"} == {"replay.html"}
    assert [path.name for path in home.iterdir()] == [SETTINGS_FILE]
    assert list(scratch.iterdir()) == []


def test_the_summary_is_one_json_document(replay, traces):
    told = json.loads(replay("traces.jsonl", "--json", "--output", "other.html"))

    assert (told["headline"], told["page"]) == ("8 of 8 failures would have been solved", "other.html")
    assert told["skills"][0]["accepted"] is True


def test_a_page_that_exists_is_kept_unless_told_otherwise(replay, traces, work):
    (work / "replay.html").write_text("mine")
    assert "'replay.html' exists; choose another --output, or write over it with --force" in replay(
        "traces.jsonl", code=1
    )
    assert (work / "replay.html").read_text() == "mine"
    replay("traces.jsonl", "--force")
    assert "would have been solved" in (work / "replay.html").read_text(encoding="utf-8")


def test_a_kept_store_gives_its_skills_to_another(replay, cli, traces, work):
    told = replay("traces.jsonl", "--keep", "kept")
    assert "take the skills: skill-plugin skills export FOLDER --home kept" in told
    cli("skills", "export", "taken", "--home", "kept")
    cli("skills", "import", "taken")

    assert "Use a machine." in cli("skills", "show", "adding")


def test_traces_of_opentelemetry_are_replayed(replay, work):
    rows = [
        span(
            n, 1, events=[evaluation(score=0.0)], reference=str(n + 2),
            gen_ai__input__messages=json.dumps([said("user", f"add {n} and 2")]),
            gen_ai__output__messages=json.dumps([said("assistant", str(n + 1))]),
        )
        for n in range(1, 9)
    ]  # fmt: skip
    write(work / "spans.jsonl", rows)

    assert "8 of 8 failures would have been solved" in replay("spans.jsonl")
    write(work / "refunds.jsonl", OTEL)
    assert "nothing says how to judge a new answer to the 1 failures" in replay("refunds.jsonl", "--force", code=1)


def test_a_small_cap_is_said_on_the_page(replay, traces, work):
    told = json.loads(replay("traces.jsonl", "--max-calls", 4, "--json"))

    assert told["price"]["calls"] <= 4
    assert any("7 more failures had to be left out" in said for said in told["caveats"])
    assert "a higher --max-calls tries more" in (work / "replay.html").read_text(encoding="utf-8")


def test_a_run_that_is_stopped_by_hand_leaves_no_folder(replay, traces, work, scratch):
    (work / "agent_that_stops.py").write_text("def agent(given):\n    raise KeyboardInterrupt\n")
    assert "stopped; no page was written" in replay("traces.jsonl", "--agent", "agent_that_stops:agent", code=130)

    assert not (work / "replay.html").exists()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none.jsonl",), "there is no file 'none.jsonl'"),
        (("empty.jsonl",), "'empty.jsonl' is empty"),
        (("words.jsonl",), "its first row is broken JSON"),
        (("nothing",), "the folder 'nothing' holds no file that ends in"),
        (("passed.jsonl",), "none of the 1 judged runs in 'passed.jsonl' failed, so there is nothing to repair"),
        (("silent.jsonl",), "none of the 1 runs in 'silent.jsonl' has a reward, so nothing says which failed"),
        (("traces.jsonl", "--format", "otel"), "is not in the format 'otel'"),
        (("traces.jsonl", "--max-calls", "0"), "max_calls is 0; give a whole number from 1"),
        (("traces.jsonl", "--max-calls", "-5"), "max_calls is -5; give a whole number from 1"),
        (("traces.jsonl", "--output", "no/page.html"), "the folder 'no' does not exist"),
        (("traces.jsonl", "--output", "nothing"), "'nothing' is a folder; name a file"),
        (("traces.jsonl", "--keep", "."), "'.' is not an empty folder"),
        (("traces.jsonl", "--keep", "traces.jsonl"), "'traces.jsonl' is not an empty folder"),
        (("traces.jsonl", "--agent", "nobody:agent"), "'nobody:agent' cannot be imported"),
        (("traces.jsonl", "--verifier", "magic"), "no verifier is called 'magic'"),
        (("traces.jsonl", "--verifier", "llm_judge"), "--verifier llm_judge asks the task LLM, and none is given"),
    ],
)
def test_wrong_input_is_one_line_and_costs_nothing(replay, traces, work, scratch, words, message):
    (work / "nothing").mkdir()
    for name, rows in {
        "empty": [],
        "words": ["hello"],
        "passed": [row(1, reward=1)],
        "silent": [row(1, reward=None)],
    }.items():
        write(work / f"{name}.jsonl", rows)
    error = replay(*words, code=1)

    assert message in error
    assert error.count("\n") == 1
    assert not (work / "replay.html").exists()
    assert list(scratch.iterdir()) == []


def test_a_model_that_nobody_knows_is_one_line(cli, traces, work, monkeypatch):
    monkeypatch.chdir(work)
    for words, message in (
        ((), "no task LLM is given; pass --model openai:gpt-5-mini"),
        (("--model", "nonsense"), "the model 'nonsense' names no provider"),
    ):
        error = cli("replay", "traces.jsonl", *words, code=1)
        assert message in error
        assert error.count("\n") == 1
