"""A model in this process behind an OpenAI-compatible address of this machine, so that it stands in for vLLM or Ollama.

Only the loopback address is listened on, only its names are answered to, and only JSON is read: no web page can ask it.
"""

import asyncio
import json
import secrets
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skill_plugin.errors import ConfigurationError, MissingExtraError, SkillPluginError
from skill_plugin.models.local_calls import LocalReply, LocalSampling
from skill_plugin.models.local_engine import LocalEngine, engine_of
from skill_plugin.models.named_models import resolved

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as exc:
    raise MissingExtraError("serving a model", "mcp") from exc

if TYPE_CHECKING:
    from concurrent.futures import Future

DEFAULT_PORT = 8000
MAX_CHOICES = 64

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "top_k": (0, -1), "min_p": (0,), "repetition_penalty": (1,), "presence_penalty": (0,), "frequency_penalty": (0,),
    "top_logprobs": (0,), "tools": ([],), "response_format": ({"type": "text"},), "logit_bias": ({},),
}  # fmt: skip
"""Settings that a client may send with these values alone, because they then change nothing."""

_LOOK_S = 0.2
"""How often the server looks whether a client is still there."""


def model_app(engine: LocalEngine, name: str) -> Starlette:
    """Makes the ASGI application that answers for a model under its name."""

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "local"}]})

    async def health(_: Request) -> Response:
        return JSONResponse({"ok": True})

    async def chat(request: Request) -> Response:
        try:
            asked = await _asked(request, name)
            sampling, choices = _sampling(asked), asked.get("n") or 1
            if type(choices) is not int or not 1 <= choices <= MAX_CHOICES:
                raise ConfigurationError(f"n is {choices!r:.80}; give a whole number from 1 to {MAX_CHOICES}")
            calls = await asyncio.to_thread(_begin, engine, asked.get("messages"), sampling, choices)
        except _RefusedError as exc:
            return _refused(exc.status, str(exc))
        except SkillPluginError as exc:
            return _refused(400, str(exc))
        try:
            replies = await _replies(calls, request)
        except SkillPluginError as exc:
            return _refused(500, str(exc))
        whole = _completion(engine, name, replies, asked)
        return _streamed(whole, asked) if asked.get("stream") else JSONResponse(whole)

    routes = [
        Route("/v1/models", models),
        Route("/health", health),
        Route("/v1/chat/completions", chat, methods=["POST"]),
    ]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"], www_redirect=False)
    return Starlette(routes=routes, middleware=[hosts])


def serve_model(name: str, *, port: int = DEFAULT_PORT, home: Path | None = None) -> None:
    """Serves a model until a signal comes. The address is printed on standard error; port 0 is any that is free.

    Args:
        name: A short name of `skill-plugin models list`, or a folder; clients call it by the last part of it.
        port: The port of 127.0.0.1.
        home: The home folder that short names are looked up in.

    Raises:
        ConfigurationError: the model cannot be loaded, or the port cannot be listened on.
    """
    engine = engine_of(resolved(name, home))
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as exc:
        raise ConfigurationError(f"cannot listen on 127.0.0.1 port {port}: {exc.strerror}; choose another") from exc
    short = Path(name).name
    where = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    print(f"{short} at {where}", file=sys.stderr, flush=True)  # noqa: T201 - for who started it
    config = uvicorn.Config(model_app(engine, short), log_config=None, access_log=False, timeout_graceful_shutdown=1)
    # Uvicorn sends itself the signal again when it is done.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        engine.interrupt()


async def _asked(request: Request, name: str) -> Mapping[str, Any]:
    if not request.headers.get("content-type", "").startswith(
        "application/json"
    ):  # what a page may send unasked is not
        raise _RefusedError(415, "the body must be JSON; send it as application/json")
    try:
        asked = json.loads(await request.body())
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise _RefusedError(400, "the body is not a JSON object; send model and messages")
    if asked.get("model", name) != name:
        raise _RefusedError(404, f"the model {asked['model']!r:.80} is not here; ask for {name}")
    for setting, neutral in _NEUTRAL.items():
        if (value := asked.get(setting)) is not None and value not in neutral:
            raise _RefusedError(400, f"{setting} is {value!r:.80}, which this server cannot do; leave it out")
    return asked


def _sampling(asked: Mapping[str, Any]) -> LocalSampling:
    stop = asked.get("stop") or ()
    stops = (stop,) if isinstance(stop, str) else stop
    if not isinstance(stops, list | tuple) or not all(isinstance(one, str) and one for one in stops):
        raise ConfigurationError(f"stop is {stop!r:.80}; give a text or a list of texts")
    given: dict[str, Any] = {
        "temperature": 1.0 if asked.get("temperature") is None else asked["temperature"],
        "top_p": asked.get("top_p"),
        "max_tokens": asked.get("max_completion_tokens") or asked.get("max_tokens"),
        "seed": asked.get("seed"),
    }
    return LocalSampling(stop=tuple(stops), **{key: value for key, value in given.items() if value is not None})


def _begin(engine: LocalEngine, messages: Any, sampling: LocalSampling, choices: int) -> "list[Future[LocalReply]]":
    """Begins a call for each choice; each has a seed of its own, or all would be the same."""
    if (
        not isinstance(messages, list)
        or not messages
        or not all(isinstance(one, dict) and "role" in one for one in messages)
    ):
        raise ConfigurationError("messages are missing; send a list of objects with role and content")
    plain = [{**one, "content": _text(one.get("content"))} for one in messages]
    return [engine.submit(plain, sampling.another(number)) for number in range(choices)]


def _text(content: Any) -> Any:
    """Returns the text of a content in parts; anything else as it is, which the engine refuses."""
    if isinstance(content, list) and all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in content):
        return "".join(one["text"] for one in content)
    return content


async def _replies(calls: "list[Future[LocalReply]]", request: Request) -> list[LocalReply]:
    """Waits for the replies; a client that has gone ends its calls."""
    work = asyncio.gather(*map(asyncio.wrap_future, calls))
    try:
        while not (await asyncio.wait([work], timeout=_LOOK_S))[0]:
            if await request.is_disconnected():
                return []
        return await work
    finally:
        for call in calls:
            call.cancel()


def _completion(engine: LocalEngine, name: str, replies: list[LocalReply], asked: Mapping[str, Any]) -> dict[str, Any]:
    choices = []
    for number, reply in enumerate(replies):
        choice: dict[str, Any] = {"index": number, "message": {"role": "assistant", "content": reply.text}}
        choice |= {"finish_reason": reply.finish_reason, "logprobs": None}
        if asked.get("logprobs"):
            choice["logprobs"] = {"content": [{**one, "top_logprobs": []} for one in engine.named(reply)]}
        if asked.get("return_token_ids"):  # vLLM's
            choice["token_ids"] = reply.token_ids
        choices.append(choice)
    read = len(replies[0].prompt_token_ids) if replies else 0
    written = sum(len(reply.token_ids) for reply in replies)
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    whole = {"id": f"chatcmpl-{secrets.token_hex(8)}", "object": "chat.completion", "created": int(time.time())}
    ids = {"prompt_token_ids": replies[0].prompt_token_ids} if replies and asked.get("return_token_ids") else {}
    return {**whole, "model": name, "choices": choices, "usage": usage, **ids}


def _streamed(whole: dict[str, Any], asked: Mapping[str, Any]) -> Response:
    """Returns a completion as server-sent events, each choice in one piece."""
    head = {**whole, "object": "chat.completion.chunk"}
    usage = head.pop("usage")
    options = asked.get("stream_options")
    chunks = [{**head, "choices": [{**choice, "delta": choice.pop("message")}]} for choice in whole["choices"]]
    if isinstance(options, dict) and options.get("include_usage"):
        chunks.append({**head, "choices": [], "usage": usage})
    lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return Response(f"{lines}data: [DONE]\n\n", media_type="text/event-stream")


def _refused(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error", "code": status}}, status)


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
