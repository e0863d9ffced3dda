"""Real servers for the tests, ended with them: PostgreSQL from the system's packages, and `chroma run`."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from sqlalchemy import NullPool, create_engine, make_url, text

OWN_SERVER = "SKILL_PLUGIN_TEST_POSTGRES"
"""A URL of a PostgreSQL server to use instead; it must let us make databases."""


def postgres_programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are; Debian keeps them off the path."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "pg_ctl").exists()), None)


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """The URL of a new server's `postgres` database; it listens on a socket in its own folder only."""
    user = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:  # a socket's path must be short
        if user is not None:
            shutil.chown(folder, user)
        data, log = f"{folder}/data", f"{folder}/log"
        _run(
            user,
            programs / "initdb",
            "-D",
            data,
            "-U",
            "skills",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        # No fsync: what happens when the power goes is PostgreSQL's own promise, not ours to test.
        options = f"-c fsync=off -c listen_addresses='' -c max_connections=200 -c timezone=Asia/Kolkata -k {folder}"
        _run(user, programs / "pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")
        try:
            yield f"postgresql+psycopg://skills@/postgres?host={folder}"
        finally:
            _run(user, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


@contextmanager
def frozen(url: str) -> Iterator[None]:
    """Stops every process of the server: it answers nothing, and its kernel goes on taking what it is sent."""
    main = int((_folder(url) / "data" / "postmaster.pid").read_text().split()[0])
    processes = [main, *children(main)]
    for one in processes:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in processes:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)


@contextmanager
def stopped(url: str, programs: Path, mode: str = "fast") -> Iterator[None]:
    """Stops a server of `postgres`, and starts it again as it was."""
    user, folder = _unprivileged(), _folder(url)
    options = (folder / "data" / "postmaster.opts").read_text().partition(" ")[2].strip().replace('"', "'")
    _run(user, programs / "pg_ctl", "-D", folder / "data", "-m", mode, "-w", "stop")
    try:
        yield
    finally:
        _run(user, programs / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-o", options, "-w", "start")


def _folder(url: str) -> Path:
    return Path(str(make_url(url).query["host"]))


def children(process: int) -> list[int]:
    """The processes that a process has started, from /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(entry.name))
    return found


class Databases:
    """Databases of one server that are emptied and used again: to make one for each test took longer than most tests, and to
    delete a thousand of them took five minutes at the end of a run.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._engine = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self._made: list[str] = []
        self._free: list[str] = []

    def take(self) -> str:
        """Returns the name of an empty database."""
        if self._free:
            return self._free.pop()
        self._made.append(f"skills_{os.getpid()}_{len(self._made)}")
        with self._engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {self._made[-1]}"))
        return self._made[-1]

    def give_back(self, name: str) -> None:
        """Empties a database; whoever still uses it is thrown out."""
        engine = create_engine(self.url(name), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            others = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"
            connection.execute(text(others), {"name": name})
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        self._free.append(name)

    def url(self, name: str) -> str:
        return make_url(self._server).set(database=name).render_as_string(hide_password=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if OWN_SERVER in os.environ:  # a server of the tests' own is thrown away as a whole
            with self._engine.connect() as connection:
                for name in self._made:
                    connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def chroma_server(folder: Path) -> Iterator[str]:
    """The URL of a new Chroma server over a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [Path(sys.executable).with_name("chroma"), "run", "--path", folder, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(f"{url}/api/v2/heartbeat", process)
        yield url
    finally:
        process.kill()
        process.wait()


def _await(url: str, process: "subprocess.Popen[bytes]", seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root, so root runs it as the user that its package made."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _run(user: str | None, *command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, user=user, cwd="/")
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")
