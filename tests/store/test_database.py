import multiprocessing
import sqlite3

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from skill_plugin.errors import ConfigurationError, MissingExtraError, SchemaTooNewError, StoreUnavailableError
from skill_plugin.store import migrations
from skill_plugin.store.sql.database import HEAD, VERSION_TABLE, Database
from skill_plugin.store.tables import PREFIX, NamespaceRow, Table


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'skills.db'}"


@pytest.fixture
def database(url):
    made = Database(url)
    yield made
    made.close()


def test_the_migrations_make_exactly_the_tables(database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    assert all(name.startswith(PREFIX) for name in Table.metadata.tables)


def test_head_is_the_newest_migration_and_can_be_undone(database):
    assert max(migrations.known_revisions()) == HEAD
    config = migrations.config()
    with database.engine.execution_options(write=True).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE name LIKE 'skillp_%'")).scalars().all()
    assert set(tables) <= {VERSION_TABLE}


def test_sqlite_is_tuned(database):
    with database.engine.connect() as connection:
        pragma = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_a_failed_write_leaves_nothing(database):
    def fail_half_way():
        with database.write() as session:
            session.add(NamespaceRow(name="a"))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with database.read() as session:
        assert session.get(NamespaceRow, "a") is None


def test_a_database_of_a_newer_release_is_refused_and_left_alone(url, database):
    with database.write() as session:
        session.connection().execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    with pytest.raises(SchemaTooNewError, match=r"'9999'.*pip install -U") as caught:
        Database(url)
    assert "\n" not in str(caught.value)
    with database.engine.connect() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == "9999"


def _open(url):
    Database(url).close()


def test_processes_that_open_a_new_database_at_once_all_succeed(url):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_open, args=(url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0] * 4


@pytest.mark.parametrize("url", ["nonsense", "oracle-nope://x", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_cannot_work_says_so(url):
    with pytest.raises(ConfigurationError):
        Database(url)


def test_a_missing_driver_names_the_extra():
    with pytest.raises(MissingExtraError, match=r"skill-plugin\[postgres\]") as caught:
        Database("postgresql+pg8000://user:secret@nowhere/x")
    assert "secret" not in str(caught.value)


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")

    with pytest.raises(StoreUnavailableError, match="choose another home"):
        Database(f"sqlite:///{blocker}/skills.db")


def test_what_is_no_database_says_so_and_is_left_alone(tmp_path):
    path = tmp_path / "skills.db"
    path.write_bytes(b"This is no database. " * 100)

    with pytest.raises(StoreUnavailableError, match="not a database"):
        Database(f"sqlite:///{path}")
    assert path.read_bytes().startswith(b"This is no database.")


def test_a_missing_store_is_not_made_unless_asked(tmp_path):
    with pytest.raises(StoreUnavailableError, match="no store at"):
        Database(f"sqlite:///{tmp_path / 'none' / 'skills.db'}", create=False)
    assert not tmp_path.joinpath("none").exists()


def test_a_damaged_database_is_told_in_one_line(url, tmp_path):
    Database(url).close()
    path = tmp_path / "skills.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(bytes(content))

    def use():
        with Database(url).read() as session:
            session.get(NamespaceRow, "a")

    with pytest.raises(StoreUnavailableError) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_the_host_keeps_its_own_tables(tmp_path, url):
    with sqlite3.connect(tmp_path / "skills.db") as connection:
        connection.execute("CREATE TABLE customer (id INTEGER)")
    connection.close()
    database = Database(url)
    with database.engine.connect() as connection:
        names = set(connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars())
    database.close()

    assert "customer" in names
    assert all(name.startswith(("skillp_", "sqlite_")) for name in names - {"customer"})


def test_a_connection_that_comes_back_after_the_end_is_ended(open_store):
    """A call that nobody waits for any more still has one when the store is closed."""
    store = open_store()
    late = store.database.engine.connect()
    driver = late.connection.dbapi_connection
    store.close()
    late.close()

    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        driver.execute("SELECT 1")
