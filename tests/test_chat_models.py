import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from skill_plugin import chat_models
from skill_plugin.errors import ConfigurationError


@pytest.mark.parametrize("model", ["", "no-such-model", "nobody:gpt", "ollama:", "openai:gpt-5-mini"])
def test_a_string_that_does_not_resolve_is_told_in_one_line(model, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    with pytest.raises(ConfigurationError, match="model") as caught:
        chat_models.load(model)

    assert "\n" not in str(caught.value)
    assert "openai:gpt-5-mini" in str(caught.value)


def test_a_string_that_resolves(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    assert chat_models.name_of(chat_models.load("openai:gpt-5-mini")) == "gpt-5-mini"


ASKED = []


class Server(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that notes what it was asked."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        ASKED.append((self.path, self.headers["authorization"], body["model"]))
        reply = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
        }
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def test_any_openai_compatible_server_will_do(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            model = chat_models.load("my/own:model", base_url=f"http://127.0.0.1:{server.server_port}/v1")
            assert model.invoke("hi").text == "hello"
        finally:
            server.shutdown()
            thread.join()

    assert ASKED == [("/v1/chat/completions", "Bearer not-needed", "my/own:model")]
