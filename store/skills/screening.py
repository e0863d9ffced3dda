"""What the scanner says of versions: refused, held or let through. Within the caller's transaction.

A held version is `quarantined`: it is stored, no model sees it, and a person releases it. Which ones are is told by events, `held`
and `released`, so a release holds for exactly that text. A skill of which every version is held is quarantined as a whole.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlmodel import Session, col, select

from skill_plugin.errors import InvalidSkillError, StoreError
from skill_plugin.scanning.findings import Finding, fresh, of, sentence
from skill_plugin.scanning.scanners import Screen
from skill_plugin.skills.trees import SkillTree
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import tiers, versions
from skill_plugin.store.skills.tree_rows import read_tree
from skill_plugin.store.skills.versions import HELD, RELEASED
from skill_plugin.store.tables import EventRow, SkillRow, SkillVersionRow

BY = "scanner"

TAKEN_BACK = "taken back"
"""The beginning of the reason for which a person holds all that a source wrote."""

LOADED = "loaded"
"""The event of a skill of which versions came in a dump."""

MANY = 50
"""Findings that an event keeps."""


class Screening(NamedTuple):
    """What the scanner said of a text: what refuses it, and what holds it."""

    blocked: Sequence[Finding]
    held: Sequence[Finding]

    def check(self) -> Sequence[Finding]:
        """Returns what holds the text.

        Raises:
            InvalidSkillError: it cannot be stored.
        """
        if self.blocked:
            raise InvalidSkillError(
                f"the scanner refuses the text: {sentence(self.blocked)}; take that out and try again"
            )
        return self.held

    @property
    def refusal(self) -> str:
        """Why the text is not used, without its own words: its writer is a model, which must not be given orders by it."""
        if self.blocked:
            return f"the scanner refuses the text: {sentence(self.blocked, words=False)}; leave that out"
        return f"the scanner holds the text for a person: {sentence(self.held, words=False)}; leave that out"


class Content(NamedTuple):
    """What the scanner reads of a version: its text, and those of its files that are texts."""

    text: str
    tree: SkillTree = ()

    def found_by(self, screen: Screen) -> list[Finding]:
        """Returns all findings, each with the file that it stands in."""
        found = list(screen(self.text))
        for file in self.tree:
            found += [one._replace(file=file.path) for one in screen(file.text)] if file.text else []
        return found


def scan_text(store: Part, text: str, tree: SkillTree = ()) -> list[Finding]:
    """Returns what a store's scanners find in a text and its files, each thing once; nothing is written."""
    return list(dict.fromkeys(Content(text, tree).found_by(store._partition.screen)))  # noqa: SLF001 - a store has as many names as one can keep in mind


def screened(screen: Screen, content: Content, known: Content | None = None) -> Screening:
    """Looks at a version; of a revision only at what it adds to `known`, its parent."""
    found = [one for one in content.found_by(screen) if one.verdict != "note"]
    if found and known is not None:
        found = fresh(found, known.found_by(screen))
    return Screening(of("block", found), of("hold", found))


def known_content(session: Session, skill_id: str | None, number: int | None) -> Content | None:
    """Returns what a revision is judged beside: its parent, unless that is held or suspect, or its skill out of use."""
    skill = session.get(SkillRow, skill_id) if skill_id else None
    version = session.get(SkillVersionRow, (skill_id, number)) if skill is not None and number else None
    if skill is None or version is None or skill.status == "quarantined" or number in versions.held(session, skill):
        return None
    return None if is_flagged(session, skill, version.number) else content_of(session, version)


def content_of(session: Session, version: SkillVersionRow) -> Content:
    """Returns what the scanner reads of a version."""
    return Content(version.text, read_tree(session, version))


def settle(
    session: Session, skill: SkillRow, version: SkillVersionRow, held: Sequence[Finding], *, is_first: bool
) -> None:
    """Notes that a version that was just written is held; or that its skill has one now that is not."""
    if held:
        hold(session, skill, version, held, whole=is_first)
    elif skill.status == "quarantined" and skill.live_version is None and not _by_a_person(session, skill):
        skill.status = "staged"
        session.add(skill)


def hold(session: Session, skill: SkillRow, version: SkillVersionRow, found: Sequence[Finding], *, whole: bool) -> None:
    """Holds a version; `whole` takes its skill out of use, too."""
    if whole:
        skill.status = "quarantined"
        session.add(skill)
    tiers.lower(session, skill, version.number)
    evidence = evidence_of(found, version)
    versions.log_event(session, skill, HELD, by=BY, version=version.number, reason=sentence(found), evidence=evidence)


def release(session: Session, skill: SkillRow, number: int | None, *, reason: str = "", otherwise: str = "") -> None:
    """Lets a version go that is held, or in which a rescan found something, for good: a person has looked at it.

    `reason` is the person's, and raises the version's tier; `otherwise` is noted where none was given.
    """
    if number is not None and (number in versions.held(session, skill) or is_flagged(session, skill, number)):
        tiers.let_through(session, skill, versions.find_version(session, skill, number), by="human", reason=reason)
        versions.log_event(session, skill, RELEASED, by="human", version=number, reason=reason or otherwise)


def evidence_of(found: Sequence[Finding], version: SkillVersionRow) -> dict[str, Any]:
    """Returns findings as an event keeps them, with the hash of the text that they are of."""
    return {"findings": [one._asdict() for one in found[:MANY]], "sha256": version.sha256}


def held_by(why: str) -> str:
    """Says who holds a version, and why."""
    return f"held: {why}" if why.startswith(TAKEN_BACK) else f"held by the scanner: {why}"


def check_open(session: Session, skill: SkillRow, number: int) -> None:
    """Checks that a version is not held.

    Raises:
        StoreError: it is; only a person releases it.
    """
    if (why := versions.held(session, skill).get(number)) is not None:
        raise StoreError(
            f"version {number} of {skill.name!r} is {held_by(why)}; look at it (skill-plugin skills show "
            f"{skill.name}@{number}), and if it is sound release it: skill-plugin skills promote {skill.name}@{number}"
        )


def hold_loaded(session: Session, screen: Screen, taken: Mapping[str, Collection[int]]) -> list[str]:
    """Looks at versions that were taken in as rows, by skill id, and holds what would not have come in; returns the skills' names.

    Releases that came with them do not count: whoever made the file wrote those. Nothing is refused, as that would make a copy
    useless for one text in it.
    """
    names = []
    for skill_id, numbers in taken.items():
        skill = session.get(SkillRow, skill_id)
        rows = session.exec(select(SkillVersionRow).where(col(SkillVersionRow.skill_id) == skill_id)).all()
        if skill is None:
            continue
        already = versions.held(session, skill)
        found = {
            row.number: [*judged.blocked, *judged.held]
            for row in rows
            if row.number in numbers and (judged := screened(screen, content_of(session, row)))
        }
        bad = {number: one for number, one in found.items() if one}
        for row in rows:
            if row.number in bad:
                whole = row.number == skill.live_version or (skill.live_version is None and len(bad) == len(rows))
                if row.number not in already:
                    hold(session, skill, row, bad[row.number], whole=False)
                if whole and skill.status != "retired":
                    skill.status = "quarantined"
                    session.add(skill)
        names += [skill.name] if bad else []
    return names


def note_loaded(session: Session, taken: Mapping[str, Sequence[int]], place: str) -> None:
    """Notes in the lives of skills, by id, which of their versions came in a dump."""
    for skill_id, numbers in taken.items():
        if (skill := session.get(SkillRow, skill_id)) is not None:
            versions.log_event(session, skill, LOADED, by="import", reason=place, evidence={"versions": list(numbers)})


def loaded(event: EventRow) -> Sequence[int]:
    """Returns the versions that came in a dump, as the event says; one that came in a file itself may say anything."""
    numbers = event.evidence.get("versions")
    return numbers if isinstance(numbers, list) else ()


def is_flagged(session: Session, skill: SkillRow, number: int) -> bool:
    """Returns whether a rescan found something in a version, which nobody has looked at since."""
    kinds = (HELD, RELEASED, tiers.DEMOTED)
    statement = select(EventRow.kind, EventRow.by).where(
        EventRow.skill_id == skill.id, EventRow.version == number, col(EventRow.kind).in_(kinds)
    )
    return session.exec(statement.order_by(col(EventRow.id).desc())).first() == (tiers.DEMOTED, BY)


def _by_a_person(session: Session, skill: SkillRow) -> bool:
    """Returns whether a person put the skill into quarantine."""
    kinds = ("quarantined", "restored", *versions.WENT_LIVE)
    statement = select(EventRow.kind).where(EventRow.skill_id == skill.id, col(EventRow.kind).in_(kinds))
    return session.exec(statement.order_by(col(EventRow.id).desc())).first() == "quarantined"
