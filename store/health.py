"""Collects the facts that a monitor asks of a store: can it be read and written, does its index follow, how much room is left, what is held."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import func
from sqlmodel import Session, col, select, update

from skill_plugin.errors import StoreError
from skill_plugin.store.index.tables import IndexChangeRow
from skill_plugin.store.locks import outbox_owner
from skill_plugin.store.partition import Part
from skill_plugin.store.skills.versions import HELD, RELEASED
from skill_plugin.store.sql import reserve
from skill_plugin.store.sql.database import Database, schema_revision
from skill_plugin.store.tables import EventRow, NamespaceRow, SkillRow, SkillVersionRow

BEHIND_SECONDS = 60.0
"""Age of a change from which an index that does not move is behind."""

WATCH_SECONDS = 2.0
"""How long an old change is watched before its indexer is said to stand still."""

IndexerState = Literal["running", "stopped", "read-only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """Facts about a namespace, and about the place of its database.

    Args:
        schema: The revision of the database's schema.
        skills: Skills by their status.
        held: Versions that the scanner holds for a person, as `name@2`, but for those that something newer has replaced.
        backlog: Changes that the index has yet to follow. Until then search uses the vectors in SQL.
        oldest_change_s: Age in seconds of the oldest of them, as the last event of its skill says; None without a backlog.
        indexer: Whether a process is there that keeps the index; `stopped` is ordinary where none has the store open.
        index_is_stuck: The indexer runs, and an old change stays where it is.
        index_problem: What this process's own index says is wrong.
        read_only: Why the database is open for reading only; None if it is not.
        free_bytes: Free on the disk of a SQLite database; None with PostgreSQL.
        reserve_bytes: What is kept in reserve beside it.
        pool_in_use: Connections of this process to PostgreSQL that are in use; None with SQLite.
    """

    schema: str | None
    skills: Mapping[str, int]
    held: list[str]
    backlog: int
    oldest_change_s: float | None
    indexer: IndexerState
    index_is_stuck: bool
    index_problem: str | None
    read_only: str | None
    free_bytes: int | None
    reserve_bytes: int | None
    pool_in_use: int | None


def store_health(store: Part, *, watch: float = WATCH_SECONDS) -> StoreHealth:
    """Looks at a store; changes nothing, and asks neither Chroma nor the embedder. An indexer whose thread died is started again.

    Args:
        store: The store.
        watch: Seconds to watch an index that seems to be behind, at most `WATCH_SECONDS`.

    Raises:
        StoreUnavailableError: the database cannot be read.
    """
    partition = store._partition  # noqa: SLF001 - a store has as many names as one can keep in mind
    partition.notify()
    database, namespace = partition.database, partition.namespace
    with database.read() as session:
        schema = schema_revision(session.connection())
        by_status = select(SkillRow.status, func.count()).where(SkillRow.namespace == namespace)
        skills = dict(session.exec(by_status.group_by(SkillRow.status)).all())
        held = held_versions(session, namespace)
        backlog = session.exec(select(func.count()).where(IndexChangeRow.namespace == namespace)).one()
        first, oldest = _oldest(session, namespace)
    indexer = partition.indexer
    state = _indexer(store)
    stuck = state == "running" and oldest is not None and oldest > BEHIND_SECONDS
    problem = partition.index.problem if partition.index is not None and indexer is not None and indexer.owned else None
    return StoreHealth(
        schema=schema,
        skills=skills,
        held=held,
        backlog=backlog,
        oldest_change_s=oldest,
        indexer=state,
        index_is_stuck=stuck and not _moves(database, namespace, first, min(watch, WATCH_SECONDS)),
        index_problem=problem,
        read_only=database.read_only,
        **_room(database),
    )


def check_writable(store: Part) -> None:
    """Commits a write that changes nothing.

    Raises:
        StoreUnavailableError: the database takes none.
    """
    partition = store._partition  # noqa: SLF001
    with partition.database.write() as session:
        same = update(NamespaceRow).where(col(NamespaceRow.name) == partition.namespace)
        session.exec(same.values(index_key=col(NamespaceRow.index_key)))


def held_versions(session: Session, namespace: str) -> list[str]:
    """Returns what is held and newer than what is live, of skills that are not retired."""
    last = (
        select(EventRow.skill_id, EventRow.version, func.max(EventRow.id).label("id"))
        .where(EventRow.namespace == namespace, col(EventRow.kind).in_([HELD, RELEASED]))
        .group_by(col(EventRow.skill_id), col(EventRow.version))
        .subquery()
    )
    statement = (
        select(SkillRow.name, SkillVersionRow.number)
        .join(SkillVersionRow, col(SkillVersionRow.skill_id) == col(SkillRow.id))
        .join(last, (last.c.skill_id == SkillRow.id) & (last.c.version == SkillVersionRow.number))
        .join(EventRow, col(EventRow.id) == last.c.id)
        .where(
            EventRow.kind == HELD,
            SkillRow.status != "retired",
            (col(SkillRow.status) == "quarantined")
            | (SkillVersionRow.number > func.coalesce(SkillRow.live_version, 0)),
        )
        .order_by(col(EventRow.id).desc())
    )
    return [f"{name}@{number}" for name, number in session.exec(statement).all()]


def _oldest(session: Session, namespace: str) -> tuple[int | None, float | None]:
    """Returns the number of the oldest change that waits, and its age in seconds."""
    waits = select(IndexChangeRow.seq, IndexChangeRow.skill_id).where(IndexChangeRow.namespace == namespace)
    row = session.exec(waits.order_by(col(IndexChangeRow.seq)).limit(1)).first()
    if row is None:
        return None, None
    at = session.exec(select(func.max(EventRow.at)).where(EventRow.skill_id == row[1])).one()
    return row[0], max(0.0, (datetime.now(UTC) - at).total_seconds()) if at else 0.0


def _moves(database: Database, namespace: str, first: int | None, seconds: float) -> bool:
    """Returns whether the oldest change goes within so many seconds: with a large backlog the indexer may work all the same."""
    deadline = time.monotonic() + seconds
    while True:
        with database.read() as session:
            now = session.exec(select(func.min(IndexChangeRow.seq)).where(IndexChangeRow.namespace == namespace)).one()
        if now != first:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)


def _indexer(store: Part) -> IndexerState:
    partition = store._partition  # noqa: SLF001
    if partition.database.read_only is not None:
        return "read-only"
    if partition.indexer is not None and partition.indexer.owned:
        return "running" if partition.indexer.is_alive else "stopped"
    owner = outbox_owner(partition.database, partition.namespace, shared=False)
    try:  # a free lock is ours for a moment; an indexer that just wants it asks again after seconds
        return "stopped" if owner.take() else "running"
    except (OSError, StoreError):
        return "stopped"
    finally:
        owner.release()


def _room(database: Database) -> dict[str, int | None]:
    if not database.is_sqlite:
        return {"free_bytes": None, "reserve_bytes": None, "pool_in_use": database.engine.pool.checkedout()}  # type: ignore[attr-defined]
    path = Path(database.path)
    free = shutil.disk_usage(path.parent).free
    return {"free_bytes": free, "reserve_bytes": reserve.kept(path), "pool_in_use": None}
