import pytest

from skill_plugin.errors import ConfigurationError
from skill_plugin.settings import Settings


def test_defaults(home):
    settings = Settings.load()

    assert (settings.home, settings.namespace, settings.embedder) == (home, "default", "minilm")


def test_the_file_yields_to_the_environment_and_that_to_the_caller(home, monkeypatch):
    home.mkdir()
    home.joinpath("settings.toml").write_text('namespace = "file"\nmodel = "file"\nembedder = "hashing"\n')
    monkeypatch.setenv("SKILL_PLUGIN_NAMESPACE", "environment")
    monkeypatch.setenv("SKILL_PLUGIN_MODEL", "environment")

    settings = Settings.load(model="caller", namespace=None)

    assert (settings.embedder, settings.namespace, settings.model) == ("hashing", "environment", "caller")


def test_the_caller_moves_the_home_and_with_it_the_file(tmp_path):
    tmp_path.joinpath("settings.toml").write_text('namespace = "there"\n')

    assert Settings.load(home=tmp_path).namespace == "there"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("namespace = ", "cannot be read"),
        ('namspace = "x"', "'namspace', which is not a setting"),
        ('home = "/elsewhere"', "'home'"),
        ('max_generations = "many"', "max_generations"),
    ],
)
def test_a_wrong_settings_file_is_named(home, text, says):
    home.mkdir()
    home.joinpath("settings.toml").write_text(text)

    with pytest.raises(ConfigurationError, match=says) as caught:
        Settings.load()

    assert "settings.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_variable_is_named(monkeypatch):
    monkeypatch.setenv("SKILL_PLUGIN_MAX_GENERATIONS", "three")

    with pytest.raises(ConfigurationError, match="SKILL_PLUGIN_MAX_GENERATIONS"):
        Settings.load()


def test_override_keeps_what_is_not_given():
    settings = Settings.load(model="a").override(generator="b", model=None)

    assert (settings.model, settings.generator) == ("a", "b")


def test_a_misspelt_variable_is_named_once_and_fails_nothing(monkeypatch, caplog):
    monkeypatch.setenv("SKILL_PLUGIN_MODLE", "x")
    monkeypatch.setenv("SKILL_PLUGIN_FOO", "x")
    monkeypatch.setenv("SKILL_PLUGIN_EMBEDDER", "hashing")
    monkeypatch.setenv("SKILL_PLUGIN_CRASH_AT", "")

    assert [Settings.load().model for _ in range(2)] == [None, None]
    assert caplog.messages == [
        "environment variables that are not settings: SKILL_PLUGIN_FOO; SKILL_PLUGIN_MODLE, did you mean SKILL_PLUGIN_MODEL?"
    ]


@pytest.mark.parametrize("name", ["FUNCTION_PACKAGES", "READ_ONLY_TOOLS", "REDACT_PATTERNS"])
def test_a_variable_that_is_no_json_is_one_line(monkeypatch, cli, name):
    monkeypatch.setenv(f"SKILL_PLUGIN_{name}", "yaml")
    line = f"""SKILL_PLUGIN_{name} is 'yaml', which is not JSON; write a list like ["one", "two"]"""

    with pytest.raises(ConfigurationError) as wrong:
        Settings.load()
    assert str(wrong.value) == line
    assert cli("skills", "list", code=1) == f"error: {line}\n"
