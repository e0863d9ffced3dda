"""The inbox: what waits for a person, each with its text, what differs from the live one, and what the scanner found."""

from starlette.requests import Request
from starlette.responses import Response

from skill_plugin.integrations.page import diffs
from skill_plugin.integrations.page.site import Site
from skill_plugin.store.views.inbox import inbox as matters_of


def inbox(site: Site, request: Request) -> Response:
    """What waits."""
    found = matters_of(site.store)
    compared = [
        (one, diffs.side_by_side(one.live.text, one.skill.text) if one.live is not None else [])
        for one in found.matters
    ]
    return site.page(request, "inbox.html", matters=compared, total=found.total, waiting=sum(found.total.values()))
