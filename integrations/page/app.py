"""The page as an ASGI application: which address shows what, and what goes wrong as one line."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from skill_plugin.errors import AlreadyDecidedError, ConfigurationError, SkillPluginError, StoreUnavailableError
from skill_plugin.integrations.page import decisions, generations, health, inbox, library, map, nights, runs, skill  # noqa: A004
from skill_plugin.integrations.page.guard import Keys, PageGuard
from skill_plugin.integrations.page.site import HERE, Site

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from skill_plugin.budget import Prices
    from skill_plugin.store import SkillStore

View = TypeVar("View", bound=Callable[..., Response | Awaitable[Response]])


def page_app(
    store: "SkillStore",
    home: Path,
    *,
    allow_write: bool = False,
    keys: Keys | None = None,
    names: tuple[str, ...] = (),
    url: str = "",
    prices: "Prices | None" = None,
) -> "ASGIApp":
    """Makes the application.

    Args:
        store: The library.
        home: The home folder, where training runs have their folders.
        allow_write: Let people decide here.
        keys: The tokens, where other machines can reach it; None answers to this machine's names only.
        names: Further names that a request's Host may have.
        url: Where browsers see the page, if a proxy stands before it.
        prices: What the task LLM's tokens cost; without them no money is shown.
    """
    site = Site(store, home, allow_write=allow_write, prices=prices)

    def shows(view: Callable[[Site, "Request"], Response]) -> Callable[["Request"], Response]:
        return partial(view, site)

    async def decide(request: "Request") -> Response:
        return await decisions.decide(site, request)

    app = Starlette(
        routes=[
            Route("/", shows(library.library)),
            Route("/skills.csv", shows(library.library_csv)),
            Route("/skills/{name}", shows(skill.skill), name="skill"),
            Route("/skills/{name}/{what}.csv", shows(skill.skill_csv)),
            Route("/runs", shows(runs.runs)),
            Route("/runs/{run_id:path}", shows(runs.run), name="run"),
            Route("/inbox", shows(inbox.inbox)),
            Route("/decide", decide, methods=["POST"]),
            Route("/generations", shows(generations.generations)),
            Route("/generations.csv", shows(generations.generations_csv)),
            Route("/nights", shows(nights.nights)),
            Route("/nights.csv", shows(nights.nights_csv)),
            Route("/map", shows(map.map_page)),
            Route("/map.csv", shows(map.map_csv)),
            Route("/health", shows(health.health)),
            Route("/parts/health", shows(health.state)),
            Route("/parts/doctor", shows(health.doctor)),
            Route("/parts/now", shows(health.now)),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        exception_handlers={
            SkillPluginError: partial(_failed, site),
            HTTPException: partial(_missing, site),
            Exception: partial(_broken, site),
        },
    )
    return PageGuard(app, keys, names, url)


def _failed(site: Site, request: "Request", exc: Exception) -> Response:
    return site.page(
        request, "error.html", code=_status(exc), line=str(exc), is_decided=isinstance(exc, AlreadyDecidedError)
    )


def _missing(site: Site, request: "Request", exc: Exception) -> Response:
    code = exc.status_code if isinstance(exc, HTTPException) else 500
    line = (
        "there is no such page; take one from the navigation"
        if code == 404
        else "this cannot be asked for so; use the page's own links"
    )
    return site.page(request, "error.html", code=code, line=line, is_decided=False)


def _broken(site: Site, request: "Request", exc: Exception) -> Response:
    line = f"the page could not be made: {type(exc).__name__}; see where it was started, and skill-plugin doctor"
    return site.page(request, "error.html", code=500, line=line, is_decided=False)


def _status(exc: Exception) -> int:
    if isinstance(exc, decisions.RefusedWriteError):
        return 403
    if isinstance(exc, LookupError):
        return 404
    if isinstance(exc, AlreadyDecidedError):
        return 409
    if isinstance(exc, StoreUnavailableError):
        return 503
    return 400 if isinstance(exc, ConfigurationError) else 422
