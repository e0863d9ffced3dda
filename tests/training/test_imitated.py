"""Texts of any generator as pairs to imitate: which are accepted, from a store and its export, and a night of them alone."""

import json

import pytest

from exported import build, row
from lineages import lineage, written
from skill_plugin.training.__main__ import main
from skill_plugin.training.data.export_file import IMITATED, NEEDED, read_rows
from skill_plugin.training.data.imitated import cold_start
from skill_plugin.training.files.manifest import read_json
from tiny_models import tiny_model

ASKED = ({"role": "system", "content": "Write a skill."}, {"role": "user", "content": "Add."})


def by_teacher(number, **fields):
    """A text of a chat model behind an API: no token ids, no log-probs."""
    none = {"prompt_token_ids": None, "completion_token_ids": None, "logprobs": None, "sampling": {}}
    return written(number, **{"model": "gpt-5", "prompt": ASKED, **none, **fields})


def pair_row(candidate=0, rewards=(1.0,), **fields):
    return row(candidate, rewards, prompt=list(ASKED), completion="---\nname: a\n---\n", **fields)


def pairs(folder):
    lines = (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def taught(store, skill):
    """Of the teacher: a text that beat its parent, one that did not but went live, one that did neither, one of a held-out task."""
    lineage(store, 0, [by_teacher(0), by_teacher(1), by_teacher(2)], [(1.0,), (0.0,), (0.5,)])
    store.promote("adding", 3)
    lineage(store, 1, [by_teacher(3)], [(1.0,)], split="heldout")
    lineage(store, 2, [by_teacher(4, text=None, error="no front matter")], [])
    return store


@pytest.mark.both_backends
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_a_store_and_its_export_give_the_same_pairs_of_any_generator(taught, tmp_path, ending):
    taught.histories.export_to(tmp_path / f"all{ending}")
    _, here = build(tmp_path / "a", taught.histories.rows(), imitate=True)
    _, there = build(tmp_path / "b", read_rows(tmp_path / f"all{ending}", (*NEEDED, *IMITATED)), imitate=True)

    assert here == there
    assert pairs(tmp_path / "a") == pairs(tmp_path / "b")
    assert [pair["completion"] for pair in pairs(tmp_path / "a")] == [
        written(number).completion.strip() for number in (0, 1)
    ]
    assert pairs(tmp_path / "a")[0]["messages"] == list(ASKED)
    assert (here.groups, here.imitable) == (0, 2)
    assert here.not_imitated == {"did not beat what it revised": 1, "heldout task": 1, "malformed": 1}


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        (None, {}),
        (None, {"source": "log", "base_model": None, "prompt_token_ids": None, "logprobs": None}),
        (None, {"previous_rewards": [], "rewards": [0.5]}),
        (None, {"rewards": [], "went_live": True}),
        ("did not beat what it revised", {"previous_rewards": [1.0]}),
        ("did not beat what it revised", {"previous_rewards": [], "rewards": [0.4]}),
        ("did not beat what it revised", {"rewards": []}),
        ("heldout task", {"split": "heldout", "went_live": True}),
        ("malformed", {"error": "cut off", "went_live": True}),
        ("no prompt or no text was recorded", {"prompt": None}),
        ("no prompt or no text was recorded", {"completion": None}),
    ],
)
def test_what_is_accepted(tmp_path, reason, change):
    _, report = build(tmp_path, [pair_row() | change], imitate=True)

    assert (report.imitable, report.not_imitated) == ((1, {}) if reason is None else (0, {reason: 1}))


def test_a_pair_is_learned_once_and_never_of_a_task_that_is_held_back(tmp_path):
    rows = [pair_row(number, group=f"g{group}") for group in range(30) for number in (0, 1)]
    _, report = build(tmp_path, rows, imitate=True)
    assert (report.imitable, report.not_imitated) == (1, {"twice": 59})

    rows = [one | {"completion": f"---\nname: {one['group_id']}\n---\n"} for one in rows[::2]]
    _, report = build(tmp_path, rows, imitate=True, validation_share=0.5)
    assert report.not_imitated == {"held back": report.validation_groups}
    assert len(pairs(tmp_path)) == report.imitable == 30 - report.validation_groups


def test_thinking_and_talk_around_a_text_are_not_learned(tmp_path):
    said = "<think>Which?</think>Here it is:\n```markdown\n---\nname: a\n---\nAdd.\n```\nDone."
    build(tmp_path, [pair_row() | {"completion": said}], imitate=True)

    assert pairs(tmp_path)[0]["completion"] == "---\nname: a\n---\nAdd."


def test_without_being_asked_for_none_are_written_and_old_ones_are_gone(tmp_path):
    build(tmp_path, [pair_row()], imitate=True)
    _, report = build(tmp_path, [pair_row()])

    assert (report.imitable, report.pairs_sha256) == (1, None)
    assert not (tmp_path / "pairs.jsonl").exists()


def test_a_night_of_pairs_alone_trains_from_an_export(taught, tmp_path, capsys):
    base = tiny_model(tmp_path / "base")
    for number in range(10, 22):  # some are of tasks that are held back
        lineage(taught, number, [by_teacher(number)], [(1.0,)])
    taught.histories.export_to(tmp_path / "all.jsonl")
    told = ("--histories", str(tmp_path / "all.jsonl"), "--base-model", str(base), "--logged-as", "qwen")

    assert main([str(tmp_path / "own"), *told]) == 1
    said = capsys.readouterr().err
    assert "has no group to learn from" in said
    assert main([str(tmp_path / "any"), *told, "--sft-epochs", "1", "--sft-from", "any", "--rank", "2"]) == 0
    capsys.readouterr()
    report = read_json(tmp_path / "any" / "data" / "report.json")
    assert read_json(tmp_path / "any" / "manifest.json")["data"]["pairs"] == report["pairs_sha256"]
    assert report["imitable"] > 8


def test_it_is_said_when_a_base_model_needs_to_imitate_first(store, skill):
    base = written(0).model
    for number in range(3):
        bad = [written(10 * number + n, text=None, error="no front matter") for n in range(4)]
        lineage(store, number, bad, [])
    without = store.histories.stats(base_model=base).cold_start
    lineage(store, 8, [by_teacher(99)], [(1.0,)])
    with_one = store.histories.stats(base_model=base).cold_start

    assert without["advice"].startswith("0 of 12 texts of the base model are skills, and there are no accepted texts")
    assert with_one == {
        "texts": 12, "skills": 0, "imitable": 1,
        "advice": "0 of 12 texts of the base model are skills: begin with --set sft_epochs=2 --set sft_from=any, which imitates the 1 "
        "accepted texts of any generator",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "skills", "imitable", "said"),
    [(108, 104, 50, None), (108, 27, 0, None), (108, 26, 5, "26 of 108"), (0, 0, 5, "the base model has written no text"),
     (0, 0, 0, None), (3, 1, 5, None), (3, 0, 5, "0 of 3"), (3, 0, 0, None)],
)  # fmt: skip
def test_when_the_advice_is_given(texts, skills, imitable, said):
    found = cold_start(texts=texts, skills=skills, imitable=imitable)
    assert found is None if said is None else found.startswith(said)
