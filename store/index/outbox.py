"""The outbox: which entries of the index may be out of date.

A change is a skill whose entry may be out of date, not an instruction: whoever applies it looks at SQL and makes the
entry so. It can therefore be applied twice, late, or after a crash, and is forgotten only once the index has it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import delete, func
from sqlmodel import Session, col, select, update

from skill_plugin.store.index.tables import IndexChangeRow
from skill_plugin.store.tables import EmbeddingRow, NamespaceRow, SkillRow
from skill_plugin.store.vectors import Entry, from_bytes, is_live, is_unit

BATCH = 2000

CHANGED = "skill_plugin_index_changed"
"""Key in a session's `info` after `mark_changed`, so that the indexer is told once the write is committed."""

_PARAMETERS = 500


class Changes(NamedTuple):
    """A batch of changes: entries to write, entries to delete, and up to which number they were read."""

    upserts: list[Entry]
    deletes: list[str]
    last: int
    more: bool


def mark_changed(session: Session, namespace: str, skill_ids: Sequence[str]) -> None:
    """Notes, within a write, that these skills' entries, and every copy in memory, are out of date."""
    # First the row that every writer of the namespace updates: it makes changes visible in the order of their numbers.
    session.exec(
        update(NamespaceRow).where(col(NamespaceRow.name) == namespace).values(epoch=col(NamespaceRow.epoch) + 1)
    )
    session.add_all(IndexChangeRow(namespace=namespace, skill_id=skill_id) for skill_id in skill_ids)
    session.info[CHANGED] = True


def pending(session: Session, namespace: str, last: int | None = None) -> bool:
    """Returns whether the index has changes to catch up with, of those up to a number."""
    statement = select(IndexChangeRow.seq).where(IndexChangeRow.namespace == namespace)
    if last is not None:
        statement = statement.where(col(IndexChangeRow.seq) <= last)
    return session.exec(statement.limit(1)).first() is not None


def newest(session: Session, namespace: str) -> int:
    """Returns the number of the newest change that is there."""
    statement = select(func.max(IndexChangeRow.seq)).where(IndexChangeRow.namespace == namespace)
    return session.exec(statement).one() or 0


def behind(session: Session, namespace: str) -> set[str]:
    """Returns the skills whose entry has yet to follow."""
    statement = select(IndexChangeRow.skill_id).where(IndexChangeRow.namespace == namespace)
    return set(session.exec(statement).all())


def next_changes(session: Session, namespace: str, signature: str) -> Changes | None:
    """Returns the oldest changes, as the entries should be now; None without changes."""
    rows = session.exec(
        select(IndexChangeRow.seq, IndexChangeRow.skill_id)
        .where(IndexChangeRow.namespace == namespace)
        .order_by(col(IndexChangeRow.seq))
        .limit(BATCH)
    ).all()
    if not rows:
        return None
    changed = {skill_id for _, skill_id in rows}
    upserts = entries(session, namespace, signature, changed)
    deletes = sorted(changed - {entry.skill_id for entry in upserts})
    return Changes(upserts, deletes, max(seq or 0 for seq, _ in rows), len(rows) == BATCH)


def forget(session: Session, namespace: str, last: int) -> None:
    """Deletes, within a write, the changes up to a number: the index has them."""
    of_ours = (col(IndexChangeRow.namespace) == namespace) & (col(IndexChangeRow.seq) <= last)
    session.exec(delete(IndexChangeRow).where(of_ours))


def live_versions(session: Session, namespace: str, signature: str) -> dict[str, int]:
    """Returns the skills that should have an entry, each with its version."""
    statement = select(SkillRow.id, EmbeddingRow.number).where(*is_live(namespace, signature))
    return dict(session.exec(statement).all())


def entries(session: Session, namespace: str, signature: str, skill_ids: Iterable[str]) -> list[Entry]:
    """Returns the entries that these skills should have; none for one that is not live, or whose vector is broken."""
    found: list[Entry] = []
    ordered = sorted(skill_ids)
    for start in range(0, len(ordered), _PARAMETERS):  # a statement takes a limited number of parameters
        statement = select(SkillRow.id, EmbeddingRow.number, EmbeddingRow.vector).where(
            *is_live(namespace, signature, by_id=True)
        )
        rows = session.exec(statement.where(col(SkillRow.id).in_(ordered[start : start + _PARAMETERS])))
        found.extend(Entry(skill_id, number, from_bytes(blob)) for skill_id, number, blob in rows if is_unit(blob))
    lengths = Counter(len(entry.vector) for entry in found).most_common(1)  # Chroma takes vectors of one length only
    return [entry for entry in found if len(entry.vector) == lengths[0][0]]
