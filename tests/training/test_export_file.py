"""Files of histories: the columns that are asked for, and why a file cannot be used."""

import json
import sys
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exported import PLAIN, build, later, row, texts
from skill_plugin.errors import InvalidHistoryError, MissingExtraError
from skill_plugin.histories import columns
from skill_plugin.training.data.export_file import NEEDED, read_rows


def test_a_file_gives_the_columns_that_are_asked_for(tmp_path):
    path = texts(
        tmp_path / "a.jsonl", f"{json.dumps(row() | {'text': 'long'})}\n\n{json.dumps(row(1) | {'text': ''})}\n"
    )

    assert list(read_rows(path)) == [row(), row(1)]
    assert list(read_rows(path, ["text"])) == [{"text": "long"}, {"text": ""}]
    assert set(NEEDED) == set(row())


def test_rows_of_the_first_format_go_by_their_own_task(tmp_path):
    new = [row(0), row(1, (1.0,))]
    old = [{key: value for key, value in one.items() if key != "later"} | {"format": columns.FIRST} for one in new]
    path = texts(tmp_path / "old.jsonl", "".join(f"{json.dumps(one)}\n" for one in old))
    pq.write_table(
        pa.Table.from_pylist([{**one, "sampling": json.dumps(PLAIN)} for one in old]), tmp_path / "old.parquet"
    )
    wanted, _ = build(tmp_path / "new", new)

    for number, rows in enumerate((old, read_rows(path), read_rows(tmp_path / "old.parquet"))):
        groups, report = build(tmp_path / str(number), rows)
        assert (groups, report.groups_by_own_task) == (wanted, 1)


def test_batches_of_parquet_fit_together(tmp_path):
    """Lists of all lengths, none and null, over several batches of one row group."""
    empty = dict.fromkeys((*columns.TEXTS, *columns.WHOLE, *columns.LISTS, *columns.AS_JSON))
    many = [
        empty | row(n, (0.5,) * (n % 3), later=[later("a", 1.0, 0.0, used=0.5)] * (n % 2), created_at=datetime(2026, 1, 1, n % 24, tzinfo=UTC), rollouts=[])
        | {"prompt_token_ids": [*range(n % 7)], "logprobs": None if n % 110 == 109 else [-n / 3] * (n % 5)}
        for n in range(450)
    ]  # fmt: skip
    columns.write(tmp_path / "a.parquet", many)

    assert list(read_rows(tmp_path / "a.parquet")) == [{name: one[name] for name in NEEDED} for one in many]


def test_gzip_is_told_from_its_bytes(tmp_path):
    gzipped = texts(tmp_path / "a.jsonl.gz", f"{json.dumps(row())}\n")
    plain = texts(tmp_path / "a.jsonl", f"{json.dumps(row())}\n")
    gzipped.rename(tmp_path / "b.jsonl")
    plain.rename(tmp_path / "b.jsonl.gz")

    assert list(read_rows(tmp_path / "b.jsonl")) == list(read_rows(tmp_path / "b.jsonl.gz")) == [row()]


def test_a_file_that_cannot_be_used_is_said_at_once(tmp_path):
    other = json.dumps(row() | {"format": "skill-plugin histories 3"})
    table = pa.table({"a": [1]})
    pq.write_table(table, tmp_path / "other.parquet")
    pq.write_table(pa.Table.from_pylist([row()]).drop(["rewards"]), tmp_path / "less.parquet")
    pq.write_table(pa.Table.from_pylist([row()]).drop(["later"]), tmp_path / "later.parquet")
    less = {key: value for key, value in row().items() if key != "rewards"}
    for path, message in (
        (tmp_path / "none.jsonl", r"none.jsonl' is not there; give a file that `skill-plugin histories export` wrote"),
        (tmp_path, "is a folder; give a file"),
        (texts(tmp_path / "a.csv", "a,b"), r"'a.csv' has no known ending \(.jsonl, .jsonl.gz, .parquet\)"),
        (texts(tmp_path / "empty.jsonl", ""), "is empty; give a file"),
        (texts(tmp_path / "empty.jsonl.gz", ""), "is empty; give a file"),
        (texts(tmp_path / "a.jsonl", '{"task_id": 1}\n'), "a.jsonl:1 is not a row that histories export wrote"),
        (texts(tmp_path / "b.jsonl", "[1]\n"), "b.jsonl:1 is not a row that histories export wrote"),
        (texts(tmp_path / "c.jsonl", "{\n"), "c.jsonl:1 is broken JSON"),
        (texts(tmp_path / "d.jsonl", other), "d.jsonl:1 is in the format 'skill-plugin histories 3', and this release"),
        (texts(tmp_path / "e.jsonl", json.dumps(less)), "e.jsonl:1 has no 'rewards'"),
        (tmp_path / "other.parquet", "other.parquet' has no column 'format'"),
        (tmp_path / "less.parquet", "less.parquet' has no column 'rewards'"),
        (tmp_path / "later.parquet", "later.parquet' has no column 'later'"),
        (texts(tmp_path / "f.parquet", "no Parquet"), "f.parquet' is damaged after row 0"),
    ):
        with pytest.raises(InvalidHistoryError, match=message):
            read_rows(path)


def test_a_file_that_ends_early_is_said_when_it_does(tmp_path):
    many = "".join(f"{json.dumps(row(number))}\n" for number in range(2000))
    path = texts(tmp_path / "a.jsonl.gz", many)
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(InvalidHistoryError, match=r"a.jsonl.gz' is damaged or ends early; export it again"):
        list(read_rows(path))


def test_parquet_without_its_package_names_the_extra(histories, tmp_path, monkeypatch):
    histories.histories.export_to(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(MissingExtraError, match="skill-plugin\\[parquet\\]"):
        read_rows(tmp_path / "a.parquet")
