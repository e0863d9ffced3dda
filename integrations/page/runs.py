"""Runs: the newest, and one from the inside: which skill it used and why, what the prompt showed, the answer, the verdict."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from skill_plugin.errors import SkillPluginError
from skill_plugin.hits import SkillHits
from skill_plugin.integrations.page.site import Site
from skill_plugin.integrations.page.texts import segment
from skill_plugin.prompts import guidance
from skill_plugin.store.views.runs import RunView, newest_runs, run_view

LISTED = 40


def runs(site: Site, request: Request) -> Response:
    """The list of runs; the whole id of one leads to it."""
    wanted = request.query_params.get("id", "").strip()[:200]
    found = newest_runs(site.store, begins_with=wanted, limit=LISTED)
    if wanted and len(found) == 1 and found[0].run_id == wanted:
        return RedirectResponse(f"/runs/{segment(wanted)}", 303)
    return site.page(request, "runs.html", runs=found, wanted=wanted, listed=LISTED)


def run(site: Site, request: Request) -> Response:
    """One run from the inside."""
    view = run_view(site.store, request.path_params["run_id"])
    chosen = view.chosen
    task = view.tasks.get(chosen.task_id)
    shown = [view.skills[ref] for ref in view.used(chosen) if ref in view.skills]
    return site.page(
        request,
        "run.html",
        run=view,
        chosen=chosen,
        task=task,
        shown=shown,
        withheld=view.skills.get(f"{chosen.withheld_skill_id}@{chosen.withheld_version}"),
        block=guidance([(one.ref, one.name, one.text) for one in shown]),
        again=_again(site, view, task.input if task is not None else ""),
    )


def _again(site: Site, view: RunView, text: str) -> dict[str, object]:
    """Asks for skills for the run's task once more, because a run's own scores are not kept with it."""
    try:
        hits = site.store.search(text, 3) if text.strip() else SkillHits(reason="the task has no text")
    except SkillPluginError as exc:
        hits = SkillHits(reason=str(exc))
    used = {ref.rpartition("@")[0] for ref in view.used(view.chosen)}
    return {"hits": hits, "used": used, "is_same": bool(used & {hit.skill_id for hit in hits})}
