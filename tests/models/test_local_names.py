"""How a local chat model is named, and what the settings give it."""

import pytest
from pydantic import BaseModel

from skill_plugin.errors import ConfigurationError
from skill_plugin.models import chat_models
from skill_plugin.settings import Settings
from tiny_models import tiny_model


class Ollama(BaseModel):
    num_predict: int = 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "model")


def chat(folder):
    return chat_models.load(f"local:{folder}", dtype="float32")


def test_settings_give_the_task_llm_its_limits_and_nobody_else(folder):
    settings = Settings.load(model=f"local:{folder}", task_max_tokens=3, task_temperature=0.5, base_url="http://a/v1")

    task_llm, other = chat_models.from_settings(settings), chat_models.from_settings(settings, f"local:{folder}")

    assert (task_llm.max_tokens, task_llm.temperature) == (3, 0.5)
    assert (other.max_tokens, other.temperature) == (512, 0)
    assert chat_models.name_of(task_llm) == str(folder)
    assert task_llm._engine is other._engine


def test_other_providers_get_them_by_the_names_that_they_have(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    settings = Settings.load(model="openai:gpt-4o-mini", task_max_tokens=3, task_temperature=0.5)

    model = chat_models.from_settings(settings)

    assert (model.max_tokens, model.temperature) == (3, 0.5)
    assert chat_models._spelt("max_tokens", Ollama, "task") == "num_predict"
    with pytest.raises(ConfigurationError, match="Ollama takes no temperature; leave task_temperature out"):
        chat_models._spelt("temperature", Ollama, "task")


def test_a_short_name_is_looked_up_in_the_home(home):
    tiny_model(home / "models" / "mine")

    model = chat_models.from_settings(Settings.load(home=home, model="local:mine"))

    assert model._engine.path == str(home / "models" / "mine")
    assert chat_models.name_of(model) == "mine"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("local:", {}, "names no model"),
        ("local:./nowhere", {}, "there is no model folder"),
        ("local:smollm2-135m", {}, "run: skill-plugin models get smollm2-135m"),
        ("local:x", {"temperature": -1}, "temperature is -1"),
        ("local:x", {"max_tokens": "many"}, "cannot have max_tokens='many'"),
        ("local:x", {"top_k": 3}, "cannot have top_k=3"),
    ],
)
def test_what_cannot_work_is_one_line(name, options, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        chat_models.load(name, **options)
    assert "\n" not in str(caught.value)


def test_a_call_with_what_a_local_model_does_not_take(folder):
    with pytest.raises(ConfigurationError, match="cannot be called with 'tools'; it takes temperature"):
        chat(folder).invoke("a", tools=[])
    with pytest.raises(ConfigurationError, match="cannot call its 1 tools; use an agent without tools"):
        chat(folder).bind_tools([{"name": "a"}])
