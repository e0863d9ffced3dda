"""The schema's history, run by Alembic inside a connection that the caller has opened.

To change the schema: change `tables.py`, add the next numbered file under `versions/`, raise `database.HEAD`.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def known_revisions() -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Brings the schema to `revision` within the connection's own transaction."""
    made = config()
    made.attributes["connection"] = connection
    command.upgrade(made, revision)
