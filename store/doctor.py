"""Upkeep: is a namespace sound, and embedding it anew."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sqlalchemy import String, cast, func, text
from sqlmodel import col, select

from skill_plugin.errors import SkillPluginError
from skill_plugin.models.adapter_files import verify_adapter
from skill_plugin.skills.skill_md import parse
from skill_plugin.store import namespaces
from skill_plugin.store.checkpoints import checkpoint_rows
from skill_plugin.store.crashpoints import crashpoint
from skill_plugin.store.database import insert_if_absent, schema_revision
from skill_plugin.store.index.indexer import Indexer
from skill_plugin.store.index.outbox import mark_changed
from skill_plugin.store.index.worker import WorkerError
from skill_plugin.store.items.items import vector_row
from skill_plugin.store.items.tables import ItemRow, ItemVectorRow
from skill_plugin.store.partition import Part
from skill_plugin.store.search import experience_rows
from skill_plugin.store.search.languages import language_group
from skill_plugin.store.tables import EmbeddingRow, NamespaceRow, SkillRow, SkillVersionRow
from skill_plugin.store.vectors import Vector, from_bytes, is_live, to_bytes, unit_vector

CHECK_SECONDS = 60.0
_BATCH = 64


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


class Upkeep(Part):
    """Looks after one namespace."""

    def check(self) -> list[Check]:
        """Runs every check. None raises, or changes anything but a lagging index."""
        checks: dict[str, Callable[[], tuple[bool, str]]] = {
            "database": self._check_database,
            "skills": self._check_skills,
            "embedder": self._check_embedder,
            "vectors": self._check_vectors,
            "index": self._check_index,
            "items": self._check_items,
            "checkpoint": self._check_checkpoint,
        }
        return [Check(name, *_safely(check)) for name, check in checks.items()]

    def reembed(self) -> int:
        """Embeds every version with this store's embedder and makes its signature the namespace's; returns how many.

        Vectors of the old embedder stay in SQL. The switch is one transaction, so a search sees one model or the other.
        """
        signature, namespace = self._partition.vectors.signature, self._namespace
        done = 0
        while batch := self._unembedded(signature):
            texts = [parse(row.text).embedded_text for row in batch]
            vectors = self._partition.vectors.embedder.embed(texts)
            with self._partition.database.write() as session:
                for row, values in zip(batch, vectors, strict=True):
                    session.add(
                        EmbeddingRow(
                            skill_id=row.skill_id,
                            number=row.number,
                            signature=signature,
                            namespace=namespace,
                            vector=to_bytes(unit_vector(values, signature)),
                        )
                    )
            crashpoint("reembed.batch")
            done += len(batch)
        self._reembed_items(signature)
        self._reembed_tasks(signature)
        if self._partition.indexer is not None:
            self._partition.indexer.prepare(signature)
        crashpoint("reembed.before-swap")
        with self._partition.database.write() as session:
            space = session.get(NamespaceRow, namespace)
            if space is not None and space.signature != signature:
                space.signature = signature
                session.add(space)
                ids = session.exec(select(SkillRow.id).where(SkillRow.namespace == namespace)).all()
                mark_changed(session, namespace, ids)
        return done

    def _unembedded(self, signature: str) -> list[SkillVersionRow]:
        with self._partition.read() as session:
            has = select(EmbeddingRow.skill_id).where(
                col(EmbeddingRow.skill_id) == col(SkillVersionRow.skill_id),
                col(EmbeddingRow.number) == col(SkillVersionRow.number),
                col(EmbeddingRow.signature) == signature,
            )
            statement = select(SkillVersionRow).where(SkillVersionRow.namespace == self._namespace, ~has.exists())
            return list(session.exec(statement.limit(_BATCH)).all())

    def _reembed_tasks(self, signature: str) -> None:
        """Makes the missing vectors of the tasks that skills have passed."""
        while batch := self._unembedded_tasks(signature):
            made = self._partition.vectors.embedder.embed([task.text for task in batch])
            vectors = [unit_vector(values, signature) for values in made]
            with self._partition.database.write() as session:
                namespaces.lock(session, self._namespace)
                pairs = list(zip(batch, vectors, strict=True))
                experience_rows.keep_vectors(session, self._namespace, signature, pairs)

    def _unembedded_tasks(self, signature: str) -> list[experience_rows.Pending]:
        with self._partition.read() as session:
            return experience_rows.missing(session, self._namespace, signature, _BATCH)

    def _reembed_items(self, signature: str) -> None:
        while batch := self._unembedded_items(signature):
            made = iter(self._partition.vectors.embedder.embed([text for row in batch for text in row.texts]))
            with self._partition.database.write() as session:
                namespaces.lock(session, self._namespace)
                for row in batch:
                    now = session.get(ItemRow, (row.namespace, row.path, row.key))
                    vectors = [unit_vector(next(made), signature) for _ in row.texts]
                    if now is None or now.texts != row.texts:
                        continue  # it was written or deleted in between; the next batch takes it as it is
                    for number, vector in enumerate(vectors):
                        values = vector_row(row.model_dump(), number, signature, vector)
                        insert_if_absent(session, ItemVectorRow, values)

    def _unembedded_items(self, signature: str) -> list[ItemRow]:
        with self._partition.read() as session:
            has = select(ItemVectorRow.number).where(
                col(ItemVectorRow.namespace) == col(ItemRow.namespace),
                col(ItemVectorRow.path) == col(ItemRow.path),
                col(ItemVectorRow.key) == col(ItemRow.key),
                col(ItemVectorRow.signature) == signature,
            )
            statement = select(ItemRow).where(
                ItemRow.namespace == self._namespace, cast(col(ItemRow.texts), String) != "[]", ~has.exists()
            )
            return list(session.exec(statement.limit(_BATCH)).all())

    def _check_database(self) -> tuple[bool, str]:
        with self._partition.read() as session:
            revision = schema_revision(session.connection())
            if not self._partition.database.is_sqlite:
                return True, f"{self._partition.database.where}, schema {revision}"
            verdict = session.connection().execute(text("PRAGMA quick_check")).scalar()
        detail = f"{self._partition.database.where}, schema {revision}, SQLite {sqlite3.sqlite_version}, quick_check {verdict}"
        if (why := self._partition.database.read_only) is not None:
            detail += f", for reading only ({why})"
        return verdict == "ok", detail

    def _check_skills(self) -> tuple[bool, str]:
        with self._partition.read() as session:
            statement = select(SkillRow.status, func.count()).where(SkillRow.namespace == self._namespace)
            counts = dict(session.exec(statement.group_by(SkillRow.status)).all())
        return True, ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none yet"

    def _check_embedder(self) -> tuple[bool, str]:
        stored, own = self._signature(), self._partition.vectors.signature
        if stored not in (None, own):
            return False, f"vectors were made with {stored}, this store is open with {own}; run skill-plugin reindex"
        length = float(np.linalg.norm(self._partition.vectors("a canary")))
        return abs(length - 1) < 1e-3, f"{own}, length {length:.3f}{self._other_languages(own)}"

    def _other_languages(self, signature: str) -> str:
        """Says what the default model cannot do for this library."""
        if not signature.startswith("all-MiniLM-L6-v2@"):
            return ""
        live = (SkillRow.namespace == self._namespace, SkillRow.status == "live")
        with self._partition.read() as session:
            texts = session.exec(select(SkillRow.description).where(*live)).all()
        foreign = sum(language_group(text) is not None for text in texts)
        if not foreign:
            return ""
        return (
            f"; it learned English, and {foreign} of {len(texts)} live skills are in another language, which it finds by "
            "words more than by meaning: see docs/store.md, Languages, for a multilingual one"
        )

    def _check_vectors(self) -> tuple[bool, str]:
        with self._partition.read() as session:
            live = select(func.count()).where(SkillRow.namespace == self._namespace, SkillRow.status == "live")
            wanted = session.exec(live).one()
        vectors = self._live_vectors()
        bad = [skill_id for skill_id, vector in vectors if not abs(float(np.linalg.norm(vector)) - 1) < 1e-3]
        detail = f"{len(vectors)} of {wanted} live skills have a vector, {len(bad)} of them broken"
        return len(vectors) == wanted and not bad, detail

    def _check_index(self) -> tuple[bool, str]:
        """Compares entries, and asks for skills by their own vectors: a damaged index counts right and finds nothing."""
        index, indexer, signature = self._partition.index, self._partition.indexer, self._signature()
        if index is None or indexer is None:
            return True, "opened without an index; search uses the vectors in SQL"
        if signature is None:
            return True, "nothing to index yet"
        caught_up = indexer.wait(CHECK_SECONDS)
        if not indexer.owned and not index.is_server:
            return True, f"{index.place}: {index.problem}; search uses the vectors in SQL"
        if index.problem is not None or not caught_up:
            return False, f"{index.place}: {index.problem or 'behind'}; run skill-plugin reindex"
        if reason := index.declined.get(signature):
            return True, f"{index.place}: {reason}"
        return _compare(indexer, index.place)

    def _check_items(self) -> tuple[bool, str]:
        wanted = len(self._unembedded_items(signature)) if (signature := self._signature()) is not None else 0
        with self._partition.read() as session:
            count = session.exec(select(func.count()).where(ItemRow.namespace == self._namespace)).one()
        return not wanted, f"{count} items, {wanted or 'none'} of them without the vectors they should have"

    def _check_checkpoint(self) -> tuple[bool, str]:
        with self._partition.read() as session:
            row = checkpoint_rows.live_row(session, self._namespace)
        if row is None:
            return True, "none is live: the base model writes"
        verify_adapter(row.path, row.sha256)
        return True, f"{row.id} is live, and its files are what was registered"

    def _signature(self) -> str | None:
        with self._partition.read() as session:
            row = session.get(NamespaceRow, self._namespace)
            return row.signature if row else None

    def _live_vectors(self) -> list[tuple[str, Vector]]:
        signature = self._signature()
        if signature is None:
            return []
        with self._partition.read() as session:
            statement = select(SkillRow.id, EmbeddingRow.vector).where(*is_live(self._namespace, signature))
            return [(skill_id, from_bytes(blob)) for skill_id, blob in session.exec(statement)]


def _safely(check: Callable[[], tuple[bool, str]]) -> tuple[bool, str]:
    try:
        return check()
    except SkillPluginError as exc:
        return False, str(exc)


def _compare(indexer: Indexer, place: str) -> tuple[bool, str]:
    try:
        agreement = indexer.compare()
        if agreement.wrong:  # somebody may have written in between
            indexer.wait(CHECK_SECONDS)
            agreement = indexer.compare()
    except WorkerError as exc:
        return False, f"{place}: {exc}; run skill-plugin reindex"
    wrong, found, canaries = agreement
    detail = f"{place}: {found} of {canaries} canaries found, {wrong} entries differ from SQL"
    return found == canaries and not wrong, detail
