"""The location of a store: from what a caller says to a database URL and an index folder."""

from pathlib import Path
from urllib.parse import quote, unquote

from skill_plugin.settings import home_folder

DATABASE_FILE = "skills.db"
INDEX_FOLDER = "chroma"

_DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")


def places(location: str | Path | None) -> tuple[str, Path]:
    """Returns the database's URL and the index's folder for a folder, a database file or a URL; None means home."""
    if isinstance(location, str) and "://" in location:
        if location.startswith("sqlite") and (file := _file_in(location)):
            return location, _beside(Path(file))
        return location, home_folder() / INDEX_FOLDER
    path_given = home_folder() if location is None else Path(location).expanduser().absolute()
    if path_given.suffix in _DATABASE_SUFFIXES:
        return _url(path_given), _beside(path_given)
    return _url(path_given / DATABASE_FILE), path_given / INDEX_FOLDER


def _file_in(url: str) -> str:
    """Returns the file that a SQLite URL names."""
    return unquote(url.partition(":///")[2].partition("?")[0])


def _url(file: Path) -> str:
    """Returns the URL of a database file. A path is not a URL: `?`, `%` and `#` in it mean themselves."""
    return "sqlite:///" + quote(str(file), safe="/:\\")


def _beside(database: Path) -> Path:
    return database.with_name(f"{database.name}-{INDEX_FOLDER}")
