"""Skills and their versions as rows: finding, adding, revising, promoting. All within the caller's transaction."""

import secrets
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from skill_plugin.errors import (
    ConfigurationError,
    DuplicateSkillError,
    InvalidSkillError,
    SkillNotFoundError,
    StoreError,
)
from skill_plugin.gates.decision import GateDecision
from skill_plugin.records import Author, Event, Skill, SkillVersion, Status, sha256, split_ref
from skill_plugin.skills.skill_md import SkillDocument
from skill_plugin.skills.tiers import first_tier
from skill_plugin.skills.trees import SkillTree, tree_sha256
from skill_plugin.store.index.outbox import mark_changed
from skill_plugin.store.skills.tree_rows import paths, version_with, write_tree
from skill_plugin.store.tables import EmbeddingRow, EventRow, SkillRow, SkillVersionRow
from skill_plugin.store.vectors import Vector, to_bytes

STATUSES: tuple[str, ...] = get_args(Status)

MAX_VERSION = 2**31 - 1

WENT_LIVE = ("added", "promoted", "rolled back")

WRITTEN = ("added", "staged", "revised")
"""The event of a version's writing is one of these."""

HELD, RELEASED = "held", "released"
"""Events of a version that the scanner holds, or that a person took back, and that a person has let go."""

IS_DECIDED = col(EventRow.kind).in_([*WENT_LIVE, "refused", HELD])
"""The condition of an event that says that somebody decided on its version."""


def find_skill(session: Session, namespace: str, name: str, *, lock: bool = False) -> SkillRow:
    """Returns the skill with this name or id.

    Raises:
        SkillNotFoundError: this namespace has none; near names are offered.
    """
    statement = select(SkillRow).where(
        SkillRow.namespace == namespace, (col(SkillRow.name) == name) | (col(SkillRow.id) == name)
    )
    row = session.exec(statement.with_for_update() if lock else statement).first()
    if row is None:
        names = session.exec(select(SkillRow.name).where(SkillRow.namespace == namespace)).all()
        near = get_close_matches(str(name), names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "list them with: skill-plugin skills list"
        raise SkillNotFoundError(f"no skill {name!r} in namespace {namespace!r}; {hint}")
    return row


def find_version(session: Session, skill: SkillRow, number: int | None) -> SkillVersionRow:
    """Returns one version; by default the live one, else the newest."""
    if number is None:
        number = skill.live_version or newest_version(session, skill.id)
    row = session.get(SkillVersionRow, (skill.id, number)) if 0 < number <= MAX_VERSION else None
    if row is None:
        raise SkillNotFoundError(
            f"skill {skill.name!r} has no version {number}; it has 1 to {newest_version(session, skill.id)}"
        )
    return row


def newest_waiting(session: Session, skill: SkillRow) -> int:
    """Returns the newest version that nobody has decided on; else the newest that is not held, or the newest.

    Raises:
        StoreError: such versions of several authors are newer than the live one, so it is not clear whose is meant.
    """
    stopped = held(session, skill)
    statement = select(SkillVersionRow.number, SkillVersionRow.author).where(SkillVersionRow.skill_id == skill.id)
    authors = dict(session.exec(statement.order_by(col(SkillVersionRow.number).desc())).all())
    decided = set(session.exec(select(EventRow.version).where(EventRow.skill_id == skill.id, IS_DECIDED)).all())
    waiting = [number for number in authors if number not in decided and number > (skill.live_version or 0)]
    if len({authors[number] for number in waiting}) > 1:
        named = ", ".join(f"{number} ({authors[number]})" for number in waiting)
        raise StoreError(
            f"versions of several authors wait for a decision on {skill.name!r}: {named}; name the one you mean, as in: "
            f"skill-plugin skills promote {skill.name}@{waiting[0]}"
        )
    return next((number for number in (*waiting, *authors) if number not in stopped), max(authors))


def held(session: Session, skill: SkillRow) -> dict[int, str]:
    """Returns the versions that the scanner holds, each with the reason."""
    return _life(session, skill)[1]


def newest_version(session: Session, skill_id: str) -> int:
    statement = select(func.max(SkillVersionRow.number)).where(SkillVersionRow.skill_id == skill_id)
    return session.exec(statement).one() or 0


def before_live(session: Session, skill: SkillRow) -> int:
    """Returns the version to go back to from the live one: its parent, else the one that was live before it.

    Raises:
        SkillNotFoundError: there is neither, or nothing is live.
    """
    live = find_version(session, skill, skill.live_version)
    if number := next(before(session, skill, live.number), None):
        return number
    raise SkillNotFoundError(f"version {live.number} of {skill.name!r} has no parent to go back to; name a version")


def before(session: Session, skill: SkillRow, number: int) -> Iterator[int]:
    """Yields the versions before one: its parent, and the one that was live when it first went live; none that is held."""
    parent, stopped = find_version(session, skill, number).parent, held(session, skill)
    if parent is not None and parent not in stopped:
        yield parent
    went_live = select(EventRow.version).where(EventRow.skill_id == skill.id, col(EventRow.kind).in_(WENT_LIVE))
    lives = session.exec(went_live.order_by(col(EventRow.id))).all()
    earlier = lives[: lives.index(number)] if number in lives else lives
    if earlier and earlier[-1] is not None and earlier[-1] != parent and earlier[-1] not in stopped:
        yield earlier[-1]


def resolve(session: Session, namespace: str, ref: str, *, lock: bool = False) -> tuple[SkillRow, SkillVersionRow]:
    """Returns the skill and version that `name`, `id`, `name@2` or `id@2` means."""
    name, number = split_ref(ref)
    skill = find_skill(session, namespace, name, lock=lock)
    return skill, find_version(session, skill, number)


def new_skill(session: Session, namespace: str, document: SkillDocument) -> SkillRow:
    """Adds a skill, without versions yet.

    Raises:
        DuplicateSkillError: the name is taken.
    """
    taken = select(SkillRow.id).where(SkillRow.namespace == namespace, SkillRow.name == document.name)
    if session.exec(taken).first() is not None:
        raise DuplicateSkillError(
            f"a skill named {document.name!r} exists in namespace {namespace!r}; "
            "write a new version of it with: skill-plugin skills revise"
        )
    row = SkillRow(
        id=f"sk_{secrets.token_hex(6)}",
        namespace=namespace,
        name=document.name,
        description=document.description,
        status="staged",
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as exc:  # another process took the name a moment ago
        raise DuplicateSkillError(
            f"a skill named {document.name!r} was just added to {namespace!r}; look it up"
        ) from exc
    return row


def new_version(
    session: Session,
    skill: SkillRow,
    document: SkillDocument,
    text: str,
    *,
    vector: Vector,
    signature: str,
    author: Author,
    generation: int,
    parent: int | None,
    revision_id: str | None = None,
    number: int | None = None,
    tree: SkillTree = (),
) -> SkillVersionRow:
    """Writes the next version of a skill, staged; `number` keeps the one that it had in another store.

    Raises:
        InvalidSkillError: the text with its files is that of a version that exists, or names another skill.
    """
    if document.name != skill.name:
        raise InvalidSkillError(f"the text is named {document.name!r}, the skill {skill.name!r}; keep the name")
    if (same := version_with(session, skill, text, tree)) is not None:
        what = "text and its files are" if tree else "text is"
        raise InvalidSkillError(
            f"the {what} the same as {skill.name!r} version {same.number}; change it, or promote that one"
        )
    row = append_version(
        session,
        skill,
        document,
        text,
        author=author,
        generation=generation,
        parent=parent,
        revision_id=revision_id,
        number=number or newest_version(session, skill.id) + 1,
        tree=tree,
    )
    session.flush()
    write_tree(session, row, tree)
    add_vector(session, row, vector, signature)
    return row


def append_version(
    session: Session,
    skill: SkillRow,
    document: SkillDocument,
    text: str,
    *,
    author: Author,
    generation: int,
    parent: int | None,
    revision_id: str | None,
    number: int,
    tree: SkillTree = (),
) -> SkillVersionRow:
    """Appends a version that the caller knows to be new and of this skill; its vector and its files have to be added."""
    row = SkillVersionRow(
        skill_id=skill.id,
        number=number,
        namespace=skill.namespace,
        generation=generation,
        parent=parent,
        description=document.description,
        text=text,
        sha256=sha256(text),
        tree_sha256=tree_sha256(text, tree),
        author=author,
        tier=first_tier(author),
        revision_id=revision_id,
    )
    session.add(row)
    return row


def add_vector(session: Session, version: SkillVersionRow, vector: Vector, signature: str) -> None:
    """Adds the vector of a version that is in the database already, because the vector's row refers to it."""
    session.add(
        EmbeddingRow(
            skill_id=version.skill_id,
            number=version.number,
            signature=signature,
            namespace=version.namespace,
            vector=to_bytes(vector),
        )
    )


def go_live(session: Session, skill: SkillRow, version: SkillVersionRow) -> None:
    skill.status = "live"
    skill.live_version = version.number
    skill.description = version.description
    session.add(skill)
    session.flush()
    mark_changed(session, skill.namespace, [skill.id])


def log_event(
    session: Session,
    skill: SkillRow,
    kind: str,
    *,
    by: str,
    version: int | None = None,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
    decision: GateDecision | None = None,
) -> None:
    """Appends to the skill's life; a gate's decision is the reason and the evidence."""
    session.add(
        EventRow(
            namespace=skill.namespace,
            skill_id=skill.id,
            version=version,
            kind=kind,
            by=by,
            reason=decision.reason if decision else reason,
            evidence=decision.to_json() if decision else dict(evidence or {}),
        )
    )


def events(session: Session, skill: SkillRow) -> list[Event]:
    """Returns the events of the skill's life, oldest first."""
    rows = session.exec(select(EventRow).where(EventRow.skill_id == skill.id).order_by(col(EventRow.id))).all()
    return [
        Event(kind=row.kind, at=row.at, by=row.by, version=row.version, reason=row.reason, evidence=row.evidence)
        for row in rows
    ]


def versions(session: Session, skill: SkillRow) -> list[SkillVersion]:
    """Returns every version, oldest first."""
    statement = select(SkillVersionRow).where(SkillVersionRow.skill_id == skill.id)
    rows = session.exec(statement.order_by(col(SkillVersionRow.number))).all()
    were_live, stopped = _life(session, skill)
    return [
        SkillVersion(
            skill_id=skill.id,
            number=row.number,
            generation=row.generation,
            parent=row.parent,
            text=row.text,
            sha256=row.sha256,
            tree_sha256=row.tree_sha256,
            files=paths(session, row),
            may_run=row.may_run,
            author=row.author,  # type: ignore[arg-type] # only Author values are written
            status=_status(skill, row.number, were_live, stopped),
            tier=row.tier,  # type: ignore[arg-type] # only Tier values are written
            revision_id=row.revision_id,
            created_at=row.created_at,
        )
        for row in rows
    ]


def view(session: Session, skill: SkillRow, version: SkillVersionRow, *, is_new: bool = False) -> Skill:
    """Returns a skill seen at one version; a new one never was live, so its life need not be looked up."""
    never = is_new or (skill.live_version == version.number and skill.status == "live")
    were_live, stopped = (set(), {}) if never else _life(session, skill)
    return Skill(
        id=skill.id,
        namespace=skill.namespace,
        name=skill.name,
        description=version.description,
        version=version.number,
        status=_status(skill, version.number, were_live, stopped),
        utility=skill.utility,
        uses=skill.uses,
        wins=skill.wins,
        text=version.text,
        author=version.author,  # type: ignore[arg-type] # only Author values are written
        generation=version.generation,
        parent=version.parent,
        live_version=skill.live_version,
        tier=version.tier,  # type: ignore[arg-type] # only Tier values are written
        pinned=skill.pinned,
        created_at=version.created_at,
        held=stopped.get(version.number, ""),
        files=paths(session, version),
        tree_sha256=version.tree_sha256,
    )


def check_status(status: str | None) -> None:
    if status is not None and status not in STATUSES:
        raise ConfigurationError(f"{status!r} is not a status; use one of {', '.join(STATUSES)}")


def _life(session: Session, skill: SkillRow) -> tuple[set[int | None], dict[int, str]]:
    """Returns the versions that were live, and those that are held, each with the reason."""
    kinds = (*WENT_LIVE, HELD, RELEASED)
    statement = select(EventRow.version, EventRow.kind, EventRow.reason).where(
        EventRow.skill_id == skill.id, col(EventRow.kind).in_(kinds)
    )
    were_live: set[int | None] = set()
    stopped: dict[int, str] = {}
    for number, kind, reason in session.exec(statement.order_by(col(EventRow.id))).all():
        if kind in WENT_LIVE:
            were_live.add(number)
        elif kind == HELD and number is not None:
            stopped[number] = reason
        else:
            stopped.pop(number or 0, None)
    return were_live, stopped


def _status(skill: SkillRow, number: int, were_live: set[int | None], stopped: Mapping[int, str]) -> Status:
    """Returns a version's status: live, retired if it was live, quarantined if it is held, else staged; or its skill's, if out of use."""
    if skill.status in ("retired", "quarantined"):
        return skill.status  # type: ignore[return-value] # narrowed by the line above
    if skill.live_version == number:
        return "live"
    if number in stopped:
        return "quarantined"
    return "retired" if number in were_live else "staged"
