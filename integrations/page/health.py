"""Health: what doctor says, whether the index follows, who writes, how much room is left; and the line in every page's head."""

from starlette.requests import Request
from starlette.responses import Response

from skill_plugin.integrations import health as monitor
from skill_plugin.integrations.page.site import Site
from skill_plugin.integrations.status import status
from skill_plugin.store import SkillStore
from skill_plugin.store.views.inbox import inbox_counts

SECONDS = 5.0


def health(site: Site, request: Request) -> Response:
    """The page, without doctor's checks, which take seconds and come after it."""
    found = monitor.health(lambda: site.store, site.home, timeout=SECONDS, write=False)
    return site.page(
        request, "health.html", health=found, status=status(site.store, site.home), where=site.store.database.where
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
