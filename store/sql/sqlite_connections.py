"""Connections to SQLite: how they are set up, and how a transaction begins."""

import sqlite3

from sqlalchemy import Connection, Engine, event

BUSY_SECONDS = 30

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # no acknowledged write is lost when the power goes; a commit is nothing beside an LLM call
    "foreign_keys=ON",
    f"busy_timeout={BUSY_SECONDS * 1000}",
    "temp_store=MEMORY",
)


def tune(engine: Engine, *, read_only: bool) -> None:
    """Sets up every connection of an engine, and begins its writes with the write lock."""
    pragmas = [pragma for pragma in _PRAGMAS if not (read_only and pragma.startswith(("journal_mode", "synchronous")))]

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        # SQLite's own knows the letters a to z only.
        connection.create_function("lower", 1, lambda text: text and text.lower(), deterministic=True)

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("wait", True):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("write") else "BEGIN")
            return
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
