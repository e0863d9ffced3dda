"""Keeps the vector index up to date from the outbox.

A change is a skill whose entry may be out of date, not an instruction: whoever applies it looks at SQL and makes the
entry so. It can therefore be applied twice, late, or after a crash, and is forgotten only once the index has it.
"""

from collections.abc import Sequence

from sqlalchemy import delete
from sqlmodel import Session, col, select, update

from skill_plugin.store.database import Database
from skill_plugin.store.index import ChromaIndex
from skill_plugin.store.tables import EmbeddingRow, IndexChangeRow, NamespaceRow, SkillRow
from skill_plugin.store.vectors import Vector, from_bytes, is_live

_BATCH = 5000


def mark_changed(session: Session, namespace: str, skill_ids: Sequence[str]) -> None:
    """Within a write: notes that these skills' entries, and every copy in memory, are out of date."""
    # First the row that every writer of the namespace updates: it makes changes visible in the order of their numbers.
    session.exec(
        update(NamespaceRow).where(col(NamespaceRow.name) == namespace).values(epoch=col(NamespaceRow.epoch) + 1)
    )
    session.add_all(IndexChangeRow(namespace=namespace, skill_id=skill_id) for skill_id in skill_ids)


class IndexSync:
    """Brings one namespace's collection to what SQL says."""

    def __init__(self, database: Database, index: ChromaIndex, namespace: str) -> None:
        self._database = database
        self._index = index
        self._namespace = namespace
        self._reconciled: set[str] = set()

    def run(self, signature: str, *, pending: bool) -> bool:
        """Whether the index is now up to date. Only the process that owns the index can say so."""
        if not self._index.own():
            return False
        if signature not in self._reconciled and not self._reconcile(signature):
            return False
        while pending:
            with self._database.read() as session:
                changes = session.exec(
                    select(IndexChangeRow.seq, IndexChangeRow.skill_id)
                    .where(IndexChangeRow.namespace == self._namespace)
                    .order_by(col(IndexChangeRow.seq))
                    .limit(_BATCH)
                ).all()
                changed = {skill_id for _, skill_id in changes}
                upserts = self._vectors(session, signature, changed)
            gone = changed - {skill_id for skill_id, _ in upserts}
            if not self._index.apply(upserts, sorted(gone), signature=signature):
                return False
            with self._database.write() as session:
                last = max((seq for seq, _ in changes if seq is not None), default=0)
                session.exec(
                    delete(IndexChangeRow).where(
                        col(IndexChangeRow.namespace) == self._namespace, col(IndexChangeRow.seq) <= last
                    )
                )
            pending = len(changes) == _BATCH
        return True

    def rebuild(self, signature: str) -> bool:
        """Throws the collection away and fills it from SQL; whether it worked."""
        self._reconciled.discard(signature)
        return self._index.drop(signature=signature) and self.run(signature, pending=True)

    def _reconcile(self, signature: str) -> bool:
        """Once per opening: makes the ids agree, whatever was lost or left over when a process died."""
        entries = self._index.ids(signature=signature)
        if entries is None:
            return False
        with self._database.read() as session:
            statement = select(SkillRow.id, EmbeddingRow.number).where(*is_live(self._namespace, signature))
            live = {skill_id for skill_id, _ in session.exec(statement)}
            missing = self._vectors(session, signature, live - entries)
        if (missing or entries - live) and not self._index.apply(missing, sorted(entries - live), signature=signature):
            return False
        self._reconciled.add(signature)
        return True

    def _vectors(self, session: Session, signature: str, skill_ids: set[str]) -> list[tuple[str, Vector]]:
        found: list[tuple[str, Vector]] = []
        ordered = sorted(skill_ids)
        for start in range(0, len(ordered), 500):  # a statement takes a limited number of parameters
            chosen = ordered[start : start + 500]
            statement = select(SkillRow.id, EmbeddingRow.vector).where(*is_live(self._namespace, signature))
            rows = session.exec(statement.where(col(SkillRow.id).in_(chosen)))
            found.extend((skill_id, from_bytes(blob)) for skill_id, blob in rows)
        return found
