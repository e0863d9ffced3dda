"""The library: searched as the agent searches it, and as a table with filters."""

from typing import get_args
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from skill_plugin.errors import SkillPluginError
from skill_plugin.hits import SkillHits
from skill_plugin.integrations.page.address import PER_PAGE, LibraryAddress
from skill_plugin.integrations.page.site import Site, csv_file
from skill_plugin.records import Author
from skill_plugin.skills.tiers import TIERS
from skill_plugin.store import SkillStore
from skill_plugin.store.skills.versions import STATUSES
from skill_plugin.store.views.library import skill_lines, status_counts, task_families

SHOWN_TO_AGENTS = 3
NEAR = 8
"""Hits that are looked at: those that an agent is shown, and those that came close."""

COLUMNS = (
    "name", "status", "tier", "version", "utility", "lift", "lift low", "lift high", "uses", "wins", "family", "author", "added",
)  # fmt: skip


def library(site: Site, request: Request) -> Response:
    """The first page."""
    address = LibraryAddress.read(request.query_params)
    found = site.store.query(**address.query())
    counts = status_counts(site.store)
    return site.page(
        request,
        "library.html",
        address=address,
        lines=skill_lines(site.store, found.skills),
        total=found.total,
        first=found.offset + 1 if found.skills else 0,
        last=found.offset + len(found.skills),
        page_count=max(1, -(-found.total // PER_PAGE)),
        counts=counts,
        all_skills=sum(counts.values()),
        statuses=STATUSES,
        tiers=TIERS,
        authors=get_args(Author),
        families=task_families(site.store),
        search=_search(site.store, address.q),
    )


def library_csv(site: Site, _: Request) -> Response:
    """The whole library as a file."""
    rows: list[tuple[object, ...]] = []
    offset: int | None = 0
    while offset is not None:
        found = site.store.query(limit=1000, offset=offset)
        for skill, lift, families in skill_lines(site.store, found.skills):
            rows.append(
                (
                    skill.name, skill.status, skill.tier, skill.version, skill.utility, lift.value, lift.low, lift.high, skill.uses,
                    skill.wins, ", ".join(families), skill.author, skill.created_at.isoformat(),
                )
            )  # fmt: skip
        offset = found.next_offset
    return csv_file("skills", COLUMNS, rows)


def _search(store: SkillStore, query: str) -> dict[str, object] | None:
    """Asks for skills as an agent does; and, without the floor, for what came close."""
    if not query:
        return None
    try:
        hits = store.search(query, SHOWN_TO_AGENTS)
        wider = store.search(query, NEAR, min_score=0.0)
    except SkillPluginError as exc:
        return {"hits": SkillHits(reason=str(exc)), "near": [], "address": quote(query)}
    shown = {hit.skill_id for hit in hits}
    near = [
        (hit, "not among the first three" if len(hits) == SHOWN_TO_AGENTS else "not near enough: under the floor")
        for hit in wider
        if hit.skill_id not in shown
    ]
    return {"hits": hits, "near": near[: NEAR - len(hits)], "address": quote(query)}
