"""Histories become groups: from a real store and its exports, and each reason against a revision by hand."""

import gc
import json
import statistics
import subprocess
import sys
import tempfile
import tracemalloc
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exported import COOL, PLAIN, build, later, row
from lineages import in_evolve, leaks, written
from skill_plugin import Task
from skill_plugin.errors import ConfigurationError, InvalidHistoryError
from skill_plugin.generators.sampling import cut_off
from skill_plugin.histories import columns
from skill_plugin.store.histories.lineages import checkpoints
from skill_plugin.training.data.dataset import GroupReport, build_groups
from skill_plugin.training.data.export_file import read_rows
from skill_plugin.training.data.groups import Groups
from skill_plugin.training.settings import AdvantageSettings


def malformed(candidate, **fields):
    return row(candidate, (), skill=None, error="no front matter", **fields)


@pytest.mark.both_backends
@pytest.mark.parametrize("ending", columns.ENDINGS)
def test_a_store_and_its_export_give_the_same_groups(histories, tmp_path, ending):
    with histories.database.read() as session:
        ages = checkpoints(session, "default").ages
    histories.histories.export_to(tmp_path / f"all{ending}")
    here, one = build(tmp_path / "a", histories.histories.rows(), ages=ages, validation_share=0.5)
    there, other = build(tmp_path / "b", read_rows(tmp_path / f"all{ending}"), ages=ages, validation_share=0.5)

    assert here == there
    assert one == other
    assert {group.id for group in here} == {"group-0", "group-9"}


@pytest.mark.both_backends
def test_stats_say_what_is_built(histories, tmp_path):
    with histories.database.read() as session:
        ages = checkpoints(session, "default").ages
    stats = histories.histories.stats(base_model="qwen")
    _, report = build(tmp_path, histories.histories.rows(), ages=ages)

    assert stats.retrain == {"usable": report.candidates, "refused": report.refused}
    assert report.candidates == 4
    assert report.refused["log-probs of another distribution"] == 1


@pytest.mark.both_backends
def test_stats_say_what_is_built_of_texts_that_siblings_judged(store, tmp_path):
    leaks(store)
    in_evolve(store, Task("add 9 and 9", family="sums", split="train"), [written(8), written(9)], [(1.0,), (0.0,)])
    stats = store.histories.stats(base_model="qwen")
    _, report = build(tmp_path, store.histories.rows(), ages={None: 0})

    assert stats.retrain == {"usable": report.candidates, "refused": report.refused}
    assert (stats.groups, stats.groups_by_siblings) == (6, report.groups_by_siblings) == (6, 5)


def test_a_group_is_what_was_written_from_one_prompt(tmp_path):
    """R = 1/2 and 0, before it 1/4: A = 1/4 + 1/4 and -1/4 - 1/4."""
    rows = [
        {**row(), "kind": "rollouts", "group_id": None, "generation": 0},
        row(0, (1.0, 0.0)),
        row(1, (0.0,), checkpoint="c1", completion_token_ids=[9], logprobs=[0]),
    ]
    (group,), report = build(tmp_path, rows, ages={None: 1, "c1": 0})

    assert asdict(group) == {
        "id": "g0", "task": "hash of g0", "family": "f", "generation": 1, "prompt_token_ids": (1, 2, 3), "temperature": 1.0,
        "previous_rewards": (0.0, 0.5), "siblings": (),
        "candidates": (
            {"number": 0, "completion_token_ids": (4, 5), "logprobs": (-0.5, -0.25), "rewards": (1.0, 0.0), "pull": 0.5,
             "push": 0.0, "checkpoint": None, "well_formed": True, "reward": 0.5, "gain": 0.25},
            {"number": 1, "completion_token_ids": (9,), "logprobs": (0.0,), "rewards": (0.0,), "pull": 0.0,
             "push": -0.5, "checkpoint": "c1", "well_formed": True, "reward": 0.0, "gain": -0.25},
        ),
    }  # fmt: skip
    assert asdict(report) == {
        "read": 2, "groups": 1, "validation_groups": 0, "groups_by_siblings": 0, "groups_by_own_task": 1, "candidates": 2, "rollouts": 3, "tokens": 3, "refused": {},
        "groups_without_signal": 0, "reward_mean": pytest.approx(1 / 3), "share_malformed": 0.0,
        "base_texts": 2, "base_skills": 2, "imitable": 0, "pairs_sha256": None,
        "not_imitated": {"no prompt or no text was recorded": 1, "did not beat what it revised": 1},
        "reward_sd": pytest.approx(statistics.stdev([1, 0, 0])), "checkpoints": {"base model": 1, "c1": 1},
        "since": "2026-11-20T08:00:00+00:00", "until": "2026-11-20T08:00:00+00:00",
        "train_sha256": Groups(tmp_path / "train").sha256, "validation_sha256": Groups(tmp_path / "validation").sha256,
    }  # fmt: skip
    assert GroupReport(**json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))) == report


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("imported without token ids or log-probs", {"source": "log", "logprobs": None}),
        ("no token ids", {"prompt_token_ids": None}),
        ("no token ids", {"completion_token_ids": []}),
        ("no log-probs", {"logprobs": None}),
        ("token ids and log-probs differ in number", {"logprobs": [-0.5]}),
        ("log-probs that cannot be", {"logprobs": [-0.5, 0.01]}),
        ("log-probs that cannot be", {"logprobs": [float("nan"), -0.5]}),
        ("log-probs that cannot be", {"logprobs": [-0.5, float("-inf")]}),
        ("no rollouts with a reward", {"rewards": []}),
        ("heldout task", {"split": "heldout"}),
        ("other base model", {"base_model": "llama"}),
        ("other base model", {"base_model": None}),
        ("unknown checkpoint", {"checkpoint": "c9"}),
        ("older than the allowed checkpoints", {"checkpoint": "old"}),
        ("log-probs of another distribution", {"sampling": {**PLAIN, "temperature": 0.7}}),
        ("log-probs of another distribution", {"sampling": COOL}),
        ("log-probs of another distribution", {"sampling": None}),
        ("another prompt in the group", {"prompt_token_ids": [1, 2, 4]}),
        ("longer than the context", {"completion_token_ids": [4] * 4, "logprobs": [-0.5] * 4}),
    ],
)
def test_each_reason_refuses_one_revision_and_is_counted(tmp_path, reason, change):
    rows = [row(0), row(1, (1.0, 1.0)), row(2, (0.0, 0.0)) | change]
    (group,), report = build(tmp_path, rows, ages={None: 0, "old": 5}, max_tokens=6)

    assert [one.number for one in group.candidates] == [0, 1]
    assert (report.read, report.candidates, report.refused) == (3, 2, {reason: 1})


def test_what_is_not_asked_refuses_nothing(tmp_path):
    rows = [row(0, base_model="llama", checkpoint="c9", source="log"), row(1, (1.0,))]
    _, report = build(tmp_path, rows, base_model=None, ages=None)

    assert (report.candidates, report.refused) == (2, {})


def test_a_refused_candidate_is_still_compared_with(tmp_path):
    """R = 1/2 and 1, mean 3/4, before it 1/4: A = -1/4 + 1/4 = 0 with it, 1/4 without."""
    (group,), _ = build(tmp_path, [row(0), row(1, (1.0,), logprobs=None)])

    assert [(one.number, one.pull, one.push) for one in group.candidates] == [(0, 0.0, 0.0)]


def test_a_malformed_text_is_learned_from_with_the_reward_that_it_is_given(tmp_path):
    rows = [row(0, (0.25,)), malformed(1)]
    (group,), report = build(tmp_path / "a", rows)
    good, bad = group.candidates

    assert (bad.well_formed, bad.rewards, bad.pull, bad.push) == (False, (0.0,), 0.0, -0.375)
    assert (good.pull, good.push) == (0.125, 0.0)
    assert (report.share_malformed, report.rollouts, report.reward_mean) == (0.5, 1, 0.25)
    groups, report = build(tmp_path / "b", rows, advantage=AdvantageSettings(malformed_reward=None))
    assert (groups, report.refused, report.groups_without_signal) == ([], {"malformed": 1, "no signal": 1}, 1)


def test_a_malformed_text_without_tokens_is_no_failure(tmp_path):
    """Reflections of another system: they are no skills, and were not meant to be."""
    _, report = build(tmp_path, [row(0, (0.25,)), malformed(1, prompt_token_ids=None, completion_token_ids=None)])

    assert report.refused == {"no token ids": 1, "no signal": 1}


def test_a_group_without_signal_is_left_out(tmp_path):
    same = [row(0, (0.25,)), row(1, (0.25,))]
    better = [row(0, (1.0,), group="g1"), row(1, (1.0,), group="g1")]
    groups, report = build(tmp_path / "a", same + better)
    inside, _ = build(tmp_path / "b", same + better, advantage=AdvantageSettings(inter_weight=0))
    first, _ = build(tmp_path / "c", same + better, advantage=AdvantageSettings(first_inter="zero"))

    assert [group.id for group in groups] == ["g1"]
    assert (report.groups_without_signal, report.refused) == (1, {"no signal": 2})
    assert inside == first == []


def by_siblings():
    """The first holds its task's answer, the second is a rule, the third is malformed."""
    said = [[later(task, reward, before=[0.0]) for task in "ab"] for reward in (0.0, 0.75)]
    return [row(0, (1.0, 1.0), later=said[0]), row(1, (0.5,), later=said[1]), malformed(2)]


def test_texts_are_compared_by_what_they_earned_on_siblings(tmp_path):
    """R = 0, 3/4 and, malformed, 0; mean 1/4; what is revised earned 0 there: A = -1/4, 1/2 + 3/4 and -1/4."""
    (group,), report = build(tmp_path, by_siblings())

    assert group.siblings == ("a", "b")
    assert [(one.rewards, one.reward, one.gain, one.pull, one.push) for one in group.candidates] == [
        ((1.0, 1.0), 0.0, 0.0, 0.0, -0.25), ((0.5,), 0.75, 0.75, 1.25, 0.0), ((0.0,), 0.0, 0.0, 0.0, -0.25)
    ]  # fmt: skip
    assert (report.groups_by_siblings, report.groups_by_own_task) == (1, 0)


def test_skill_r1_goes_by_the_own_task_alone(tmp_path):
    (group,), report = build(tmp_path / "a", by_siblings(), advantage=AdvantageSettings(credit="skill-r1"))
    (alone,), _ = build(tmp_path / "b", [{**one, "later": []} for one in by_siblings()])

    assert group == alone
    assert (group.siblings, report.groups_by_siblings, report.groups_by_own_task) == ((), 0, 1)


def test_sage_counts_both_and_a_code_less_text_as_minus_one(tmp_path):
    """R = 1/2, 5/8 and -1; before it 1/4 on their own task and 0 on the siblings, 1/8 in all."""
    (group,), _ = build(tmp_path, by_siblings(), advantage=AdvantageSettings(credit="sage", malformed_reward=-1))

    assert [(one.reward, one.gain) for one in group.candidates] == [(0.5, 0.375), (0.625, 0.5), (-1.0, -1.125)]


def test_a_text_that_siblings_did_not_judge_is_refused_where_they_judged_another(tmp_path):
    rows = [*by_siblings(), row(3, (1.0,))]
    (group,), report = build(tmp_path, rows)

    assert [one.number for one in group.candidates] == [0, 1, 2]
    assert report.refused == {"judged on other tasks than its group": 1}


def test_a_text_needs_no_rollout_on_its_own_task_where_siblings_count(tmp_path):
    (group,), _ = build(tmp_path, [row(0, (), later=by_siblings()[0]["later"]), *by_siblings()[1:]])

    assert (group.candidates[0].rewards, group.candidates[0].worth) == ((), 0.0)


def test_a_group_has_no_signal_where_siblings_say_the_same_of_all(tmp_path):
    level = [later(task, 0.5, before=[0.5]) for task in "ab"]
    rows = [row(0, (1.0,), later=level), row(1, (0.0,), later=level)]
    groups, report = build(tmp_path, rows)

    assert (groups, report.refused, report.groups_without_signal) == ([], {"no signal": 2}, 1)


@pytest.mark.both_backends
@pytest.mark.parametrize(("credit", "ahead"), [("evolving-rl", True), ("sage", True), ("skill-r1", False)])
def test_a_rule_outranks_a_text_that_holds_the_answer_where_siblings_count(store, tmp_path, credit, ahead):
    leaks(store)
    groups, report = build(tmp_path, store.histories.rows(), advantage=AdvantageSettings(credit=credit))
    moved = [[one.pull + one.push for one in group.candidates] for group in groups]
    answer, rule, useless = (statistics.fmean(of) for of in zip(*moved, strict=True))

    assert report.groups == 5
    assert (rule > answer) == ahead
    assert rule > useless


def test_rollouts_that_two_candidates_share_count_once(tmp_path):
    _, report = build(tmp_path, [row(0, skill="s@1"), row(1, skill="s@1"), row(2, (1.0,))])

    assert (report.candidates, report.rollouts) == (3, 3)


def test_whole_tasks_are_held_back_by_what_they_are(tmp_path):
    many = [row(0, group=f"g{n}", content_hash=f"task {n % 500}") for n in range(1000)]
    _, report = build(tmp_path / "a", many, validation_share=0.2)
    held = {group.task for group in Groups(tmp_path / "a" / "validation")}
    build(tmp_path / "b", many[::-1], validation_share=0.2)

    assert 150 < report.validation_groups < 250
    assert report.groups == 1000
    assert held.isdisjoint(group.task for group in Groups(tmp_path / "a" / "train"))
    assert held == {group.task for group in Groups(tmp_path / "b" / "validation")}
    with pytest.raises(ConfigurationError, match="validation_share is 1"):
        build(tmp_path / "c", many, validation_share=1)


def test_no_histories_are_no_groups(tmp_path):
    groups, report = build(tmp_path, [])

    assert groups == []
    assert (report.read, report.groups, report.refused, report.since) == (0, 0, {}, None)
    assert (report.reward_mean, report.reward_sd, report.share_malformed) == (None, None, None)


def test_groups_are_built_again_in_the_same_folder(tmp_path):
    build(tmp_path, [row(0), row(1, (1.0,))])
    groups, _ = build(tmp_path, [row(0, group="other")])

    assert [group.id for group in groups] == ["other"]


def test_what_was_not_finished_has_no_report(tmp_path):
    build(tmp_path, [row(0)])
    with pytest.raises(InvalidHistoryError):
        build(tmp_path, [row(0), {}])

    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": None}, "row 2 of the histories is not a row that histories export wrote; give a file"),
        ({"format": "skill-plugin histories 3"}, "is in the format 'skill-plugin histories 3', and this release reads"),
        ({"rewards": [1.5]}, "row 2 of the histories is damaged: rewards are not from 0 to 1; export them again"),
        ({"previous_rewards": [float("nan")]}, "damaged: previous_rewards are not from 0 to 1"),
        ({"later": [later("a", 2.0)]}, "damaged: rewards are not from 0 to 1"),
        ({"later": [later("a", 1.0, used=-1)]}, "damaged: used is not from 0 to 1"),
        ({"later": [later("a"), later("a")]}, "damaged: the tasks of later are not different texts"),
        ({"later": [{"task": "a"}]}, "row 2 of the histories is damaged: there is no 'rewards'"),
        ({"rewards": ["much"]}, "damaged: could not convert string to float"),
        ({"prompt_token_ids": [1, "2"]}, "damaged: prompt_token_ids are not token ids"),
        ({"completion_token_ids": [-1]}, "damaged: completion_token_ids are not token ids"),
        ({"generation": 0}, "damaged: generation is 0"),
        ({"group_id": None}, "damaged: group_id is None"),
        ({"sampling": [1]}, "row 2 of the histories is damaged"),
        ({"created_at": "yesterday"}, "row 2 of the histories is damaged"),
    ],
)
def test_a_row_that_is_not_ours_or_damaged_is_named(tmp_path, change, message):
    with pytest.raises(InvalidHistoryError, match=message):
        build(tmp_path, [row(0), row(1) | change])
    missing = row(1)
    del missing["rewards"]
    with pytest.raises(InvalidHistoryError, match="row 2 of the histories is damaged: there is no 'rewards'"):
        build(tmp_path, [row(0), missing])


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(ConfigurationError, match="cannot be written"):
        build_groups([], tmp_path / "file", base_model=None, ages=None, advantage=AdvantageSettings())


rewards = st.lists(st.sampled_from([0.0, 0.25, 1.0]), max_size=3)
odd = st.fixed_dictionaries(
    {},
    optional={
        "logprobs": st.none() | st.just([-0.5]),
        "prompt_token_ids": st.just([7]) | st.none(),
        "skill": st.none(),
        "split": st.just("heldout"),
        "sampling": st.sampled_from([COOL, {}]),
        "base_model": st.just("llama"),
    },
)
any_rows = st.lists(st.lists(st.tuples(rewards, odd), min_size=1, max_size=4), max_size=5)


@settings(deadline=None)
@given(any_rows, st.sampled_from([0.0, 0.5, None]), st.sampled_from(["candidate", "rollout"]))
def test_every_revision_is_learned_from_or_refused(made, worth, intra):
    rows = [row(c, r, group=f"g{g}") | o for g, group in enumerate(made) for c, (r, o) in enumerate(group)]
    form = AdvantageSettings(credit="skill-r1", intra=intra, malformed_reward=worth)
    with tempfile.TemporaryDirectory() as folder:
        groups, report = build(Path(folder), rows, advantage=form)

    assert report.read == report.candidates + sum(report.refused.values()) == len(rows)
    assert report.candidates == sum(len(group.candidates) for group in groups)
    assert report.tokens == sum(group.completion_tokens for group in groups)
    for group in groups:
        assert group.candidates
        assert all(len(one.logprobs) == len(one.completion_token_ids) for one in group.candidates)
        assert all(one.rewards and one.pull >= 0 >= one.push for one in group.candidates)


def test_memory_does_not_grow_with_the_histories(tmp_path):
    held = []

    def many():
        for number in range(400):
            yield from (row(c, (c / 4,), group=f"g{number}") for c in range(4))
            if number % 100 == 99:
                gc.collect()  # freed tuples are kept for use again
                held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    build_groups(many(), tmp_path, base_model="qwen", ages=None, advantage=AdvantageSettings())
    tracemalloc.stop()

    # 100 groups with their rows are a third of a million; other threads come and go with tens of thousands.
    assert min(held[1:]) < held[0] + 100_000


def test_groups_are_built_with_the_standard_library_alone():
    """And read from JSON lines: a machine for training needs no more than the training does."""
    code = "import skill_plugin.training.data.dataset, sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in result.stdout.split()}

    assert loaded & {"torch", "numpy", "pyarrow", "yaml", "regex", "sqlmodel", "langchain_core", "langgraph"} == set()


def test_a_text_that_its_token_limit_cut_off_is_left_out_and_of_no_mean(tmp_path):
    cut = malformed(2) | {"error": cut_off("on and on")}
    rows = [
        row(0, (1.0,), previous_rewards=[0.5]),
        row(1, (0.5,), previous_rewards=[0.5]),
        {**cut, "previous_rewards": [0.5]},
    ]
    (dropped,), report = build(tmp_path / "drop", rows)
    (kept,), _ = build(tmp_path / "keep", rows, advantage=AdvantageSettings(cut_off="malformed"))

    assert report.refused == {"cut off by the token limit": 1}
    assert [one.pull + one.push for one in dropped.candidates] == [0.75, -0.25]
    assert [one.pull + one.push for one in kept.candidates] == [1.0, 0.0, -1.0]
