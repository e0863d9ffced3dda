"""The format `langsmith`: runs as LangSmith's client, command line, API and exports write them."""

import json
from collections import Counter

from recorded import LANGSMITH, rollout, run


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
