"""The location of a store: from what a caller says to a database URL and an index folder."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from skill_plugin.settings import home_folder

DATABASE_FILE = "skills.db"
INDEX_FOLDER = "chroma"

_DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")


def places(location: str | Path | None) -> tuple[str | URL, Path]:
    """Returns the database's URL and the index's folder for a folder, a database file or a URL; None means home."""
    if isinstance(location, str) and "://" in location:
        if location.startswith("sqlite") and (file := _file_in(location)):
            return location, _beside(Path(file))
        return location, home_folder() / INDEX_FOLDER
    path_given = home_folder() if location is None else Path(location).expanduser().absolute()
    if path_given.suffix in _DATABASE_SUFFIXES:
        return _url(path_given), _beside(path_given)
    return _url(path_given / DATABASE_FILE), path_given / INDEX_FOLDER


def index_folder(database: Path) -> Path:
    """Returns the index's folder of a database file."""
    return database.parent / INDEX_FOLDER if database.name == DATABASE_FILE else _beside(database)


def _file_in(url: str) -> str | None:
    """Returns the file that a SQLite URL names; None for one that cannot be read, which is said where it is opened."""
    try:
        return make_url(url).database
    except ArgumentError:
        return None


def _url(file: Path) -> str | URL:
    """Returns the URL of a database file. A path is not a URL: `?`, `%` and `#` in it mean themselves."""
    url = f"sqlite:///{file}"
    return url if make_url(url).database == str(file) else URL.create("sqlite", database=str(file))


def _beside(database: Path) -> Path:
    return database.with_name(f"{database.name}-{INDEX_FOLDER}")
