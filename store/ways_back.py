"""The ways back from a SQLite file that is damaged or empty, in words."""

import sqlite3
from pathlib import Path

from skill_plugin.store.sql.location import index_folder

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_damage(exc: BaseException | None) -> bool:
    """Returns whether SQLite says that its file is damaged, or is not its own."""
    return isinstance(exc, sqlite3.Error) and getattr(exc, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def ways_back(path: Path) -> str:
    """Returns what to do about a file that cannot be used any more; names the copies that lie beside it."""
    copies = sorted(path.parent.glob(f"{path.name}.before-*"))
    copy = f", the copy that a migration made ({copies[-1]})" if copies else ""
    return (
        f"put it aside, then bring back your last export (skill-plugin import FILE){copy}, or what can still be read: "
        f"sqlite3 {path.name} .recover | sqlite3 recovered.db"
    )


def was_emptied(path: Path) -> bool:
    """Returns whether a database file is empty though a store was here: its index, its locks or a copy of it are."""
    try:
        if path.stat().st_size:
            return False
    except OSError:
        return False
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        return False  # another process makes it just now
    folder = index_folder(path)
    return any(path.parent.glob(f"{path.name}.*")) or (folder.is_dir() and any(folder.iterdir()))
