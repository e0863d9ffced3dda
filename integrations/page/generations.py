"""Generations: the reward by generation in a family or on a task, and which texts were accepted or refused, with the gate's evidence."""

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from skill_plugin.integrations.page import charts
from skill_plugin.integrations.page.health import running_jobs
from skill_plugin.integrations.page.site import Site, csv_file
from skill_plugin.store.views.generations import FamilyGenerations
from skill_plugin.store.views.generations import generations as look
from skill_plugin.store.views.library import task_families

TASKS_LISTED = 30
COLUMNS = ("generation", "arm", "rollouts", "candidates", "reward", "passed")


def generations(site: Site, request: Request) -> Response:
    """The page; `family` and `task` in the address say of what."""
    families = task_families(site.store)
    family = request.query_params.get("family", "") or (families[0] if families else "")
    task = request.query_params.get("task", "")
    found = look(site.store, family=family, task=task or None) if family else None
    return site.page(
        request,
        "generations.html",
        families=families,
        family=family,
        task=task,
        found=found,
        chart=_chart(found, task or family) if found is not None else Markup(""),
        listed=TASKS_LISTED,
        evolutions=list(reversed(site.store.runs.evolve.list()))[:20],
        runs_now="evolve" in running_jobs(site.store),
    )


def generations_csv(site: Site, request: Request) -> Response:
    """The rewards by generation as a file."""
    family, task = request.query_params.get("family", ""), request.query_params.get("task", "")
    found = look(site.store, family=family, task=task or None)
    return csv_file("generations", COLUMNS, found.rewards)


def _chart(found: FamilyGenerations, of: str) -> Markup:
    arms = {"skill": ("with a skill", "a"), "control": ("without a skill", "b")}
    series = [
        charts.Series(
            name=name,
            points=[(float(one.generation), one.reward) for one in found.rewards if one.arm == arm],
            colour=colour,
            dots=True,
        )
        for arm, (name, colour) in arms.items()
    ]
    axes = charts.Axes(
        x="generation", y="mean reward", low=0.0, high=1.0, tick=lambda at: f"{at:g}" if at == int(at) else ""
    )
    return charts.line_chart(f"Mean reward by generation of {of[:80]}", series, axes)
