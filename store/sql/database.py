"""The SQL database: opening it, bringing its schema up to date, reading and writing.

Every write is one transaction that takes the write lock at its beginning (`BEGIN IMMEDIATE`): SQLite cannot turn a read
lock into a write lock, so two writers that began as readers would fail at once whatever their time-out.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Executable, Insert, create_engine, event, inspect, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from skill_plugin.disk import whole_file
from skill_plugin.errors import (
    ConfigurationError,
    MissingExtraError,
    NoStoreError,
    SchemaTooNewError,
    StoreUnavailableError,
)
from skill_plugin.secrets_found import Redactor
from skill_plugin.store import forks
from skill_plugin.store.sql import read_only_file, reserve
from skill_plugin.store.sql.location import DATABASE_FILE
from skill_plugin.store.sql.private_files import make_private
from skill_plugin.store.sql.sqlite_connections import BUSY_SECONDS, tune
from skill_plugin.store.stored_texts import Redaction, without_unstorable
from skill_plugin.store.tables import PREFIX, Table
from skill_plugin.store.ways_back import is_damage, was_emptied, ways_back
from skill_plugin.url_passwords import masked

logger = logging.getLogger(__name__)

HEAD = "0012"
"""The schema revision of this release; a test compares it with the migrations' own head."""

MIGRATION_LOCK = 0x534B494C4C  # "SKILL"

VERSION_TABLE = f"{PREFIX}alembic_version"

POOL_SECONDS = 10.0
"""How long a call waits for a connection of PostgreSQL's pool."""

POOL_SIZE, WRITERS = 5, 10
"""PostgreSQL's pool keeps five connections and has up to fifteen; writes have ten of them at most, so that search goes on."""


class Database:
    """One SQL database, shared by any number of threads and processes.

    A SQLite file that cannot be written is open for reading: `read_only` says why, and every write is refused.

    Args:
        url: A SQLAlchemy URL, `sqlite:///...` or `postgresql+psycopg://...`.
        create: Make the database if it is not there.
        redactor: Takes secrets out of what is written; by default those that `Redactor` knows.

    Raises:
        StoreUnavailableError: it cannot be opened, or is not there and `create` is off.
        SchemaTooNewError: a newer release wrote it.
        ConfigurationError: the URL is not one.
        MissingExtraError: the driver is not installed.
    """

    def __init__(self, url: str | URL, *, create: bool = True, redactor: Redactor | None = None) -> None:
        try:
            parsed = _with_driver(make_url(url))
            self.is_sqlite = parsed.get_backend_name() == "sqlite"
            self.read_only = self._check_file(parsed.database, create=create) if self.is_sqlite else None
            self._url = parsed
            self._watched = parsed.get_driver_name() == "psycopg"
            self._turns = threading.BoundedSemaphore(WRITERS) if self._watched else None
            self._closed = False
            self.redactor = redactor or Redactor()
            self._make_engine()
        except (ArgumentError, NoSuchModuleError) as exc:
            raise ConfigurationError(
                f"{str(url)!r} is not a SQL URL: {exc}; use sqlite:///FILE or postgresql+psycopg://..."
            ) from exc
        except ModuleNotFoundError as exc:
            raise MissingExtraError(f"the database {parsed.render_as_string(hide_password=True)}", "postgres") from exc
        self.where = masked(parsed.render_as_string(hide_password=True))
        self.path = parsed.database or ""
        self._is_full = False
        try:
            with forks.no_fork():
                try:
                    self._upgrade(create=create)
                except DBAPIError as exc:
                    if self.read_only is not None or not read_only_file.is_short_of_room(exc.orig):
                        raise
                    self._open_for_reading(str(exc.orig))
                    self._upgrade(create=create)
        except DBAPIError as exc:
            self.engine.dispose()
            raise self._unavailable(exc) from exc
        except BaseException:
            self.engine.dispose()
            raise
        self._file = _identity(self.path) if self.is_sqlite else None
        if self.is_sqlite and self.read_only is None:
            reserve.make(Path(self.path))
        forks.tell(self)

    def _make_engine(self) -> None:
        self.engine = create_engine(self._url, **_engine_options(self._url, read_only=self.read_only is not None))
        self._reading = (
            self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        )
        if self.is_sqlite:
            tune(self.engine, read_only=self.read_only is not None)
        if self._watched:
            from skill_plugin.store.sql import postgres  # noqa: PLC0415 - its driver is an extra

            postgres.watch(self.engine)
        event.listen(self.engine, "before_cursor_execute", without_unstorable, retval=True)
        event.listen(self.engine, "before_execute", Redaction(self.redactor), retval=True)
        event.listen(self.engine, "checkin", self._given_back)

    def _open_for_reading(self, why: str) -> None:
        """Opens the file for reading where SQLite has no room for its own beside it."""
        self.engine.dispose()
        self.read_only, self._is_full = why, True
        logger.warning("%s is open for reading only, because there is no room beside it: %s", self.path, why)
        self._make_engine()

    def make_room(self) -> None:
        """Gives the reserve up if the disk is full, so that what makes room can write."""
        if self.is_sqlite and reserve.free(Path(self.path)) and self._is_full:
            self.engine.dispose()
            self.read_only, self._is_full = None, False
            self._make_engine()

    def close(self) -> None:
        self._closed = True
        with forks.no_fork():
            self.engine.dispose()

    def _given_back(self, _: object, record: ConnectionPoolEntry) -> None:
        """Ends a connection that comes back after the end, from a call that somebody gave up waiting for."""
        if self._closed:
            record.invalidate()

    def after_fork(self) -> None:
        """Drops the parent's connections in a fork without closing them, which would let go of SQLite's locks."""
        self.engine.dispose(close=False)
        if self._turns is not None:
            self._turns = threading.BoundedSemaphore(WRITERS)  # the parent's writers are not the child's

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Opens a session that sees one consistent state."""
        self._check_same_file()
        with self.errors(), Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self, *, wait: bool = True, bulk: bool = False) -> Iterator[Session]:
        """Opens a session that is one transaction: committed at the end, rolled back on any error.

        Args:
            wait: Off, SQLite gives up at once if another process writes (`StoreUnavailableError`).
            bulk: Its statements may take long: PostgreSQL's deadlines are lifted.
        """
        self._check_same_file()
        if self.read_only is not None:
            raise StoreUnavailableError(
                f"{self.path} is open for reading only, because it cannot be written: {self.read_only}; use a copy that can be"
            )
        engine = self.engine.execution_options(write=True, wait=wait)
        with self._turn(), self.errors(), Session(engine, expire_on_commit=False) as session, session.begin():
            session.info["redactor"] = self.redactor
            if bulk:
                self._lift_deadlines(session.connection())
            yield session

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Waits until there is a connection to write with; on PostgreSQL some are left to those who read."""
        turns = self._turns
        if turns is None:
            yield
            return
        if not turns.acquire(timeout=POOL_SECONDS):
            raise StoreUnavailableError(
                f"the database {self.where} cannot be written: {WRITERS} writes of this process have waited for {POOL_SECONDS:g} s; "
                "try again, and look for a transaction that holds a lock"
            )
        try:
            yield
        finally:
            turns.release()

    def _lift_deadlines(self, connection: Connection) -> None:
        if self._watched:
            from skill_plugin.store.sql import postgres  # noqa: PLC0415 - its driver is an extra

            postgres.be_patient(connection)

    def vacuum(self) -> None:
        """Overwrites what was deleted, and gives its room back. PostgreSQL does so by itself in its own time."""
        if self.is_sqlite:
            with self.errors(), self.engine.connect() as connection:
                connection.rollback()  # VACUUM may not be part of a transaction
                driver = connection.connection.driver_connection
                for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    driver.execute(statement).fetchall()  # type: ignore[union-attr] # SQLite's own connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what the driver says of the database's state into our own error, in one line."""
        try:
            with forks.no_fork():
                yield
        except (IntegrityError, ProgrammingError):
            raise  # our own mistake, not the database's state
        except DBAPIError as exc:
            raise self._unavailable(exc) from exc
        except PoolTimeoutError as exc:
            raise StoreUnavailableError(
                f"the database {self.where} cannot be used: no connection of this process was free for {POOL_SECONDS:g} s; try again"
            ) from exc

    def _unavailable(self, exc: DBAPIError) -> StoreUnavailableError:
        reason = " ".join(str(exc.orig).split())
        if is_damage(exc.orig):
            return StoreUnavailableError(
                f"the database {self.where} is damaged: {reason}; {ways_back(Path(self.path))}"
            )
        return StoreUnavailableError(f"the database {self.where} cannot be used: {reason}; see skill-plugin doctor")

    @staticmethod
    def _check_file(name: str | None, *, create: bool) -> str | None:
        """Checks the file of a SQLite database; returns why it cannot be written, if all that it can is be read."""
        if name in (None, "", ":memory:"):
            raise ConfigurationError("a store in memory would be lost at the end; give a file: sqlite:///skills.db")
        path = Path(str(name))
        if not create and not path.exists():
            raise NoStoreError(f"there is no store at {path}; make one with: skill-plugin skills add")
        try:
            if was_emptied(path):
                raise StoreUnavailableError(f"{path} is empty, and a store was here; {ways_back(path)}")
            make_private(path, is_home=path.name == DATABASE_FILE)
            refusal = read_only_file.refusal(path)
        except StoreUnavailableError:
            raise
        except OSError as exc:
            raise StoreUnavailableError(
                f"{path} cannot be written: {exc.strerror}; choose another home folder"
            ) from exc
        if refusal is not None:
            logger.info("%s cannot be written (%s): it is open for reading, without an index", path, refusal.strerror)
        return None if refusal is None else str(refusal.strerror)

    def _check_same_file(self) -> None:
        """Checks that the file was not removed or replaced: what is written into a file that was is lost."""
        if self.is_sqlite and _identity(self.path) != self._file:
            raise StoreUnavailableError(f"{self.path} was removed or replaced while it was open; open the store again")

    def _upgrade(self, *, create: bool) -> None:
        """Brings the schema to HEAD. Alembic is imported only when there is something to do."""
        with self.engine.connect() as connection:
            current = schema_revision(connection)
        if current == HEAD:
            return
        if current is None and not create and not self.is_sqlite:
            raise NoStoreError(f"there is no store in {self.where}; make one with: skill-plugin skills add")
        from skill_plugin.store import migrations  # noqa: PLC0415 - 0.15 s that most openings do not need

        if current is not None and current not in migrations.known_revisions():
            raise SchemaTooNewError(
                f"the database {self.where} has schema revision {current!r}, this release knows up to {HEAD!r}; "
                "upgrade skill-plugin: pip install -U skill-plugin"
            )
        if self.read_only is not None:
            raise StoreUnavailableError(
                f"{self.path} has schema {current!r} and cannot be brought to {HEAD!r}, because it cannot be written: "
                f"{self.read_only}; open it once with this release where it can"
            )
        # One transaction for all of it: two processes that start together wait for each other here, and a process
        # that is killed in the middle leaves the old schema.
        with self.engine.execution_options(write=True).begin() as connection:
            if not self.is_sqlite:
                self._lift_deadlines(connection)
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            current = schema_revision(connection)
            if current not in (None, HEAD) and self.is_sqlite:
                self._keep_copy(current)
            migrations.upgrade(connection)

    def _keep_copy(self, revision: str) -> None:
        """Copies the file, by SQLite's own backup, before its schema changes. The caller has the write lock."""
        copy = Path(f"{self.path}.before-{HEAD}")
        if copy.exists():
            return
        try:
            with whole_file(copy) as unfinished:
                make_private(unfinished, is_home=False)
                with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(unfinished)) as target:
                    source.backup(target)
        except (OSError, sqlite3.Error) as exc:
            raise StoreUnavailableError(
                f"{self.where} was not brought up to date, because no copy could be made at {copy}: {exc}; make room there"
            ) from exc
        logger.info("the database with schema %s was copied to %s", revision, copy)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - three times faster than Path.stat, and before every read and write
    except OSError:
        return None
    return found.st_dev, found.st_ino


def fetch(session: Session, statement: Executable, **given: Any) -> Sequence[Any]:
    """Returns the rows of a statement that was made beforehand, as tuples whose types only the statement knows."""
    return session.connection().execute(statement, given).all()


def schema_revision(connection: Connection) -> str | None:
    """Returns the schema's revision that the database notes; None for an empty one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant


def insert_if_absent(session: Session, table: type[Table], values: Mapping[str, Any]) -> bool:
    """Inserts a row unless one with the same key exists; returns whether it did."""
    connection = session.connection()
    statement = _insert_or_ignore(table, connection.dialect.name)
    return bool(connection.execute(statement, dict(values)).rowcount)


def insert_all_if_absent(session: Session, table: type[Table], rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts many rows of the same columns at once, except those whose key exists."""
    if rows:
        connection = session.connection()
        connection.execute(_insert_or_ignore(table, connection.dialect.name), [dict(row) for row in rows])


@lru_cache
def _insert_or_ignore(table: type[Table], dialect: str) -> Insert:
    """Builds a table's insert, once: building a statement costs more than running it."""
    module = sqlite if dialect == "sqlite" else postgresql
    made: Insert = module.insert(table.metadata.tables[str(table.__tablename__)]).on_conflict_do_nothing()
    return made.execution_options(preserve_rowcount=True)


def _with_driver(url: URL) -> URL:
    """Names the driver that the extra installs in `postgresql://`, and in the `postgres://` of hosting services."""
    backend = url.get_backend_name()
    if url.drivername in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if backend not in ("sqlite", "postgresql"):
        raise ConfigurationError(f"a store cannot be in {backend}; use sqlite:///FILE or postgresql+psycopg://...")
    return url


def _engine_options(url: URL, *, read_only: bool) -> dict[str, Any]:
    if read_only:
        path = Path(str(url.database))
        return {"creator": lambda: read_only_file.connect(path, timeout=BUSY_SECONDS)}
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"check_same_thread": False, "timeout": BUSY_SECONDS}}
    return {"pool_timeout": POOL_SECONDS, "pool_size": POOL_SIZE, "max_overflow": WRITERS}
