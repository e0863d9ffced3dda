"""The map: skills that are near in meaning lie near each other; near copies and failing tasks without a skill stand out."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from skill_plugin.errors import ConfigurationError
from skill_plugin.integrations.page import charts
from skill_plugin.integrations.page.site import Site, csv_file
from skill_plugin.integrations.page.texts import segment
from skill_plugin.store.views.library import task_families
from skill_plugin.store.views.skill_map import PlacedSkill, SkillMap, families_of, skill_map

MOST_DRAWN = 600
"""Skills that are drawn, the most used: a page of 5,000 links would weigh a megabyte."""

COLOURS = 6
"""Families that have a colour of their own."""


def map_page(site: Site, request: Request) -> Response:
    """The page; `colour` in the address is `utility` or `family`."""
    colour = request.query_params.get("colour", "utility")
    if colour not in ("utility", "family"):
        raise ConfigurationError(f"colour is {colour[:40]!r}; use utility or family")
    found = skill_map(site.store)
    drawn = found.skills[:MOST_DRAWN]
    families = families_of(site.store, [one.id for one in drawn])
    common = [name for name in task_families(site.store) if name in set(families.values())][:COLOURS]
    dots = [
        charts.Dot(
            one.x,
            one.y,
            _by_utility(one) if colour == "utility" else _by_family(families.get(one.id), common),
            5 + min(6.0, one.uses**0.5 / 4),
            f"/skills/{quote(one.name)}",
            f"{one.name}: utility {'not known' if one.utility is None else f'{one.utility:.2f}'}, {one.uses} uses",
            one.name,
        )
        for one in drawn
    ]
    crosses = [
        charts.Dot(gap.x, gap.y, "", 0, f"/runs/{segment(gap.run_id)}", f"failed without a skill: {gap.text[:120]}")
        for gap in found.gaps
        if gap.x is not None and gap.y is not None
    ]
    title = f"{len(drawn)} skills by meaning, coloured by {colour}"
    chart = charts.scatter(title, dots, crosses) if dots else ""
    return site.page(request, "map.html", map=found, drawn=len(drawn), chart=chart, colour=colour, common=common)


def map_csv(site: Site, _: Request) -> Response:
    """The places of all skills as a file."""
    found: SkillMap = skill_map(site.store)
    columns = ("id", "name", "utility", "uses", "x", "y")
    return csv_file("map", columns, [[getattr(one, key) for key in columns] for one in found.skills])


def _by_utility(one: PlacedSkill) -> str:
    return "unknown" if one.utility is None else f"u{min(4, int(one.utility * 5))}"


def _by_family(family: str | None, common: list[str]) -> str:
    return f"f{common.index(family)}" if family in common else "unknown"
