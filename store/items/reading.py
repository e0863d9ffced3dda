"""Reading items: by name, by the beginning of their labels, and by meaning. Within the caller's session."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, or_, select, tuple_
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col

from skill_plugin.store.items.tables import ItemRow, ItemVectorRow
from skill_plugin.store.tables import utc_now
from skill_plugin.store.vectors import Vector, sound

Labels = tuple[str, ...]
Name = tuple[str, str]
"""Path and key as they are in SQL."""

Keep = Callable[[dict[str, Any]], bool]

_AT_ONCE = 1000

# No database keeps NUL and halves of surrogate pairs in a text; written out, no two names become one.
_ESCAPED = re.compile(r"[\\\x00\ud800-\udfff]")
HELD = "held by the scanner"
"""The label under which held items lie, before their own: nothing finds them that does not name it."""

_ESCAPE = re.compile(r"\\(\\|u[0-9a-f]{4})")


@dataclass(frozen=True, slots=True)
class Item:
    """One item as it was found; `score` is its cosine to the query, None where it has no vector or there was no query."""

    labels: Labels
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    score: float | None = None


class _ItemMatch(NamedTuple):
    path: str
    key: str
    value: str
    created_at: datetime
    updated_at: datetime
    ttl_minutes: float | None


_COLUMNS = (
    col(ItemRow.path),
    col(ItemRow.key),
    col(ItemRow.value),
    col(ItemRow.created_at),
    col(ItemRow.updated_at),
    col(ItemRow.ttl_minutes),
)
_NEWEST_FIRST = (col(ItemRow.updated_at).desc(), col(ItemRow.path), col(ItemRow.key))


@dataclass
class Reading:
    """Reads that see one state of the namespace."""

    session: Session
    namespace: str
    signature: str | None
    """Whose vectors are compared; None for none."""
    now: datetime = field(default_factory=utc_now)
    touched: dict[Name, float] = field(default_factory=dict)

    def get(self, labels: Labels, key: str, *, refresh: bool = True) -> Item | None:
        """Returns the item, if there is one that has not expired; `refresh` begins its time to live anew."""
        name = path_of(labels), escape(key)
        this = select(*_COLUMNS).where(*self._there(), col(ItemRow.path) == name[0], col(ItemRow.key) == name[1])
        row = self.session.connection().execute(this).first()
        return None if row is None else self._item(_ItemMatch(*row), refresh=refresh)

    def search(
        self,
        prefix: Labels,
        *,
        vector: Vector | None = None,
        keep: Keep | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh: bool = True,
    ) -> list[Item]:
        """Returns the items whose labels begin with `prefix` and whose values `keep` takes.

        Nearest to the `vector` first, by the nearest of an item's texts, then those without a vector; without one, those
        that were written last first.
        """
        there = (*self._there(), *_under(col(ItemRow.path), prefix))
        scores: dict[Name, float] = {}
        if vector is None or self.signature is None:
            chosen = list(islice(self._names(there, keep, offset + limit), offset, offset + limit))
        else:
            allowed = None if keep is None else dict.fromkeys(self._names(there, keep))
            scores = self._scores(prefix, vector, allowed)
            ranked = sorted(scores, key=lambda name: (-scores[name], name))
            if len(ranked) < offset + limit:
                rest = self._names(there, None) if allowed is None else allowed
                ranked += [name for name in rest if name not in scores]
            chosen = ranked[offset : offset + limit]
        found = {(row.path, row.key): row for row in self._named(chosen)}
        return [self._item(found[name], refresh=refresh, score=scores.get(name)) for name in chosen]

    def labels(self) -> list[Labels]:
        """Returns the labels under which there are items, in order."""
        paths = self.session.connection().execute(select(col(ItemRow.path)).where(*self._there()).distinct()).scalars()
        return sorted(labels_of(path) for path in paths)

    def _there(self) -> tuple[ColumnElement[bool], ...]:
        expires = col(ItemRow.expires_at)
        return col(ItemRow.namespace) == self.namespace, or_(expires.is_(None), expires > self.now)

    def _names(
        self, there: Sequence[ColumnElement[bool]], keep: Keep | None, most: int | None = None
    ) -> Iterator[Name]:
        """Yields the names of the items that `keep` takes, those written last first; `most` are wanted."""
        columns = (col(ItemRow.path), col(ItemRow.key), *(() if keep is None else (col(ItemRow.value),)))
        statement = select(*columns).where(*there).order_by(*_NEWEST_FIRST)
        if keep is None and most is not None:
            statement = statement.limit(most)
        statement = statement.execution_options(yield_per=_AT_ONCE)
        with self.session.connection().execute(statement) as rows:  # closed at once, as who reads may stop half way
            for path, key, *value in rows:
                if keep is None or keep(json.loads(value[0])):
                    yield path, key

    def _scores(self, prefix: Labels, vector: Vector, allowed: Mapping[Name, None] | None) -> dict[Name, float]:
        """Returns the cosine of the nearest text of each item that has vectors."""
        statement = select(col(ItemVectorRow.path), col(ItemVectorRow.key), col(ItemVectorRow.vector)).where(
            col(ItemVectorRow.namespace) == self.namespace,
            col(ItemVectorRow.signature) == self.signature,
            *_under(col(ItemVectorRow.path), prefix),
        )
        # No join, because there is seldom anything that has expired and is still here.
        expired = self._expired() if allowed is None else set()
        scores: dict[Name, float] = {}
        rows = self.session.connection().execute(statement.execution_options(yield_per=_AT_ONCE))
        for part in rows.partitions():
            good = sound(part, 2, len(vector))
            matrix = np.frombuffer(b"".join(row[2] for row in good), dtype="<f4").reshape(len(good), len(vector))
            # Not `matrix @ vector`, as in ExactSearch.
            for (path, key, _), score in zip(good, np.einsum("ij,j->i", matrix, vector).tolist(), strict=True):
                name = (path, key)
                if (name not in expired if allowed is None else name in allowed) and score > scores.get(name, -np.inf):
                    scores[name] = score
        return scores

    def _expired(self) -> set[Name]:
        past = col(ItemRow.namespace) == self.namespace, col(ItemRow.expires_at) <= self.now
        names = self.session.connection().execute(select(col(ItemRow.path), col(ItemRow.key)).where(*past))
        return {(path, key) for path, key in names}

    def _named(self, names: Sequence[Name]) -> Iterator[_ItemMatch]:
        for start in range(0, len(names), _AT_ONCE):
            among = tuple_(col(ItemRow.path), col(ItemRow.key)).in_(names[start : start + _AT_ONCE])
            statement = select(*_COLUMNS).where(col(ItemRow.namespace) == self.namespace, among)
            yield from (_ItemMatch(*row) for row in self.session.connection().execute(statement))

    def _item(self, row: _ItemMatch, *, refresh: bool, score: float | None = None) -> Item:
        if refresh and row.ttl_minutes is not None:
            self.touched[row.path, row.key] = row.ttl_minutes
        return Item(
            labels=labels_of(row.path),
            key=unescape(row.key),
            value=json.loads(row.value),
            created_at=row.created_at,
            updated_at=row.updated_at,
            score=score,
        )


def path_of(labels: Labels) -> str:
    return "".join(f"{escape(label)}." for label in labels)


def labels_of(path: str) -> Labels:
    return tuple(unescape(label) for label in path[:-1].split("."))


def _under(column: Mapped[str], prefix: Labels) -> tuple[ColumnElement[bool], ...]:
    """Returns conditions for labels that begin with `prefix`, or for all that are not held; without LIKE, which ignores case in SQLite."""
    path = path_of(prefix or (HELD,))
    first, after = path, f"{path[:-1]}/"  # the character after the dot
    return (column >= first, column < after) if prefix else (or_(column < first, column >= after),)


def escape(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\\\\" if found[0] == "\\" else f"\\u{ord(found[0]):04x}", text)


def unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: "\\" if found[1] == "\\" else chr(int(found[1][1:], 16)), text)
