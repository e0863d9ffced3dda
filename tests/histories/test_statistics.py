"""What can be learned from histories, and in which numbers: by hand on small ones, on both databases."""

import math
import random
import statistics
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineages import in_evolve, leaks, learned, lineage, rolled, written
from recorded import TRIALS, write
from skill_plugin import Task
from skill_plugin.credit import CREDITS
from skill_plugin.errors import ConfigurationError
from skill_plugin.histories.eligibility import (
    BASE,
    Ancestry,
    Example,
    ages,
    group_temperature,
    refusal,
    temperature_of,
)
from skill_plugin.histories.worth import CandidateRewards, has_signal, worths_of
from skill_plugin.training.data.dataset import build_groups
from skill_plugin.training.data.statistics import inter_noise
from skill_plugin.training.settings import AdvantageSettings

GOOD = Example(
    split="train", malformed=False, imported=False, prompt_tokens=3, completion_tokens=2, logprobs=2, base_model="qwen",
    age=0, rewards=4, signal=True,
)  # fmt: skip


def test_a_complete_revision_is_learned_from_wherever_it_came_from():
    assert refusal(GOOD, base_model="qwen") is None
    assert refusal(replace(GOOD, imported=True)) is None


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("imported without token ids or log-probs", {"imported": True, "logprobs": 0}),
        ("no token ids", {"prompt_tokens": 0}),
        ("no token ids", {"completion_tokens": 0}),
        ("no log-probs", {"logprobs": 0}),
        ("token ids and log-probs differ in number", {"logprobs": 1}),
        ("log-probs that cannot be", {"wrong_logprobs": True}),
        ("judged on other tasks than its group", {"other_tasks": True, "rewards": 0}),
        ("no rollouts with a reward", {"rewards": 0}),
        ("heldout task", {"split": "heldout"}),
        ("other base model", {"base_model": "llama"}),
        ("other base model", {"base_model": None}),
        ("unknown checkpoint", {"age": None}),
        ("older than the allowed checkpoints", {"age": 5}),
        ("log-probs of another distribution", {"other_distribution": True}),
        ("another prompt in the group", {"other_prompt": True}),
        ("longer than the context", {"too_long": True}),
        ("no signal", {"signal": False}),
    ],
)
def test_each_reason_refuses(reason, change):
    assert refusal(replace(GOOD, **change), base_model="qwen") == reason


def test_what_is_not_asked_refuses_nothing():
    assert refusal(replace(GOOD, base_model="llama")) is None
    assert refusal(replace(GOOD, age=4)) is None
    assert refusal(replace(GOOD, age=None), max_age=None) is None
    assert refusal(replace(GOOD, age=1), max_age=0) == "older than the allowed checkpoints"


def test_a_malformed_text_is_learned_from_if_it_is_worth_something():
    assert refusal(replace(GOOD, malformed=True)) is None
    assert refusal(replace(GOOD, malformed=True), malformed_reward=None) == "malformed"


@pytest.mark.parametrize(
    ("sampling", "temperature"),
    [
        ({"temperature": 1.0, "top_p": 1.0, "logprobs_mode": "raw_logprobs"}, 1.0),
        ({"temperature": 1}, 1.0),
        ({"temperature": 0.7, "top_p": 1.0, "logprobs_mode": "processed_logprobs"}, 0.7),
        ({"temperature": 0.7, "top_p": 1.0, "logprobs_mode": "raw_logprobs"}, None),
        ({"temperature": 0.7}, None),
        ({"temperature": 1.0, "top_p": 0.9, "logprobs_mode": "processed_logprobs"}, None),
        ({"temperature": 0.0, "logprobs_mode": "processed_logprobs"}, None),
        ({"temperature": math.inf, "logprobs_mode": "processed_logprobs"}, None),
        ({"temperature": True}, None),
        ({"top_p": 1.0}, None),
        (None, None),
    ],
)
def test_log_probs_can_be_compared_where_their_distribution_can_be_computed_again(sampling, temperature):
    assert temperature_of(sampling) == temperature


def test_a_group_has_the_temperature_of_most_of_it():
    assert group_temperature([None, 0.7, 1.0, 1.0]) == 1.0
    assert group_temperature([0.7, 1.0]) == 0.7
    assert group_temperature([None]) is None


def test_a_group_says_something_if_its_candidates_differ_or_the_generation_before_did():
    def says(rewards, *before):
        judged = [CandidateRewards([] if one is None else [one]) for one in rewards]
        return has_signal(worths_of(judged, before, CREDITS["evolving-rl"]).candidates)

    assert says([0.5, 0.75])
    assert says([0.5], 0.25)
    assert not says([0.5, 0.5], 0.5)
    assert not says([0.5, None])
    assert not says([None], 0.5)
    assert not says([0.1 + 0.2, 0.3])  # rounding


def test_the_age_of_a_checkpoint_is_its_distance_from_the_live_one():
    line = {"c1": Ancestry(None, "m", False), "c2": Ancestry("c1", "m", False), "c3": Ancestry("c2", "m", True)}
    beside = line | {"x": Ancestry("c1", "m", False), "y": Ancestry("x", "m", False)}

    assert ages(line) == {"c3": 0, "c2": 1, "c1": 2, None: 3}
    assert ages(beside) == {"c3": 0, "c2": 1, "c1": 2, None: 3, "x": 2, "y": 2}
    assert ages({}) == {None: 0}
    assert ages({"x": Ancestry(None, "m", False)}) == {None: 0, "x": 0}


@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.sampled_from([*"abcdefz", None]), st.booleans())))
def test_every_checkpoint_has_an_age_however_they_are_linked(links):
    found = ages({name: Ancestry(parent, "m", is_live) for name, (parent, is_live) in links.items()})

    assert {*links, None} <= set(found)
    assert all(age >= 0 for age in found.values())


def test_the_noise_of_the_inter_term_is_that_of_two_means_of_coin_flips():
    """The table of algorithms: p = 0.5, K = 4, 8, 16, 32; and a simulation."""
    assert [round(inter_noise(0.5, k), 3) for k in (4, 8, 16, 32)] == [0.354, 0.25, 0.177, 0.125]
    draw = random.Random(1)
    mean = lambda: sum(draw.random() < 0.3 for _ in range(8)) / 8  # noqa: E731 - said once
    assert math.isclose(statistics.stdev(mean() - mean() for _ in range(20_000)), inter_noise(0.3, 8), rel_tol=0.03)


@pytest.fixture
def evolved(store, skill):
    learned(store)
    return store


@pytest.mark.both_backends
def test_histories_are_counted(evolved):
    found = evolved.histories.stats(base_model="qwen")
    gains = [0.5, -0.5, 0.0, 0.0, 0.5, -0.5, 0.5, 0.5, 0.5]
    after = [1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1]

    assert found.tasks == {"train": 5, "heldout": 1}
    assert (found.lineages, found.generations, found.groups, found.candidates) == (6, 11, 6, 11)
    assert (found.rollouts, found.by_source) == (28, {"own": 28, "imported": 0})
    assert [row["purpose"] for row in found.by_purpose] == ["run"]
    assert found.reward_by_generation == [
        {"generation": 0, "source": "own", "rollouts": 10, "mean": 0.5, "passed": 0.5},
        {"generation": 1, "source": "own", "rollouts": 13, "mean": 8 / 13, "passed": 8 / 13},
    ]
    assert (found.groups_with_signal, found.share_with_signal) == (4, 4 / 6)
    assert found.inter_term == pytest.approx(
        {
            "candidates": 9,
            "rollouts_a_candidate": 13 / 9,
            "mean_reward": statistics.fmean(after),
            "noise_sd": inter_noise(8 / 13, 13 / 9),
            "measured_sd": statistics.stdev(gains),
        }
    )
    assert {row["checkpoint"]: (row["revisions"], row["age"]) for row in found.checkpoints} == {
        BASE: (6, 2),
        "c2": (2, 0),
        "c1": (2, 1),
        "c9": (1, None),
    }
    assert found.retrain == {
        "usable": 2,
        "refused": {
            "no signal": 2,
            "no log-probs": 1,
            "no token ids": 2,
            "heldout task": 2,
            "unknown checkpoint": 1,
            "no rollouts with a reward": 1,
        },
    }


@pytest.mark.both_backends
def test_rollouts_on_siblings_of_the_gate_and_of_replays_are_counted_apart(store):
    """Everything of the gate passes: that is not a reward of generation 0, and they are not lineages."""
    task, other = (Task(f"add {number}", split="train") for number in range(2))
    [ref] = in_evolve(store, task, [written(1)], [(1.0, 0.5)], baseline=(0.0, 0.0))
    for purpose, rewards in (("later", (1.0,)), ("gate", (1.0, 1.0, 0.0)), ("replay", (1.0, None))):
        rolled(store, other, ref, rewards, purpose=purpose)
    found = store.histories.stats()

    assert (found.lineages, found.generations, found.rollouts, found.by_source["own"]) == (1, 2, 10, 10)
    assert [(row["generation"], row["rollouts"], row["mean"]) for row in found.reward_by_generation] == [
        (0, 2, 0.0),
        (1, 2, 0.75),
    ]
    assert found.by_purpose == [
        {"purpose": "run", "rollouts": 4, "mean": 0.375, "passed": 0.25},
        {"purpose": "later", "rollouts": 1, "mean": 1.0, "passed": 1.0},
        {"purpose": "gate", "rollouts": 3, "mean": 2 / 3, "passed": 2 / 3},
        {"purpose": "replay", "rollouts": 2, "mean": 1.0, "passed": 1.0},
    ]


@pytest.mark.both_backends
def test_the_inter_term_is_of_the_tasks_that_texts_are_compared_on(store):
    """On siblings the answers and the useless texts gain 0, the rules 3/4: 4 rollouts on each of 4."""
    leaks(store)
    found = store.histories.stats()

    assert (found.groups, found.groups_by_siblings, found.groups_with_signal) == (5, 5, 5)
    assert found.inter_term == pytest.approx(
        {
            "candidates": 15,
            "rollouts_a_candidate": 16,
            "mean_reward": statistics.fmean([0.0, 0.75, 0.0]),
            "noise_sd": inter_noise(0.25, 16),
            "measured_sd": statistics.stdev([0.0, 0.75, 0.0] * 5),
        }
    )


@pytest.mark.both_backends
def test_a_malformed_text_with_tokens_counts_as_a_failure(store, skill):
    """One candidate is as good as before; beside it one that is no skill, so that the group has a signal."""
    bad = written(1, text=None, error="no front matter")
    lineage(store, 0, [written(0), bad], [(0.5,)], baseline=(0.5,))
    found = store.histories.stats()

    assert found.retrain == {"usable": 2, "refused": {}}
    assert (found.groups_with_signal, found.inter_term["candidates"]) == (1, 1)
    assert [row["rollouts"] for row in found.reward_by_generation] == [1, 1]


@pytest.mark.both_backends
def test_log_probs_of_another_distribution_are_not_learned_from(store, skill):
    raw = {"temperature": 0.7, "top_p": 1.0, "logprobs_mode": "raw_logprobs"}
    cool = {**raw, "logprobs_mode": "processed_logprobs"}
    lineage(
        store, 0, [written(0), written(1), written(2, sampling=cool), written(3, sampling=raw)],
        [(1.0,), (0.0,), (1.0,), (0.0,)],
    )  # fmt: skip

    assert store.histories.stats().retrain == {"usable": 2, "refused": {"log-probs of another distribution": 2}}


@pytest.mark.both_backends
def test_stats_of_one_checkpoint_one_family_and_other_limits(evolved):
    only = evolved.histories.stats(checkpoint="c1")

    assert (only.lineages, only.candidates, only.rollouts) == (1, 2, 7)
    assert evolved.histories.stats(checkpoint=BASE).candidates == 6
    assert evolved.histories.stats(max_age=0).retrain["usable"] == 2
    assert evolved.histories.stats(family="none").tasks == {"train": 0, "heldout": 0}
    assert evolved.histories.stats(since="2999-01-01").rollouts == 0
    with pytest.raises(ConfigurationError, match="no checkpoint 'c8'; known are c1, c2, c3, base model"):
        evolved.histories.stats(checkpoint="c8")
    with pytest.raises(ConfigurationError, match="max_age is -1"):
        evolved.histories.stats(max_age=-1)


@pytest.mark.both_backends
def test_reflections_of_another_system_are_counted_and_not_learned_from(store, tmp_path):
    store.histories.import_from(write(tmp_path / "log.jsonl", TRIALS))
    found = store.histories.stats()

    assert found.by_source == {"own": 0, "imported": 5}
    assert found.retrain == {"usable": 0, "refused": {"imported without token ids or log-probs": 2}}
    assert found.share_with_signal == 0


@pytest.mark.both_backends
def test_an_empty_store_has_numbers_too(store):
    found = asdict(store.histories.stats())

    assert (found["rollouts"], found["share_with_signal"], found["inter_term"]["noise_sd"]) == (0, None, None)


def test_a_page_of_tasks_ends_nowhere_near_a_lineage(evolved, monkeypatch):
    """However few rows are fetched at a time, the numbers are the same."""
    whole, rows = evolved.histories.stats(), list(evolved.histories.rows())
    for name, few in (("TASKS", 2), ("WEIGHT", 1)):
        monkeypatch.setattr(f"skill_plugin.store.histories.lineages.{name}", few)

    assert evolved.histories.stats() == whole
    assert list(evolved.histories.rows()) == rows


def test_what_is_counted_as_usable_is_what_a_training_takes(store, skill, tmp_path):
    """Every reason that only the tokens tell is in both: another prompt, log-probs that cannot be, too long for the model."""
    texts = [
        written(0), written(1, prompt_token_ids=(9, 9)), written(2, logprobs=(-0.1, 0.5)),
        written(3, completion_token_ids=(1,) * 50, logprobs=(-0.1,) * 50),
    ]  # fmt: skip
    lineage(store, 0, texts, [(1.0,), (0.0,), (0.0,), (1.0,)])
    counted = store.histories.stats(max_tokens=20).retrain
    report = build_groups(
        store.histories.rows(), tmp_path, base_model=None, ages=store.histories.checkpoint_ages(),
        advantage=AdvantageSettings(), max_tokens=20,
    )  # fmt: skip

    assert counted == {"usable": report.candidates, "refused": report.refused}
    assert set(report.refused) >= {"another prompt in the group", "log-probs that cannot be", "longer than the context"}
