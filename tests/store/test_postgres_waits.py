"""PostgreSQL that holds a lock, is used up or does not answer: one line within a deadline, and search goes on."""

import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

import servers
from fakes import TopicEmbedder, skill_text
from skill_plugin.errors import StoreUnavailableError
from skill_plugin.store import SkillStore
from skill_plugin.store.sql.database import Database

LATEST = 60
"""Seconds after which a call has hung: far beyond every deadline, on any machine."""


@pytest.fixture
def short(monkeypatch):
    """Deadlines of a test's size."""
    monkeypatch.setattr("skill_plugin.store.sql.postgres.LOCK_SECONDS", 1.0)
    monkeypatch.setattr("skill_plugin.store.sql.postgres.STATEMENT_SECONDS", 2.0)
    monkeypatch.setattr("skill_plugin.store.sql.postgres.SILENCE_SECONDS", 3.0)
    monkeypatch.setattr("skill_plugin.store.sql.postgres.PING_SECONDS", 2.0)
    monkeypatch.setattr("skill_plugin.store.sql.postgres.CONNECT_SECONDS", 2)
    monkeypatch.setattr("skill_plugin.store.sql.database.POOL_SECONDS", 1.0)


@pytest.fixture
def url(new_database):
    return new_database()


@pytest.fixture
def library(url):
    """A store on PostgreSQL with one skill, opened with whatever deadlines there are when it is asked for."""
    with SkillStore.open(url, embedder=TopicEmbedder(), chroma=False) as store:
        store.add_text(skill_text())
        yield store


@contextmanager
def locked(url):
    """Holds the lock of every writer of the namespace, as a transaction that somebody forgot does."""
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text("SELECT * FROM skillp_namespace FOR UPDATE"))
        yield
    engine.dispose()


def line_of(call):
    """The one line that a call fails with, in time."""
    found = []

    def run():
        try:
            found.append(call())
        except Exception as exc:  # noqa: BLE001 - the test looks at what it is
            found.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LATEST)
    assert found, f"no answer after {LATEST} s"
    assert isinstance(found[0], StoreUnavailableError), found
    assert "\n" not in str(found[0])
    return str(found[0])


def test_a_lock_that_somebody_holds_ends_a_write_and_not_a_search(short, library, url):
    with locked(url):
        assert "lock timeout" in line_of(lambda: library.add_text(skill_text("sorting")))
        assert library.search("add")[0].name == "adding"

    assert library.add_text(skill_text("sorting")).status == "live"


def test_writers_that_wait_leave_connections_to_search_with(short, library, url, monkeypatch):
    monkeypatch.setattr("skill_plugin.store.sql.postgres.LOCK_SECONDS", 20.0)
    monkeypatch.setattr("skill_plugin.store.sql.postgres.STATEMENT_SECONDS", 30.0)
    monkeypatch.setattr("skill_plugin.store.sql.postgres.SILENCE_SECONDS", 40.0)
    library.database.engine.dispose()
    said = []

    def write(number):
        try:
            library.add_text(skill_text(f"other-{number}"))
        except StoreUnavailableError as exc:
            said.append(str(exc))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(25)]
    with locked(url):
        for writer in writers:
            writer.start()
        deadline = time.monotonic() + LATEST
        while len(said) < 15 and time.monotonic() < deadline:
            assert library.search("add")[0].name == "adding"
        assert len(said) == 15
        assert all("10 writes of this process have waited for 1 s" in line for line in said)
    for writer in writers:
        writer.join(LATEST)
    assert len(library.list()) == 11


def test_a_pool_that_is_used_up_is_one_line(short, library):
    taken = [library.database.engine.connect() for _ in range(15)]
    try:
        assert "no connection of this process was free for 1 s" in line_of(lambda: library.search("add"))
        assert "no connection of this process was free" in line_of(lambda: library.add_text(skill_text("sorting")))
    finally:
        for connection in taken:
            connection.close()
    assert library.search("add")[0].name == "adding"


def test_a_statement_that_takes_too_long_is_ended_unless_it_is_known_to_be_long(short, library):
    def slow(bulk):
        with library.database.write(bulk=bulk) as session:
            session.connection().execute(text("SELECT pg_sleep(4)"))
        return "done"

    assert "statement timeout" in line_of(lambda: slow(bulk=False))
    assert slow(bulk=True) == "done"
    assert "statement timeout" in line_of(lambda: slow(bulk=False))  # the same connection has its deadline again


def test_what_the_url_and_the_administrator_say_counts(short, url):
    options = make_url(url).update_query_dict({"options": "-c lock_timeout=1234", "connect_timeout": "7"})
    database = Database(options.render_as_string(hide_password=False))
    with database.read() as session:
        assert session.connection().execute(text("SHOW lock_timeout")).scalar() == "1234ms"
        assert session.connection().execute(text("SHOW statement_timeout")).scalar() == "2s"
    database.close()


@pytest.fixture(scope="module")
def own_server():
    """A server that this module started, so that it may be stopped."""
    programs = servers.postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL here to start one's own: install Debian's postgresql")
    with servers.postgres(programs) as url:
        yield url


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the server's processes in /proc")
def test_a_server_that_is_frozen_is_one_line_and_afterwards_all_is_well(short, own_server):
    with SkillStore.open(own_server, embedder=TopicEmbedder(), chroma=False) as store:
        store.add_text(skill_text())
        with servers.frozen(own_server):
            line_of(lambda: store.search("add"))
            line_of(lambda: store.add_text(skill_text("sorting")))
            line_of(lambda: SkillStore.open(own_server, embedder=TopicEmbedder(), chroma=False))
        assert store.search("add")[0].name == "adding"
        assert store.add_text(skill_text("sorting")).status == "live"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the server's processes in /proc")
def test_a_server_that_freezes_in_the_middle_of_a_transaction_is_one_line(short, own_server):
    def halfway():
        with store.database.write() as session:
            session.connection().execute(text("SELECT 1"))
            with servers.frozen(own_server):
                session.connection().execute(text("SELECT 2"))

    with SkillStore.open(own_server, embedder=TopicEmbedder(), chroma=False) as store:
        store.add_text(skill_text("refunding"))
        assert "did not answer within 3 s" in line_of(halfway)
        assert store.search("refund")[0].name == "refunding"
