"""`skill-plugin evolve`: a user's tasks, a user's agent, a user's model."""

import json

import pytest
from typer.testing import CliRunner

from cli_jobs import EVOLVE
from fakes import MACHINE, skill_text
from skill_plugin.integrations.cli import app
from stub_llm import choice, says, stub_llm, wrote


def test_the_command_line_evolves_with_a_users_agent_and_a_users_model(cli, work):
    with stub_llm(*[says(MACHINE)] * 2) as server:
        options = ("--tasks", work / "tasks.jsonl", "--generator", "openai:writer", "--base-url", server.url)
        small = ("--candidates", 1, "--rollouts", 2, "--generations", 1)
        said = json.loads(cli(*EVOLVE, *options, *small, "--json"))
        table = cli(*EVOLVE, *options, *small)

    assert (said["outcome"], said["solved_before"], said["solved_by_text"]) == ("finished", 0, 2)
    assert [(row["generation"], row["mean_reward"]) for row in said["generations"]] == [(0, 0.0), (1, 1.0)]
    assert "2 tasks: 0 solved at first, 0 at the end under what is live (2 under the best text of each)" in " ".join(
        table.split()
    )
    assert len(server.calls) == 2  # the second time everything is there


def test_without_a_terminal_it_writes_how_far_it_is_to_standard_error(work, monkeypatch):
    monkeypatch.setattr("skill_plugin.integrations.cli.terminal.progress.EVERY_S", 0.001)
    with stub_llm(*[says(MACHINE)] * 2) as server:
        options = ("--tasks", work / "tasks.jsonl", "--generator", "openai:writer", "--base-url", server.url)
        small = ("--candidates", 1, "--rollouts", 2, "--generations", 1, "--json")
        result = CliRunner().invoke(app, [str(word) for word in (*EVOLVE, *options, *small)])
        quiet = CliRunner().invoke(app, [str(word) for word in (*EVOLVE, *options, *small, "--quiet")])

    assert f"INFO evolve {json.loads(result.stdout)['run_id']}: 0 of 2 tasks done" in result.stderr
    assert quiet.stderr == ""


def test_with_a_generator_that_gives_tokens_and_log_probs_the_histories_are_ready_for_training(cli, work):
    texts = (skill_text(body="Use an abacus."), MACHINE)
    reply = wrote(*(choice(text, index) for index, text in enumerate(texts)))
    with stub_llm(reply) as server:
        options = ("--tasks", work / "tasks.jsonl", "--generator", "vllm:base", "--base-url", server.url)
        cli(*EVOLVE, *options, "--candidates", 2, "--rollouts", 2, "--generations", 1, "--full-groups")
    stats = json.loads(cli("histories", "stats", "--embedder", "hashing", "--json"))

    assert stats["retrain"] == {"usable": 4, "refused": {}}
    assert stats["groups_with_signal"] == stats["groups"] == 2


def test_the_generators_sampling_is_an_option(cli, work):
    with stub_llm(wrote(choice(MACHINE))) as server:
        options = ("--tasks", work / "tasks.jsonl", "--generator", "vllm:base", "--base-url", server.url)
        small = ("--candidates", 1, "--rollouts", 1, "--generations", 1)
        cli(*EVOLVE, *options, *small, "--generator-max-tokens", 99)

    call = server.calls[-1]
    assert (call["max_tokens"], call["temperature"], call["top_p"]) == (99, 1.0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--generator-top-p", "2"), "setting 'generator_top_p' cannot be 2.0"),
        (("--max-calls", "0"), "calls is 0; give a whole number from 1, or None"),
        (("--max-dollars", "1"), "a budget of 1.0 dollars needs prices"),
        (("--prices", "cheap"), "prices are INPUT/OUTPUT, such as 0.25/2, got 'cheap'"),
        (("--rollouts", "0"), "rollouts is 0; give a whole number from 1"),
        (("--selection", "luck"), "'luck' is not a selection; use one of best-mean, frontier"),
        (("--verifier", "magic"), "magic"),
        ((), "no generator is given"),
    ],
)
def test_wrong_options_are_one_line(cli, work, options, message):
    error = cli(*EVOLVE, "--tasks", work / "tasks.jsonl", *options, code=1)

    assert message in error
    assert "Traceback" not in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"task": "a"}\n{"task": ', "tasks.jsonl:2: no JSON"),
        ('{"id": "1", "task": "a"}\n{"id": "1", "task": "b"}', "tasks.jsonl:2: the id '1' is that of line 1"),
        ('{"task": "a", "verifier": "magic"}', "tasks.jsonl:1: no verifier is called 'magic'"),
    ],
)
def test_a_wrong_tasks_file_is_one_line_that_says_where(cli, work, lines, message):
    (work / "tasks.jsonl").write_text(lines)
    error = cli(*EVOLVE, "--tasks", work / "tasks.jsonl", "--model", "openai:m", code=1)

    assert message in error
    assert error.count("\n") == 1
