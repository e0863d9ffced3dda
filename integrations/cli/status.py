"""`skill-plugin status`: what runs, what ran last, what waits."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from skill_plugin.integrations.cli.terminal.console import note, print_json, print_table, shown
from skill_plugin.integrations.cli.terminal.options import Json
from skill_plugin.integrations.wiring import open_store
from skill_plugin.settings import Settings
from skill_plugin.skills.tiers import TIERS

if TYPE_CHECKING:
    from skill_plugin.integrations.status import JobRun, StoreStatus

NAMED = 3
"""Staged versions that are named, the newest."""


def status(settings: Settings, as_json: Json = False) -> None:
    """Show what runs now, how the last night ended, which checkpoint is live, and what waits for you."""
    from skill_plugin.integrations.status import status as look  # noqa: PLC0415 - the store takes half a second to import

    with open_store(settings, create=False, index=False, check_embedder=False) as store:
        found = look(store, settings.home)
    if as_json:
        print_json(found.to_json())
        return
    rows = [{"what": what, "is": said} for what, said in _rows(found)]
    print_table(f"namespace {found.namespace}", rows, {"what": "what", "is": "is"}, alone=True)
    if found.waiting.staged:
        note(f"to decide: skill-plugin skills diff NAME, then skills promote {found.waiting.staged[0]}")


def _rows(found: "StoreStatus") -> Iterator[tuple[str, str]]:
    running = [run for run in found.unfinished if run.state == "running"]
    yield from (("runs now", _run(run)) for run in running)
    if not running:
        yield "runs now", "nothing"
    yield from (
        (f"interrupted {run.job}", f"{_run(run)}; the same command resumes it")
        for run in found.unfinished
        if run.state == "interrupted"
    )
    yield "last night", _run(found.last_night) if found.last_night else "none yet"
    yield "last evolve", _run(found.last_evolve) if found.last_evolve else "none yet"
    yield "live checkpoint", found.live_checkpoint or "none: the base model writes"
    yield "skills", ", ".join(f"{count} {state}" for state, count in sorted(found.skills.items())) or "none"
    yield "live skills by tier", ", ".join(f"{found.tiers[one]} {one}" for one in TIERS if one in found.tiers) or "none"
    wait = found.waiting
    since = "since the last night" if found.last_night else "so far"
    yield "new histories", f"{wait.revisions} revisions and {wait.rollouts} rollouts {since}"
    names = ", ".join(wait.staged[:NAMED]) + (", ..." if len(wait.staged) > NAMED else "")
    yield "staged, undecided", f"{len(wait.staged)}: {names}" if wait.staged else "none"
    yield "runs without a reward", str(wait.without_reward)


def _run(run: "JobRun") -> str:
    until = f", {'ended' if run.state == 'ended' else 'last heard of'} {shown(run.at)}" if run.at else ""
    return f"{run.job} {run.id}, began {shown(run.began)}{until}" + (f": {run.said}" if run.said else "")
