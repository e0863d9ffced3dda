"""The location of a store: from what a caller says to a database URL and an index folder."""

from pathlib import Path

from skill_plugin.settings import home_folder

DATABASE_FILE = "skills.db"
INDEX_FOLDER = "chroma"

_DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")


def places(location: str | Path | None) -> tuple[str, Path]:
    """Returns the database's URL and the index's folder for a folder, a database file or a URL; None means home."""
    if isinstance(location, str) and "://" in location:
        _, _, path = location.partition(":///")
        if location.startswith("sqlite") and path:
            return location, _beside(Path(path.partition("?")[0]))
        return location, home_folder() / INDEX_FOLDER
    path_given = home_folder() if location is None else Path(location).expanduser().absolute()
    if path_given.suffix in _DATABASE_SUFFIXES:
        return f"sqlite:///{path_given}", _beside(path_given)
    return f"sqlite:///{path_given / DATABASE_FILE}", path_given / INDEX_FOLDER


def _beside(database: Path) -> Path:
    return database.with_name(f"{database.name}-{INDEX_FOLDER}")
