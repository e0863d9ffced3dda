"""Readers of recorded runs: what each row tells, and what is refused with which reason."""

import copy
import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorded import ADAPT, BY_FORMAT, CHEATSHEET, GSM8K, SQL, TAU, TRIALS, WEBSHOP, rollout, sql, tau, trial, write
from skill_plugin import Task
from skill_plugin.histories import FORMATS, Episode, Note, Refusal, read


def test_a_conversation_with_tool_calls(told):
    episodes, refused, notes = told(TAU)

    assert (refused, notes) == ([], ["header row"])
    assert [rollout(one).reward for one in episodes] == [0.0, 1.0, 1.0, 0.0]
    assert rollout(episodes[1]).answer == (
        'user: A flight, please.\nassistant calls: book({"to": "SEA"})\ntool book: booked\nassistant: Done.'
    )
    assert len({one.task.id for one in episodes}) == 1
    assert episodes[0].task.input == "You are mia. You want a flight."
    assert episodes[0].task.reference == [{"name": "book", "kwargs": {"to": "SEA"}}]
    assert (episodes[0].run, episodes[0].task.family, rollout(episodes[0]).model) == ("gpt-4o", "tau-airline", "gpt-4o")
    assert len({one.run_id for one in episodes}) == 4  # four trials of one task


def test_plain_messages_and_the_forms_of_openai_and_tau_bench(told):
    function = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    parts = {"role": "user", "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {}}]}
    own = {
        "task_id": 3,
        "trial": 0,
        "reward": 1.0,
        "traj": TAU[1]["messages"],
        "info": {"task": {"instruction": "Fly."}},
    }
    episodes, refused, _ = told([{"messages": [parts, function], "reward": 0.25, "usage": {"prompt_tokens": 7}}, own])

    assert refused == []
    assert [one.task.input for one in episodes] == ["What?", "Fly."]
    assert rollout(episodes[0]).answer == "user: What?\nassistant calls: f({})"
    assert (rollout(episodes[0]).input_tokens, episodes[0].run, episodes[0].task.family) == (7, "log", "default")


def test_a_conversation_that_is_none_is_refused(told):
    rows = [tau(0, 1), {**tau(1, 1), "messages": []}, {**tau(2, 1), "messages": ["hello"]}]
    rows += [{**tau(3, 1), "messages": [{"role": "user", "content": "hello"}]}, {"trial": 4}]

    assert told(rows)[1] == [
        ("no step", "2"),
        ("a message has no role", "3"),
        ("no step", "4"),
        ("row of another format", "5"),
    ]


def test_the_reward_of_an_episode_is_the_stated_one(told):
    episodes, refused, notes = told(SQL)

    assert [(rollout(one).reward, rollout(one).passed) for one in episodes] == [(0.0, False), (0.5, False), (1.0, True)]
    assert refused == [("no step", "3")]
    assert notes == ["the episode's reward is not its last step's"] * 2
    assert rollout(episodes[0]).answer == (
        "action: SELECT 1\nobservation: Error\naction: SELECT 2\nobservation: [(2,)]\naction: SELECT 3\nobservation: []"
    )
    assert [one.run for one in episodes] == ["multi_gpt-4", "multi_gpt-4", "other"]
    assert {one.task.split for one in episodes} <= {"train", "heldout"}
    assert episodes[0].task == Task("How many 0?", family="pets_1")


def test_the_raw_form_of_intercode(told, tmp_path):
    turns = {"actions": ["a", "b"], "observations": ["x"], "rewards": [0.5, 0.0], "valid_action": [True, True]}
    one = {
        "environment": "sql",
        "task_id": 0,
        "query": "How many?",
        "turn_history": turns,
        "summary": {"max_reward": 0.5},
    }
    path = tmp_path / "ic_sql_gpt-4.json"
    path.write_text(json.dumps({"0": one, "1": {**one, "query": "Which?"}}, indent=2), encoding="utf-8")
    found = list(read("auto", path))

    assert [(one.task.input, rollout(one).reward, one.run) for one in found] == [
        ("How many?", 0.5, "ic_sql_gpt-4"),
        ("Which?", 0.5, "ic_sql_gpt-4"),
    ]
    assert rollout(found[0]).answer == "action: a\nobservation: x\naction: b"


def test_steps_without_rewards_and_steps_that_are_text(told):
    episodes, refused, notes = told([*WEBSHOP, *ADAPT])

    assert (refused, notes) == ([], [])
    assert [rollout(one).reward for one in episodes] == [0.75, 1.0, 0.0]
    assert episodes[1].task.input == "craft stairs.\n\nCrafting commands:\ncraft 4 stairs using 6 stone"
    assert rollout(episodes[1]).answer.startswith(
        "craft stairs. at depth 1, success: True\n\nthink: stone first\nOK.\n>"
    )
    assert rollout(episodes[2]).answer == "fetch string"
    assert episodes[0].task.family == "webshop"


def test_trials_are_one_lineage_with_a_reflection_between_them(told):
    episodes, refused, notes = told(TRIALS, family="alfworld")
    lineage = [one for one in episodes if one.task.input == "alfworld: env_1"]

    assert refused == []
    assert notes == ["solved in an earlier trial, not tried again"]
    assert len({one.run_id for one in lineage}) == 1 != len({one.run_id for one in episodes})
    assert [(rollout(one).generation, rollout(one).reward) for one in lineage] == [(0, 0.0), (1, 0.0), (2, 1.0)]
    written = [each for one in lineage for each in one.revisions]
    assert [(each.generation, each.revision.completion) for each in written] == [
        (1, " I forgot the plate."),
        (2, "Look in the drawer."),
    ]
    assert "not a SKILL.md" in written[0].revision.error
    assert written[0].revision.completion_token_ids is None


def test_trials_in_a_file_each_as_reflexion_writes_them(tmp_path):
    folder = tmp_path / "reflexion_run"
    folder.mkdir()
    for number in (0, 2, 10):
        rows = [{"name": "env_0", "memory": ["r"] * (number // 2), "is_success": number == 10, "skip": False}]
        (folder / f"env_results_trial_{number}.json").write_text(json.dumps(rows), encoding="utf-8")
    found = list(read("auto", folder))

    assert [rollout(one).generation for one in found] == [0, 2, 10]
    assert {(one.run, one.task.input) for one in found} == {("reflexion_run", "reflexion_run: env_0")}
    assert [len(one.revisions) for one in found] == [0, 1, 4]


def test_a_trial_without_a_number_and_a_memory_that_shrank(told):
    rows = [trial(0, "env_0", ["a", "b"], False), trial(1, "env_0", ["a"], False), trial("x", "env_0", [], True)]
    _, refused, notes = told(rows)

    assert refused == [("no number of the trial", "3")]
    assert notes == ["the memory is not the earlier one with more added"]


def test_attempts_of_several_models_under_one_question(told):
    episodes, refused, _ = told(GSM8K)

    assert refused == []
    assert [(one.run, rollout(one).answer, rollout(one).reward) for one in episodes] == [
        ("6b", "8", 0.0), ("6b", "8", 0.0), ("175b", "7", 1.0), ("6b", "2", 1.0)
    ]  # fmt: skip
    assert len({one.run_id for one in episodes}) == 4
    assert (episodes[0].task.reference, episodes[0].task.family) == ("7", "gsm8k-test")


def test_one_answer_a_row_is_an_attempt_too(told):
    episodes, refused, notes = told(CHEATSHEET)
    raw = {"question": "3 + 4?", "ground_truth": "7", "175b_verification": {"solution": "7", "is_correct": True}}

    assert (refused, notes) == ([], ["a memory text beside the answer is not imported"])
    assert [(one.run, rollout(one).answer, rollout(one).passed) for one in episodes] == [
        ("log", "It is 2.", True), ("log", "It is 5.", False)
    ]  # fmt: skip
    assert [(one.run, rollout(one).reward) for one in told([raw])[0]] == [("175b_verification", 1.0)]


def test_a_wrong_attempt_does_not_cost_the_others(told):
    good = {"model": "6b", "solution": "8", "reward": 1}
    row = {"query": "3 + 4?", "attempts": [good, {"model": "6b", "reward": 1}, "8", {**good, "reward": 2}, good]}
    episodes, refused, _ = told([row, {"query": "?", "attempts": []}])

    assert len(episodes) == 2
    assert refused == [
        ("no answer", "1, attempt 1"),
        ("no answer", "1, attempt 2"),
        ("reward is not a number from 0 to 1", "1, attempt 3"),
        ("no attempt", "2"),
    ]


@pytest.mark.parametrize("reward", [math.nan, math.inf, -0.1, 1.5, "1.0", [1], {}])
def test_a_reward_that_is_none_is_refused_with_its_line(told, reward):
    rows = [sql(0, 1), sql(1, reward), sql(2, None), sql(3, True)]
    episodes, refused, _ = told(rows)

    assert refused == [("reward is not a number from 0 to 1", "2"), ("no reward", "3")]
    assert [rollout(one).reward for one in episodes] == [1.0, 1.0]


ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=5), of, max_size=3),
    max_leaves=5,
)


def objects(value):
    """Every object in a row that holds something, the row too."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value] * (isinstance(value, dict) and value != {}) + [each for one in inside for each in objects(one)]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_whatever_a_row_holds_it_is_an_episode_or_a_refusal(tmp_path, data):
    """Any field of any known row may be anything."""
    kind = data.draw(st.sampled_from(list(BY_FORMAT)))
    rows = copy.deepcopy(BY_FORMAT[kind])
    row = data.draw(st.sampled_from(rows))
    place = data.draw(st.sampled_from(objects(row)))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(ANY)
    path = write(tmp_path / "fuzzed.jsonl", [json.dumps(row) for row in [*BY_FORMAT[kind][:2], *rows]])

    for one in read(kind, path):
        assert isinstance(one, Episode | Refusal | Note)
        for attempt in one.rollouts if isinstance(one, Episode) else ():
            assert attempt.rollout.reward is None or 0 <= attempt.rollout.reward <= 1
            assert isinstance(attempt.rollout.answer, str)
            json.dumps(attempt.rollout.to_json(), allow_nan=False)


def test_every_format_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "histories.md").read_text(encoding="utf-8")
    assert [name for name in FORMATS if f"`{name}`" not in page] == []
