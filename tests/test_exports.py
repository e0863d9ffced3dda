"""Rows as files: what is written is what a reader of that format gets."""

import csv
import json
from dataclasses import asdict
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from fakes import skill_text
from skill_plugin import Rollout, Task
from skill_plugin.errors import ConfigurationError
from skill_plugin.exports import FORMATS, write_rows

MOMENT = datetime(2026, 11, 20, 8, 30, 0, 123456, tzinfo=UTC)
ROWS = [
    {"name": "a", "uses": 3, "utility": 1 / 3, "pinned": True, "at": MOMENT, "text": 'é, "漢"\r\n\tline; 🙂', "evidence": {"b": [1, None]}},
    {"name": "b", "uses": 0, "utility": None, "pinned": False, "at": MOMENT, "text": "", "evidence": {}},
]  # fmt: skip
PLAIN = [row | {"at": MOMENT.isoformat()} for row in ROWS]


@pytest.fixture
def write(tmp_path):
    def run(ending, rows=ROWS):
        path = tmp_path / f"rows{ending}"
        write_rows(path, rows)
        return path

    return run


def test_json_is_one_list(write):
    assert json.loads(write(".json").read_text(encoding="utf-8")) == PLAIN


def test_jsonl_is_a_line_a_row(write):
    lines = write(".jsonl").read_text(encoding="utf-8").split("\n")

    assert [json.loads(line) for line in lines[:-1]] == PLAIN
    assert lines[-1] == ""


def test_csv_is_read_back_as_text(write):
    with write(".csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert [row["text"] for row in rows] == [row["text"] for row in ROWS]
    assert [row["utility"] for row in rows] == [repr(1 / 3), ""]
    assert [json.loads(row["evidence"]) for row in rows] == [row["evidence"] for row in ROWS]
    assert datetime.fromisoformat(rows[0]["at"]) == MOMENT
    assert list(rows[0]) == list(ROWS[0])


def test_parquet_keeps_types(write):
    table = pq.read_table(write(".parquet"))
    rows = table.to_pylist()

    assert [row | {"evidence": json.loads(row["evidence"])} for row in rows] == ROWS
    assert str(table.schema.field("uses").type) == "int64"
    assert str(table.schema.field("at").type).startswith("timestamp")


def test_the_skills_of_a_store_go_through_every_format(store, skill, write):
    store.add_text(skill_text("unused"))
    rollout = Rollout(generation=0, answer="", skill=skill.ref, reward=0.3, passed=False)
    store.runs.record(Task("x"), [rollout], run_id="r")
    rows = [asdict(found) for found in store.query()]

    assert [row["text"] for row in json.loads(write(".json", rows).read_text())] == [row["text"] for row in rows]
    assert pq.read_table(write(".parquet", rows)).to_pylist() == [row | {"files": "[]"} for row in rows]
    with write(".csv", rows).open(newline="") as file:
        assert [row["utility"] for row in csv.DictReader(file)] == ["0.3", ""]


def test_no_rows_are_an_empty_file_of_the_format(write):
    assert json.loads(write(".json", []).read_text()) == []
    assert write(".jsonl", []).read_text() == ""
    assert pq.read_table(write(".parquet", [])).num_rows == 0
    with write(".csv", []).open(newline="") as file:
        assert list(csv.DictReader(file)) == []


@pytest.mark.parametrize("ending", FORMATS)
def test_writing_again_replaces_the_file(write, ending):
    before = write(ending, ROWS).read_bytes()
    write(ending, ROWS[:1])

    assert write(ending, ROWS).read_bytes() == before


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "rows.JSON", "json", ".csv"])
def test_a_wrong_ending_lists_the_known_ones_and_writes_nothing(tmp_path, name):
    with pytest.raises(ConfigurationError, match=r"has no known ending; use one of \.json, \.jsonl, \.csv, \.parquet"):
        write_rows(tmp_path / name, ROWS)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("place", ["nowhere/rows", "folder"])
def test_a_place_that_cannot_be_written_is_one_line_with_its_reason(tmp_path, ending, place):
    tmp_path.joinpath(f"folder{ending}").mkdir()

    with pytest.raises(ConfigurationError, match=r"cannot be written: (No such file|Is a directory)") as caught:
        write_rows(tmp_path / f"{place}{ending}", ROWS)
    assert "\n" not in str(caught.value)
