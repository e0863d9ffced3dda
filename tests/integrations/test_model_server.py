import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import openai
import pytest
import uvicorn

from skill_plugin import generators
from skill_plugin.errors import ConfigurationError
from skill_plugin.integrations.model_server import model_app, serve_model
from skill_plugin.models import chat_models
from skill_plugin.models.local_engine import LocalEngine, engine_of
from skill_plugin.records import Task
from tiny_models import tiny_model

ASK = [{"role": "user", "content": "2 + 2?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def url(folder):
    """The server in a thread of this process."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(model_app(engine_of(folder, dtype="float32"), "tiny"), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server.should_exit = True
    thread.join()


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def test_the_official_client_gets_what_the_model_says_in_this_process(client, folder):
    said = client.chat.completions.create(model="tiny", messages=ASK, temperature=0, max_tokens=12, logprobs=True)

    here = chat_models.load(f"local:{folder}", dtype="float32", max_tokens=12).invoke("2 + 2?")
    [choice] = said.choices
    assert choice.message.content == here.text
    assert choice.finish_reason == here.response_metadata["finish_reason"] == "length"
    assert len(choice.logprobs.content) == said.usage.completion_tokens == 12
    assert said.usage.prompt_tokens == here.usage_metadata["input_tokens"]
    assert [one.id for one in client.models.list()] == ["tiny"]


def test_several_choices_differ_and_a_seed_repeats_them(client):
    def ask():
        said = client.chat.completions.create(model="tiny", messages=ASK, n=3, seed=5, max_completion_tokens=12)
        return [choice.message.content for choice in said.choices]

    first = ask()
    assert len(set(first)) == 3
    assert ask() == first


def test_a_stream_has_the_same_text_and_the_usage(client):
    options = {"model": "tiny", "messages": ASK, "temperature": 0, "max_tokens": 12}
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))

    whole = client.chat.completions.create(**options)
    assert "".join(one.choices[0].delta.content for one in chunks if one.choices) == whole.choices[0].message.content
    assert chunks[0].choices[0].finish_reason == "length"
    assert chunks[-1].usage == whole.usage


def test_our_own_clients_take_it_for_a_server_of_theirs(url, folder):
    """LangChain's OpenAI class as the task LLM, and the generator that asks vLLM."""
    assert chat_models.load("tiny", base_url=url, temperature=0, max_tokens=5).invoke("2 + 2?").text

    one, two = generators.vllm(url, "tiny", max_tokens=30, seed=1).propose(Task("2 + 2?"), [], n=2)
    check = generators.local(folder)
    for revision in (one, two):
        raw = check.logprobs(revision.prompt_token_ids, revision.completion_token_ids)
        assert raw == pytest.approx(revision.logprobs, abs=1e-3)
    assert one.completion != two.completion


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"model": "gpt"}, 404, "'gpt' is not here; ask for tiny"),
        ({"messages": []}, 400, "messages are missing"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "is not a text"),
        ({"messages": [{"role": "user", "content": "word " * 5000}]}, 400, "tokens long and the context of"),
        ({"temperature": -1}, 400, "temperature is -1"),
        ({"max_tokens": "many"}, 400, "max_tokens is 'many'"),
        ({"stop": 3}, 400, "stop is 3; give a text"),
        ({"n": 1000}, 400, "n is 1000"),
        ({"tools": [{"type": "function"}]}, 400, "tools is .* which this server cannot do"),
        ({"presence_penalty": 1.5}, 400, "presence_penalty is 1.5"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(client, change, status, said):
    with pytest.raises(openai.APIStatusError, match=said) as caught:
        client.chat.completions.create(**{"model": "tiny", "messages": ASK, "max_tokens": 3, **change})
    assert caught.value.status_code == status


def test_web_pages_cannot_ask_it(url):
    body = '{"messages": [{"role": "user", "content": "a"}]}'
    for headers, status in (
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json", "host": "evil.example"}, 400),
        ({"content-type": "application/json", "host": "evil.example:80"}, 400),
    ):
        assert httpx.post(f"{url}/chat/completions", content=body, headers=headers).status_code == status
    assert (
        httpx.post(f"{url}/chat/completions", content="{", headers={"content-type": "application/json"}).status_code
        == 400
    )


def test_a_client_that_goes_away_ends_its_call(client, folder, monkeypatch):
    drawn, draw = [], LocalEngine._draw

    def endless(self, rows, scores):
        drawn.append(None)
        scores[:, self.loaded.ends] = float("-inf")
        return draw(self, rows, scores)

    monkeypatch.setattr(LocalEngine, "_draw", endless)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(model="tiny", messages=ASK, max_tokens=4000)
    engine = engine_of(folder, dtype="float32")
    while engine._is_at_work:
        time.sleep(0.01)
    assert len(drawn) < 4000


def test_a_port_that_is_taken_is_one_line(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1 port {port}: .*; choose another"):
            serve_model(str(folder), port=port)


def test_the_command_serves_until_a_signal_comes(folder):
    command = [sys.executable, "-m", "skill_plugin.integrations.cli", "models", "serve", str(folder), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        line = server.stderr.readline()
        url = line.split(" at ")[1].strip()
        assert line.startswith("tiny at http://127.0.0.1:")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                found = httpx.get(f"{url}/models").json()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        server.send_signal(signal.SIGTERM)
        assert (server.wait(60), server.stderr.read()) == (0, "")
    assert found["data"][0]["id"] == "tiny"
