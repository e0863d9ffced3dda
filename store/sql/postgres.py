"""Connections to PostgreSQL that wait for nothing for ever: a lock, a statement, a server that says nothing any more.

A lock and a statement are the server's to end. A server that is frozen ends nothing, and its machine goes on confirming what it is
sent, so that TCP does not notice either: our side counts the seconds without a word from it.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

CONNECT_SECONDS = 10
PING_SECONDS = 10.0
"""How long a connection from the pool may take to say that it lives."""

LOCK_SECONDS = 30.0
"""How long a write waits for another one, as on SQLite."""

STATEMENT_SECONDS = 60.0
SILENCE_SECONDS = 75.0
"""How long a server may say nothing; longer than it may work on a statement."""

_NEW = "new"

T = TypeVar("T")


class WatchedConnection(psycopg.Connection[Any]):
    """A connection that is closed if the server says nothing for `silence` seconds."""

    silence: float | None = None

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **given: Any) -> T:
        if self.silence is None:
            return super().wait(gen, *args, **given)
        try:
            return super().wait(_heard(gen, self.silence), *args, **given)
        except _SilenceError:
            silence = self.silence
            self.close()
            raise psycopg.OperationalError(f"the server did not answer within {silence:g} s") from None

    def ping(self, seconds: float) -> None:
        """Asks for a sign of life.

        Raises:
            psycopg.Error: none comes in time.
        """
        silence, self.silence = self.silence, seconds
        autocommit = self.autocommit
        try:
            self.autocommit = True
            self.execute("SELECT 1")
        finally:
            self.silence = silence
            if not self.closed:
                self.autocommit = autocommit


class _SilenceError(Exception):
    pass


def _heard(gen: Generator[Any, Any, T], seconds: float) -> Generator[Any, Any, T]:
    """Passes on what psycopg waits with; it is woken ten times a second, with nothing if there was nothing."""
    deadline = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                deadline = time.monotonic() + seconds
            elif time.monotonic() > deadline:
                raise _SilenceError
            wanted = gen.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result


def watch(engine: Engine) -> None:
    """Has an engine make connections with deadlines, and ask those of its pool for a sign of life before they are used.

    What the URL says (`?connect_timeout=5&keepalives_idle=60`) counts, and so does a `lock_timeout` or `statement_timeout` that the
    server's administrator has set.
    """

    @event.listens_for(engine, "do_connect")
    def on_connect(dialect: Any, record: Any, args: Any, given: dict[str, Any]) -> WatchedConnection:
        del dialect, record
        network = {
            "connect_timeout": CONNECT_SECONDS,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": int(SILENCE_SECONDS * 1000),
        }
        connection = WatchedConnection.connect(*args, **{**network, **given})
        connection.silence = PING_SECONDS
        connection.autocommit = True
        for name, seconds in (("lock_timeout", LOCK_SECONDS), ("statement_timeout", STATEMENT_SECONDS)):
            connection.execute(
                "SELECT set_config(name, %s, false) FROM pg_settings WHERE name = %s AND setting = '0'",
                (f"{seconds * 1000:.0f}", name),
            )
        connection.autocommit = False
        connection.silence = SILENCE_SECONDS
        return connection

    @event.listens_for(engine, "connect")
    def on_new(connection: Any, record: ConnectionPoolEntry) -> None:
        del connection
        record.info[_NEW] = True

    @event.listens_for(engine, "checkin")
    def on_return(connection: Any, record: ConnectionPoolEntry) -> None:
        del record
        if connection is not None:  # one that was closed
            connection.silence = SILENCE_SECONDS

    @event.listens_for(engine, "checkout")
    def on_checkout(connection: Any, record: ConnectionPoolEntry, proxy: Any) -> None:
        del proxy
        if record.info.pop(_NEW, False):
            return
        try:
            connection.ping(PING_SECONDS)
        except psycopg.Error as exc:
            raise InvalidatePoolError from exc  # the others are as old, so a new one is made


def be_patient(connection: Connection) -> None:
    """Lets the statements of a transaction take as long as they take."""
    watched: Any = connection.connection.driver_connection
    watched.silence = None
    connection.execute(text("SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)"))
