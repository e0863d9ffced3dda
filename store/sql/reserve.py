"""Room that is kept on the disk: on a full one, what makes room must be able to write."""

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

BYTES = 4 * 2**20

WORTH = 2**20
"""Bytes from which a database has a reserve."""

SPARE = 16 * BYTES
"""Bytes that must be free for a reserve to be made."""

FULL = 2**20
"""With less left the disk is full."""

_log = logging.getLogger(__name__)


def _file(database: Path) -> Path:
    return database.with_name(f"{database.name}.reserve")


def make(database: Path) -> None:
    """Makes a reserve beside a database, unless it has one, is too small for one, or the disk has no room."""
    place = _file(database)
    with suppress(OSError):  # then the database stays without one
        if place.exists() or database.stat().st_size < WORTH or shutil.disk_usage(database.parent).free < SPARE:
            return
        number = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(number, 0, BYTES)
            else:
                os.write(number, bytes(BYTES))
        finally:
            os.close(number)


def kept(database: Path) -> int:
    """Returns the bytes that are kept beside a database."""
    try:
        return _file(database).stat().st_size
    except OSError:
        return 0


def free(database: Path) -> bool:
    """Gives the reserve up if the disk is full; returns whether it did."""
    try:
        if shutil.disk_usage(database.parent).free >= FULL:
            return False
        _file(database).unlink()
    except OSError:
        return False
    _log.warning("the disk is full: the reserve beside %s was given up, so that room can be made", database)
    return True
