"""Runs queries and compares their rows. Its text is run in a sandbox (`sql.py` starts it), so it imports the standard library alone."""

import sqlite3
import time
from collections import Counter
from contextlib import closing
from typing import Any

_MAX_ROWS = 10_000
_MAX_BYTES = 20_000_000
_MAX_VALUE = 10_000_000
_MAX_PATTERN = 1_000
_SHOWN = 200
_READS = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE))
_STEPS_BETWEEN_LOOKS = 1_000

Row = tuple[Any, ...]

_expected: list[Row] = []


def expect(uri: str, query: str, seconds: float) -> str:
    """Runs the reference and keeps its rows. Returns why it fails, or nothing."""
    try:
        _expected[:] = _rows(uri, query, seconds)
    except (sqlite3.Error, ValueError, MemoryError) as exc:
        return _said(exc)
    return ""


def compare(uri: str, query: str, seconds: float, ordered: bool, partial: bool) -> dict[str, Any]:
    """Runs the answer and compares its rows with the reference's. Returns the reward, and what to say of it."""
    try:
        found = _rows(uri, query, seconds)
    except (sqlite3.Error, ValueError, MemoryError) as exc:
        return {"failed": _said(exc)}
    ours, theirs = Counter(_expected), Counter(found)
    if found == _expected or (not ordered and ours == theirs):
        return {"reward": 1.0, "says": []}
    missing, extra = ours - theirs, theirs - ours
    reward = (theirs & ours).total() / (theirs | ours).total() if partial and not ordered else 0.0
    says = [f"the query returned {len(found)} rows, {len(_expected)} were expected"]
    if not missing and not extra:
        says.append("the rows are right but their order is not")
    return {"reward": reward, "says": says, "wrong": _first(extra), "missing": _first(missing)}


def _rows(uri: str, query: str, seconds: float) -> list[Row]:
    rows: list[Row] = []
    size = 0
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _MAX_PATTERN)
        connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY)
        deadline = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
        for row in connection.execute(query):
            size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
            if len(rows) == _MAX_ROWS:
                raise ValueError(f"more than {_MAX_ROWS} rows")
            if size > _MAX_BYTES:
                raise ValueError(f"rows of more than {_MAX_BYTES // 1_000_000} MB")
            rows.append(tuple(float(f"{value:.9g}") if isinstance(value, int | float) else value for value in row))
    return rows


def _first(rows: "Counter[Row]") -> str:
    for row in rows:
        values = ", ".join(
            _cut(repr(value[:_SHOWN] if isinstance(value, str | bytes) else value)) for value in row[:20]
        )
        return _cut(f"({values},)" if len(row) == 1 else f"({values})")
    return ""


def _said(exc: BaseException) -> str:
    return _cut(" ".join(str(exc).split()) or type(exc).__name__)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
