"""Looks again at what is in a store: an operator certifies a version, the scanner reads the texts once more."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlmodel import Session, col, select

from skill_plugin.errors import ConfigurationError, SkillNotFoundError
from skill_plugin.records import Skill, Tier, split_ref
from skill_plugin.scanning.findings import Finding, sentence
from skill_plugin.skills.tiers import LOWEST
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import screening, tiers, versions
from skill_plugin.store.skills.screening import Content
from skill_plugin.store.skills.tree_rows import read_tree
from skill_plugin.store.skills.versions import HELD, RELEASED
from skill_plugin.store.tables import EventRow, SkillRow, SkillVersionRow

CERTIFIED: Tier = "certified"


class Suspect(NamedTuple):
    """A version in whose text the scanner finds something: `name@number`, the tier that it had, and what was found."""

    ref: str
    tier: Tier
    found: str


class Rescan(NamedTuple):
    """The result of a rescan: how many texts were read, of how many, and which of them something was found in."""

    read: int
    of: int
    suspects: list[Suspect]


def certify_skill(store: Part, name: str, version: int | None = None, *, reason: str) -> Skill:
    """Gives a version the highest trust tier; what is live stays as it is.

    Args:
        store: The library.
        name: The skill's name or id; `name@2` for a version.
        version: The version; by default the live one.
        reason: Why it is trusted.

    Raises:
        ConfigurationError: no reason is given.
        SkillNotFoundError: the version does not exist, or none is named and none is live.
        StoreError: the version is held; release it first.
    """
    if not reason.strip():
        raise ConfigurationError(f"no reason is given to certify {name!r:.80}; say who looked at it, and for what")
    partition = store._partition  # noqa: SLF001 - a store has as many names as one can keep in mind
    name, named = split_ref(name)
    with partition.write() as session:
        skill = versions.find_skill(session, partition.namespace, name, lock=True)
        number = (named if version is None else version) or skill.live_version
        if number is None:
            raise SkillNotFoundError(f"no version of {skill.name!r} is live; name the one you mean: {skill.name}@1")
        row = versions.find_version(session, skill, number)
        screening.check_open(session, skill, number)
        evidence = {"tier": row.tier, "sha256": row.sha256}
        if tiers.grant(session, skill, row, CERTIFIED):
            versions.log_event(session, skill, CERTIFIED, by="human", version=number, reason=reason, evidence=evidence)
        return versions.view(session, skill, row)


def rescan_skills(store: Part, *, dry_run: bool = False, seconds: float | None = None) -> Rescan:
    """Scans the live texts, and those with a trust tier to lose, once more, because rules and scanners are added.

    A version in which something is found falls to the lowest tier, with an event. It stays live: a person decides, by
    `store.quarantine(name)`, or by `store.promote("name@2", reason=...)`, after which that text is not looked at again.

    Args:
        store: The library.
        dry_run: Look, and change nothing.
        seconds: Time after which it stops; by default after the last text.
    """
    partition = store._partition  # noqa: SLF001
    with partition.read() as session:
        rows = _rows(session, partition.namespace)
        trees = {(row.skill_id, row.number): read_tree(session, row) for _, row in rows}
        released = _released(session, partition.namespace)
    texts = {(row.skill_id, row.number): row for _, row in rows}
    end = None if seconds is None else time.monotonic() + seconds
    found: list[tuple[str, SkillVersionRow, list[Finding]]] = []
    read = 0
    for name, row in rows:
        if end is not None and time.monotonic() > end:
            break
        read += 1
        if (row.skill_id, row.number) in released:
            continue
        known = _released_before(row, texts, released)
        before = None if known is None else Content(known.text, trees[known.skill_id, known.number])
        judged = screening.screened(partition.screen, Content(row.text, trees[row.skill_id, row.number]), before)
        if bad := [*judged.blocked, *judged.held]:
            found.append((name, row, bad))
    if not dry_run and found:
        with partition.write() as session:
            for name, row, bad in found:
                skill = versions.find_skill(session, partition.namespace, name, lock=True)
                _flag(session, skill, row, bad)
    suspects = [Suspect(f"{name}@{row.number}", row.tier, sentence(bad)) for name, row, bad in found]  # type: ignore[arg-type] # only Tier values are written
    return Rescan(read, len(rows), suspects)


def _flag(session: Session, skill: SkillRow, row: SkillVersionRow, bad: Sequence[Finding]) -> None:
    """Takes the version's tier; what was noted already, and nobody has looked at since, is not noted once more."""
    always = not screening.is_flagged(session, skill, row.number)
    evidence = screening.evidence_of(bad, row)
    tiers.demote(session, skill, row.number, by=screening.BY, reason=sentence(bad), evidence=evidence, always=always)


def _rows(session: Session, namespace: str) -> list[tuple[str, SkillVersionRow]]:
    is_live = (col(SkillRow.status) == "live") & (col(SkillVersionRow.number) == col(SkillRow.live_version))
    statement = select(SkillRow.name, SkillVersionRow).where(
        SkillRow.namespace == namespace,
        col(SkillVersionRow.skill_id) == col(SkillRow.id),
        is_live | (col(SkillVersionRow.tier) != LOWEST),
    )
    return list(session.exec(statement.order_by(is_live.desc(), SkillRow.name, col(SkillVersionRow.number))).all())


def _released(session: Session, namespace: str) -> set[tuple[str, int | None]]:
    """Returns the versions of which a person has said, since something was last found in them, that they are sound."""
    kinds = (HELD, RELEASED, screening.LOADED, tiers.DEMOTED)
    statement = select(EventRow).where(EventRow.namespace == namespace, col(EventRow.kind).in_(kinds))
    released: set[tuple[str, int | None]] = set()
    for event in session.exec(statement.order_by(col(EventRow.id))).all():
        if event.kind == RELEASED:
            released.add((event.skill_id, event.version))
        elif event.kind == screening.LOADED:  # a file's own releases do not count
            released -= {(event.skill_id, number) for number in screening.loaded(event)}
        elif event.by == screening.BY:
            released.discard((event.skill_id, event.version))
    return released


def _released_before(
    row: SkillVersionRow,
    texts: dict[tuple[str, int], SkillVersionRow],
    released: set[tuple[str, int | None]],
) -> SkillVersionRow | None:
    """Returns the nearest version that this one came from and that a person released; None without one."""
    parent = row.parent
    while parent is not None and (one := texts.get((row.skill_id, parent))) is not None:
        if (row.skill_id, parent) in released:
            return one
        parent = one.parent
    return None
