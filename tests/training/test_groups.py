"""Candidate groups on disk: what was written comes back, and what was damaged is said."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skill_plugin.errors import InvalidHistoryError
from skill_plugin.training.data.groups import LINES, OFFSETS, Candidate, Group, Groups, GroupWriter

ids = st.lists(st.integers(0, 2**31), min_size=1, max_size=5).map(tuple)
numbers = st.lists(st.floats(-50, 0), max_size=5).map(tuple)
candidates = st.builds(
    Candidate,
    number=st.integers(0, 9),
    completion_token_ids=ids,
    logprobs=numbers,
    rewards=numbers,
    pull=st.floats(0, 2),
    push=st.floats(-2, 0),
    checkpoint=st.none() | st.text(max_size=5),
    well_formed=st.booleans(),
    reward=st.none() | st.floats(-1, 2),
    gain=st.none() | st.floats(-2, 2),
)
some_groups = st.builds(
    Group,
    id=st.text(max_size=5),
    task=st.text(max_size=5),
    family=st.text(max_size=5),
    generation=st.integers(1, 9),
    prompt_token_ids=ids,
    temperature=st.floats(0.1, 2),
    candidates=st.lists(candidates, max_size=3).map(tuple),
    previous_rewards=numbers,
    siblings=st.lists(st.text(max_size=5), max_size=2).map(tuple),
)


def group(number):
    tokens = tuple(range(number + 1))
    one = Candidate(
        number=0,
        completion_token_ids=tokens,
        logprobs=(-0.5,) * len(tokens),
        rewards=(1.0, 0.0),
        pull=0.5,
        push=0.0,
    )
    return Group(
        id=f"g{number}",
        task="t\n漢",
        family="f",
        generation=1,
        prompt_token_ids=(1, 2),
        temperature=1.0,
        candidates=(one, one),
    )


def written(folder, count):
    with GroupWriter(folder) as writer:
        for number in range(count):
            writer.add(group(number))
    return folder


@given(st.lists(some_groups, max_size=4))
def test_what_was_written_comes_back(made):
    with tempfile.TemporaryDirectory() as folder:
        with GroupWriter(Path(folder, "new")) as writer:
            for one in made:
                writer.add(one)

        assert list(Groups(Path(folder, "new"))) == made


def test_groups_are_read_in_any_order(tmp_path):
    found = Groups(written(tmp_path, 5))

    assert len(found) == 5
    assert [found[place] for place in (3, 0, -1)] == [group(3), group(0), group(4)]
    assert found[2].completion_tokens == 6
    with pytest.raises(IndexError):
        found[5]


def test_a_line_is_plain_json(tmp_path):
    lines = (written(tmp_path, 2) / LINES).read_text(encoding="utf-8").splitlines()

    assert [json.loads(line)["id"] for line in lines] == ["g0", "g1"]
    assert json.loads(lines[0]) == json.loads(json.dumps(group(0).to_json()))


def test_the_same_groups_have_the_same_hash(tmp_path):
    one, other, more = (
        Groups(written(tmp_path / name, count)) for name, count in (("a", 3), ("b", 3), ("c", 4))
    )  # fmt: skip

    assert one.sha256 == other.sha256 != more.sha256


def test_no_groups_are_groups_too(tmp_path):
    assert list(Groups(written(tmp_path, 0))) == []


def test_a_number_that_is_none_is_not_written(tmp_path):
    with GroupWriter(tmp_path) as writer, pytest.raises(ValueError, match="Out of range"):
        writer.add(Group.from_json(group(1).to_json() | {"temperature": float("nan")}))

    assert list(Groups(tmp_path)) == []


def test_a_folder_without_groups_is_said(tmp_path):
    with pytest.raises(InvalidHistoryError, match=r"holds no groups \(No such file or directory\); build them again"):
        Groups(tmp_path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (OFFSETS, lambda old: old[:-3]),
        (OFFSETS, lambda old: b""),
        (LINES, lambda old: old[:30]),
        (LINES, lambda old: b""),
    ],
    ids=["offsets cut", "no offsets", "lines cut", "no lines"],
)
def test_files_that_do_not_fit_are_refused(tmp_path, name, change):
    file = written(tmp_path, 2) / name
    file.write_bytes(change(file.read_bytes()))

    with pytest.raises(InvalidHistoryError, match=r"build (them|its groups) again"):
        Groups(tmp_path)


def test_a_damaged_line_is_named_when_it_is_come_to(tmp_path):
    file = written(tmp_path, 3) / LINES
    file.write_bytes(file.read_bytes()[:-40])
    found = Groups(tmp_path)

    assert found[1] == group(1)
    with pytest.raises(InvalidHistoryError, match=r"group 2 of .* is damaged; build them again"):
        found[2]
