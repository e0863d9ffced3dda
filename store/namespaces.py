"""Namespaces: a tenant's partition, and the embedder that its vectors were made with. Within the caller's transaction."""

import secrets

from sqlalchemy import delete
from sqlmodel import Session, col, select

from skill_plugin.errors import EmbedderMismatchError, NamespaceError
from skill_plugin.store.sql.database import insert_if_absent
from skill_plugin.store.tables import NamespaceRow, Table, new_index_key, utc_now

MAX_NAMESPACE = 200


def check_namespace(namespace: object) -> str:
    """Returns a namespace that is well-formed.

    Raises:
        NamespaceError: it is missing or malformed.
    """
    if not isinstance(namespace, str) or not namespace.strip():
        raise NamespaceError(f"a namespace must be given, got {namespace!r}; use 'default' if there is only one tenant")
    if len(namespace) > MAX_NAMESPACE or not namespace.isprintable() or namespace != namespace.strip():
        raise NamespaceError(
            f"{namespace[:80]!r} is not a namespace; use at most {MAX_NAMESPACE} printable characters without spaces around"
        )
    return namespace


def ensure(session: Session, namespace: str) -> None:
    """Makes the namespace unless it exists.

    Its epoch and the count of its experience begin at random, so that a namespace that was erased and made again is not
    taken for the old one by a process that remembers that.
    """
    epoch = secrets.randbelow(2**30)
    row = {
        "name": namespace,
        "epoch": epoch,
        "experience": epoch,
        "index_key": new_index_key(),
        "created_at": utc_now(),
    }
    insert_if_absent(session, NamespaceRow, row)


def lock(session: Session, namespace: str) -> None:
    """Waits, within a write, until no other write is in the namespace, which exists.

    SQLite has one writer at a time by itself. On PostgreSQL the namespace's row is the lock: writers of one namespace take
    turns, so they see each other's work whole and cannot block each other crosswise; namespaces do not wait for each other.
    """
    if session.get_bind().dialect.name != "sqlite":
        session.exec(select(NamespaceRow.name).where(NamespaceRow.name == namespace).with_for_update()).first()


def try_lock(session: Session, namespace: str) -> bool:
    """Locks the namespace like `lock` if it exists and is free, without waiting; returns whether it did."""
    statement = select(NamespaceRow.name).where(NamespaceRow.name == namespace)
    if session.get_bind().dialect.name != "sqlite":
        statement = statement.with_for_update(skip_locked=True)
    return session.exec(statement).first() is not None


def erase(session: Session, namespace: str) -> dict[str, int]:
    """Deletes, within a write, every row of the namespace; returns how many by table."""
    counts: dict[str, int] = {}
    for table in reversed(Table.metadata.sorted_tables):  # those that refer to others first
        own = table.c.name if table.name == NamespaceRow.__tablename__ else table.c.namespace
        deleted = session.connection().execute(delete(table).where(own == namespace)).rowcount
        if deleted:
            counts[table.name] = deleted
    return counts


def known(session: Session) -> str:
    """Lists the namespaces that exist, to word an error with."""
    names = session.exec(select(NamespaceRow.name).order_by(col(NamespaceRow.name)).limit(10)).all()
    return f"known are {', '.join(names)}" if names else "it has none yet; add a skill first"


def claim(session: Session, namespace: str, signature: str) -> str:
    """Returns the embedder's signature, which the namespace has or takes now.

    Raises:
        EmbedderMismatchError: the namespace's vectors were made by another embedder.
    """
    row = session.exec(select(NamespaceRow).where(NamespaceRow.name == namespace).with_for_update()).one()
    check_signature(namespace, row.signature, signature)
    if row.signature is None:
        row.signature = signature
        session.add(row)
        session.flush()
    return signature


def check_signature(namespace: str, stored: str | None, given: str) -> None:
    """Checks that the embedder is the namespace's: vectors of two models are never compared.

    Raises:
        EmbedderMismatchError: the namespace's vectors were made by another embedder.
    """
    if stored is not None and stored != given:
        raise EmbedderMismatchError(
            f"the vectors of namespace {namespace!r} were made with {stored!r}, not with {given!r}; open the store with "
            "that embedder, or embed all skills anew with: skill-plugin reindex --embedder NAME"
        )
