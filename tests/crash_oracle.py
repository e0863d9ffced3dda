"""What must be true of a store whose process was killed: nothing acknowledged is lost, and nothing is half done."""

import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import crash_driver
from skill_plugin.skills import folders

DRIVER = Path(crash_driver.__file__)
ROOT = DRIVER.parent.parent
SECONDS = 120
UTILITY_RATE = 0.05

# Ids and times differ from run to run; names, numbers and orders do not.
_STATE = {
    "namespace": "SELECT name, signature FROM skillp_namespace",
    "skill": """SELECT name, description, status, pinned, live_version, utility, uses, wins, low_audits, audited_uses
        FROM skillp_skill ORDER BY name""",
    "version": """SELECT s.name, v.number, v.generation, v.parent, v.sha256, v.author, v.tier, v.utility, v.uses, v.wins,
        v.revision_id IS NULL FROM skillp_skill_version v JOIN skillp_skill s ON s.id = v.skill_id ORDER BY 1, 2""",
    "event": """SELECT s.name, e.version, e.kind, e.by, e.reason FROM skillp_event e
        JOIN skillp_skill s ON s.id = e.skill_id ORDER BY e.id""",
    "task": "SELECT id, split FROM skillp_task ORDER BY id",
    "rollout": """SELECT r.run_id, r.generation, r.task_id, s.name, r.version, w.name, r.withheld_version, r.reward, r.passed,
        r.credited, r.chosen FROM skillp_rollout r LEFT JOIN skillp_skill s ON s.id = r.skill_id
        LEFT JOIN skillp_skill w ON w.id = r.withheld_skill_id ORDER BY r.id""",
    "outcome": "SELECT run_id, digest, reward FROM skillp_outcome ORDER BY id",
    "revision": """SELECT r.group_id, r.candidate, s.name, r.version, r.error, r.completion FROM skillp_revision r
        LEFT JOIN skillp_skill s ON s.id = r.skill_id ORDER BY 1, 2""",
}


def rows(home, statement):
    with closing(sqlite3.connect(Path(home, "skills.db"))) as connection:
        return [list(row) for row in connection.execute(statement)]


def state(home):
    """All that the store knows, by table, without what chance decided."""
    if not rows(home, "SELECT 1 FROM sqlite_master WHERE name = 'skillp_namespace'"):
        return {name: [] for name in _STATE}
    found = {name: rows(home, statement) for name, statement in _STATE.items()}
    for event in found["event"]:
        event[-1] = event[-1].rpartition("/")[2]  # where it was imported from
    in_turn = groupby(
        found["event"], key=lambda event: event[2] == "loaded"
    )  # the rows of a dump are in the order of ids
    found["event"] = [event for loaded, events in in_turn for event in (sorted(events) if loaded else events)]
    return found


class Reference:
    """The same steps, taken by a process that nobody kills."""

    def __init__(self, home, seed):
        self.seed = seed
        self._home = Path(home)
        self._driver = crash_driver.Driver(home, seed)
        self._said = []
        self._states = {}

    def after(self, steps):
        """The state after so many steps. Ask for them in order, or for one asked for before."""
        while len(self._said) < steps:
            self._said.append(list(self._driver.step(len(self._said))))
        if steps not in self._states:
            assert steps == len(self._said), "that state is gone"
            self._states[steps] = state(self._home)
        return self._states[steps]

    def said(self, step):
        return json.loads(json.dumps(self._said[step]))

    def close(self):
        self._driver.close()


@dataclass
class Run:
    """A driver that ended: how, and what it had acknowledged by then."""

    status: int
    acknowledged: list = field(default_factory=list)
    errors: str = ""

    @property
    def killed(self):
        return self.status == -signal.SIGKILL


def run(home, seed, first=0, last=10**6, *, chroma=False, crash_at=None, kill_after=None, at_step=None, delay=0.0):
    """Runs the driver until it ends, is killed at a crash point, is killed so many seconds after it has begun, or is killed a `delay`
    after it has acknowledged its `at_step`-th step.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | ({"SKILL_PLUGIN_CRASH_AT": crash_at} if crash_at else {})
    command = [
        sys.executable,
        str(DRIVER),
        str(home),
        str(seed),
        str(first),
        str(last),
        *(["--chroma"] if chroma else []),
    ]
    log = Path(home).with_suffix(".errors")
    with (
        log.open("w+b") as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            ready = process.stdout.readline()
            if kill_after is not None:
                time.sleep(kill_after)
                process.kill()
            begun = [process.stdout.readline() for _ in range(at_step or 0)]
            if at_step is not None:
                time.sleep(delay)
                process.kill()
            said, _ = process.communicate(timeout=SECONDS)
            said = b"".join(begun) + said
        finally:
            process.kill()
        errors.seek(0)
        told = errors.read().decode(errors="replace") if ready else "it never began"
    lines = [line for line in said.splitlines(keepends=True) if line.endswith(b"\n")]  # the last may be cut off
    return Run(process.returncode, [json.loads(line) for line in lines], told)


@dataclass
class Finding:
    """What the oracle says of a store that was opened again."""

    steps: int
    """How many steps are in it, the one in flight included if it was carried out."""

    problems: list
    acknowledged: int = 0
    lost: int = 0
    repair_ms: float = 0.0
    """From opening the store to an index that agrees."""

    put_aside: int = 0
    """Folders of Chroma that it was damaged in, and that were built anew."""


def examine(home, reference, first, done, *, chroma=False):
    """Opens a killed store; `done` is what the driver acknowledged, from step `first` on."""
    steps = first + len(done)
    finding = Finding(steps, [], len(done))
    problems = finding.problems
    if (verdict := rows(home, "PRAGMA integrity_check")) != [["ok"]]:
        problems.append(f"integrity_check says {verdict}")
    _examine_index(home, finding, chroma=chroma)
    after = state(home)
    expected = reference.after(steps)
    if [line[1:] for line in done] != [reference.said(number) for number in range(first, steps)]:
        problems.append("it said other things than a run that was not killed")
    if after != expected:
        with_next = reference.after(steps + 1)
        if after == with_next:
            finding.steps = steps + 1
        else:
            finding.lost = 1
            tables = [name for name in after if after[name] not in (expected[name], with_next[name])]
            problems.append(f"after step {steps} it holds neither the steps acknowledged nor one more: {tables}")
    problems.extend(utilities_that_do_not_follow(home))
    problems.extend(_unreadable_files(home))
    return finding


def _examine_index(home, finding, *, chroma):
    begun = time.monotonic()
    store = crash_driver.open_store(home, chroma=chroma)
    try:
        if chroma and not store.wait_for_index(60):
            finding.problems.append(f"the index does not catch up: {store._partition.index.problem}")
        finding.repair_ms = (time.monotonic() - begun) * 1000
        for aside in list(Path(home).glob("chroma.damaged-*")):
            finding.put_aside += 1
            shutil.rmtree(aside)
        signature = crash_driver.stored_signature(home)
        if chroma and rows(home, "SELECT 1 FROM skillp_namespace WHERE signature IS NOT NULL"):
            there = set(store._partition.index.ids(signature=signature))
            live = {skill.id for skill in store.list("live")}
            if there != live:
                finding.problems.append(f"the index lacks {len(live - there)} and has {len(there - live)} too many")
        finding.problems.extend(f"{check.name}: {check.detail}" for check in store.check() if not check.ok)
    finally:
        store.close()


def utilities_that_do_not_follow(home):
    """See `wrong_utilities`; a store that was killed before it had any table has none."""
    if rows(home, "SELECT 1 FROM sqlite_master WHERE name = 'skillp_rollout'"):
        yield from wrong_utilities(lambda statement: rows(home, statement))


def wrong_utilities(ask, within=0.0):
    """Each skill's and version's numbers beside a replay of its credited rollouts, in the order of their ids.

    `ask` returns the rows of a statement; utilities may differ by `within`, for a database that counts in another order.
    """
    skills, versions = {}, {}
    credited = "SELECT skill_id, version, reward, passed, adherence FROM skillp_rollout WHERE credited ORDER BY id"
    for skill_id, version, reward, passed, adherence in ask(credited):
        for numbers, key in ((skills, skill_id), (versions, (skill_id, version))):
            utility, uses, wins = numbers.get(key, (None, 0, 0))
            rate = (1 / (uses + 1) if uses + 1 < 1 / UTILITY_RATE else UTILITY_RATE) * (
                1 if adherence is None else adherence
            )
            moved = reward if utility is None else utility + rate * (reward - utility)
            numbers[key] = (moved, uses + 1, wins + bool(passed))
    later = {row[0] for row in ask(_WITH_OUTCOMES)}
    for skill_id, *numbers in ask("SELECT id, utility, uses, wins FROM skillp_skill"):
        if skill_id not in later and not _same(numbers, skills.get(skill_id, (None, 0, 0)), within):
            yield f"skill {skill_id} has {numbers}, its rollouts make {skills.get(skill_id)}"
    for skill_id, number, *numbers in ask("SELECT skill_id, number, utility, uses, wins FROM skillp_skill_version"):
        if skill_id not in later and not _same(numbers, versions.get((skill_id, number), (None, 0, 0)), within):
            yield f"version {skill_id}@{number} has {numbers}, its rollouts make {versions.get((skill_id, number))}"


def _same(numbers, replayed, within):
    (utility, *counts), (moved, *counted) = numbers, replayed
    return counts == counted and (utility == moved or (None not in (utility, moved) and abs(utility - moved) <= within))


_WITH_OUTCOMES = "SELECT DISTINCT skill_id FROM skillp_outcome JOIN skillp_rollout USING (namespace, run_id)"


def _unreadable_files(home):
    """What stands under its final name is whole; each is looked at once."""
    for path in sorted(Path(home, "files").glob("*.*")):
        if path.suffix not in (".gz", ".zip"):
            continue
        try:
            if path.suffix == ".zip":
                folders.read_skills(path)
            else:
                dump_rows(path)
        except (OSError, EOFError, ValueError) as exc:
            yield f"{path.name} cannot be read: {exc}"
        path.unlink()


def dump_rows(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
