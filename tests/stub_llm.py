"""A local OpenAI-compatible server that fails as it is told."""

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fakes import MACHINE
from skill_plugin.models import chat_models


@dataclass(frozen=True)
class Reply:
    """One step of a script: an HTTP reply, or what stands in its place."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "json"  # or "hang", "reset", "half"


def says(content: Any, finish_reason: Any = "stop", **message: Any) -> Reply:
    message = {"role": "assistant", "content": content, **message}
    return completion(choices=[{"index": 0, "finish_reason": finish_reason, "message": message}])


def completion(**body: Any) -> Reply:
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    return Reply({"id": "1", "object": "chat.completion", "created": 0, "model": "stub", "usage": usage, **body})


def fails(status: int, message: str = "no", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply({"error": {"message": message, "type": "stub"}}, status, named)


HANG, RESET, HALF = Reply(kind="hang"), Reply(kind="reset"), Reply(kind="half")


class StubLLM(ThreadingHTTPServer):
    """Replies with the script's steps in turn, and with the last one ever after; `calls` are the bodies it was sent, and
    `paths` and `keys` where to and by whom.
    """

    daemon_threads = True

    def __init__(self, *script: Reply, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.script, self.over = script, threading.Event()
        self.calls: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.turn = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def next_step(self, call: dict[str, Any], path: str, key: str | None) -> Reply:
        with self.turn:
            self.calls.append(call)
            self.paths.append(path)
            self.keys.append(key)
            return self.script[min(len(self.calls), len(self.script)) - 1]

    def model(self, **limits: Any) -> Any:
        """A real `ChatOpenAI` that asks this server."""
        return chat_models.load("stub", base_url=self.url, **limits)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has hung up is part of the script."""


@contextmanager
def stub_llm(*script: Reply, port: int = 0) -> Iterator[StubLLM]:
    with StubLLM(*script, port=port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: StubLLM

    def do_GET(self) -> None:
        self._reply({})

    def do_POST(self) -> None:
        self._reply(json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}"))

    def _reply(self, call: dict[str, Any]) -> None:
        step = self.server.next_step(call, self.path, self.headers["authorization"])
        if step.kind == "hang":
            self.server.over.wait()
        elif step.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif step.kind == "half":
            self._send(step, b'{"id": "1", "choices": [', length=1000)
        elif call.get("stream") and step.status == 200:
            self._stream(step)
        else:
            self._send(step, step.body if isinstance(step.body, bytes) else json.dumps(step.body).encode())

    def _send(self, step: Reply, data: bytes, length: int | None = None) -> None:
        self.send_response(step.status)
        for name, value in {"content-type": "application/json", **step.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, step: Reply) -> None:
        """The completion as server-sent events: the text word by word, then why it ended."""
        (choice,) = step.body["choices"]
        deltas = [{"content": f"{word} "} for word in (choice["message"]["content"] or "").split()]
        ends = [None] * len(deltas) + [choice["finish_reason"]]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for delta, end in zip([*deltas, {}], ends, strict=True):
            part = {"index": 0, "delta": delta, "finish_reason": end}
            chunk = {**step.body, "object": "chat.completion.chunk", "choices": [part], "usage": None}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: Any) -> None:
        pass


def choice(text=MACHINE, index=0, *, ids=(8, 9), logprobs=(-0.5, -0.25), why="stop", **rest):
    content = None if logprobs is None else {"content": [{"token": "x", "logprob": one} for one in logprobs]}
    message = {"role": "assistant", "content": text}
    ids = None if ids is None else list(ids)
    return {"index": index, "finish_reason": why, "message": message, "logprobs": content, "token_ids": ids, **rest}


def wrote(*choices, **body):
    return completion(**{"prompt_token_ids": [1, 2, 3], "choices": list(choices or [choice()]), **body})
