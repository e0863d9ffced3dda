import pytest

from fakes import ScriptedChat
from skill_plugin.errors import ConfigurationError
from skill_plugin.models import chat_models
from skill_plugin.settings import Settings
from stub_llm import says, stub_llm


@pytest.mark.parametrize("model", ["", "no-such-model", "nobody:gpt", "ollama:", "openai:gpt-5-mini"])
def test_a_string_that_does_not_resolve_is_told_in_one_line(model, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    with pytest.raises(ConfigurationError, match="model") as caught:
        chat_models.load(model)

    assert "\n" not in str(caught.value)
    assert "openai:gpt-5-mini" in str(caught.value)


@pytest.mark.parametrize("model", ["gpt-5-mini", "no-such-model"])
def test_a_bare_name_is_told_to_be_written_with_its_provider(model, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    with pytest.raises(ConfigurationError, match="names no provider; write it as PROVIDER:MODEL") as caught:
        chat_models.load(model)

    assert "api_key" not in str(caught.value)


def test_a_string_that_resolves(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    assert chat_models.name_of(chat_models.load("openai:gpt-5-mini")) == "gpt-5-mini"


def test_a_model_has_limits_unless_the_caller_gives_others(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    def limits(**options):
        model = chat_models.load("openai:gpt-5-mini", **options)
        return model.request_timeout, model.max_retries

    assert limits() == (120, 3)
    assert limits(timeout=5, max_retries=0) == (5, 0)
    assert limits(request_timeout=7) == (7, 3)


def test_a_class_that_takes_no_limits_gets_none():
    given = {"timeout": 5, "max_retries": 1}

    assert chat_models._taken(given, ScriptedChat, {}) == {}


def test_settings_name_the_model_its_server_and_its_limits():
    settings = Settings.load(model="a", base_url="http://localhost:1/v1", model_timeout=9, model_retries=1)

    task_llm, other = chat_models.from_settings(settings), chat_models.from_settings(settings, "b")

    assert [chat_models.name_of(model) for model in (task_llm, other)] == ["a", "b"]
    assert {(model.request_timeout, model.max_retries) for model in (task_llm, other)} == {(9, 1)}


def test_any_openai_compatible_server_will_do(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    with stub_llm(says("hello")) as server:
        model = chat_models.load("my/own:model", base_url=server.url)
        assert model.invoke("hi").text == "hello"

    assert (server.paths, server.keys) == (["/v1/chat/completions"], ["Bearer not-needed"])
    assert server.calls[0]["model"] == "my/own:model"
