"""The command line that takes skills in from files and keeps them beside files."""

import json

import pytest
from typer.testing import CliRunner

from fakes import skill_text
from skill_plugin.integrations.cli import app

NO_FRONT_MATTER = (
    "no front matter: the text begins with 'nothing'; begin with '---', then 'name:' and 'description:', then '---' and the "
    "procedure"
)
NO_NAME = (
    "the skill name 'acme::parts' breaks the SKILL.md rules; use at most 64 lower-case letters, digits and single hyphens, such "
    "as 'refund-duplicates', or let the import call it 'acme-parts': names='adapt', or --names adapt"
)

pytestmark = pytest.mark.usefixtures("hashing")


def lay(root, folder, text, *files):
    (root / folder).mkdir(parents=True)
    (root / folder / "SKILL.md").write_text(text, encoding="utf-8")
    for name in files:
        (root / folder / name).parent.mkdir(exist_ok=True)
        (root / folder / name).write_text("")


def listed(cli, *words):
    return [row["name"] for row in json.loads(cli("skills", "list", "--json", *words))]


@pytest.fixture
def found(tmp_path):
    """Skills as they are found: good ones, a broken one, a hidden one, foreign names, files beside."""
    lay(tmp_path / "in", "adding", skill_text(body="Run scripts/add.py"), "scripts/add.py", "notes.txt")
    lay(tmp_path / "in", "bad", "nothing")
    lay(tmp_path / "in", "parts", skill_text("acme::parts", body="Parts."))
    lay(tmp_path / "in", ".hidden/x", skill_text("x"))
    lay(tmp_path / "in", "differs", skill_text("other", body="Other."))
    return tmp_path / "in"


def test_good_skills_come_in_and_every_other_one_is_named_on_a_line(cli, found):
    lines = cli("skills", "import", found).splitlines()

    assert listed(cli) == ["adding", "other"]
    assert lines[lines.index("2 imported, 2 refused, 1 not read") :] == [
        "2 imported, 2 refused, 1 not read",
        f"refused  {found}/bad/SKILL.md: {NO_FRONT_MATTER}",
        f"refused  {found}/parts/SKILL.md: {NO_NAME}",
        f"not read  {found}/.hidden/x/SKILL.md: it lies in a hidden folder; import its own folder",
        f"note  {found}/differs/SKILL.md: it is named 'other', its folder 'differs'; its own name counts",
        "2 other files were left out: a skill is its SKILL.md",
        "left out  adding: notes.txt, scripts/add.py",
        "incomplete  adding: its text names scripts/add.py, not in the library",
    ]


def test_json_has_all_of_it(cli, found):
    report = json.loads(cli("skills", "import", found, "--names", "adapt", "--json"))

    assert report["added"] == ["adding", "other", "acme-parts"]
    assert [place.split("/")[-2] for place in report["refused"]] == ["bad"]
    assert [place.split("/")[-2] for place in report["not_read"]] == ["x"]
    assert report["left_out"] == {"adding": ["notes.txt", "scripts/add.py"]}
    assert report["missing"] == {"adding": ["scripts/add.py"]}


def test_strict_takes_all_or_none(cli, found):
    told = cli("skills", "import", found, "--strict", "--names", "adapt", code=1)

    assert told.startswith("error: ")
    assert "nothing was imported" in told
    assert "no namespace 'default'" in cli("skills", "list", code=1)


def test_the_old_option_is_still_taken(cli, found):
    assert "refused" in cli("skills", "import", found, "--skip-invalid")


def test_nothing_good_is_a_failure(tmp_path):
    lay(tmp_path / "in", "bad", "nothing")
    told = CliRunner().invoke(app, ["skills", "import", str(tmp_path / "in")])
    as_json = CliRunner().invoke(app, ["skills", "import", str(tmp_path / "in"), "--json"])

    assert told.exit_code == as_json.exit_code == 1
    assert told.stdout.startswith("0 imported, 1 refused\nrefused  ")
    assert told.stderr.startswith(f"error: none of the 1 skills in '{tmp_path}/in' was imported")
    assert json.loads(as_json.stdout)["read"] == 1


@pytest.mark.parametrize("words", [["/nowhere"], ["."], ["x", "--names", "guess"]])
def test_what_cannot_be_imported_is_one_line_and_makes_no_store(cli, home, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    told = cli("skills", "import", *words, code=1)

    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert not home.exists()
