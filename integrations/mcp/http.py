"""The MCP server over HTTP: MCP at `/mcp`, outcomes that other systems post at `/outcomes`, `/health`, `/metrics`, and `/healthz`.

Without a token it answers on this machine only, and only requests whose Host and Origin are this machine's: a web page
whose name was made to point here (DNS rebinding) is refused. With a token every path wants it, but for `/healthz` and one word
of `/health`.
"""

import asyncio
import hmac
import ipaddress
import json
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from skill_plugin.errors import (
    ConfigurationError,
    MissingExtraError,
    RunNotFoundError,
    SkillPluginError,
    StoreUnavailableError,
)
from skill_plugin.integrations import tools
from skill_plugin.integrations.function_calls import ServedFunctions
from skill_plugin.integrations.health import Health, health
from skill_plugin.integrations.mcp import sdk
from skill_plugin.integrations.mcp.server import create_server
from skill_plugin.settings import home_folder
from skill_plugin.store import SkillStore
from skill_plugin.store.guard import abounded

try:
    import uvicorn
    from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, PlainTextResponse, Response

    from skill_plugin.integrations.mcp.clients import (
        ClientLimitError,
        Clients,
        HttpLimits,
        LimitedProtocol,
        place_of,
        writes_in,
    )
except ImportError as exc:
    raise MissingExtraError("serving over HTTP", "mcp") from exc

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 1024 * 1024
"""Bytes of a request's body; a SKILL.md has at most 64 KiB."""

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765

HEALTH_SECONDS = 5.0
"""Seconds that a look at the health may take, and for which its result is given again."""

_GRACE_SECONDS = 3

_IS_SHOWN = "skill_plugin.is_shown"
"""Key in the scope of a request to `/health`: whether the caller may see more than one word."""

_SOURCE = "http"
"""Of all outcomes that are posted: a caller that names its source could be many."""


def http_app(
    store: SkillStore,
    *,
    token: str | None = None,
    allow_write: bool = False,
    functions: ServedFunctions | None = None,
    limits: HttpLimits | None = None,
    home: Path | None = None,
) -> "ASGIApp":
    """Makes the ASGI application. Without a token it answers only to the names of this machine.

    Args:
        store: The library.
        token: The token that callers must send.
        allow_write: Let clients propose skills, and count the runs that they report.
        functions: Let clients call the functions of skills that an operator allowed, in this way.
        limits: What one client may take. Those of connections and headers are the web server's: see `serve_http`.
        home: The home folder, where the training runs are that `/health` speaks of; by default the usual one.
    """
    server = create_server(store, allow_write=allow_write, functions=functions)
    home = home or home_folder()
    looks = _Looks(store, home)

    @server.custom_route("/outcomes", methods=["POST"])  # type: ignore[untyped-decorator]
    async def outcomes(request: Request) -> Response:
        return await _outcome(store, request)

    @server.custom_route("/healthz", methods=["GET"])  # type: ignore[untyped-decorator]
    async def healthz(_: Request) -> Response:
        return JSONResponse({"ok": True})

    @server.custom_route("/health", methods=["GET"])  # type: ignore[untyped-decorator]
    async def healths(request: Request) -> Response:
        found = await looks.look()
        said = json.loads(json.dumps(found.to_json(), default=str)) if request.scope[_IS_SHOWN] else {}
        return JSONResponse({**said, "status": found.status}, 503 if found.status == "down" else 200)

    @server.custom_route("/metrics", methods=["GET"])  # type: ignore[untyped-decorator]
    async def metrics(_: Request) -> Response:
        try:
            from skill_plugin.integrations.metrics import page  # noqa: PLC0415 - an extra
        except MissingExtraError as exc:
            return _refused(501, str(exc))
        try:
            text, kind = await abounded(lambda: page(store, home), lambda: [HEALTH_SECONDS])
        except StoreUnavailableError as exc:
            return _refused(503, str(exc))
        return PlainTextResponse(text, media_type=kind)

    return _Guard(sdk.http_app(server), token, limits or HttpLimits())


def serve_http(
    store: SkillStore,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    token: str | None = None,
    allow_write: bool = False,
    functions: ServedFunctions | None = None,
    limits: HttpLimits | None = None,
    home: Path | None = None,
) -> None:
    """Serves until a signal comes. The address is printed on standard error; port 0 is any that is free.

    See `http_app` for the other arguments.

    Raises:
        ConfigurationError: the address is not this machine's own and no token is given, or it cannot be listened on.
    """
    listener = _listen(host, port, token)
    address, number = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    print(f"MCP at http://{shown}:{number}/mcp", file=sys.stderr, flush=True)  # noqa: T201 - for who started it
    limits = limits or HttpLimits()
    app = http_app(store, token=token, allow_write=allow_write, functions=functions, limits=limits, home=home)
    # Uvicorn sends itself the signal again when it is done; that must not end the process before the store is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(server_config(app, limits)).run(sockets=[listener])


def server_config(app: "ASGIApp", limits: HttpLimits) -> uvicorn.Config:
    """Returns the web server's settings, with the limits that are its own."""
    return uvicorn.Config(
        app,
        http=LimitedProtocol.of(limits),
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_keep_alive=limits.idle_s,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _listen(host: str, port: int, token: str | None) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if token is None and not ipaddress.ip_address(address[0]).is_loopback:
            raise ConfigurationError(
                f"{host} can be reached from other machines and no token is set; set SKILL_PLUGIN_TOKEN, or use 127.0.0.1"
            )
        return socket.create_server(address[:2], family=family)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).split(" (")[0]  # asyncio and socket repeat the address in brackets
        raise ConfigurationError(f"cannot listen on {host} port {port}: {reason}; choose another") from exc


async def _outcome(store: SkillStore, request: Request) -> Response:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        return _refused(400, 'the body is not JSON; send {"run_id": ..., "reward": 0.0 to 1.0, "feedback": ...}')
    try:
        recorded = await anyio.to_thread.run_sync(_record, store, body)
    except RunNotFoundError:
        return _refused(404, f"no run {body['run_id']!r:.200} in this namespace; send the run_id that the run returned")
    except StoreUnavailableError as exc:
        return _refused(503, str(exc))
    except SkillPluginError as exc:
        return _refused(422, str(exc))
    return JSONResponse({"recorded": recorded})


def _record(store: SkillStore, body: Any) -> bool:
    """Records an outcome in either form; returns False if the same exists."""
    if not isinstance(body, Mapping) or not isinstance(run_id := body.get("run_id"), str):
        raise ConfigurationError("an outcome is a JSON object with a run_id; pass the one that the run returned")
    if "reward" in body:
        return tools.report_outcome(store, run_id, body["reward"], _text(body, "feedback"), source=_SOURCE)["recorded"]
    if "score" in body or "key" in body:
        key, comment = _text(body, "key") or "feedback", _text(body, "comment")
        score, value = body.get("score"), body.get("value")
        return store.record_feedback(run_id, key=key, score=score, value=value, comment=comment, source=_SOURCE)
    raise ConfigurationError("an outcome needs a reward, or a key and a score, from 0 to 1; add one")


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} is {value!r:.80}; give a text")
    return value or ""


def _refused(status: int, message: str, **headers: str) -> Response:
    return JSONResponse({"error": message}, status, headers=headers)


class _Looks:
    """Looks at a store's health, one at a time and not more often than every few seconds, however many ask."""

    def __init__(self, store: SkillStore, home: Path) -> None:
        self._store, self._home = store, home
        self._turn = asyncio.Lock()
        self._found: Health | None = None
        self._at = 0.0

    async def look(self) -> Health:
        async with self._turn:
            if self._found is None or time.monotonic() > self._at + HEALTH_SECONDS:
                # In a thread of its own: those of the tools may all be waiting for the store.
                look = lambda: health(lambda: self._store, self._home, timeout=HEALTH_SECONDS)  # noqa: E731
                self._found = await abounded(look, lambda: [2 * HEALTH_SECONDS])
                self._at = time.monotonic()
            return self._found


class _Guard:
    """Refuses a request before the application sees it: by its Host and Origin, its token, its size, its client's limits."""

    def __init__(self, app: "ASGIApp", token: str | None, limits: HttpLimits) -> None:
        self._app = app
        self._expected = None if token is None else token.encode()
        self._clients = Clients(limits)
        names = ("127.0.0.1", "localhost", "[::1]")
        self._local = TransportSecurityMiddleware(
            TransportSecuritySettings(
                allowed_hosts=[f"{name}{port}" for name in names for port in ("", ":*")],
                allowed_origins=[f"http://{name}{port}" for name in names for port in ("", ":*")],
            )
        )

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http" or scope["path"] == "/healthz":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        refused = await self._refused(request)
        if scope["path"] == "/health":
            scope[_IS_SHOWN] = refused is None
            await self._app(scope, receive, send)
            return
        if refused is not None:
            await refused(scope, receive, send)
            return
        client = place_of(scope["client"][0] if scope.get("client") else "")
        try:
            async with self._clients.turn(client):
                body = await self._body(request)
                if body is None:
                    raise _RefusedError(413, f"the body is over {MAX_BODY} bytes; send less")
                if count := writes_in(scope["path"], body):
                    self._clients.count_writes(client, count)
                await self._app(scope, _replay(body, receive), send)
        except ClientDisconnect:
            return
        except ClientLimitError as exc:
            await _refused(429, str(exc), **{"Retry-After": str(exc.after_s)})(scope, receive, send)
        except _RefusedError as exc:
            # What is left of the body is not read, so the connection cannot be used again.
            await _refused(exc.status, str(exc), Connection="close")(scope, receive, send)

    async def _body(self, request: Request) -> bytes | None:
        seconds = self._clients.limits.body_s
        try:
            async with asyncio.timeout(seconds):
                return await _body(request)
        except TimeoutError:
            raise _RefusedError(408, f"the body did not come within {seconds:g} s; send it faster") from None

    async def _refused(self, request: Request) -> Response | None:
        if self._expected is None:
            return await self._local.validate_request(request)
        scheme, _, given = dict(request.scope["headers"]).get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(given, self._expected):
            return None
        message = "a token is needed; send it as 'Authorization: Bearer TOKEN'"
        return _refused(401, message, **{"WWW-Authenticate": "Bearer"})


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _replay(body: bytes, receive: "Receive") -> "Receive":
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> "Message":
        return messages.pop() if messages else await receive()

    return replay


async def _body(request: Request) -> bytes | None:
    """Reads the request's body; returns None as soon as it is too long."""
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > MAX_BODY:
            return None
    return bytes(read)
