"""Reading recorded runs: files of any shape, and runs that nobody judged."""

import gzip
import json

import pytest

import recorded
from recorded import BY_FORMAT, sql, tau, write
from skill_plugin.errors import ConfigurationError, InvalidHistoryError
from skill_plugin.histories import Episode, Refusal, files, read


def test_objects_over_many_lines_one_after_the_other(tmp_path):
    path = tmp_path / "many.log"
    whole = "\n".join(json.dumps(tau(trial, 1), indent=4) for trial in range(3))
    path.write_text(whole, encoding="utf-8")
    assert [one.where for one in read("auto", path)] == ["many.log:1", "many.log:2", "many.log:3"]

    path.write_text(f"{whole[:-20]}", encoding="utf-8")
    assert [type(one) for one in read("auto", path)] == [Episode, Episode, Refusal]


def test_runs_without_a_reward_are_read_where_that_is_wanted(tmp_path):
    rows = [{**row, "reward": None} for row in (tau(0, 1), sql(0, 1), {"query": "1 + 1?", "output": "2"})]
    for row in rows:
        path = write(tmp_path / "log.jsonl", [row])
        assert [one.reason for one in read("auto", path)] == ["no reward"]
        [episode] = read("auto", path, judged=False)
        [attempt] = episode.rollouts
        assert (attempt.rollout.reward, attempt.rollout.passed, episode.notes) == (None, None, ())
    path = write(tmp_path / "log.jsonl", [tau(0, 7)])
    assert [one.reason for one in read("auto", path, judged=False)] == ["reward is not a number from 0 to 1"]


def test_lines_that_cannot_be_read_are_refused_and_the_rest_is_read(told, tmp_path):
    deep = "[" * 100_000
    rows = [sql(0, 1), '{"broken": ', "[1]", '"text"', "", "null", f'{{"a": {deep}', sql(1, 1)]
    episodes, refused, _ = told(rows)

    assert len(episodes) == 2
    assert refused == [
        ("broken JSON", "2"), ("no JSON object", "3"), ("no JSON object", "4"), ("no JSON object", "6"), ("broken JSON", "7")
    ]  # fmt: skip
    path = tmp_path / "bytes.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + recorded.lines([sql(0, 1)]).encode() + b'{"query": "\xff"}\n')
    assert [type(one).__name__ for one in read("episodes", path)] == ["Episode", "Refusal"]


def test_a_file_that_ends_early_keeps_what_it_has(told, tmp_path):
    whole = gzip.compress(recorded.lines(sql(number, 1) for number in range(2000)).encode())
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    *episodes, last = read("auto", path)

    assert len(episodes) > 100
    assert last.reason == "the file is damaged or ends early"


@pytest.mark.parametrize("indent", [None, 2])
def test_json_lists_are_read_like_lines(told, tmp_path, indent):
    path = tmp_path / "log.json"
    path.write_text(json.dumps([sql(number, 1) for number in range(300)], indent=indent), encoding="utf-8")
    lines = told([sql(number, 1) for number in range(300)])[0]
    listed = list(read("auto", path))

    assert [(one.task, one.run_id) for one in listed] == [(one.task, one.run_id) for one in lines]
    path.write_text(path.read_text(encoding="utf-8")[:-200], encoding="utf-8")
    *episodes, last = read("auto", path)
    assert (len(episodes), last.reason) == (299, "broken JSON")


def test_one_object_over_many_lines(tmp_path):
    path = tmp_path / "one.json"
    path.write_text(json.dumps(tau(0, 1), indent=1), encoding="utf-8")

    assert [one.where for one in read("auto", path)] == ["one.json:1"]
    path.write_text(recorded.lines([sql(0, 1), sql(1, 1)]), encoding="utf-8")
    assert len(list(read("auto", path))) == 2


@pytest.mark.parametrize("kind", BY_FORMAT)
def test_a_format_is_told_from_its_first_rows(told, kind):
    rows = BY_FORMAT[kind]

    assert told(rows, "auto") == told(rows, kind)


def test_what_cannot_be_read_at_all_says_so_in_one_line(told, tmp_path):
    empty = write(tmp_path / "empty.jsonl", [])
    (tmp_path / "folder").mkdir()
    mixed = write(tmp_path / "mixed.jsonl", [sql(0, 1), tau(0, 1)])
    strange = write(tmp_path / "strange.jsonl", [{"a": 1, "b": 2}])
    words = write(tmp_path / "words.jsonl", ["hello"])
    cases = [
        (
            "tau",
            mixed,
            ConfigurationError,
            "'tau' is not a format of histories; use one of messages, langsmith, episodes",
        ),
        ("auto", tmp_path / "no.jsonl", InvalidHistoryError, "there is no file"),
        ("auto", empty, InvalidHistoryError, "is empty"),
        ("auto", tmp_path / "folder", InvalidHistoryError, "holds no file that ends in .jsonl"),
        ("auto", mixed, InvalidHistoryError, "look like messages and episodes; name the format"),
        ("auto", strange, InvalidHistoryError, "first row has the keys a, b; formats are messages"),
        ("trials", mixed, InvalidHistoryError, "is not in the format 'trials': its first rows look like messages and"),
        ("episodes", words, InvalidHistoryError, "its first row is broken JSON"),
    ]
    for kind, path, error, message in cases:
        with pytest.raises(error, match=message) as caught:
            read(kind, path)
        assert "\n" not in str(caught.value)


def test_a_folder_is_read_file_by_file_and_progress_is_told(tmp_path):
    for name in ("b10.jsonl", "b9.jsonl.gz", "sub/c.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, [sql(0, 1, run=None)])
    (tmp_path / "notes.txt").write_text("not read", encoding="utf-8")
    told = []
    found = list(read("auto", tmp_path, tell=told.append))

    assert [one.run for one in found] == ["gpt-4"] * 3
    assert [one.where for one in found] == ["b9.jsonl.gz:1", "b10.jsonl:1", "c.json:1"]
    assert 0 < sum(told) <= sum(file.stat().st_size for file in files.files(tmp_path))
