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
    lay(tmp_path / "in", "adding", skill_text(body="Run scripts/add.py, scripts/b.py"), "scripts/add.py", ".DS_Store")
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
        "1 other files were left out: they belong to no skill",
        "left out  adding: .DS_Store",
        "incomplete  adding: its text points to scripts/b.py, not in its folder",
    ]


def test_json_has_all_of_it(cli, found):
    report = json.loads(cli("skills", "import", found, "--names", "adapt", "--json"))

    assert report["added"] == ["adding", "other", "acme-parts"]
    assert [place.split("/")[-2] for place in report["refused"]] == ["bad"]
    assert [place.split("/")[-2] for place in report["not_read"]] == ["x"]
    assert report["left_out"] == {"adding": [".DS_Store"]}
    assert report["missing"] == {"adding": ["scripts/b.py"]}


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


@pytest.fixture
def synced(cli, tmp_path):
    """A folder and a library in step, with `filed` from the one and `kept` from the other."""
    lay(tmp_path / "skills", "filed", skill_text("filed", body="F."))
    cli("skills", "add", "--name", "kept", "--description", "How to keep", "--body", "K.")
    plan = cli("skills", "sync", tmp_path / "skills", "--dry-run")
    assert plan.splitlines() == [
        f"import  filed: new in the folder ({tmp_path}/skills/filed/SKILL.md)",
        f"write  kept: new in the store ({tmp_path}/skills/kept/SKILL.md)",
        "0 unchanged, 1 to import, 1 to write",
    ]
    assert not (tmp_path / "skills" / "kept").exists()
    done = cli("skills", "sync", tmp_path / "skills")
    assert "-> live\n" in done
    assert done.endswith("0 unchanged, 1 imported, 1 written\n")
    return tmp_path / "skills"


def test_a_sync_that_has_nothing_to_do_says_so_in_one_line(cli, synced):
    assert cli("skills", "sync", synced) == "2 unchanged\n"
    assert json.loads(cli("skills", "sync", synced, "--json")) == {
        "dry_run": False,
        "unchanged": 2,
        "steps": [],
        "refused": {},
        "not_read": {},
    }


def test_a_conflict_and_a_deletion_are_named_until_a_person_decides(cli, synced):
    (synced / "filed" / "SKILL.md").write_text(skill_text("filed", body="Changed."))
    (synced.parent / "new.md").write_text(skill_text("filed", body="Changed too."))
    cli("skills", "revise", "filed", synced.parent / "new.md")
    cli("skills", "promote", "filed")
    (synced / "kept" / "SKILL.md").unlink()
    told = CliRunner().invoke(app, ["skills", "sync", str(synced)])

    assert told.exit_code == 1
    assert (
        told.stderr
        == "error: filed: changed on both sides and left alone; decide with --prefer store or --prefer files\n"
    )
    assert told.stdout.splitlines() == [
        f"conflict  filed: changed in the store and changed in the folder ({synced}/filed/SKILL.md)",
        f"deleted  kept: deleted from the folder ({synced}/kept/SKILL.md)",
        "0 unchanged, 1 conflict, 1 deleted on one side (--delete does it on the other)",
    ]
    steps = json.loads(cli("skills", "sync", synced, "--prefer", "store", "--delete", "--json"))["steps"]
    assert [(step["name"], step["result"]) for step in steps] == [("filed", "written"), ("kept", "retired")]
    assert "2 unchanged" in cli("skills", "sync", synced) or "1 unchanged" in cli("skills", "sync", synced)


def test_what_could_not_be_written_is_a_failure(cli, synced):
    cli("skills", "add", "--name", "blocked", "--description", "D", "--body", "B.")
    (synced / "blocked").write_text("a file")

    assert cli("skills", "sync", synced, code=1).startswith("error: blocked: not done")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["FOLDER/x.md"], "is not a folder"),
        (["FOLDER", "--prefer", "me"], "use 'store' or 'files'"),
        (["FOLDER", "--names", "me"], "use 'keep' or 'adapt'"),
        (["FOLDER", "--dry-run", "--namespace", "nobody"], "no namespace 'nobody'"),
    ],
)
def test_a_wrong_sync_is_one_line(cli, synced, words, says):
    (synced / "x.md").write_text("x")
    told = cli("skills", "sync", *(word.replace("FOLDER", str(synced)) for word in words), code=1)

    assert says in told
    assert told.count("\n") == 1
