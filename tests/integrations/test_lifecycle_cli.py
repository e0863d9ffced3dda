"""The command line over a skill's life: promote, rollback, retire, export, import, dump, migrate, doctor."""

import csv
import gzip
import json

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fakes import MACHINE, skill_text
from skill_plugin import Rollout, Task
from skill_plugin.integrations.cli import app
from skill_plugin.store import SkillStore

pytestmark = pytest.mark.usefixtures("hashing")


@pytest.fixture
def opened(home):
    def run(**options):
        return SkillStore.open(home, embedder="hashing", chroma=False, **options)

    return run


@pytest.fixture
def library(opened):
    """`adding` with two versions, the first live and used; `sorting`; and a staged one by a generator."""
    with opened() as store:
        skill = store.add_text(skill_text())
        for number, reward in enumerate((1.0, 0.5)):
            rollout = Rollout(generation=0, answer="", skill=skill.ref, reward=reward, passed=reward >= 1)
            store.runs.record(Task(f"add {number}", family="sums"), [rollout], run_id=str(number))
        store.revise_text("adding", MACHINE)
        store.add_text(skill_text("sorting", "How to sort", "Sort."))
        store.add_text(skill_text("waiting", "How to wait", "Wait."), author="generator")


def listed(cli, *words):
    return [row["name"] for row in json.loads(cli("skills", "list", "--json", *words))]


def last_event(cli, name):
    event = json.loads(cli("skills", "history", name, "--json"))[-1]
    return event["kind"], event["version"], event["reason"]


def test_promote_and_rollback(cli, library):
    assert cli("skills", "promote", "adding").startswith("promoted adding version 2 (sk_")
    assert last_event(cli, "adding") == ("promoted", 2, "")
    assert "rolled back adding version 1" in cli("skills", "rollback", "adding", "--reason", "it was worse")
    assert last_event(cli, "adding") == ("rolled back", 1, "it was worse")
    rolled = json.loads(cli("skills", "rollback", "adding", "--version", "2", "--json"))
    assert (rolled["version"], rolled["status"]) == (2, "live")
    assert "live" in cli("skills", "promote", "waiting")


@pytest.mark.parametrize(("word", "status"), [("retire", "retired"), ("quarantine", "quarantined")])
def test_out_of_search_and_back_again(cli, library, word, status):
    assert f"{status} adding version 1" in cli("skills", word, "adding", "--reason", "an experiment")
    assert listed(cli, "--status", status) == ["adding"]
    assert last_event(cli, "adding") == (status, 1, "an experiment")
    assert [hit["name"] for hit in json.loads(cli("search", "add numbers", "--json"))] == []
    assert "restored adding version 1" in cli("skills", "restore", "adding")
    assert [hit["name"] for hit in json.loads(cli("search", "add numbers", "--json"))] == ["adding"]
    assert json.loads(cli("skills", word, "adding", "--json"))["status"] == status


def test_pin_and_unpin(cli, library):
    assert "pinned adding" in cli("skills", "pin", "adding")
    assert "pinned" in cli("skills", "show", "adding")
    assert json.loads(cli("skills", "unpin", "adding", "--json"))["pinned"] is False
    assert last_event(cli, "adding")[0] == "unpinned"


def test_prune_shows_first_and_then_does(cli, opened):
    with opened() as store:
        for name in ("good", "poor"):
            skill = store.add_text(skill_text(name, f"How to {name}"), author="import")
            for number in range(25):
                rollout = Rollout(
                    generation=0, answer="", skill=skill.ref, reward=float(name == "good"), passed=name == "good"
                )
                store.runs.record(Task(f"{name} {number}"), [rollout], run_id=f"{name}{number}")
    shown = json.loads(cli("skills", "prune", "--dry-run", "--capacity", "1", "--json"))

    assert {row["name"]: row["action"] for row in shown} == {"good": "keep", "poor": "retire"}
    assert "1 to retire of 2" in cli("skills", "prune", "--dry-run", "--capacity", "1")
    assert listed(cli, "--status", "live") == ["good", "poor"]
    assert json.loads(cli("skills", "prune", "--capacity", "1", "--json")) == shown
    assert listed(cli, "--status", "live") == ["good"]
    assert "retired 0 of 1" in cli("skills", "prune", "--capacity", "1")
    cli("skills", "restore", "poor")
    assert "to undo: skill-plugin skills restore NAME" in cli("skills", "prune", "--capacity", "1")


def test_history_and_diff(cli, library):
    assert [event["kind"] for event in json.loads(cli("skills", "history", "adding@2", "--json"))] == [
        "added",
        "revised",
    ]
    assert "revised" in cli("skills", "history", "adding")
    assert cli("skills", "diff", "adding", "1", "2").splitlines()[:2] == ["--- adding@1", "+++ adding@2"]
    assert cli("skills", "diff", "adding", "1", "1") == ""
    assert json.loads(cli("skills", "diff", "adding", "2", "1", "--json"))["diff"][-1] == "+Use your fingers."


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["adding", "sorting", "waiting"]),
        (["--status", "staged"], ["waiting"]),
        (["--min-utility", "0.6"], ["adding"]),
        (["--max-utility", "0.4"], []),
        (["--family", "sums"], ["adding"]),
        (["--author", "generator"], ["waiting"]),
        (["--since", "2020-01-01"], ["adding", "sorting", "waiting"]),
        (["--until", "2020-01-01"], []),
        (["--text", "FINGERS"], ["adding"]),
        (["--order-by", "name", "--descending"], ["waiting", "sorting", "adding"]),
        (["--order-by", "utility", "--limit", "1"], ["adding"]),
        (["--limit", "1", "--offset", "2"], ["waiting"]),
    ],
)
def test_list_filters(cli, library, words, expected):
    assert listed(cli, *words) == expected


def test_list_says_where_to_go_on(cli, library):
    def said(limit):
        return CliRunner().invoke(app, ["skills", "list", "--limit", limit]).stderr

    assert "2 of 3; continue with --offset 2" in said("2")
    assert "continue" not in said("3")


def test_list_writes_files(cli, library, tmp_path):
    for ending in ("json", "jsonl", "csv", "parquet"):
        path = tmp_path / f"skills.{ending}"
        assert f"wrote 2 of 2 skills to {path}" in cli("skills", "list", "--status", "live", "--output", path)

    assert [row["name"] for row in json.loads((tmp_path / "skills.json").read_text())] == ["adding", "sorting"]
    assert len((tmp_path / "skills.jsonl").read_text().splitlines()) == 2
    assert pq.read_table(tmp_path / "skills.parquet").column("uses").to_pylist() == [2, 0]
    with (tmp_path / "skills.csv").open(newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == [
            skill_text(),
            skill_text("sorting", "How to sort", "Sort."),
        ]


def test_export_and_import_between_homes(cli, library, tmp_path):
    assert "exported 2 skills" in cli("skills", "export", tmp_path / "out.zip")
    imported = json.loads(cli("skills", "import", tmp_path / "out.zip", "--home", tmp_path / "other", "--json"))
    assert (imported["added"], imported["refused"]) == (["adding", "sorting"], {})
    there = json.loads(cli("skills", "list", "--home", tmp_path / "other", "--json"))
    here = json.loads(cli("skills", "list", "--status", "live", "--json"))
    assert [row["name"] for row in there] == [row["name"] for row in here]
    assert {row["uses"] for row in there} == {0}  # its record was signed by another store
    assert "already there" in cli("skills", "import", tmp_path / "out.zip", "--home", tmp_path / "other")
    cli("skills", "import", tmp_path / "out.zip", "--home", tmp_path / "fresh", "--fresh")
    assert {row["uses"] for row in json.loads(cli("skills", "list", "--home", tmp_path / "fresh", "--json"))} == {0}
    exported = json.loads(cli("skills", "export", tmp_path / "one", "sorting", "--json"))
    assert len(exported["skills"]) == 1
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["sorting"]


def test_a_whole_store_moves_in_one_file(cli, library, tmp_path):
    file = tmp_path / "store.jsonl.gz"
    counts = json.loads(cli("export", file, "--json"))
    assert counts["skillp_skill"] == 3
    assert json.loads(cli("import", file, "--keep-tiers", "--home", tmp_path / "other", "--json")) == counts
    assert json.loads(cli("import", file, "--home", tmp_path / "other", "--json")) == {}
    assert "imported from" in cli("import", file, "--home", tmp_path / "other")
    for words in (
        ["skills", "list", "--json"],
        ["skills", "show", "adding", "--json"],
        ["skills", "history", "adding", "--json"],
    ):
        assert cli(*words, "--home", tmp_path / "other") == cli(*words)
    assert "WRONG" not in cli("doctor", "--home", tmp_path / "other")


def test_every_namespace_or_only_one(cli, library, tmp_path):
    cli("skills", "add", "--namespace", "tenant", "--name", "a", "--description", "d", "--body", "b")

    assert json.loads(cli("export", tmp_path / "one.gz", "--json"))["skillp_namespace"] == 1
    assert json.loads(cli("export", tmp_path / "all.gz", "--all", "--json"))["skillp_namespace"] == 2
    assert json.loads(cli("export", tmp_path / "tenant.gz", "--namespace", "tenant", "--json"))["skillp_skill"] == 1


def test_migrate_to_another_database(cli, library, tmp_path):
    url = f"sqlite:///{tmp_path}/moved/skills.db"
    assert "has schema" in cli("migrate")
    assert json.loads(cli("migrate", "--json"))["copied"] == {}
    assert json.loads(cli("migrate", "--to", url, "--json"))["copied"]["skillp_skill"] == 3
    assert json.loads(cli("migrate", "--to", url, "--json"))["copied"] == {}
    assert "copied" in cli("migrate", "--to", url)
    assert cli("skills", "list", "--json", "--database", url) == cli("skills", "list", "--json")
    assert "WRONG" not in cli("doctor", "--database", url)


def test_doctor_names_what_is_wrong(cli, library, opened):
    assert all(check["ok"] for check in json.loads(cli("doctor", "--json")))
    with opened() as store, store.database.write() as session:
        session.connection().exec_driver_sql("DELETE FROM skillp_embedding")
    result = CliRunner().invoke(app, ["doctor", "--json"])

    assert result.exit_code == 1
    assert "vectors" in [check["name"] for check in json.loads(result.stdout) if not check["ok"]]


WRONG = [
    (["skills", "promote", "addin"], "did you mean 'adding'"),
    (["skills", "promote", "adding@9"], "no version 9"),
    (["skills", "promote", "adding@0"], "no version 0"),
    (["skills", "promote", "adding@99999999999999999999"], "no version"),
    (["skills", "rollback", "sorting"], "no parent to go back to"),
    (["skills", "rollback", "adding", "--version", "7"], "no version 7"),
    (["skills", "rollback", "adding", "--version", "0"], "no version 0"),
    (["skills", "rollback", "adding", "--version", "-1"], "no version -1"),
    (["skills", "retire", "nobody"], "no skill 'nobody'"),
    (["skills", "restore", "nobody"], "no skill 'nobody'"),
    (["skills", "quarantine", ""], "no skill ''"),
    (["skills", "pin", "nobody"], "no skill 'nobody'"),
    (["skills", "unpin", "nobody"], "no skill 'nobody'"),
    (["skills", "prune", "--capacity", "-1"], "capacity is -1"),
    (["skills", "history", "nobody"], "no skill 'nobody'"),
    (["skills", "diff", "adding", "1", "9"], "no version 9"),
    (["skills", "diff", "adding", "0"], "no version 0"),
    (["skills", "diff", "adding", "1", "0"], "no version 0"),
    (["skills", "diff", "sorting"], "no parent to compare with"),
    (["skills", "list", "--status", "dead"], "is not a status"),
    (["skills", "list", "--author", "me"], "is not an author"),
    (["skills", "list", "--order-by", "price"], "cannot order by"),
    (["skills", "list", "--since", "soon"], "give a date"),
    (["skills", "list", "--limit", "0"], "1 to 1000"),
    (["skills", "list", "--offset", "-1"], "from offset 0"),
    (["skills", "list", "--min-utility", "nan"], "give numbers"),
    (["skills", "list", "--output", "x.xlsx"], "no known ending"),
    (["skills", "list", "--output", "/nowhere/x.csv"], "cannot be written"),
    (["skills", "import", "/nowhere"], "cannot be read"),
    (["skills", "import", "BAD"], "cannot be read"),
    (["skills", "export", "BAD/out"], "cannot be written"),
    (["skills", "export", "BAD/out", "nobody"], "no skill 'nobody'"),
    (["export", "BAD"], "exists; choose another name"),
    (["export", "/nowhere/x.gz"], "cannot be written"),
    (["export", "NEW", "--namespace", "nobody"], "no namespace 'nobody'"),
    (["import", "/nowhere.gz"], "cannot be read"),
    (["import", "BAD"], "cannot be read"),
    (["import", "FOREIGN"], "not a dump of a store"),
    (["migrate", "--to", "nonsense"], "not a SQL URL"),
    (["migrate", "--to", "sqlite://"], "in memory"),
    (["migrate", "--to", "mysql://x/y"], "error: "),
    (["doctor", "--namespace", "nobody"], "no namespace 'nobody'"),
]


@pytest.mark.parametrize(("words", "says"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_wrong_input_is_one_line_and_changes_nothing(cli, library, opened, tmp_path, words, says):
    places = {"BAD": tmp_path / "bad.zip", "NEW": tmp_path / "new.gz", "FOREIGN": tmp_path / "foreign.gz"}
    places["BAD"].write_bytes(b"no archive")
    with gzip.open(places["FOREIGN"], "wt") as file:
        file.write("{}\n")
    with opened() as store:
        before = (store.list(), [store.history(name) for name in ("adding", "sorting", "waiting")])
    given = [
        str(places[word.split("/")[0]]) + word[len(word.split("/")[0]) :] if word.split("/")[0] in places else word
        for word in words
    ]
    result = CliRunner().invoke(app, given)

    assert result.exit_code == 1, result.output
    assert says in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    assert "SKILL_PLUGIN_DEBUG" not in result.stderr
    with opened() as store:
        assert (store.list(), [store.history(name) for name in ("adding", "sorting", "waiting")]) == before


@pytest.mark.parametrize(
    "words",
    [["skills", "promote", "x"], ["skills", "prune"], ["skills", "export", "out"], ["export", "out.gz"], ["migrate"]],
)
def test_a_home_that_is_not_there_is_not_made(cli, home, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert "no store at" in cli(*words, code=1)
    assert not home.exists()
    assert not (tmp_path / "out").exists()


def test_erase_wants_the_name_again_and_leaves_nothing(cli, library):
    assert "nothing was erased" in cli("erase", "--confirm", "defualt", code=1)
    assert "Missing option" in cli("erase", code=2)
    assert json.loads(cli("erase", "--confirm", "default", "--json"))["skillp_skill"] == 3
    assert "no namespace 'default'" in cli("skills", "list", code=1)


def test_the_capacity_is_a_setting(cli, library, monkeypatch):
    monkeypatch.setenv("SKILL_PLUGIN_CAPACITY", "2")

    assert "its capacity is 2" in cli("skills", "promote", "waiting", code=1)
