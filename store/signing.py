"""The key by which a database knows what it wrote itself: made at first use, kept in the database, in no dump."""

import secrets

from sqlalchemy import LargeBinary
from sqlmodel import Field, Session

from skill_plugin.errors import StoreUnavailableError
from skill_plugin.store.sql.database import Database, insert_if_absent
from skill_plugin.store.tables import PREFIX, Table

_WHOLE_DATABASE = ""
_NAME = "signing"
_BYTES = 32


class KeyRow(Table, table=True):
    """A key that nobody else may know, by its name; in no dump. Without a namespace it is the whole database's."""

    __tablename__ = f"{PREFIX}key"

    namespace: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    value: bytes = Field(sa_type=LargeBinary)


def signing_key(database: Database) -> bytes | None:
    """Returns the key; None if none exists yet and the database cannot be written."""
    with database.read() as session:
        known = _known(session)
    if known is not None:
        return known
    try:
        _keep(database, secrets.token_bytes(_BYTES))
    except StoreUnavailableError:
        return None
    with database.read() as session:
        return _known(session)


def copy_key(source: Database, target: Database) -> None:
    """Gives a database that another was copied into the other's key, unless it has one."""
    with source.read() as session:
        known = _known(session)
    if known is not None:
        _keep(target, known)


def _known(session: Session) -> bytes | None:
    row = session.get(KeyRow, (_WHOLE_DATABASE, _NAME))
    return None if row is None else row.value


def _keep(database: Database, key: bytes) -> None:
    with database.write() as session:
        insert_if_absent(session, KeyRow, {"namespace": _WHOLE_DATABASE, "name": _NAME, "value": key})
