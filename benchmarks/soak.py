"""An hour of a store's life with everything going wrong around it: what is lost, what is wrong, who breaks.

    python benchmarks/soak.py [--minutes 60] [--postgres | --database URL] [--seed N] [--json benchmarks/soak.json]

Processes work on one store (benchmarks/soak_worker.py): three agents with the demonstration's graph in two namespaces, one agent on a model
behind HTTP, `evolve`, and a reader that does what a night does but for the training: it reads the dataset, and registers checkpoints. One
agent's clock jumps. Meanwhile faults come one after another, each kind in turn: processes are killed and frozen, the disk is full, the index
is damaged or its process killed, the model's server fails or hangs, the verifier raises, a lock is held, PostgreSQL is stopped, frozen, or
throws everybody out; `doctor` and `health` run beside it. SQLite is on a small tmpfs (as root; else no disk is filled, and the report says
so); PostgreSQL is a server of the soak's own (`--postgres`), or yours (`--database`), which is not stopped or frozen. The embedder is `hashing`.

Checked at the end, from each process's own fsynced ledger: every acknowledged write is there as it was acknowledged, no process was shown a
skill of another namespace, every utility is that of a replay, no standard error has a traceback, every refusal was one line, and `doctor`
finds nothing. The targets are 0 lost, 0 wrong, 0 tracebacks. `search_ms` is what agents waited for a search, faults or none.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soak_check import Report, examine
from soak_worker import TESTS, Plan
from sqlalchemy import NullPool, create_engine, text

import servers  # from the tests' folder, as soak_worker sets it
import stub_llm
from skill_plugin.demo import business
from skill_plugin.store import SkillStore

PROCESSES = {
    "agent-0": ("agent", "north"),
    "agent-1": ("agent", "north"),
    "agent-2": ("agent", "south"),
    "remote": ("remote", "north"),
    "evolver": ("evolver", "north"),
    "reader": ("reader", "north"),
}
CLOCK = "agent-1"
FAULT_S, REST_S = 4.0, 3.0
COMMAND_S = 300
END_S = 120
"""Seconds that a process may take to end when it is told to."""

GOOD = stub_llm.says("The sum is 4.")


class Soak:
    """The store, its processes, and what is done to them."""

    def __init__(self, stack: ExitStack, arguments: argparse.Namespace) -> None:
        self.rng = random.Random(arguments.seed)  # noqa: S311 - repeatable as far as processes are
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        self.control, self.business = self.folder / "control", self.folder / "business.db"
        self.control.mkdir()
        business.build(self.business)
        self.model = stack.enter_context(stub_llm.stub_llm(GOOD))
        self.server: str | None = None
        self.disk: Path | None = None
        self.home = self.folder / "home"
        if arguments.database or arguments.postgres:
            self._use_postgres(stack, arguments.database)
        else:
            self._use_sqlite(stack, arguments.minutes)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.started = Counter[str]()
        self.faults: list[tuple[str, float, float]] = []
        self.said = Counter[str]()
        self.hung: list[str] = []

    def _use_sqlite(self, stack: ExitStack, minutes: float) -> None:
        self.programs = None
        disk = self.folder / "disk"
        disk.mkdir()
        size = f"size={int(100 + 40 * minutes)}m"
        if (
            os.name == "posix"
            and not subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", disk], check=False).returncode
        ):
            stack.callback(subprocess.run, ["umount", "-l", disk], check=True)
            self.disk, self.home = disk, disk / "home"
        self.location, self.chroma = str(self.home), str(self.home / "chroma")

    def _use_postgres(self, stack: ExitStack, url: str | None) -> None:
        self.programs = servers.postgres_programs()
        if url is None:
            if self.programs is None:
                raise SystemExit("no PostgreSQL here: install Debian's postgresql, or give --database URL")
            self.server = url = stack.enter_context(servers.postgres(self.programs))
            engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
            with engine.connect() as connection:
                connection.execute(text("CREATE DATABASE soak"))
            url = url.replace("/postgres?", "/soak?")
        self.location, self.chroma = url, str(self.folder / "chroma")

    @property
    def database(self) -> str:
        return self.location if "://" in self.location else f"sqlite:///{self.location}/skills.db"

    def open(self, namespace: str) -> SkillStore:
        location = self.location if "://" in self.location else Path(self.location)
        return SkillStore.open(location, namespace=namespace, embedder="hashing", chroma=self.chroma)

    def begin(self, name: str) -> None:
        """Starts a process; its ledger and its standard error go on where they were."""
        role, namespace = PROCESSES[name]
        plan = Plan(
            name=name,
            location=self.location,
            chroma=self.chroma if namespace == "north" else "",
            namespace=namespace,
            ledger=str(self.folder / f"{name}.ledger"),
            control=str(self.control),
            business=str(self.business),
            model_url=self.model.url,
            seed=list(PROCESSES).index(name),
            clock=str(self.control / "clock") if name == CLOCK else None,
        )
        command = [sys.executable, str(Path(__file__).with_name("soak_worker.py")), role, json.dumps(asdict(plan))]
        with (self.folder / f"{name}.errors").open("ab") as errors:
            self.processes[name] = subprocess.Popen(command, stdout=errors, stderr=errors, start_new_session=True)
        self.started[name] += 1

    def look_after(self) -> None:
        """Starts again what has ended, which only a kill should do."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                if process.returncode != -signal.SIGKILL:
                    self.said[f"{name} ended by itself with status {process.returncode}"] += 1
                self.begin(name)

    def run(self, minutes: float) -> None:
        for name in PROCESSES:
            self.begin(name)
        until, turn = time.monotonic() + minutes * 60, 0
        kinds = self.kinds()
        time.sleep(min(10.0, minutes * 10))
        while time.monotonic() < until:
            kind = list(kinds)[turn % len(kinds)]
            turn += 1
            began = time.monotonic()
            with kinds[kind]():
                time.sleep(self.rng.uniform(0.5, 1) * FAULT_S)
            self.faults.append((kind, began, time.monotonic()))
            self.look_after()
            time.sleep(self.rng.uniform(0.5, 1) * REST_S)
            print(f"{(until - time.monotonic()) / 60:.1f} minutes left: {kind}", file=sys.stderr, flush=True)
        self.end()

    def end(self) -> None:
        time.sleep(2 * REST_S)
        self.look_after()
        (self.control / "stop").touch()
        for name, process in self.processes.items():
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.hung.append(name)
                process.send_signal(signal.SIGABRT)
                process.kill()
                process.wait()

    def kinds(self) -> dict[str, Callable[[], Any]]:
        """Returns the faults, by their names."""
        found: dict[str, Callable[[], Any]] = {
            "kill": self.kill,
            "model down": lambda: self.model_is(stub_llm.fails(503)),
            "doctor": lambda: self.command("doctor"),
            "freeze a process": self.freeze,
            "verifier raises": lambda: self.file("verifier"),
            "kill the index": self.kill_index,
            "model hangs": lambda: self.model_is(stub_llm.HANG),
            "clock": lambda: self.file("clock", str(self.rng.choice([-4e7, -3600, 3600, 6e8]))),
            "damage the index": self.damage_index,
            "health": lambda: self.command("health"),
            "model cuts off": lambda: self.model_is(stub_llm.RESET),
            "lock": self.lock,
        }
        if self.disk is not None:
            found["disk full"] = self.fill
        if "://" in self.location:
            found["postgres throws out"] = self.throw_out
        if self.server is not None and self.programs is not None:
            server, programs = self.server, self.programs
            found["postgres frozen"] = lambda: servers.frozen(server)
            found["postgres stopped"] = lambda: servers.stopped(server, programs, "fast")
            found["postgres crashes"] = lambda: servers.stopped(server, programs, "immediate")
        return found

    @contextmanager
    def kill(self) -> Iterator[None]:
        for name in self.rng.sample(list(PROCESSES), 2):
            self.processes[name].kill()
            self.processes[name].wait()
            time.sleep(0.3)
            self.begin(name)
        yield

    @contextmanager
    def freeze(self) -> Iterator[None]:
        process = self.processes[self.rng.choice(list(PROCESSES))]
        process.send_signal(signal.SIGSTOP)
        yield
        process.send_signal(signal.SIGCONT)

    @contextmanager
    def kill_index(self) -> Iterator[None]:
        for process in self.processes.values():
            for child in servers.children(process.pid):
                with suppress(OSError):
                    if b"chroma_process" in Path(f"/proc/{child}/cmdline").read_bytes():
                        os.kill(child, signal.SIGKILL)
        yield

    @contextmanager
    def damage_index(self) -> Iterator[None]:
        files = [path for path in Path(self.chroma).rglob("*") if path.is_file()]
        for path in self.rng.sample(files, min(2, len(files))):
            with suppress(OSError):
                if self.rng.random() < 0.3:
                    path.unlink()
                else:
                    with path.open("r+b") as file:
                        file.seek(self.rng.randrange(max(1, path.stat().st_size)))
                        file.write(self.rng.randbytes(200))
        yield

    @contextmanager
    def fill(self) -> Iterator[None]:
        ballast = Path(str(self.disk), "ballast")
        for size in (2**20, 2**12):
            with suppress(OSError), ballast.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(size))
        time.sleep(FAULT_S)  # until the log is used up that SQLite has room in
        yield
        ballast.unlink()

    @contextmanager
    def model_is(self, reply: stub_llm.Reply) -> Iterator[None]:
        self.model.script = (reply,)
        yield
        self.model.script = (GOOD,)
        self.model.over.set()  # those that hang
        self.model.over.clear()

    @contextmanager
    def file(self, name: str, content: str = "") -> Iterator[None]:
        (self.control / name).write_text(content)
        yield
        (self.control / name).unlink()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds what every writer waits for, once the others have let it."""
        patience = {"timeout": 300} if self.database.startswith("sqlite") else {}
        engine = create_engine(self.database, isolation_level="AUTOCOMMIT", poolclass=NullPool, connect_args=patience)
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql("BEGIN; SELECT * FROM skillp_namespace FOR UPDATE")
            yield
            connection.exec_driver_sql("ROLLBACK")

    @contextmanager
    def throw_out(self) -> Iterator[None]:
        engine = create_engine(self.database, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        with engine.connect() as connection:
            connection.execute(text(others))
        yield

    @contextmanager
    def command(self, name: str) -> Iterator[None]:
        """Runs a command that only looks, beside the writers."""
        options = ["--namespace", "north", "--embedder", "hashing", "--chroma", self.chroma, "--home", str(self.home)]
        options += ["--database", self.location] if "://" in self.location else []
        command = [sys.executable, "-m", "skill_plugin.integrations.cli", name, "--json", *options]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
        except subprocess.TimeoutExpired:
            self.hung.append(name)
            yield
            return
        self.said[f"{name} ended with status {ran.returncode}"] += 1
        if ran.returncode:
            self.said[f"{name}: {re.sub('[0-9]+', 'N', ran.stdout + ran.stderr)[:1500]}"] += 1
        if "Traceback" in ran.stderr:
            (self.folder / f"{name}.errors").write_text(ran.stderr)
        yield


def summary(soak: Soak, report: Report, minutes: float, seed: int) -> dict[str, Any]:
    during = [
        ms for ms, began in report.searches if any(began <= b and a <= began + ms / 1000 for _, a, b in soak.faults)
    ]
    every = [ms for ms, _ in report.searches]
    return {
        "minutes": minutes,
        "seed": seed,
        "database": "postgresql" if "://" in soak.location else "sqlite",
        "acknowledged": dict(report.acknowledged),
        "lost": report.lost,
        "wrong": report.wrong,
        "tracebacks": report.tracebacks,
        "hung": soak.hung,
        "faults": dict(Counter(kind for kind, _, _ in soak.faults)),
        "disk_was_filled": soak.disk is not None,
        "starts": dict(soak.started),
        "refusals": dict(report.refusals.most_common(40)),
        "searches": len(every),
        "search_ms": {"during_faults": figures(during), "all": figures(every)},
        "said": dict(soak.said),
    }


def figures(times: list[float]) -> dict[str, float] | None:
    if len(times) < 2:
        return None
    cuts = statistics.quantiles(times, n=100)
    return {"p50": round(cuts[49], 1), "p95": round(cuts[94], 1), "longest": round(max(times), 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--database")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--keep", type=Path, help="A folder to copy ledgers and errors to.")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    with ExitStack() as stack:
        soak = Soak(stack, arguments)
        try:
            soak.run(arguments.minutes)
        finally:
            for process in soak.processes.values():
                with suppress(ProcessLookupError):
                    process.kill()
        report = examine(soak.folder, soak.database, soak.open)
        found = summary(soak, report, arguments.minutes, arguments.seed)
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for file in (*soak.folder.glob("*.ledger"), *soak.folder.glob("*.errors")):
                shutil.copy(file, arguments.keep)
    arguments.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    print(json.dumps(found, indent=2))
    acknowledged = sum(report.acknowledged.values())
    print(
        f"{acknowledged} writes acknowledged, {len(report.lost)} lost, {len(report.wrong)} wrong, {len(report.tracebacks)} tracebacks, "
        f"{len(soak.hung)} hung, {len(soak.faults)} faults, search during faults {found['search_ms']['during_faults']}"
    )
    return int(bool(report.lost or report.wrong or report.tracebacks or soak.hung))


if __name__ == "__main__":
    sys.exit(main())
