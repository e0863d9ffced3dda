"""`skill-plugin histories import | export | stats`."""

import json

import pytest

from recorded import SQL, TAU, TRIALS, sql, write

pytestmark = pytest.mark.usefixtures("hashing")


@pytest.fixture
def log(tmp_path):
    def made(rows, name="log.jsonl"):
        return write(tmp_path / name, rows)

    return made


def test_import_says_what_came_of_every_row(cli, log):
    path = log([*SQL, "{broken", sql(9, 7)], "sql.jsonl.gz")

    assert json.loads(cli("histories", "import", "episodes", path, "--json")) == {
        "read": 6,
        "imported": 3,
        "already_there": 0,
        "refused": {"no step": 1, "broken JSON": 1, "reward is not a number from 0 to 1": 1},
        "mean_reward": {"multi_gpt-4": 0.5 / 3, "other": 1.0},
        "notes": {"the episode's reward is not its last step's": 2},
    }
    again = cli("histories", "import", "auto", path)
    for words in ("already there", "refused: broken JSON", "multi_gpt-4", "0.167", "last step's: 2"):
        assert words in again


def test_import_keeps_namespaces_and_families_apart(cli, log):
    path = log(TRIALS)
    cli("histories", "import", "trials", path, "--family", "alfworld", "--namespace", "tenant")

    assert (
        json.loads(cli("histories", "stats", "--namespace", "tenant", "--family", "alfworld", "--json"))["rollouts"]
        == 5
    )
    assert "there is no namespace 'default'" in cli("histories", "stats", code=1)


def test_export_and_import_again_by_the_command_line(cli, log, tmp_path):
    cli("histories", "import", "messages", log(TAU))
    told = cli("histories", "export", tmp_path / "out.parquet")
    counts = json.loads(cli("histories", "export", tmp_path / "out.jsonl", "--since", "2020-01-01", "--json"))

    assert "exported 0 revisions and 4 rollouts" in told
    assert counts == {"path": str(tmp_path / "out.jsonl"), "rows": 4, "revisions": 0, "rollouts": 4}
    for name in ("out.parquet", "out.jsonl"):
        report = json.loads(cli("histories", "import", "auto", tmp_path / name, "--namespace", name, "--json"))
        assert (report["imported"], report["mean_reward"]) == (4, {"gpt-4o": 0.5})


def test_stats_for_a_person(cli, log):
    cli("histories", "import", "trials", log(TRIALS))
    told = cli("histories", "stats", "--base-model", "qwen", "--max-age", "2")

    for words in (
        "rollouts, imported",
        "reward by purpose",
        "reward by generation",
        "compared by siblings",
        "would use",
    ):
        assert words in told
    assert "refuses: imported without token ids or log-probs" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["import", "tau", "LOG"],
            "'tau' is not a format of histories; use one of messages, langsmith, episodes, trials",
        ),
        (["import", "auto", "nowhere.jsonl"], "there is no file 'nowhere.jsonl'"),
        (["import", "auto", "EMPTY"], "is empty"),
        (["import", "auto", "FOLDER"], "holds no file that ends in .jsonl, .ndjson, .json, .parquet"),
        (["import", "trials", "LOG"], "is not in the format 'trials': its first rows look like messages"),
        (["export", "out.csv"], "no store at"),
        (["stats"], "no store at"),
    ],
)
def test_bad_input_is_one_line_and_makes_no_store(cli, log, tmp_path, home, words, message):
    (tmp_path / "folder").mkdir()
    places = {"LOG": log(TAU), "EMPTY": log([], "empty.jsonl"), "FOLDER": tmp_path / "folder"}
    said = cli("histories", *(places.get(word, word) for word in words), code=1)

    assert message in said
    assert said.strip().count("\n") == 0
    assert not home.exists()


def test_a_bad_place_or_filter_for_an_export_is_one_line(cli, log, tmp_path):
    cli("histories", "import", "messages", log(TAU))

    assert "use one of .jsonl, .jsonl.gz, .parquet" in cli("histories", "export", tmp_path / "out.csv", code=1)
    assert "since is 'soon'" in cli("histories", "export", tmp_path / "out.jsonl", "--since", "soon", code=1)
    assert "there is no checkpoint 'c1'" in cli("histories", "stats", "--checkpoint", "c1", code=1)
