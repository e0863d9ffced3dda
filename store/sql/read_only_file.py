"""A SQLite file that can be read and not written: a library baked into an image, or on a mount for reading only."""

import sqlite3
from pathlib import Path

from skill_plugin.errors import StoreUnavailableError


def refusal(path: Path) -> OSError | None:
    """Returns why an existing file cannot be written, if it can be read; None if it can.

    Raises:
        OSError: it can be neither.
    """
    try:
        with path.open("ab"):
            return None
    except OSError as exc:
        if not path.is_file():
            raise
        with path.open("rb"):
            return exc


def is_short_of_room(exc: BaseException | None) -> bool:
    """Returns whether SQLite could not make or write its own files beside a database."""
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)


def connect(path: Path, *, timeout: float) -> sqlite3.Connection:
    """Opens a database for reading, whether or not SQLite may make its own files beside it.

    Raises:
        StoreUnavailableError: what was written last is in a file of SQLite's own, and cannot be read from there.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        return _opened(uri, timeout)
    except sqlite3.OperationalError:
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise StoreUnavailableError(
                f"{path} cannot be read here: its last changes are in {log.name}; open it once where it can be written, and where there is room"
            ) from None
        return _opened(f"{uri}&immutable=1", timeout)  # nobody can write, so nobody has to be kept from it


def _opened(uri: str, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=timeout)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
