"""The command line's defaults are those of the settings behind it."""

import inspect
from dataclasses import fields

import pytest
from typer.testing import CliRunner

from skill_plugin.budget import Budget
from skill_plugin.graphs import EvolveSettings, agate_generator
from skill_plugin.integrations.cli import app
from skill_plugin.integrations.cli.evolve import evolve
from skill_plugin.integrations.cli.retrain import retrain

OTHERWISE = {"full_groups": "adaptive", "go_on_when_solved": "stop_when_solved"}


def test_evolve_has_the_defaults_of_its_settings_and_an_option_for_each():
    given = {name: one.default for name, one in inspect.signature(evolve).parameters.items()}
    settings = {one.name: one.default for one in fields(EvolveSettings)}

    for option, name in OTHERWISE.items():
        assert given.pop(option) is not settings.pop(name)
    shared = given.keys() & settings.keys() - {"verifier"}
    assert {name: given[name] for name in shared} == {name: settings[name] for name in shared}
    assert settings.keys() - given.keys() == {"min_score", "experience", "strategy", "verifier_timeout"}


def test_every_limit_of_a_budget_has_an_option():
    given = set(inspect.signature(evolve).parameters)

    assert {f"max_{name}" for name in ("calls", "tokens", "dollars", "minutes")} <= given
    assert {one.name for one in fields(Budget)} == {
        "calls",
        "tokens",
        "dollars",
        "minutes",
        "prices",
        "generator_prices",
        "stop",  # a function
    }


def test_the_gate_of_retrain_has_those_of_the_library():
    given = {name: one.default for name, one in inspect.signature(retrain).parameters.items()}
    gate = {name: one.default for name, one in inspect.signature(agate_generator).parameters.items()}

    for option, name in {
        "gate_candidates": "candidates",
        "gate_most_candidates": "most_candidates",
        "gate_rollouts": "rollouts",
        "concurrency": "concurrency",
    }.items():
        assert given[option] == gate[name]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("search", "The home folder [default: SKILL_PLUGIN_HOME or ~/.skill-plugin]."),
        ("evolve", "Share of a skill's body that edits may change [default: 0.5]."),
        ("retrain", "Learn from what was logged since then [default: the last promotion]."),
    ],
)
def test_the_help_shows_its_defaults(command, shown):
    """Rich takes what stands in brackets for markup, and would show nothing of it."""
    output = (
        CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"}).output
    )

    assert shown in " ".join(output.split())
