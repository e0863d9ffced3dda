"""Refuses a request before the page sees it: by its Host, its token, its origin, its size; and adds the headers of every answer.

A page whose name was made to point here (DNS rebinding) is refused by its Host. Another site's form is refused by `Sec-Fetch-Site` and
`Origin`, and by the token that every form of ours carries. Where other machines can reach the page, a link with a token opens it once; from
then on a cookie does, and the next link is printed where the page was started.
"""

import hmac
import ipaddress
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 64 * 1024
"""Bytes of a form; a reason is a sentence."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

_LOCAL_NAMES = ("localhost",)


class Keys:
    """The tokens of one running page: a link's, which opens once, and those of the browsers that it let in. Safe for threads."""

    def __init__(self, tell: Callable[[str], None] = lambda _: None) -> None:
        self._link = secrets.token_urlsafe(24)
        self._let_in: set[str] = set()
        self._tell = tell
        self._lock = threading.Lock()

    @property
    def link(self) -> str:
        """The token of the link that is not used yet."""
        return self._link

    def open(self, token: str) -> str | None:
        """Returns the cookie of a new browser; None if the link's token is not the one that is good now."""
        with self._lock:
            if not hmac.compare_digest(token.encode(), self._link.encode()):
                return None
            self._link = secrets.token_urlsafe(24)
            cookie = secrets.token_urlsafe(24)
            self._let_in.add(cookie)
            self._tell(self._link)
        return cookie

    def knows(self, cookie: str) -> bool:
        """Returns whether a browser was let in."""
        with self._lock:
            return any(hmac.compare_digest(cookie.encode(), one.encode()) for one in self._let_in)


class PageGuard:
    """The ASGI application around the page.

    Args:
        app: The page.
        keys: The tokens, where other machines can reach the page; None on this machine alone.
        names: Further names that a Host may have, such as the one that was given to listen on.
        url: Where browsers see the page, if a proxy stands before it.
    """

    def __init__(self, app: "ASGIApp", keys: Keys | None, names: tuple[str, ...] = (), url: str = "") -> None:
        self._app = app
        self._keys = keys
        self._outside = urlsplit(url)
        names = (*names, *([self._outside.hostname] if self._outside.hostname else []))
        own = () if keys is None else (socket.gethostname(), socket.getfqdn())
        self._names = {name.lower() for name in (*_LOCAL_NAMES, *names, *own)}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)

        async def with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self._refused(request)
        if refused is not None:
            await refused(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _refused(self, request: Request) -> Response | None:
        if not self._is_ours(request.headers.get("host", "")):
            return _said(421, "this name is not the page's; open it at the address that skill-plugin ui printed")
        if (
            request.method not in ("GET", "HEAD")
            and (why := _foreign(request.headers, self._outside.netloc)) is not None
        ):
            return _said(403, f"a decision that another site asks for is refused: {why}; use the page's own buttons")
        return None if self._keys is None else self._locked(request, self._keys)

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        if name.lower() in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # A name that was made to point here comes as that name, never as a number.
        return self._keys is not None or address.is_loopback

    def _locked(self, request: Request, keys: Keys) -> Response | None:
        name = cookie_name(request)
        if keys.knows(request.cookies.get(name, "")):
            return None
        given = parse_qsl(request.url.query)
        token = next((value for key, value in given if key == "token"), "")
        if request.method == "GET" and token and (cookie := keys.open(token)) is not None:
            rest = urlencode([(key, value) for key, value in given if key != "token"])
            path = "/" + request.url.path.lstrip("/\\")  # two of them would lead to another host
            answer = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
            answer.set_cookie(
                name, cookie, httponly=True, samesite="strict", path="/", secure=self._outside.scheme == "https"
            )
            return answer
        if token:
            return _said(403, "this link was used, or it was never one; take the newest that skill-plugin ui printed")
        return _said(401, "a link with a token opens this page; take the one that skill-plugin ui printed")


def cookie_name(request: Request) -> str:
    """Returns the name of the page's cookie: browsers share cookies between the ports of a machine."""
    return f"skill_plugin_page_{request.url.port or 80}"


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _foreign(headers: Mapping[str, str], outside: str) -> str | None:
    """Returns why a request that changes something comes from elsewhere; None if nothing says so."""
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin"):
        return f"Sec-Fetch-Site is {site[:20]!r}"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc not in (headers.get("host"), outside or None):
        return f"Origin is {origin[:80]!r}"
    return None


def _said(status: int, line: str) -> Response:
    return PlainTextResponse(f"{line}\n", status)
