"""Files that are whole or not there: a power cut leaves either the old file or the new one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skill_plugin.errors import ConfigurationError


def check_disk(
    folder: Path, needed_bytes: int, *, advice: str = "free some, take fewer snapshots, or use a folder on another disk"
) -> None:
    """Checks that the disk of a folder, which may not exist yet, has room.

    Args:
        folder: The folder.
        needed_bytes: What will be written there.
        advice: The end of the error: what to do about it.

    Raises:
        ConfigurationError: the disk has too little room.
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed_bytes:
        raise ConfigurationError(
            f"the disk of {str(folder)!r} has {free / 1e9:.2f} GB free and this needs {needed_bytes / 1e9:.2f} GB; {advice}"
        )


def sync(path: Path) -> None:
    """Forces a file's content, or the names in a folder, to the disk."""
    if path.is_dir() and os.name != "posix":
        return  # Windows cannot open a folder
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def whole_file(path: Path, *, parents: bool = True) -> Iterator[Path]:
    """Yields a temporary path in the same folder; the file gets its own name when all of it is on the disk.

    Args:
        path: The file's own name.
        parents: Make the folder if it does not exist.
    """
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)  # of a run that was killed; or a link, which would be written through
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder to write files into, which gets its own name when all of it is on the disk.

    An older folder of that name is replaced. A folder cannot be replaced in one step: a kill between the two renames
    leaves none, and the old one as `.NAME.old`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (folder.with_name(f".{folder.name}.{kind}") for kind in ("tmp", "old"))
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            sync(file)
        sync(temporary)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
