"""Who may write the index: one process at a time.

Beside SQLite a file lock says so; with PostgreSQL an advisory lock does, because processes on other machines count too.
"""

import threading
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, text

from skill_plugin.records import sha256


class Owner(Protocol):
    """A lock that is taken without waiting and kept until it is let go, or its process ends."""

    def take(self) -> bool:
        """Whether it is ours now.

        Raises:
            OSError: the lock cannot be had at all.
        """
        ...

    def release(self) -> None: ...


class FileOwner:
    """A lock file in the index's folder; the stores of one process share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder.with_name(f"{folder.name}.lock"), timeout=0, is_singleton=True, thread_local=False)
        self._taken = False

    def take(self) -> bool:
        if not self._taken:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except Timeout:
                return False
            self._taken = True
        return True

    def release(self) -> None:
        if self._taken:
            self._lock.release()
            self._taken = False


class AdvisoryOwner:
    """A PostgreSQL advisory lock, held by a connection of its own until it closes."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._key = int(sha256(f"skill-plugin index {name}")[:15], 16)
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            if self._connection is not None and not self._connection.closed and not self._connection.invalidated:
                return True
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}).scalar():
                self._connection = connection
                return True
            connection.close()
            return False

    def release(self) -> None:
        with self._lock:
            if self._connection is not None:
                # The pool would hand the session on with the lock in it.
                self._connection.invalidate()
                self._connection.close()
                self._connection = None
