"""What commands print: lines around a table on a terminal, plain rows with tabs in a pipe."""

import json
import sys
import threading

import pytest
from typer.testing import CliRunner

from adapters import adapter
from fakes import skill_text
from skill_plugin.integrations.cli import app
from skill_plugin.integrations.cli.terminal import progress
from skill_plugin.store import SkillStore
from terminals import on_a_terminal

pytestmark = pytest.mark.usefixtures("hashing")

needs_a_terminal = pytest.mark.skipif(sys.platform == "win32", reason="terminals of Unix")
LONG = "How to add numbers, " + ", ".join(["one by one"] * 30)


@pytest.fixture
def opened(home):
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        yield store


@pytest.fixture
def library(opened):
    opened.add_text(skill_text("adding", LONG))
    opened.add_text(skill_text("waiting", "How to wait"), author="generator")
    opened.add_text(skill_text("gone", "How to go"))
    opened.retire("gone")
    return opened


def test_a_pipe_gets_a_heading_and_a_row_a_line_with_tabs_and_no_boxes(cli, library, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    heading, *rows = [line.split("\t") for line in cli("skills", "list").splitlines()]

    assert heading == ["status", "name", "version", "utility", "uses", "wins", "author", "tier", "description"]
    assert [row[:3] for row in rows] == [["live", "adding", "1"], ["retired", "gone", "1"], ["staged", "waiting", "1"]]
    assert rows[0][-1] == LONG


@pytest.mark.parametrize("words", [["search", "add numbers"], ["skills", "history", "adding"], ["doctor"]])
def test_what_is_a_list_alone_has_no_title(cli, library, words):
    rows = cli(*words).splitlines()

    assert len(rows) > 1
    assert {row.count("\t") for row in rows} == {rows[0].count("\t")}
    assert not any(mark in "".join(rows) for mark in "│┃━└")


def test_what_steers_a_terminal_or_parts_a_row_is_a_space_in_a_cell(cli, opened):
    opened.add_text(skill_text("odd", '"tab\\there, \\x1b[31mred, next\\nline"'))

    assert len(cli("skills", "list").splitlines()) == 2
    assert cli("skills", "list").splitlines()[1].endswith("\ttab here,  [31mred, next line")


def test_an_empty_list_is_its_heading_only(cli, library):
    assert cli("skills", "list", "--status", "quarantined").splitlines()[1:] == []


def test_how_many_there_are_of_each_state_is_said_beside_the_rows(library):
    result = CliRunner().invoke(app, ["skills", "list"])

    assert "1 staged, 1 live, 1 retired" in result.stderr
    assert "1 staged" not in result.stdout


def test_the_floor_of_a_search_can_be_set(cli, library):
    words = ("search", "numbers that nobody has ever seen before today", "--strategy", "dense", "--json")

    assert [hit["name"] for hit in json.loads(cli(*words, "--min-score", "0"))][:1] == ["adding"]
    assert json.loads(cli(*words, "--min-score", "0.9")) == []
    assert "--min-score" in cli(*words, "--min-score", "2", code=2)


def test_an_import_that_is_refused_names_the_option_that_leaves_it_out(cli, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "SKILL.md").write_text("no front matter")

    assert "no --strict" in cli("skills", "import", tmp_path, "--strict", code=1)


def test_the_text_of_a_skill_is_its_own_in_a_pipe(cli, opened):
    opened.add_text(skill_text("marked", "How to mark", "1. **Mark** it.\n2. `Done`."))

    assert "1. **Mark** it.\n2. `Done`.\n" in cli("skills", "show", "marked")


@needs_a_terminal
class TestTerminals:
    def test_a_terminal_gets_a_table_in_which_no_id_is_parted(self, home, opened, tmp_path):
        made = opened.checkpoints.register(adapter(tmp_path / "night"), base_model="org/base")

        for width in (50, 80, 120):
            shown = on_a_terminal("checkpoints", "list", width=width)
            assert made.id in shown
            assert "org/base" in shown
            assert max(map(len, shown.splitlines())) <= width
        assert "┃" in shown

    def test_at_eighty_columns_the_sentences_of_a_row_stand_under_it(self, library):
        shown = on_a_terminal("skills", "list", width=80).splitlines()

        assert shown[1].split() == ["status", "name", "version", "utility", "uses", "wins", "author", "tier"]
        assert shown[2].split() == ["live", "adding", "1", "-", "0", "0", "human", "tested"]
        assert shown[3].startswith("    description: How to add numbers, one by one")
        assert max(map(len, shown)) <= 80

    def test_sentences_are_wrapped_at_words(self, library):
        shown = on_a_terminal("skills", "list", width=120)

        assert "┃ status" in shown
        assert "How to add numbers" in shown


def test_lines_of_progress_bear_their_time_and_are_told_until_the_end(caplog):
    caplog.set_level("INFO")
    said = threading.Semaphore(0)
    words = iter(["1 of 3", "1 of 3", "2 of 3"])

    def say():
        said.release()
        return next(words, "3 of 3")

    with progress.lines(say, every=0.001):
        for _ in range(5):
            assert said.acquire(timeout=60)

    assert caplog.messages[:3] == ["1 of 3", "2 of 3", "3 of 3"]
