"""Undoes all that one source wrote: a checkpoint that was poisoned, a client that was taken over, a folder that was bad."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sqlalchemy import func
from sqlmodel import Session, col, select

from skill_plugin.errors import ConfigurationError
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import pruning, tiers, versions
from skill_plugin.store.skills.query import When, moment
from skill_plugin.store.skills.screening import LOADED, TAKEN_BACK, loaded
from skill_plugin.store.skills.versions import HELD, WENT_LIVE, WRITTEN
from skill_plugin.store.tables import EventRow, OutcomeRow, RevisionRow, SkillRow, SkillVersionRow

PROPOSED, DUMP = "proposed", "dump"
"""Sources without a name of their own: what agents and clients proposed (MCP, tools, files), and what came in a dump."""

_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertedSkill:
    """The result for one skill: it `went back` to the version `live`, was `retired`, or only `held`, as nothing of it was live.

    `versions` are those that the source wrote.
    """

    name: str
    action: Literal["went back", "retired", "held"]
    versions: list[int]
    live: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """The result of a reversal. `outcomes` counts rewards that the source reported in that time; they still count."""

    skills: list[RevertedSkill] = field(default_factory=list)
    outcomes: int = 0


def revert_source(store: Part, source: str, *, since: When, dry_run: bool = False) -> Reversal:
    """Undoes what a source wrote since a moment: live versions give way to the one before, staged ones are held.

    A skill of which no other version was live before is retired. Nothing is deleted: a person who names a version
    (`store.promote("name@2")`) releases it. Utilities are moving averages and cannot be reckoned back, so outcomes that the source
    reported are only counted.

    Args:
        store: The library.
        source: An author (`human`, `generator`, `import`), `proposed`, `dump`, a generator's model or checkpoint, the id of the run
            that wrote it, or the beginning of the path that was imported.
        since: A datetime or an ISO 8601 text, in UTC unless it says otherwise.
        dry_run: Say what would be done, and change nothing.

    Raises:
        ConfigurationError: nothing was written by such a source in that time, or `since` is not a time.
    """
    start = moment(since, "since")
    partition = store._partition  # noqa: SLF001 - a store has as many names as one can keep in mind
    done: list[RevertedSkill] = []
    with partition.read() if dry_run else partition.write(frees=True) as session:
        wrote: dict[str, set[int]] = {}
        known: Counter[str] = Counter()
        for skill_id, number, names, places in _written(session, partition.namespace, start):
            known.update({*names, *places})
            if source in names or any(place.startswith(source) for place in places if source):
                wrote.setdefault(skill_id, set()).add(number)
        outcomes = _outcomes(session, partition.namespace, source, start)
        if not wrote and not outcomes:
            raise ConfigurationError(
                f"nothing was written by {source!r:.80} since {start:%Y-%m-%d %H:%M}; {_said(known)}"
            )
        statement = select(SkillRow).where(SkillRow.namespace == partition.namespace).order_by(col(SkillRow.name))
        for skill in session.exec(statement if dry_run else statement.with_for_update()).all():
            if skill.id in wrote:
                why = f"{TAKEN_BACK}: written by {source} since {start:%Y-%m-%d %H:%M}"
                done.append(_revert(session, skill, wrote[skill.id], why, dry_run=dry_run))
    return Reversal(skills=done, outcomes=outcomes)


def _revert(session: Session, skill: SkillRow, bad: Collection[int], why: str, *, dry_run: bool) -> RevertedSkill:
    back, was_live = skill.live_version, skill.live_version in bad
    if was_live:
        back = _before(session, skill, bad)
    shown = was_live and skill.status == "live"
    action: Literal["went back", "retired", "held"] = (
        "held" if not shown else "retired" if back is None else "went back"
    )
    if not dry_run:
        stopped = versions.held(session, skill)
        for number in sorted(set(bad) - stopped.keys()):
            tiers.lower(session, skill, number)
            versions.log_event(session, skill, HELD, by="human", version=number, reason=why)
        if skill.status == "staged" and len(versions.held(session, skill)) == versions.newest_version(
            session, skill.id
        ):
            skill.status = "quarantined"
            session.add(skill)
        if was_live:
            _leave(session, skill, back, why)
    return RevertedSkill(name=skill.name, action=action, versions=sorted(bad), live=back)


def _leave(session: Session, skill: SkillRow, back: int | None, why: str) -> None:
    """Takes the skill back to a version; without one it has no live version any more."""
    status = skill.status
    if back is not None:
        versions.go_live(session, skill, versions.find_version(session, skill, back))
        skill.status = status  # one that is out of use stays so
        versions.log_event(session, skill, "rolled back", by="human", version=back, reason=why)
    elif status == "live":
        pruning.retire(session, skill, by="human", reason=why)
    if back is None:
        skill.live_version = None
    session.add(skill)


def _before(session: Session, skill: SkillRow, bad: Collection[int]) -> int | None:
    """Returns the version that was live last and is neither bad nor held."""
    statement = select(EventRow.version).where(EventRow.skill_id == skill.id, col(EventRow.kind).in_(WENT_LIVE))
    stopped = versions.held(session, skill)
    lives = session.exec(statement.order_by(col(EventRow.id).desc())).all()
    return next(
        (number for number in lives if number is not None and number not in bad and number not in stopped), None
    )


def _written(session: Session, namespace: str, start: datetime) -> Iterator[tuple[str, int, set[str], set[str]]]:
    """Yields each version that was written since: its skill, its number, the names of who wrote it, and where it came from."""
    statement = (
        select(SkillVersionRow, EventRow, RevisionRow)
        .join(EventRow, col(EventRow.skill_id) == col(SkillVersionRow.skill_id))
        .join(RevisionRow, col(RevisionRow.id) == col(SkillVersionRow.revision_id), isouter=True)
        .where(
            SkillVersionRow.namespace == namespace,
            col(EventRow.kind).in_([*WRITTEN, LOADED]),
            (col(EventRow.version) == col(SkillVersionRow.number)) | (col(EventRow.kind) == LOADED),
            col(EventRow.at) >= start,
        )
    )
    for version, event, revision in session.exec(statement).all():
        names, places = _who(version, event, revision)
        if event.kind != LOADED or version.number in loaded(event):
            yield version.skill_id, version.number, names, places


def _who(version: SkillVersionRow, event: EventRow, revision: RevisionRow | None) -> tuple[set[str], set[str]]:
    """Returns the names under which a version's writer is known, and the places where it came from."""
    if event.kind == LOADED:  # who wrote it there is only what the file says
        return {DUMP}, {event.reason}
    if revision is not None:
        named = (version.author, revision.model, revision.checkpoint_id, revision.run_id)
        return {name for name in named if name}, {revision.source} if revision.source else set()
    if version.author == "generator":
        return {version.author, PROPOSED}, set()
    return {version.author}, {event.reason} if version.author == "import" and event.reason else set()


def _outcomes(session: Session, namespace: str, source: str, start: datetime) -> int:
    statement = select(func.count()).where(
        OutcomeRow.namespace == namespace, OutcomeRow.source == source, col(OutcomeRow.created_at) >= start
    )
    return session.exec(statement).one()


def _said(known: Counter[str]) -> str:
    if not known:
        return "nobody wrote a skill in that time"
    return f"those who wrote are: {', '.join(f'{name} ({count})' for name, count in known.most_common(_SHOWN))}"
