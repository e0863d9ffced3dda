"""Files that only their owner may read: a store holds what users and agents said. On Windows the folder's own rights count."""

import logging
import os
import stat
from pathlib import Path

_log = logging.getLogger(__name__)

_OTHERS = 0o077


def make_private(database: Path, *, is_home: bool) -> None:
    """Makes a database file, and its folder if need be, for its owner alone; one that exists is closed to others if it is ours.

    A folder that is shared on purpose has its set-group-id bit (`chmod g+s`) and stays as it is. SQLite gives its own files the rights
    of the database.

    Args:
        database: The file.
        is_home: The folder is a home folder, and nothing else.

    Raises:
        OSError: it cannot be made.
    """
    if os.name == "nt":
        database.parent.mkdir(parents=True, exist_ok=True)
        return
    folder = database.parent
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    if not database.exists():
        os.close(os.open(database, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
    if is_home and not folder.stat().st_mode & stat.S_ISGID:
        for path in (folder, database, *(database.with_name(f"{database.name}-{end}") for end in ("wal", "shm"))):
            _close(path)


def close_file(path: Path) -> None:
    """Closes a file that we have just made to others."""
    if os.name != "nt":
        path.chmod(0o600)


def _close(path: Path) -> None:
    try:
        found = path.stat()
        if found.st_mode & _OTHERS and found.st_uid == os.geteuid():
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
            _log.info("%s was open to other users, and is now for its owner alone", path)
    except OSError:  # not there, or on a file system without rights
        return
