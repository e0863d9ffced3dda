"""A skill: its text, its versions and their differences, its lineage, whether it helps, its runs, its life."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from skill_plugin.errors import SkillNotFoundError
from skill_plugin.integrations.page import charts, diffs
from skill_plugin.integrations.page.address import whole
from skill_plugin.integrations.page.site import Site, csv_file
from skill_plugin.records import Event, Skill, SkillVersion
from skill_plugin.store.skills.decisions import decisions_on
from skill_plugin.store.skills.trees import files_of
from skill_plugin.store.skills.versions import WENT_LIVE
from skill_plugin.store.views.inbox import findings_of
from skill_plugin.store.views.track_record import TrackRecord, rollouts_of_skill, track_record

ROLLOUTS = 20
MOST_EVENTS = 200

EVIDENCE = (
    "tasks",
    "repairs",
    "regressions",
    "before",
    "after",
    "found",
    "of_kind",
    "shown_elsewhere",
    "train_repairs",
)
"""What of a gate's evidence is shown in words; the rest is behind a click."""

TABLES: Mapping[str, tuple[Sequence[str], Callable[[TrackRecord, Sequence[SkillVersion]], Sequence[object]]]] = {
    "utility": (("at", "utility", "version"), lambda record, _: record.points),
    "lineage": (
        ("number", "parent", "generation", "status", "author", "tier", "created_at"),
        lambda _, versions: versions,
    ),
    "families": (
        ("family", "uses", "reward", "controls", "control_reward", "value", "low", "high"),
        lambda record, _: record.families,
    ),
    "tasks": (
        ("task_id", "family", "text", "with_skill", "without", "result"),
        lambda record, _: record.compared,
    ),
}
"""The data of a skill's charts and tables, as files."""


def skill(site: Site, request: Request) -> Response:
    """One skill, seen at the version in the address, else at its live one."""
    store, name = site.store, request.path_params["name"]
    seen = store.get(name)
    versions = store.versions(seen.id)
    events = store.history(seen.id)
    record = track_record(store, seen.id)
    left, right = _compared(request, seen, versions)
    before = whole(request.query_params, "before", 0) or None
    rollouts = rollouts_of_skill(store, seen.id, limit=ROLLOUTS + 1, before=before)
    whole_skill = store.get(seen.id)
    return site.page(
        request,
        "skill.html",
        skill=seen,
        is_out=whole_skill.status == "retired" or (whole_skill.status == "quarantined" and not whole_skill.held),
        waits=[one.number for one in versions if _waits(one, seen, events)],
        files=[(path, len(data), _text_of(data)) for path, data in sorted(files_of(store, seen.ref).items())],
        versions=list(reversed(versions)),
        events=list(reversed(events))[:MOST_EVENTS],
        event_count=len(events),
        evidence=EVIDENCE,
        record=record,
        chart=_utility_chart(seen, record, events),
        tree=_lineage(seen, versions),
        left=left,
        right=right,
        diff=diffs.side_by_side(left.text, right.text) if left is not None and right is not None else [],
        diff_is_cut=diffs.is_cut(left.text, right.text) if left is not None and right is not None else False,
        findings=findings_of(store, seen) if seen.held or seen.tier == "unvetted" else [],
        rollouts=rollouts[:ROLLOUTS],
        older=rollouts[ROLLOUTS - 1].row.id if len(rollouts) > ROLLOUTS else None,
        is_newest=before is None,
        said={
            event.version: event.kind for event in events if event.kind in (*WENT_LIVE, "refused", "held", "released")
        },
        decisions=decisions_on(store, seen.id),
        back_to=_back_to(seen, versions, events),
        live=_went_live(seen, events),
    )


def skill_csv(site: Site, request: Request) -> Response:
    """One of `TABLES` as a file."""
    seen = site.store.get(request.path_params["name"])
    record, what = track_record(site.store, seen.id), request.path_params["what"]
    if what not in TABLES:
        raise SkillNotFoundError(f"a skill has no table {what[:40]!r}; it has {', '.join(TABLES)}")
    columns, rows_of = TABLES[what]
    rows = [[getattr(one, key) for key in columns] for one in rows_of(record, site.store.versions(seen.id))]
    return csv_file(f"{seen.id}-{what}", columns, rows)


def _text_of(data: bytes) -> str | None:
    """Returns a file's text; None where it is not one."""
    try:
        return None if b"\0" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _waits(version: SkillVersion, seen: Skill, events: Sequence[Event]) -> bool:
    """Returns whether a version is newer than the live one, and nobody has decided on it."""
    is_newer = version.status == "staged" and version.number > (seen.live_version or 0)
    return is_newer and not any(event.kind == "refused" and event.version == version.number for event in events)


def _compared(
    request: Request, seen: Skill, versions: Sequence[SkillVersion]
) -> tuple[SkillVersion | None, SkillVersion | None]:
    """Returns the versions to compare: those in the address, else what is seen with what came before it."""
    by_number = {one.number: one for one in versions}
    if len(versions) < 2:
        return None, None
    waiting = max(by_number) if seen.version == seen.live_version else seen.version
    right = whole(request.query_params, "to", waiting)
    parent = by_number[right].parent if right in by_number else None
    usual = seen.live_version if right != seen.live_version else parent
    left = whole(request.query_params, "from", usual or max((one for one in by_number if one < right), default=1))
    for number in (left, right):
        if number not in by_number:
            raise SkillNotFoundError(f"skill {seen.name!r} has no version {number}; it has 1 to {max(by_number)}")
    return by_number[left], by_number[right]


def _utility_chart(seen: Skill, record: TrackRecord, events: Sequence[Event]) -> Markup:
    points = [(point.at.timestamp(), point.utility) for point in record.points]
    if not points:
        return Markup("")
    moments = [
        charts.Moment(
            event.at.timestamp(), f"version {event.version} {event.kind} by {event.by}, {event.at:%Y-%m-%d %H:%M}"
        )
        for event in events
        if event.kind in (*WENT_LIVE, "retired", "restored", "quarantined") and event.at.timestamp() >= points[0][0]
    ]
    long = points[-1][0] - points[0][0] > 86400
    axes = charts.Axes(
        x="time",
        y="utility",
        low=0.0,
        high=1.0,
        tick=lambda at: f"{datetime.fromtimestamp(at, UTC):{'%b %d' if long else '%H:%M:%S'}}",
    )
    title = f"Utility of {seen.name} over {len(points)} uses; it is {record.points[-1].utility:.2f} after the last one"
    return charts.line_chart(title, [charts.Series(name="utility", points=points)], axes, moments=moments)


def _lineage(seen: Skill, versions: Sequence[SkillVersion]) -> Markup:
    address = f"/skills/{quote(seen.id)}"
    nodes = [
        charts.TreeNode(
            one.number,
            one.parent,
            one.status,
            f"{address}@{one.number}",
            f"version {one.number}, {one.status}, by {one.author}, generation {one.generation}",
        )
        for one in versions
    ]
    return charts.tree(f"Lineage of {seen.name}: {len(versions)} versions", nodes)


def _back_to(seen: Skill, versions: Sequence[SkillVersion], events: Sequence[Event]) -> int | None:
    """Returns the version to go back to from the live one, as the store would: its parent, else what was live before."""
    if seen.live_version is None:
        return None
    stopped = {one.number for one in versions if one.status == "quarantined"}
    parent = next((one.parent for one in versions if one.number == seen.live_version), None)
    if parent is not None and parent not in stopped:
        return parent
    lives = [event.version for event in events if event.kind in WENT_LIVE]
    earlier = lives[: lives.index(seen.live_version)] if seen.live_version in lives else lives
    return next((number for number in reversed(earlier) if number not in stopped), None)


def _went_live(seen: Skill, events: Sequence[Event]) -> Event | None:
    """Returns the event that made the live version live."""
    mine = [event for event in events if event.kind in WENT_LIVE and event.version == seen.live_version]
    return mine[-1] if mine else None
