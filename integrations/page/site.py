"""The site: the store, the templates, and what every page needs."""

import csv
import hmac
import io
import json
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from skill_plugin import __version__
from skill_plugin.integrations.page import charts, texts

if TYPE_CHECKING:
    from starlette.requests import Request

    from skill_plugin.budget import Prices
    from skill_plugin.store import SkillStore

HERE = Path(__file__).parent

PAGES = (
    ("/", "Library"), ("/inbox", "Inbox"), ("/runs", "Runs"), ("/generations", "Generations"), ("/nights", "Nights"), ("/map", "Map"),
    ("/health", "Health"),
)  # fmt: skip
"""The navigation."""

_HTMX = json.dumps(
    {"includeIndicatorStyles": False, "allowEval": False, "selfRequestsOnly": True, "historyCacheSize": 0}
)


class Site:
    """What the pages share.

    Args:
        store: The library.
        home: The home folder, where training runs have their folders.
        allow_write: Whether decisions may be taken here.
        prices: What the task LLM's tokens cost; None shows no money.
    """

    def __init__(self, store: "SkillStore", home: Path, *, allow_write: bool, prices: "Prices | None" = None) -> None:
        self.store = store
        self.home = home
        self.allow_write = allow_write
        self.prices = prices
        self._form_token = secrets.token_urlsafe(24)
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(texts.FILTERS)
        self._environment.globals.update(
            pages=PAGES,
            version=__version__,
            htmx_config=_HTMX,
            many=texts.many,
            marked=texts.marked,
            why_picked=texts.why_picked,
            interval=charts.interval,
            status_words=texts.STATUS_WORDS,
            event_words=texts.EVENT_WORDS,
        )

    def page(self, request: "Request", template: str, *, code: int = 200, **values: Any) -> Response:
        """Renders a page; `code` is the status of the answer."""
        shared = {
            "path": request.url.path,
            "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            "namespace": self.store.namespace,
            "allow_write": self.allow_write,
            "form_token": self._form_token,
            "why_read_only": self.store.database.read_only,
            "prices": self.prices,
        }
        return HTMLResponse(self._environment.get_template(template).render(shared | values), code)

    def knows(self, token: str) -> bool:
        """Returns whether a form's token is this site's."""
        return hmac.compare_digest(token.encode(), self._form_token.encode())


def csv_file(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """Returns rows as a file to save. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
