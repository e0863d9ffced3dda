"""A whole store as one file, and back: for moving to another database, and for a copy that outlives any release.

Gzip JSON lines: a header, then a line a row, tables in the order of their keys. Loading it twice is loading it once. Rows
that count up get new numbers in the new database; the index is filled from the vectors, so no model is needed.
"""

import base64
import gzip
import json
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table as SQLTable
from sqlalchemy import select
from sqlalchemy.exc import StatementError
from sqlmodel import Session

from skill_plugin.checkpoints import LIVE
from skill_plugin.disk import whole_file
from skill_plugin.errors import DuplicateSkillError, StoreError, StoreUnavailableError
from skill_plugin.scanning.scanners import Screen
from skill_plugin.skills.tiers import LOWEST
from skill_plugin.store import namespaces
from skill_plugin.store.checkpoints.checkpoint_rows import live_row
from skill_plugin.store.crashpoints import crashpoint
from skill_plugin.store.dumps.rows import RowCheck
from skill_plugin.store.index import outbox
from skill_plugin.store.items.tables import ItemRow, ItemVectorRow
from skill_plugin.store.runs.calls import CallRow
from skill_plugin.store.search import experience_rows
from skill_plugin.store.search.experience_rows import ExperienceRow
from skill_plugin.store.signing import copy_key
from skill_plugin.store.skills.screening import hold_loaded, note_loaded
from skill_plugin.store.skills.tables import BlobRow, VersionFileRow
from skill_plugin.store.skills.tree_rows import is_whole
from skill_plugin.store.sql.database import HEAD, Database, insert_if_absent
from skill_plugin.store.tables import (
    CheckpointEventRow,
    CheckpointRow,
    EmbeddingRow,
    EventRow,
    EvolveRunRow,
    NamespaceRow,
    OutcomeRow,
    RevisionRow,
    RevisionTaskRow,
    RolloutRow,
    SharedUseRow,
    SkillRow,
    SkillVersionRow,
    Table,
    TaskEmbeddingRow,
    TaskRow,
    TrainingRunRow,
    new_index_key,
)

FORMAT = "skill-plugin dump"

TABLES: tuple[type[Table], ...] = (
    NamespaceRow,
    TaskRow,
    SkillRow,
    SkillVersionRow,
    BlobRow,
    VersionFileRow,
    EmbeddingRow,
    RevisionRow,
    RevisionTaskRow,
    RolloutRow,
    SharedUseRow,
    CallRow,
    OutcomeRow,
    EventRow,
    CheckpointRow,
    CheckpointEventRow,
    TrainingRunRow,
    EvolveRunRow,
    TaskEmbeddingRow,
    ExperienceRow,
    ItemRow,
    ItemVectorRow,
)
_BY_NAME = {str(table.__tablename__): table for table in TABLES}

_OWN: dict[type[Table], str] = {
    RolloutRow: "id",
    OutcomeRow: "id",
    EventRow: "id",
    CheckpointEventRow: "id",
    NamespaceRow: "index_key",
}
"""The columns that each database fills by itself: numbers that count up, and the key of its index."""

_CHUNK = 1000

MAX_LINE = 128 * 2**20
"""Bytes that one row may have."""

_DAMAGED = (OSError, EOFError, AttributeError, LookupError, TypeError, ValueError, OverflowError, zlib.error)
"""The errors that a damaged file raises on its way from bytes to rows."""


def dump(database: Database, path: str | Path, *, namespace: str | None = None) -> dict[str, int]:
    """Writes one namespace, or all of them, to a file; returns the number of rows by table.

    Raises:
        StoreError: the file cannot be written, or exists.
    """
    counts: dict[str, int] = {}
    place = Path(path)
    if place.exists():
        raise StoreError(f"{str(place)!r} exists; choose another name, or remove it")
    try:
        with whole_file(place, parents=False) as unfinished:
            unfinished.touch(mode=0o600)
            with gzip.open(unfinished, "wt", encoding="utf-8") as file, database.read() as session:
                file.write(f"{json.dumps({'format': FORMAT, 'schema': HEAD, 'namespace': namespace})}\n")
                for table in TABLES:
                    for row in _rows(session, table, namespace):
                        file.write(f"{json.dumps([table.__tablename__, row], ensure_ascii=False, default=_plain)}\n")
                        counts[str(table.__tablename__)] = counts.get(str(table.__tablename__), 0) + 1
            crashpoint("export.before-rename")
    except OSError as exc:
        raise StoreError(f"{str(place)!r} cannot be written: {exc.strerror}; choose another place") from exc
    return counts


def load(
    database: Database,
    path: str | Path,
    *,
    namespace: str | None = None,
    screen: Screen | None = None,
    keep_tiers: bool = False,
) -> dict[str, int]:
    """Takes in what `dump` wrote, in one transaction; returns the number of new rows by table.

    A row that exists stays as it is. A skill with a text that `screen` (by default all scanners) would not let in is quarantined. The
    file is not trusted: each row must be one that a store would have written.

    Args:
        database: Takes the rows in.
        path: The file.
        namespace: The only namespace that its rows may name; None for any.
        screen: The scanners.
        keep_tiers: Believe what the file says of trust tiers and of functions that may run: it is a copy of one's own. By default every version in it starts at the
            lowest.

    Raises:
        StoreError: the file cannot be read, is not a dump, is of another schema, holds a row that no store writes or that is
            of another namespace, or a skill whose name another skill has here; then nothing is taken in.
        EmbedderMismatchError: a namespace exists with the vectors of another embedder; nothing is taken in.
    """
    counts: dict[str, int] = {}
    try:
        with database.write(bulk=True) as session:
            new = _New(RowCheck(session, namespace), keep_tiers)
            for name, row in _lines(path):
                if _take(session, name, row, new):
                    counts[name] = counts.get(name, 0) + 1
            new.check_live(session)
            new.check_files(session)
            crashpoint("load.middle")
            if not keep_tiers:
                note_loaded(session, new.versions, str(path))
            hold_loaded(session, screen or Screen(), new.versions)
            for taken, ids in new.skills.items():
                outbox.mark_changed(session, taken, ids)
            for taken in sorted(new.experience):
                experience_rows.mark_all_changed(session, taken)
    except StoreError as exc:
        if isinstance(exc, StoreUnavailableError):
            raise
        raise type(exc)(f"{str(path)!r}: {exc}; nothing was taken in") from exc
    except RecursionError as exc:
        raise StoreError(f"{str(path)!r} cannot be read: its JSON is nested too deeply; nothing was taken in") from exc
    except (StatementError, *_DAMAGED) as exc:
        raise StoreError(f"{str(path)!r} cannot be read: {_reason(exc)}; nothing was taken in") from exc
    return counts


def _reason(exc: Exception) -> str:
    if isinstance(exc, IsADirectoryError):
        return "it is a folder, and a store's export is one file; for a folder of skills: skill-plugin skills import"
    return getattr(exc, "strerror", None) or " ".join(str(getattr(exc, "orig", exc)).split())


def copy(source: Database, target: Database) -> dict[str, int]:
    """Copies every namespace into another database; returns the number of new rows by table.

    What the one signed the other knows too, unless it has a key of its own.
    """
    with tempfile.TemporaryDirectory(prefix="skill-plugin-") as folder:
        file = Path(folder, "store.jsonl.gz")
        dump(source, file)
        counts = load(target, file, screen=Screen([]), keep_tiers=True)
    copy_key(source, target)
    return counts


def _rows(session: Session, table: type[Table], namespace: str | None) -> Iterator[dict[str, Any]]:
    columns = _columns(table)
    statement = select(columns).order_by(*columns.primary_key.columns)
    if namespace is not None:
        statement = statement.where(
            columns.c.name == namespace if table is NamespaceRow else columns.c.namespace == namespace
        )
    for row in session.connection().execute(statement.execution_options(yield_per=_CHUNK)):
        values = row._asdict()
        if table in _OWN:
            del values[_OWN[table]]
        yield values


def _lines(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with gzip.open(Path(path), "rb") as file:
        lines = iter(lambda: file.readline(MAX_LINE + 1), b"")
        header = json.loads(_text(next(lines, b"null")))
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise StoreError("it is not a dump of a store; make one with: skill-plugin export")
        if header.get("schema") != HEAD:
            raise StoreError(
                f"it has schema {header.get('schema')!r}, this release has {HEAD!r}; export it with this release"
            )
        for line in lines:
            name, row = json.loads(_text(line))
            yield name, row


def _text(line: bytes) -> str:
    if len(line) > MAX_LINE:
        raise ValueError(f"a line has more than {MAX_LINE >> 20} MiB; a dump of a store has none so long")
    return line.decode("utf-8")


@dataclass
class _New:
    """The check of a load, and the keys whose further rows are wanted: skills by namespace, versions, checkpoints, items, experience."""

    check: RowCheck
    keep_tiers: bool
    versions: dict[str, list[int]] = field(default_factory=dict)
    skills: dict[str, list[str]] = field(default_factory=dict)
    checkpoints: set[tuple[str, str]] = field(default_factory=set)
    items: set[tuple[str, str, str]] = field(default_factory=set)
    experience: set[str] = field(default_factory=set)
    live: dict[str, int] = field(default_factory=dict)
    with_files: set[tuple[str, int]] = field(default_factory=set)

    def has(self, version: tuple[str, int]) -> bool:
        """Returns whether a version is new; one that was here before keeps the files that it has."""
        return version[1] in self.versions.get(version[0], ())

    def check_live(self, session: Session) -> None:
        """Checks that the live version of every new skill came with it."""
        for skill_id, number in self.live.items():
            if session.get(SkillVersionRow, (skill_id, number)) is None:
                raise StoreError(f"version {number} of its skill {skill_id} is live, and is not in it")

    def check_files(self, session: Session) -> None:
        """Checks that the files of every new version came with it, and no others."""
        for skill_id, numbers in self.versions.items():
            for number in numbers:
                version = session.get(SkillVersionRow, (skill_id, number))
                has_files = version is not None and (version.tree_sha256 or (skill_id, number) in self.with_files)
                if version is not None and has_files and not is_whole(session, version):
                    raise StoreError(f"the files of {skill_id}@{number} are not those that its hash is of")


def _take(session: Session, name: str, row: dict[str, Any], new: _New) -> bool:
    """Inserts a row unless it exists; returns whether it did."""
    table = _BY_NAME.get(name)
    if table is None:
        raise StoreError(f"it holds the unknown table {name!r}; it was written by another release")
    typed = new.check.typed(table, row, _OWN.get(table))
    if (
        (table is EventRow and row["skill_id"] not in new.skills.get(row["namespace"], ()))
        or (table is CheckpointEventRow and (row["namespace"], row["checkpoint_id"]) not in new.checkpoints)
        or (table is ItemVectorRow and _item(row) not in new.items)
        or (table is VersionFileRow and not new.has((row["skill_id"], row["number"])))
    ):
        return False  # the skill was here before, and so was its life; the item was, and may say something else
    if table is NamespaceRow:
        typed["index_key"] = new_index_key()
    if table is CheckpointRow and row["status"] == LIVE and live_row(session, row["namespace"]) is not None:
        typed["status"] = "retired"  # what is live here stays live, and there is one at most
    inserted = (
        _take_version(session, typed, new) if table is SkillVersionRow else insert_if_absent(session, table, typed)
    )
    if table is NamespaceRow:
        namespaces.lock(session, row["name"])
        if not inserted and row["signature"] is not None:
            namespaces.claim(session, row["name"], row["signature"])
    if table is SkillRow:
        if inserted:
            new.skills.setdefault(row["namespace"], []).append(row["id"])
            new.live.update({} if row["live_version"] is None else {row["id"]: row["live_version"]})
        elif session.get(SkillRow, row["id"]) is None:
            raise DuplicateSkillError(
                f"its skill {row['name']!r} ({row['id']}) has the name of another skill in namespace "
                f"{row['namespace']!r}; load it into a database of its own"
            )
    new.with_files.update([(row["skill_id"], row["number"])] if table is VersionFileRow else ())
    new.checkpoints.update([(row["namespace"], row["id"])] if table is CheckpointRow and inserted else ())
    new.experience.update([row["namespace"]] if table is ExperienceRow and inserted else ())
    new.items.update([_item(row)] if table is ItemRow and inserted else ())
    return inserted


def _take_version(session: Session, typed: dict[str, Any], new: _New) -> bool:
    """Inserts a version unless it exists, at the lowest trust tier and not allowed to run unless what the file says of that counts."""
    fresh: dict[str, Any] = {"tier": LOWEST, "may_run": False, "checks": {}}
    inserted = insert_if_absent(session, SkillVersionRow, typed if new.keep_tiers else typed | fresh)
    if inserted:
        new.versions.setdefault(typed["skill_id"], []).append(typed["number"])
    return inserted


def _item(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["namespace"], row["path"], row["key"]


def _columns(table: type[Table]) -> SQLTable:
    return table.metadata.tables[str(table.__tablename__)]


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else base64.b64encode(value).decode()
