"""A migration that is killed anywhere leaves the old schema or the new one, and opening the store again completes it."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event

from skill_plugin.store import migrations
from skill_plugin.store.sql.database import HEAD, VERSION_TABLE, Database

ROOT = Path(__file__).parents[2]

DATA = f"""
INSERT INTO skillp_namespace VALUES ('default', 'topics', 3, '2026-01-01 00:00:00');
INSERT INTO skillp_skill VALUES ('sk_1', 'default', 'adding', 'How to add', 'live', 'reviewed', 1, 1, 0.75, 3, 2, '2026-01-01');
INSERT INTO skillp_skill_version VALUES
    ('sk_1', 1, 'default', 0, NULL, 'How to add', 'a text', 'a hash', 'human', NULL, '2026-01-01');
INSERT INTO skillp_embedding VALUES ('sk_1', 1, 'topics', 'default', x'{"00" * 16}');
INSERT INTO skillp_task VALUES ('default', 'task_1', 'sums', '2 + 2?', '"4"', NULL, 'train', 'a hash', '2026-01-01');
INSERT INTO skillp_rollout (namespace, task_id, skill_id, version, arm, run_id, generation, k, answer, chosen, reward, passed,
    feedback, credited, created_at) VALUES ('default', 'task_1', 'sk_1', 1, 'skill', 'run', 0, 0, '4', 1, 1.0, 1, '', 1, '2026-01-01');
INSERT INTO skillp_outcome VALUES (7, 'default', 'run', 'a digest', 0.5, 'thanks', '2026-01-01');
INSERT INTO skillp_event VALUES (9, 'default', 'sk_1', 1, 'added', 'human', 'why', '{{}}', '2026-01-01');
INSERT INTO skillp_index_change VALUES (11, 'default', 'sk_1');
INSERT INTO skillp_checkpoint VALUES
    ('c_1', 'default', 'base', NULL, '/adapter', 'a hash', NULL, '{{"loss": 0.5}}', NULL, 'live', '2026-01-01');
INSERT INTO skillp_training_run VALUES
    ('t_1', 'default', '{{}}', NULL, '2026-01-01', 'a hash', '{{"data": 1}}', '{{}}', 'kept', '2026-01-01');
"""


@pytest.fixture
def old(tmp_path):
    """A database that the first release wrote."""
    path = tmp_path / "skills.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.upgrade(connection, "0001")
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(DATA)
    return path


def read(path, statement):
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement)]


def revision(path):
    return read(path, f"SELECT version_num FROM {VERSION_TABLE}")[0]["version_num"]


def content(path):
    names = [
        row["name"]
        for row in read(path, "SELECT name FROM sqlite_master WHERE name LIKE 'skillp_%' AND type = 'table'")
    ]
    return {name: read(path, f"SELECT * FROM {name}") for name in names if name != VERSION_TABLE}


def schema(path):
    return {tuple(row.values()) for row in read(path, "SELECT type, name, tbl_name FROM sqlite_master")}


def kept(before, after):
    """Every row that there was is there, with at least the values it had, but for what a version has now in a skill's stead."""
    return all(
        len(rows) == len(after[name])
        and all(
            {**old, "trust": None}.items() <= {**new, "trust": None}.items()
            for old, new in zip(rows, after[name], strict=True)
        )
        for name, rows in before.items()
    )


def test_an_old_database_is_brought_up_to_date_with_all_its_data_and_a_copy_is_kept(old, open_store):
    before = content(old)
    assert all(rows for name, rows in before.items() if name != "skillp_revision")
    store = open_store(old)

    assert (store.get("adding").utility, store.get("adding").uses) == (0.75, 3)
    assert [rollout.reward for rollout in store.runs.rollouts("run")] == [1.0]
    assert store.checkpoints.live().metrics == {"loss": 0.5}
    assert [run.id for run in store.runs.training.list()] == ["t_1"]
    store.close()
    assert revision(old) == HEAD
    assert kept(before, content(old))
    copy = old.with_name(f"skills.db.before-{HEAD}")
    assert (revision(copy), content(copy)) == ("0001", before)


def test_a_copy_that_was_cut_short_is_made_again(old):
    before = content(old)
    half = old.read_bytes()[: old.stat().st_size // 2]
    old.with_name(f"skills.db.before-{HEAD}.tmp").write_bytes(half)
    Database(f"sqlite:///{old}").close()

    assert content(old.with_name(f"skills.db.before-{HEAD}")) == before


def _open(path, together):
    together.wait(60)
    Database(f"sqlite:///{path}").close()


def test_processes_that_open_an_old_database_at_once_all_succeed(old):
    before = content(old)
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("CREATE TABLE of_the_host AS SELECT zeroblob(30000000) AS content")  # a copy takes a while
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(3)
    processes = [context.Process(target=_open, args=(old, together)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0] * 3
    assert kept(before, content(old))
    assert content(old.with_name(f"skills.db.before-{HEAD}")) == before


def test_a_kill_at_any_statement_leaves_the_old_schema_or_the_new_one(old, tmp_path):
    """In a process of its own, which forks one that is killed at the first statement, the second, ... until one ends."""
    fresh = tmp_path / "fresh.db"
    Database(f"sqlite:///{fresh}").close()
    before, first_schema = content(old), schema(old)
    command = [sys.executable, __file__, str(old), str(tmp_path / "kills")]
    said = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )
    assert said.returncode == 0, said.stderr
    killed = sorted(tmp_path.glob("kills/*/skills.db"), key=lambda path: int(path.parent.name))
    assert len(killed) > 20

    for path in killed:
        copy = path.with_name(f"skills.db.before-{HEAD}")
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert (revision(path), schema(path)) in (("0001", first_schema), (HEAD, schema(fresh))), path
        assert kept(before, content(path))
        Database(f"sqlite:///{path}").close()
        assert (revision(path), schema(path)) == (HEAD, schema(fresh)), path
        assert kept(before, content(path))
        assert content(copy) == before
    assert revision(killed[-1]) == HEAD


def _open_and_die(path, wanted):
    count = 0

    def counted(*_):
        nonlocal count
        count += 1
        if count == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", counted)
    event.listen(Engine, "commit", counted)
    Database(f"sqlite:///{path}").close()


def _main(old, folder):
    for wanted in range(1, 200):
        path = Path(folder, str(wanted), "skills.db")
        path.parent.mkdir(parents=True)
        for file in Path(old).parent.glob("skills.db*"):
            shutil.copy(file, path.parent)
        child = os.fork()
        if child == 0:
            _open_and_die(path, wanted)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        if status != -signal.SIGKILL:
            raise SystemExit(f"statement {wanted} ended with {status}")
    raise SystemExit("it never ends")


if __name__ == "__main__":
    _main(*sys.argv[1:])


def test_what_skills_have_passed_is_known_after_it(old):
    Database(f"sqlite:///{old}").close()

    assert [row["task_id"] for row in read(old, "SELECT * FROM skillp_experience WHERE skill_id = 'sk_1'")] == [
        "task_1"
    ]
