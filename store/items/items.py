"""Items: named values of an agent's own beside the skills, such as its memories. Each has labels and a key.

They are found by their labels, and by meaning. Exact search reads the vectors of the labels asked for from SQL each time:
always right, and quick enough for the memories of an agent: 20 ms over 5,000 of them, 330 ms over 50,000.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Insert, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from skill_plugin.errors import ConfigurationError
from skill_plugin.store import namespaces
from skill_plugin.store.items.reading import Labels, Name, Reading, escape, path_of
from skill_plugin.store.items.tables import ItemRow, ItemVectorRow
from skill_plugin.store.partition import Part
from skill_plugin.store.tables import NamespaceRow, utc_now
from skill_plugin.store.vectors import Vector, to_bytes, unit_vector

LONGEST_NAME = 1800
"""Bytes that an item's labels and key may have together; an index of PostgreSQL takes 2,700 with the namespace."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an item: its new value, or its deletion.

    Args:
        labels: Where it is; without dots, and not empty.
        key: Its name there.
        value: JSON; None deletes the item.
        texts: Texts to find it by; one vector each. Blank ones are left out.
        ttl: Minutes after the last write, or refreshing read, until it is gone.
    """

    labels: Labels
    key: str
    value: Mapping[str, Any] | None
    texts: Sequence[str] = ()
    ttl: float | None = None

    @property
    def name(self) -> Name:
        return path_of(self.labels), escape(self.key)


class Items(Part):
    """The items of one namespace."""

    def vector(self, query: str) -> Vector:
        """Embeds a query for `Reading.search`. The model works here, where no connection waits for it."""
        return self._partition.vectors(query)

    @contextmanager
    def reading(self, *, vectors: bool = False) -> Iterator[Reading]:
        """Opens reads that see one state; what they refresh is written when they are done.

        Raises:
            EmbedderMismatchError: `vectors` are to be compared, and those of the namespace are another embedder's.
        """
        with self._partition.read() as session:
            signature = None
            if (
                vectors
                and (row := session.get(NamespaceRow, self._namespace)) is not None
                and row.signature is not None
            ):
                signature = self._partition.vectors.signature
                namespaces.check_signature(self._namespace, row.signature, signature)
            reading = Reading(session, self._namespace, signature)
            yield reading
        if reading.touched:
            self._refresh(reading.touched)

    def write(self, changes: Sequence[Change]) -> None:
        """Makes the changes, of which there is one per item, in one transaction; what has expired is deleted with it.

        Raises:
            ConfigurationError: a value is not a JSON object, a name is too long, or a time to live is not a number of minutes.
            EmbedderMismatchError: there are texts, and the namespace's vectors are another embedder's.
        """
        rows = [_row(self._namespace, change) for change in changes if change.value is not None]
        numbered = [(row, number, text) for row in rows for number, text in enumerate(row["texts"])]
        vectors = self._embed([text for _, _, text in numbered])
        with self._partition.write() as session:
            _sweep(session, self._namespace)
            connection = session.connection()
            names = [
                {"b_namespace": self._namespace, "b_path": path, "b_key": key}
                for path, key in (change.name for change in changes)
            ]
            gone = [name for name, change in zip(names, changes, strict=True) if change.value is None]
            if names:
                connection.execute(_DELETE_VECTORS, names)
            if gone:
                connection.execute(_DELETE_ITEM, gone)
            if rows:
                connection.execute(_upsert(connection.dialect.name), rows)
            if numbered:
                signature = namespaces.claim(session, self._namespace, self._partition.vectors.signature)
                connection.execute(
                    ItemVectorRow.metadata.tables[str(ItemVectorRow.__tablename__)].insert(),
                    [vector_row(row, number, signature, vectors[text]) for row, number, text in numbered],
                )

    def sweep(self) -> int:
        """Deletes what has expired, which no read returns any more; returns how many items."""
        with self._partition.write() as session:
            return _sweep(session, self._namespace)

    def _embed(self, texts: Sequence[str]) -> dict[str, Vector]:
        unique = list(dict.fromkeys(texts))
        if not unique:
            return {}
        signature = self._partition.vectors.signature
        made = self._partition.vectors.embedder.embed(unique)
        return {text: unit_vector(values, signature) for text, values in zip(unique, made, strict=True)}

    def _refresh(self, touched: Mapping[Name, float]) -> None:
        now = utc_now()
        with self._partition.write() as session:
            session.connection().execute(
                _REFRESH,
                [
                    {
                        "b_namespace": self._namespace,
                        "b_path": path,
                        "b_key": key,
                        "b_ttl": ttl,
                        "until": _until(now, ttl),
                    }
                    for (path, key), ttl in touched.items()
                ],
            )


def vector_row(item: Mapping[str, Any], number: int, signature: str, vector: Vector) -> dict[str, Any]:
    """Returns a row of `ItemVectorRow` for an item's text with this number."""
    return {
        **{key: item[key] for key in ("namespace", "path", "key")},
        "number": number,
        "signature": signature,
        "vector": to_bytes(vector),
    }


_THIS_ITEM = (
    col(ItemRow.namespace) == bindparam("b_namespace"),
    col(ItemRow.path) == bindparam("b_path"),
    col(ItemRow.key) == bindparam("b_key"),
)
_DELETE_ITEM = delete(ItemRow).where(*_THIS_ITEM)
_DELETE_VECTORS = delete(ItemVectorRow).where(
    col(ItemVectorRow.namespace) == bindparam("b_namespace"),
    col(ItemVectorRow.path) == bindparam("b_path"),
    col(ItemVectorRow.key) == bindparam("b_key"),
)
# Somebody may have given the item another time to live since it was read.
_REFRESH = (
    update(ItemRow)
    .where(*_THIS_ITEM, col(ItemRow.ttl_minutes) == bindparam("b_ttl"))
    .values(expires_at=bindparam("until"))
)


@lru_cache
def _upsert(dialect: str) -> Insert:
    """Writes an item; one that exists keeps the moment it was made."""
    module = sqlite if dialect == "sqlite" else postgresql
    statement = module.insert(ItemRow.metadata.tables[str(ItemRow.__tablename__)])
    new = {key: statement.excluded[key] for key in ("value", "texts", "ttl_minutes", "expires_at", "updated_at")}
    made: Insert = statement.on_conflict_do_update(index_elements=["namespace", "path", "key"], set_=new)
    return made


def _sweep(session: Session, namespace: str) -> int:
    expired = (col(ItemRow.namespace) == namespace, col(ItemRow.expires_at) <= utc_now())
    names = session.connection().execute(select(col(ItemRow.path), col(ItemRow.key)).where(*expired)).all()
    given = [{"b_namespace": namespace, "b_path": path, "b_key": key} for path, key in names]
    if given:
        session.connection().execute(_DELETE_VECTORS, given)
        session.connection().execute(_DELETE_ITEM, given)
    return len(given)


def _row(namespace: str, change: Change) -> dict[str, Any]:
    path, key = change.name
    if (size := len(path.encode()) + len(key.encode())) > LONGEST_NAME:
        raise ConfigurationError(
            f"the labels and the key of {change.key!r:.80} have {size} bytes, the limit is {LONGEST_NAME}; give a shorter key"
        )
    now = utc_now()
    return {
        "namespace": namespace,
        "path": path,
        "key": key,
        "value": _json(change),
        "texts": [text for given in change.texts if (text := _UNSTORABLE.sub("\ufffd", given)).strip()],
        "ttl_minutes": change.ttl,
        "expires_at": None if change.ttl is None else _until(now, change.ttl),
        "created_at": now,
        "updated_at": now,
    }


def _json(change: Change) -> str:
    value = change.value
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"the value of {change.key!r:.80} is {value!r:.80}; give a dictionary")
    try:
        return json.dumps(dict(value))
    except (TypeError, ValueError, RecursionError) as exc:
        raise ConfigurationError(f"the value of {change.key!r:.80} is not JSON: {exc}; make it of JSON types") from exc


def _until(now: datetime, ttl: float) -> datetime:
    try:
        return now + timedelta(minutes=ttl)
    except (TypeError, ValueError, OverflowError) as exc:
        raise ConfigurationError(f"the time to live is {ttl!r:.80}; give a number of minutes") from exc
