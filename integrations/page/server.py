"""Serves the page until a signal comes."""

import ipaddress
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from skill_plugin.errors import ConfigurationError, MissingExtraError

try:
    import uvicorn

    from skill_plugin.integrations.page.app import page_app
    from skill_plugin.integrations.page.guard import Keys
except ImportError as exc:
    raise MissingExtraError("the page", "ui") from exc

if TYPE_CHECKING:
    from skill_plugin.budget import Prices
    from skill_plugin.store import SkillStore

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8766
_GRACE_SECONDS = 3


def serve_page(
    store: "SkillStore",
    home: Path,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    allow_write: bool = False,
    url: str = "",
    prices: "Prices | None" = None,
    opened: Callable[[str], object] = lambda _: None,
) -> None:
    """Serves until a signal comes. The address is printed on standard error; port 0 is any that is free.

    Args:
        store: The library.
        home: The home folder.
        host: The address to listen on. Where other machines reach it, what is printed is a link with a token, which works once.
        port: The port.
        allow_write: Let people decide here.
        url: Where browsers see the page, if a proxy stands before it: others reach it then, so there is a link with a token.
        prices: What the task LLM's tokens cost; without them no money is shown.
        opened: Is given the address as soon as the port is listened on.

    Raises:
        ConfigurationError: the address cannot be listened on, or the url is not one.
    """
    if url and (
        urlsplit(url).scheme not in ("http", "https")
        or not urlsplit(url).hostname
        or urlsplit(url).path not in ("", "/")
    ):
        raise ConfigurationError(
            f"{url!r:.80} is not where browsers see the page; give it like https://skills.example.com"
        )
    listener, is_local = _listen(host, port)
    address, number = listener.getsockname()[:2]
    shown = socket.gethostname() if address in ("0.0.0.0", "::") else address  # noqa: S104 - compared
    place = f"{url.rstrip('/')}/" if url else f"http://{f'[{shown}]' if ':' in shown else shown}:{number}/"
    is_local = is_local and not url

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - for who started it

    keys = (
        None if is_local else Keys(lambda token: tell(f"that link is used; for another browser: {place}?token={token}"))
    )
    link = place if keys is None else f"{place}?token={keys.link}"
    tell(f"the page is at {link}" + ("" if keys is None else " (the link opens it once)"))
    opened(link)
    app = page_app(store, home, allow_write=allow_write, keys=keys, names=(host,), url=url, prices=prices)
    config = uvicorn.Config(
        app, ws="none", log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=_GRACE_SECONDS,
        server_header=False,
    )  # fmt: skip
    # Uvicorn sends itself the signal again when it is done; that must not end the process before the store is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> tuple[socket.socket, bool]:
    """Returns a socket that listens, and whether only this machine reaches it."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        is_local = ipaddress.ip_address(address[0]).is_loopback
        return socket.create_server(address[:2], family=family), is_local
    except OSError as exc:
        reason = (exc.strerror or str(exc)).split(" (")[0]
        raise ConfigurationError(f"cannot listen on {host} port {port}: {reason}; choose another") from exc
