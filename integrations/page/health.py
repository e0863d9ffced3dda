"""Health: what doctor says, whether the index follows, who writes, how much room is left; and the line in every page's head."""

from starlette.requests import Request
from starlette.responses import Response

from skill_plugin.integrations import health as monitor
from skill_plugin.integrations.page.site import Site
from skill_plugin.store import SkillStore
from skill_plugin.store.views.inbox import inbox_counts

SECONDS = 30.0
"""Seconds that the look at the store may take."""


def health(site: Site, request: Request) -> Response:
    """The page; its parts take seconds in a large library, and come after it."""
    return site.page(request, "health.html")


def state(site: Site, request: Request) -> Response:
    """The state of the store and of the jobs, as a part of the page."""
    found = monitor.health(lambda: site.store, site.home, timeout=SECONDS, write=False)
    live = site.store.checkpoints.live()
    return site.page(
        request,
        "_health.html",
        health=found,
        jobs=running_jobs(site.store),
        writer=live.id if live is not None else "the base model",
        where=site.store.database.where,
    )


def doctor(site: Site, request: Request) -> Response:
    """What doctor says, as a part of the page."""
    return site.page(request, "_doctor.html", checks=site.store.check())


def now(site: Site, request: Request) -> Response:
    """What runs now and what waits, as a part of every page."""
    waiting = sum(inbox_counts(site.store).values())
    return site.page(request, "_now.html", jobs=running_jobs(site.store), waiting=waiting)


def running_jobs(store: SkillStore) -> list[str]:
    """Returns which of `evolve` and `retrain` run. A lock is looked at only where something has not ended: to look is to take it for a moment."""
    open_jobs = {
        "evolve": any(one.outcome != "finished" for one in store.runs.evolve.list()),
        "retrain": any(one.outcome is None for one in store.runs.training.list()),
    }
    return [job for job, is_open in open_jobs.items() if is_open and store.runs.is_running(job)]
