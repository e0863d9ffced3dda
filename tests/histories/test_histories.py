"""Readers of recorded runs: what each row tells, and what is refused with which reason."""

import copy
import gzip
import json
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recorded
from recorded import (
    ADAPT,
    BY_FORMAT,
    CHEATSHEET,
    GSM8K,
    LANGSMITH,
    SQL,
    TAU,
    TRIALS,
    WEBSHOP,
    run,
    sql,
    tau,
    trial,
    write,
)
from skill_plugin import Task
from skill_plugin.errors import ConfigurationError, InvalidHistoryError
from skill_plugin.histories import FORMATS, Episode, Note, Refusal, files, read


@pytest.fixture
def told(tmp_path):
    """What a file of these rows tells: episodes, refusals as (reason, line), notes."""

    def run(rows, kind="auto", **options):
        found = list(read(kind, write(tmp_path / "log.jsonl", rows), **options))
        episodes = [one for one in found if isinstance(one, Episode)]
        refused = [(one.reason, one.where.partition(":")[2]) for one in found if isinstance(one, Refusal)]
        notes = [one.what for one in found if isinstance(one, Note)]
        return episodes, refused, notes + [note for one in episodes for note in one.notes]

    return run


def rollout(episode):
    (attempt,) = episode.rollouts
    return attempt.rollout


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


def test_runs_of_langsmith(told):
    episodes, refused, notes = told(LANGSMITH)
    first = rollout(episodes[0])

    assert refused == [("reward is not a number from 0 to 1", "6")]
    assert [rollout(one).reward for one in episodes] == [1.0, None, 0.5, None]
    assert Counter(notes) == {
        "a run inside another run": 1,
        "no score, imported without a reward": 1,
        "several scores and none named reward or correctness, imported without a reward": 1,
    }
    assert first.answer == 'user: Refund charge 7?\nassistant calls: find({"id": 7})\ntool find: twice\nassistant: Yes.'
    assert (first.model, first.input_tokens, first.output_tokens, first.latency_s) == ("gpt-5-mini", 40, 2, 2.5)
    assert (first.feedback, first.source) == ("correctness: as a person would", "support")
    assert [one.task.input for one in episodes[:2]] == ["Refund charge 7?", "Refund charge 8?"]
    assert episodes[0].rollouts[0].thread_id == "t1"
    assert rollout(episodes[2]).feedback == "reward: half of it"
    assert rollout(episodes[3]).error == "TimeoutError()"


def test_a_run_of_langsmith_that_was_ours_leads_back(told):
    metadata = {"skill_plugin_run_id": "run-7", "skill_plugin_skill": "sk_1@3"}
    episodes, _, _ = told([run("a", extra={"metadata": metadata}), run("b", extra=json.dumps({"metadata": metadata}))])

    assert [(one.run_id, one.is_ours, rollout(one).skill, rollout(one).k) for one in episodes] == [
        ("run-7", True, "sk_1@3", 0),
        ("run-7", True, "sk_1@3", 1),
    ]


def test_runs_as_langsmiths_other_tools_write_them(told):
    """The command line's `run_id` and `custom_metadata`, the API's `parent_run_ids`, bulk export's texts and `is_root`."""
    tool = {**run("a"), "run_id": "a", "custom_metadata": {"model": "m"}, "token_usage": {"prompt_tokens": 3}}
    bulk = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in run("b").items()}
    children = [run("c", is_root=False), run("d", parent_run_ids=["b"])]
    episodes, refused, notes = told([{k: v for k, v in tool.items() if k not in ("id", "extra")}, bulk, *children])

    assert (refused, notes) == ([], ["a run inside another run"] * 2)
    assert [(rollout(one).reward, rollout(one).model, rollout(one).input_tokens) for one in episodes] == [
        (1.0, "m", 3),
        (1.0, "gpt-5-mini", 40),
    ]
    assert rollout(episodes[0]).answer == rollout(episodes[1]).answer


def test_langchains_serialised_messages(told):
    human = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "HumanMessage"],
        "kwargs": {"content": "Why?", "type": "human"},
    }
    reply = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "AIMessageChunk"],
        "kwargs": {"content": "So."},
    }
    (episode,), _, _ = told([run("a", inputs={"messages": [[human]]}, outputs={"messages": [human, reply]})])

    assert episode.task.input == "Why?"
    assert rollout(episode).answer == "user: Why?\nassistant: So."


@pytest.mark.parametrize("reward", [math.nan, math.inf, -0.1, 1.5, "1.0", [1], {}])
def test_a_reward_that_is_none_is_refused_with_its_line(told, reward):
    rows = [sql(0, 1), sql(1, reward), sql(2, None), sql(3, True)]
    episodes, refused, _ = told(rows)

    assert refused == [("reward is not a number from 0 to 1", "2"), ("no reward", "3")]
    assert [rollout(one).reward for one in episodes] == [1.0, 1.0]


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
