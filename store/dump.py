"""A whole store as one file, and back: for moving to another database, and for a copy that outlives any release.

Gzip JSON lines: a header, then a line a row, tables in the order of their keys. Loading it twice is loading it once. Rows
that count up get new numbers in the new database; the index is filled from the vectors, so no model is needed.
"""

import base64
import gzip
import json
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table as SQLTable
from sqlalchemy import select
from sqlalchemy.types import TypeEngine
from sqlmodel import Session

from skill_plugin.errors import DuplicateSkillError, StoreError
from skill_plugin.store import namespaces, outbox
from skill_plugin.store.crashpoints import crashpoint
from skill_plugin.store.database import HEAD, Database, insert_if_absent
from skill_plugin.store.tables import (
    CheckpointRow,
    EmbeddingRow,
    EventRow,
    NamespaceRow,
    OutcomeRow,
    RevisionRow,
    RolloutRow,
    SkillRow,
    SkillVersionRow,
    Table,
    TaskEmbeddingRow,
    TaskRow,
    TrainingRunRow,
)

FORMAT = "skill-plugin dump"

TABLES: tuple[type[Table], ...] = (
    NamespaceRow,
    TaskRow,
    SkillRow,
    SkillVersionRow,
    EmbeddingRow,
    RevisionRow,
    RolloutRow,
    OutcomeRow,
    EventRow,
    CheckpointRow,
    TrainingRunRow,
    TaskEmbeddingRow,
)
_BY_NAME = {str(table.__tablename__): table for table in TABLES}

_COUNTERS = (RolloutRow, OutcomeRow, EventRow)
_CHUNK = 1000


def dump(database: Database, path: str | Path, *, namespace: str | None = None) -> dict[str, int]:
    """Writes one namespace, or all of them, to a file; rows by table.

    Raises:
        StoreError: the file cannot be written, or is there already.
    """
    counts: dict[str, int] = {}
    place = Path(path)
    unfinished = place.with_name(f"{place.name}.unfinished")
    if place.exists():
        raise StoreError(f"{str(place)!r} is there already; choose another name, or remove it")
    try:
        with gzip.open(unfinished, "wt", encoding="utf-8") as file, database.read() as session:
            file.write(f"{json.dumps({'format': FORMAT, 'schema': HEAD, 'namespace': namespace})}\n")
            for table in TABLES:
                for row in _rows(session, table, namespace):
                    file.write(f"{json.dumps([table.__tablename__, row], ensure_ascii=False, default=_plain)}\n")
                    counts[str(table.__tablename__)] = counts.get(str(table.__tablename__), 0) + 1
        crashpoint("export.before-rename")
        unfinished.replace(place)
    except OSError as exc:
        raise StoreError(f"{str(place)!r} cannot be written: {exc.strerror}; choose another place") from exc
    return counts


def load(database: Database, path: str | Path) -> dict[str, int]:
    """Takes in what `dump` wrote, in one transaction; new rows by table.

    Raises:
        StoreError: the file cannot be read, is no dump, or is of another schema; then nothing is taken in.
        EmbedderMismatchError: a namespace is there already with the vectors of another embedder; nothing is taken in.
        DuplicateSkillError: a name is taken by another skill; nothing is taken in.
    """
    counts: dict[str, int] = {}
    with database.write() as session:
        skills: dict[str, list[str]] = {}
        for name, row in _lines(path):
            table = _BY_NAME.get(name)
            if table is None:
                raise StoreError(f"{str(path)!r} holds the unknown table {name!r}; it was written by another release")
            if table is EventRow and row["skill_id"] not in skills.get(row["namespace"], ()):
                continue  # the skill was here before, and so was its life
            if insert_if_absent(session, table, _typed(table, row)):
                counts[name] = counts.get(name, 0) + 1
                if table is SkillRow:
                    skills.setdefault(row["namespace"], []).append(row["id"])
            elif table is NamespaceRow and row["signature"] is not None:
                namespaces.claim(session, row["name"], row["signature"])
            elif table is SkillRow and session.get(SkillRow, row["id"]) is None:
                raise DuplicateSkillError(
                    f"another skill named {row['name']!r} is there already in namespace {row['namespace']!r}; nothing was "
                    "taken in; load it into a database of its own"
                )
        crashpoint("load.middle")
        for namespace, ids in skills.items():
            outbox.mark_changed(session, namespace, ids)
    return counts


def copy(source: Database, target: Database) -> dict[str, int]:
    """Copies every namespace into another database; new rows by table."""
    with tempfile.TemporaryDirectory(prefix="skill-plugin-") as folder:
        file = Path(folder, "store.jsonl.gz")
        dump(source, file)
        return load(target, file)


def _rows(session: Session, table: type[Table], namespace: str | None) -> Iterator[dict[str, Any]]:
    columns = _columns(table)
    statement = select(columns).order_by(*columns.primary_key.columns)
    if namespace is not None:
        statement = statement.where(
            columns.c.name == namespace if table is NamespaceRow else columns.c.namespace == namespace
        )
    for row in session.connection().execute(statement.execution_options(yield_per=_CHUNK)):
        values = row._asdict()
        if table in _COUNTERS:
            del values["id"]
        yield values


def _lines(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with gzip.open(Path(path), "rt", encoding="utf-8") as file:
            header = json.loads(file.readline() or "null")
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise StoreError(f"{str(path)!r} is no dump of a store; make one with: skill-plugin export")
            if header["schema"] != HEAD:
                raise StoreError(
                    f"{str(path)!r} has schema {header['schema']!r}, this release has {HEAD!r}; export it with this release"
                )
            for line in file:
                name, row = json.loads(line)
                yield name, row
    except (OSError, EOFError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise StoreError(f"{str(path)!r} cannot be read: {reason}; nothing was taken in") from exc


def _typed(table: type[Table], row: dict[str, Any]) -> dict[str, Any]:
    """A row of JSON values as its columns want it."""
    columns = _columns(table).c
    typed: dict[str, Any] = {}
    for key, value in row.items():
        kind = _python_type(columns[key].type) if value is not None else None
        if kind is datetime:
            typed[key] = datetime.fromisoformat(value)
        elif kind is bytes:
            typed[key] = base64.b64decode(value)
        else:
            typed[key] = value
    return typed


def _python_type(kind: TypeEngine[Any]) -> type[Any]:
    """What a column's values are; a type that decorates another (SQLModel's for times) says only `object` itself."""
    plain: TypeEngine[Any] = getattr(kind, "impl_instance", kind)
    return plain.python_type


def _columns(table: type[Table]) -> SQLTable:
    return table.metadata.tables[str(table.__tablename__)]


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else base64.b64encode(value).decode()
