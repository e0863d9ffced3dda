"""Limits what one client takes of the HTTP server: connections, seconds, requests at once, writes a minute.

A client is an address: the server has one token, which all share. Behind a proxy on this machine the address is the one that the proxy
names (X-Forwarded-For).
"""

import asyncio
import ipaddress
import json
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from skill_plugin.limits import ABOVE_0, AT_LEAST_1, check_fields

MOST_CLIENTS = 10_000
"""Clients that are remembered; the one that asked the longest ago gives way."""

BURST_SECONDS = 10
"""Writes of so many seconds may come at once."""

_WRITING = {"get_skill", "report_outcome", "propose_skill", "call_skill"}


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """Limits of one client.

    Args:
        header_s: Seconds from the first byte, or from connecting, to the end of a request's headers.
        body_s: Seconds for the body.
        idle_s: Seconds that a connection may be kept open between two requests.
        connections: Connections of one address.
        requests: Requests that are answered at once; more wait.
        wait_s: Seconds that they wait; then they are refused with 429.
        writes_a_minute: Runs begun, outcomes, proposals and calls of functions; beyond that 429. Those of ten seconds may come at once.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    header_s: Annotated[float, ABOVE_0] = 10.0
    body_s: Annotated[float, ABOVE_0] = 30.0
    idle_s: Annotated[int, AT_LEAST_1] = 5
    connections: Annotated[int, AT_LEAST_1] = 200
    requests: Annotated[int, AT_LEAST_1] = 16
    wait_s: Annotated[float, ABOVE_0] = 10.0
    writes_a_minute: Annotated[int, AT_LEAST_1] = 600

    def __post_init__(self) -> None:
        check_fields(self)


class ClientLimitError(Exception):
    """A client has as much as it may have; `after_s` says when to ask again."""

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = max(1, round(after_s))


@dataclass
class _Client:
    slots: asyncio.Semaphore
    allowance: float
    at: float = field(default_factory=time.monotonic)
    using: int = 0


class Clients:
    """The clients of one server. For one event loop."""

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        self._burst = max(1.0, limits.writes_a_minute * BURST_SECONDS / 60)
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Waits until the client may have one more request answered.

        Raises:
            ClientLimitError: it has waited long enough.
        """
        client = self._client(name)
        client.using += 1
        try:
            try:
                async with asyncio.timeout(self.limits.wait_s):
                    await client.slots.acquire()
            except TimeoutError:
                raise ClientLimitError(
                    f"{self.limits.requests} requests of this client are being answered; ask again when one is done", 1
                ) from None
            try:
                yield
            finally:
                client.slots.release()
        finally:
            client.using -= 1

    def count_writes(self, name: str, count: int) -> None:
        """Counts writes of a client.

        Raises:
            ClientLimitError: there were too many; none of these is allowed.
        """
        client, now = self._client(name), time.monotonic()
        rate = self.limits.writes_a_minute / 60
        client.allowance = min(self._burst, client.allowance + (now - client.at) * rate)
        client.at = now
        if client.allowance < min(count, self._burst):
            raise ClientLimitError(
                f"this client may write {self.limits.writes_a_minute} times a minute; wait, then send it again",
                (count - client.allowance) / rate,
            )
        client.allowance -= count

    def _client(self, name: str) -> _Client:
        if name not in self._clients:
            while len(self._clients) >= MOST_CLIENTS and (idle := self._idle()) is not None:
                del self._clients[idle]
            self._clients[name] = _Client(asyncio.Semaphore(self.limits.requests), self._burst)
        self._clients.move_to_end(name)
        return self._clients[name]

    def _idle(self) -> str | None:
        return next((name for name, client in self._clients.items() if not client.using), None)


def place_of(address: str) -> str:
    """Returns the part of an address that one machine has: of IPv6 the network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def writes_in(path: str, body: bytes) -> int:
    """Returns how many writes a request asks for."""
    if path == "/outcomes":
        return 1
    try:
        messages: Any = json.loads(body)
    except (ValueError, RecursionError):
        return 0  # it will be refused
    return sum(map(_is_write, messages if isinstance(messages, list) else [messages]))


def _is_write(message: Any) -> bool:
    params = message.get("params") if isinstance(message, dict) else None
    if not isinstance(params, dict):
        return False
    if message.get("method") == "prompts/get":
        return True  # with a task it begins a run
    return message.get("method") == "tools/call" and params.get("name") in _WRITING


class LimitedProtocol(H11Protocol):
    """Uvicorn's protocol with the two limits that it lacks: connections of an address, and seconds for the headers.

    It is the one on h11, which bounds their size too (64 KiB).
    """

    limits: ClassVar[HttpLimits]
    connected: ClassVar[Counter[str]]

    _place: str | None = None
    _due: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, limits: HttpLimits) -> type[H11Protocol]:
        """Returns the class for one server."""
        return type(cls.__name__, (cls,), {"limits": limits, "connected": Counter()})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._place = place_of(self.client[0] if self.client else "")
        self.connected[self._place] += 1
        if self.connected[self._place] > self.limits.connections:
            transport.abort()
            return
        self._expect()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._forget()
        elif self.cycle is None or self.cycle.response_complete:
            self._expect()  # the beginning of the next request's headers, or the rest of a body that nobody reads

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        if self._place is not None:
            self.connected[self._place] -= 1
            if not self.connected[self._place]:
                del self.connected[self._place]
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(self.limits.header_s, self.transport.close)

    def _forget(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
