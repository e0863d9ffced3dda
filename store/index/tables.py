"""The table of the outbox."""

from sqlalchemy import Index
from sqlmodel import Field

from skill_plugin.store.tables import PREFIX, Counter, Table


class IndexChangeRow(Table, table=True):
    """The outbox: skills whose entry in the vector index may be out of date, in order."""

    __tablename__ = f"{PREFIX}index_change"
    # A number that came back after its row was deleted would let one process forget another's change.
    __table_args__ = (Index(None, "namespace", "seq"), {"sqlite_autoincrement": True})

    seq: int | None = Field(default=None, primary_key=True, sa_type=Counter)
    namespace: str
    skill_id: str
