"""Upkeep: is a namespace sound, and embedding it anew."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sqlalchemy import String, and_, cast, func, text
from sqlalchemy import select as sa_select
from sqlmodel import Session, col, select

from skill_plugin.errors import InvalidSkillError, SkillPluginError
from skill_plugin.models.adapter_files import verify_adapter
from skill_plugin.records import sha256
from skill_plugin.skills.skill_md import check_name, parse
from skill_plugin.store import namespaces
from skill_plugin.store.checkpoints import checkpoint_rows
from skill_plugin.store.crashpoints import crashpoint
from skill_plugin.store.index.indexer import Indexer
from skill_plugin.store.index.outbox import mark_changed
from skill_plugin.store.index.worker import WorkerError
from skill_plugin.store.items.items import vector_row
from skill_plugin.store.items.tables import ItemRow, ItemVectorRow
from skill_plugin.store.partition import Part
from skill_plugin.store.search import experience_rows
from skill_plugin.store.search.languages import language_group
from skill_plugin.store.skills.tree_rows import broken_files, missing_in_texts
from skill_plugin.store.skills.vetting import rescan_skills
from skill_plugin.store.sql.database import insert_if_absent, schema_revision
from skill_plugin.store.tables import PREFIX, EmbeddingRow, NamespaceRow, SkillRow, SkillVersionRow, TaskEmbeddingRow
from skill_plugin.store.vectors import is_live, is_unit, to_bytes, unit_vector
from skill_plugin.store.ways_back import ways_back

CHECK_SECONDS, REBUILD_SECONDS, SCAN_SECONDS = 60.0, 120.0, 10.0
NEARLY_ALL = 0.9
"""Share of the canaries from which an index is approximate, as HNSW is, and not damaged: a damaged one finds none or few."""

_BATCH = 64
_NAMED = 5
"""Broken rows that a check names."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


class Upkeep(Part):
    """Looks after one namespace."""

    def check(self, *, fix: bool = False) -> list[Check]:
        """Runs every check. None raises; without `fix` none changes anything but a lagging index."""
        checks: dict[str, Callable[[], tuple[bool, str]]] = {
            "database": self._check_database,
            "skills": self._check_skills,
            "files": self._check_files,
            "scanner": partial(self._check_texts, fix=fix),
            "embedder": self._check_embedder,
            "vectors": self._check_vectors,
            "index": self._check_index,
            "items": self._check_items,
            "checkpoint": self._check_checkpoint,
        }
        if fix:
            checks = {"repair": self._repair, **checks}
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

    def _repair(self) -> tuple[bool, str]:
        """Makes vectors that are missing or broken anew, and then the index if it differs."""
        done = self._repair_vectors()
        self._partition.notify()
        indexer = self._partition.indexer
        if indexer is not None and not _safely(self._check_index)[0]:
            done["index rebuilt" if indexer.rebuild(REBUILD_SECONDS) else "index not rebuilt"] = 1
        return True, "; ".join(f"{what}: {count}" for what, count in done.items()) or "nothing to repair"

    def _repair_vectors(self) -> dict[str, int]:
        signature, namespace = self._partition.vectors.signature, self._namespace
        with self._partition.read() as session:
            space = session.get(NamespaceRow, namespace)
        if space is None or space.signature is None:
            return {}
        namespaces.check_signature(namespace, space.signature, signature)
        dimension = self._dimension(signature)
        broken: dict[str, int] = {}
        with self._partition.write() as session:
            for table in (EmbeddingRow, TaskEmbeddingRow, ItemVectorRow):
                columns = table.metadata.tables[str(table.__tablename__)]
                of_ours = (columns.c.namespace == namespace) & (columns.c.signature == signature)
                # An item is embedded as a whole, so all its vectors go with a broken one.
                keys = [key for key in columns.primary_key.columns if key.name != "number" or table is EmbeddingRow]
                rows = session.connection().execute(sa_select(*keys, columns.c.vector).where(of_ours)).all()
                bad = {tuple(row[:-1]) for row in rows if not is_unit(row[-1], dimension)}
                for values in bad:
                    this = and_(*(key == value for key, value in zip(keys, values, strict=True)))
                    session.connection().execute(columns.delete().where(this))
                broken[str(table.__tablename__).removeprefix(PREFIX)] = len(bad)
        made = self.reembed()
        with self._partition.write() as session:
            ids = session.exec(select(SkillRow.id).where(SkillRow.namespace == namespace)).all()
            mark_changed(session, namespace, ids)
            experience_rows.mark_all_changed(session, namespace)
        made_anew = {"vectors made": made} if made else {}
        return {f"broken {name} vectors": count for name, count in broken.items() if count} | made_anew

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
        if verdict != "ok":
            detail += f"; {ways_back(Path(self._partition.database.path))}"
        if (why := self._partition.database.read_only) is not None:
            detail += f", for reading only ({why})"
        return verdict == "ok", detail

    def _check_skills(self) -> tuple[bool, str]:
        with self._partition.read() as session:
            statement = select(SkillRow.status, func.count()).where(SkillRow.namespace == self._namespace)
            counts = dict(session.exec(statement.group_by(SkillRow.status)).all())
            broken = _broken_skills(session, self._namespace)
        detail = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none yet"
        if broken:
            named = _some([f"{name} ({why})" for name, why in broken.items()])
            detail += f"; broken: {named}; take them out of search (skill-plugin skills quarantine NAME), or bring the "
            detail += "last export back into a new home"
        return not broken, detail

    def _check_files(self) -> tuple[bool, str]:
        """Looks whether files are what was written, and names live texts that point to files that are not there."""
        with self._partition.read() as session:
            count, broken = broken_files(session, self._namespace)
            pointing = missing_in_texts(session, self._namespace)
        detail = f"{count} files"
        if broken:
            detail += f"; changed since they were written: {_some(broken)}; import those skills again (skill-plugin skills import)"
        if pointing:
            detail += f"; texts that point to files that do not exist: {_some(pointing)}; import their folders again"
        return not broken, detail

    def _check_texts(self, *, fix: bool) -> tuple[bool, str]:
        """Scans the live texts again, as many as there is time for."""
        read, of, suspects = rescan_skills(self, dry_run=not fix, seconds=SCAN_SECONDS)
        detail = f"{read} of {of} texts scanned again"
        if read < of:
            detail += f" in {SCAN_SECONDS:g} s (all: skill-plugin skills rescan)"
        if suspects:
            named = _some([f"{one.ref}: {one.found}" for one in suspects])
            detail += (
                f"; found something in {named}; take their trust tier (skill-plugin doctor --fix), look at each, then: "
            )
            detail += "skills quarantine NAME, or skills promote NAME@N --reason WHY if it is sound"
        return not suspects, detail

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
        with self._partition.read() as session:  # one state: a skill that is written meanwhile has both or neither
            live = select(SkillRow.id, SkillRow.name).where(
                SkillRow.namespace == self._namespace, SkillRow.status == "live"
            )
            names: dict[str, str] = dict(session.exec(live).all())
            space = session.get(NamespaceRow, self._namespace)
            statement = select(SkillRow.id, EmbeddingRow.vector).where(
                *is_live(self._namespace, (space and space.signature) or "")
            )
            vectors = dict(session.exec(statement).all())
        dimension = self._dimension(space.signature if space else None)
        bad = [names[one] for one, blob in vectors.items() if not is_unit(blob, dimension)]
        detail = f"{len(vectors)} of {len(names)} live skills have a vector, {len(bad)} of them broken"
        bad += [name for one, name in names.items() if one not in vectors]
        if bad:
            detail += f": {', '.join(sorted(bad)[:_NAMED])}; run: skill-plugin doctor --fix"
        return not bad, detail

    def _check_index(self) -> tuple[bool, str]:
        """Compares entries, and asks for skills by their own vectors: a damaged index counts right and finds nothing."""
        index, indexer, signature = self._partition.index, self._partition.indexer, self._signature()
        if index is None or indexer is None:
            return True, "opened without an index; search uses the vectors in SQL"
        if signature is None:
            return True, "nothing to index yet"
        caught_up = indexer.wait(CHECK_SECONDS)
        if not indexer.owned and not index.is_server:
            return True, f"{index.shown}: {index.problem}; search uses the vectors in SQL"
        if index.problem is not None or not caught_up:
            return False, f"{index.shown}: {index.problem or 'behind'}; run skill-plugin reindex"
        if reason := index.declined.get(signature):
            return True, f"{index.shown}: {reason}"
        return _compare(indexer, index.shown)

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

    def _dimension(self, signature: str | None) -> int | None:
        """Returns the dimension of the namespace's vectors, as the open embedder says it."""
        own = self._partition.vectors
        return len(own("a canary")) if signature == own.signature else None


def _some(named: Sequence[str]) -> str:
    return ", ".join(named[:_NAMED]) + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")


def _broken_skills(session: Session, namespace: str) -> dict[str, str]:
    """Returns the skills whose name breaks the rules, or of whose texts one was changed since it was written, with the reason."""
    broken = {}
    for name in session.exec(select(SkillRow.name).where(SkillRow.namespace == namespace)).all():
        try:
            check_name(name)
        except InvalidSkillError:
            broken[repr(name[:40])] = "its name breaks the rules"
    statement = (
        select(SkillRow.name, SkillVersionRow.number, SkillVersionRow.text, SkillVersionRow.sha256)
        .where(SkillRow.namespace == namespace, col(SkillVersionRow.skill_id) == col(SkillRow.id))
        .execution_options(yield_per=1000)
    )
    for name, number, skill, digest in session.exec(statement):
        if sha256(skill) != digest:
            broken[f"{name[:40]}@{number}"] = "its text is not what was written"
    return broken


def _safely(check: Callable[[], tuple[bool, str]]) -> tuple[bool, str]:
    try:
        return check()
    except SkillPluginError as exc:
        return False, str(exc)
    except Exception as exc:  # noqa: BLE001 - whatever a broken row does, the other checks are wanted all the more
        return False, " ".join(f"cannot be checked: {type(exc).__name__}: {exc}".split())[:500]


def _compare(indexer: Indexer, place: str) -> tuple[bool, str]:
    try:
        agreement = indexer.compare()
        if agreement.wrong or agreement.found < agreement.canaries:  # somebody may have written in between
            indexer.wait(CHECK_SECONDS)
            agreement = indexer.compare()
    except WorkerError as exc:
        return False, f"{place}: {exc}; run skill-plugin reindex"
    wrong, found, canaries, alike = agreement
    detail = f"{place}: {found} of {canaries} canaries found, {wrong} entries differ from SQL"
    if not wrong and found < canaries and (canaries * NEARLY_ALL <= found or found + alike == canaries):
        indexer.judge(CHECK_SECONDS)
        return True, f"{detail}: some texts are much alike, and the indexer decides again whether it serves them"
    return found == canaries and not wrong, detail
