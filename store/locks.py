"""Locks, so that one process at a time brings a namespace's index up to date.

Two rules meet here. A Chroma folder may be written by one process only, or it breaks. And a namespace's outbox has one
reader, wherever its index is: a change that one process has applied to its own folder and forgotten would never reach
another's. Beside SQLite file locks say so; with PostgreSQL an advisory lock does, because other machines count too.
"""

import os
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from skill_plugin.records import sha256
from skill_plugin.store import forks
from skill_plugin.store.index.chroma import ChromaIndex
from skill_plugin.store.sql.database import Database


class Owner(Protocol):
    """A lock that is taken without waiting and kept until it is let go, or its process ends."""

    def take(self) -> bool:
        """Returns whether it is ours now; asked again and again, because a lock in a database can be lost.

        Raises:
            OSError: the lock cannot be had at all.
            StoreUnavailableError: the database cannot be reached.
        """
        ...

    def release(self) -> None: ...


def owner_of(database: Database, index: ChromaIndex) -> Owner:
    """Returns the locks that the owner of this index must hold."""
    owners: list[Owner] = [outbox_owner(database, index.namespace)]
    if not index.is_server:
        folder = Path(index.place)
        owners.append(FileOwner(folder.with_name(f"{folder.name}.lock")))
    return AllOwners(owners)


def outbox_owner(database: Database, namespace: str, *, shared: bool = True) -> Owner:
    """Returns the lock on a namespace's outbox; see `FileOwner` for `shared`."""
    if database.is_sqlite:
        return FileOwner(Path(f"{database.path}.index-{sha256(namespace)[:12]}.lock"), shared=shared)
    return AdvisoryOwner(database, f"index {namespace}")


def job_owner(database: Database, namespace: str, job: str) -> Owner:
    """Returns the lock on a namespace's job. Two owners in one process exclude each other, unlike those of an index."""
    name = f"{job} {namespace}"
    if database.is_sqlite:
        return FileOwner(Path(f"{database.path}.{job}-{sha256(namespace)[:12]}.lock"), shared=False)
    return AdvisoryOwner(database, name, waits=True)


class AllOwners:
    """Several locks, all of them or none."""

    def __init__(self, owners: list[Owner]) -> None:
        self._owners = owners

    def take(self) -> bool:
        with ExitStack() as undo:
            for owner in self._owners:
                undo.callback(owner.release)
                if not owner.take():
                    return False
            undo.pop_all()
        return True

    def release(self) -> None:
        for owner in self._owners:
            owner.release()


class FileOwner:
    """A lock file, which the stores of one process may share."""

    def __init__(self, path: Path, *, shared: bool = True) -> None:
        self._path = path
        self._shared = shared
        self._lock: FileLock | None = None
        self._taken_by = 0  # which process: a fork has what its parent has, but not its locks
        self._inherited: list[FileLock] = []  # of a parent process; never used, and never let go

    def take(self) -> bool:
        if self._taken_by != os.getpid():
            if self._lock is not None:
                self._inherited.append(self._lock)
            self._lock = FileLock(self._path, mode=0o600, timeout=0, is_singleton=self._shared, thread_local=False)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except Timeout:
                self._lock = None
                return False
            self._taken_by = os.getpid()
        return True

    def release(self) -> None:
        if self._lock is not None and self._taken_by == os.getpid():
            self._lock.release()
            self._taken_by = 0


class AdvisoryOwner:
    """A PostgreSQL advisory lock with a name, held by a connection of its own for as long as that lives.

    With `waits`, letting go waits until the server has: it sees the end of a connection later, and who asks at once finds the lock taken.
    """

    def __init__(self, database: Database, name: str, *, waits: bool = False) -> None:
        self._database = database
        self._waits = waits
        self._key = int(sha256(f"skill-plugin {name}")[:15], 16)
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._taken_by = 0
        self._inherited: list[Connection] = []  # of a parent process; never used, and never closed
        forks.tell(self)

    def after_fork(self) -> None:
        """Makes a lock of the child's own and leaves the connection to the parent."""
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock, self._database.errors():
            self._leave_to_parent()
            if self._connection is not None:
                return self._still_there(self._connection)
            connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}).scalar():
                self._connection, self._taken_by = connection, os.getpid()
                return True
            connection.close()
            return False

    def release(self) -> None:
        with self._lock:
            self._leave_to_parent()
            if self._connection is not None:
                if self._waits:
                    with suppress(DBAPIError):  # the server is gone, and so is the lock
                        self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": self._key})
                # The pool would hand the session on with the lock in it.
                self._connection.invalidate()
                self._connection.close()
                self._connection = None

    def _leave_to_parent(self) -> None:
        if self._connection is not None and self._taken_by != os.getpid():
            self._inherited.append(self._connection)
            self._connection = None

    def _still_there(self, connection: Connection) -> bool:
        """Returns whether the connection lives; if the server restarts or the network fails, the lock is lost too."""
        try:
            connection.execute(text("SELECT 1"))
        except DBAPIError:
            connection.invalidate()
            connection.close()
            self._connection = None
            return False
        return True
