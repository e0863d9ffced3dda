"""The SQL tables of items: named values of an agent's own, and their vectors."""

from datetime import datetime

from sqlalchemy import JSON, ForeignKeyConstraint, Index, LargeBinary
from sqlmodel import Field

from skill_plugin.store.tables import PREFIX, PrefixedText, Table, UtcDateTime, utc_now


class ItemRow(Table, table=True):
    """A named value of an agent's own, such as a memory. It is gone from `expires_at` on, whether or not it is still here.

    `path` holds its labels, a dot after each (`memories.anna.`). `value` is JSON. `texts` are what it is found by.
    """

    __tablename__ = f"{PREFIX}item"
    __table_args__ = (Index(None, "namespace", "updated_at"), Index(None, "namespace", "expires_at"))

    namespace: str = Field(primary_key=True)
    path: str = Field(primary_key=True, sa_type=PrefixedText)
    key: str = Field(primary_key=True)
    value: str
    texts: list[str] = Field(default_factory=list, sa_type=JSON)
    ttl_minutes: float | None = None
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class ItemVectorRow(Table, table=True):
    """The vector of an item's text with this number, under one embedder."""

    __tablename__ = f"{PREFIX}item_vector"
    __table_args__ = (
        ForeignKeyConstraint(
            ["namespace", "path", "key"], [f"{PREFIX}item.namespace", f"{PREFIX}item.path", f"{PREFIX}item.key"]
        ),
    )

    namespace: str = Field(primary_key=True)
    path: str = Field(primary_key=True, sa_type=PrefixedText)
    key: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    signature: str = Field(primary_key=True)
    vector: bytes = Field(sa_type=LargeBinary)
