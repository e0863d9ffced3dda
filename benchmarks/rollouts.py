"""The cost of a million recorded rollouts: writing the first and the last, the file, opening it, and asking it.

    python benchmarks/rollouts.py [--rollouts 1000000] [--json OUT]

200 skills, 1,000 groups of 4 revisions. The first and the last 10,000 rollouts are written by `store.runs.record`, one run of 5
rollouts a call: one transaction (and one fsync) that holds the task, the 5 rollouts and 5 credits of their skill. Those in
between are filled in by bulk SQL, as rows alone: nobody waits for a million fsyncs, and credits do not change the size.

Then, at full size: the file after closing, opening the store, what `skill-plugin skills show NAME` asks of it (get, versions,
lift) and that command, and what training reads: (prompt, candidate, rewards) of every group, and the rollouts of one of 10
families in the order of their ids since a date in the middle.
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.progress import track

from skill_plugin import Revision, Rollout, Skill, Task
from skill_plugin.embedders import HashingEmbedder
from skill_plugin.store import SkillStore

SKILLS = 200
GROUPS_A_SKILL = 5
CANDIDATES = 4
ROLLOUTS_A_RUN = 5
MEASURED = 10_000
FAMILIES = 10
NAMESPACE = "default"
START = datetime(2025, 1, 1)  # noqa: DTZ001 - the database holds UTC without saying so
ANSWER = "The answer, after looking it up in the table and adding both columns, is 42. " * 3
FEEDBACK = "the total is right, the currency is missing"
SHOW = "from skill_plugin.integrations.cli import main; main()"


def task(number: int) -> Task:
    return Task(
        f"Question {number}: what do both columns add up to?", family=f"family-{number % FAMILIES}", reference="42"
    )


def reward(number: int) -> float:
    return (number * 7919 % 101) / 100


def at(run: int) -> str:
    """Returns the time of a run, one a minute, as the database writes times."""
    return (START + timedelta(minutes=run)).strftime("%Y-%m-%d %H:%M:%S.%f")


def add_skills(store: SkillStore) -> list[Skill]:
    """Adds every skill with the versions that its groups became."""
    made: list[Skill] = []
    for number in track(range(SKILLS), "skills"):
        skill = store.add(name=f"skill-{number}", description=f"How to add {number}", body="1. Look.\n2. Add.\n" * 20)
        made.append(skill)
        for group in range(GROUPS_A_SKILL):
            texts = [skill.text.replace("2. Add.", f"2. Add {group} {n}.") for n in range(CANDIDATES)]
            prompt = ({"role": "user", "content": "Rewrite this procedure. " * 100},)
            revisions = [Revision(completion=text, text=text, prompt=prompt) for text in texts]
            ids = {"run_id": f"stage-{number}-{group}", "group_id": f"group-{number}-{group}", "generation": 1}
            made.extend(
                staged.skill
                for staged in store.runs.stage(Task(f"Born from {number} {group}"), revisions, parent=skill.ref, **ids)  # type: ignore[arg-type]
                if staged.skill
            )
    return made


def record(store: SkillStore, skills: list[Skill], first: int, last: int) -> float:
    """Records rollouts, one run a call; returns how many a second."""
    begun = time.perf_counter()
    for run in range(first // ROLLOUTS_A_RUN, last // ROLLOUTS_A_RUN):
        ref = skills[run % len(skills)].ref
        rollouts = [
            Rollout(generation=n, answer=ANSWER, skill=ref, reward=reward(run + n), passed=False, feedback=FEEDBACK)
            for n in range(ROLLOUTS_A_RUN)
        ]
        store.runs.record(task(run), rollouts, run_id=f"run-{run}", thread_id=f"thread-{run}", chosen=rollouts[-1])
    return (last - first) / (time.perf_counter() - begun)


def fill(path: Path, skills: list[Skill], first: int, last: int) -> None:
    """Writes rows like those of `record`, with its own columns and defaults."""

    def runs() -> Iterator[int]:
        yield from track(range(first // ROLLOUTS_A_RUN, last // ROLLOUTS_A_RUN), "filling")

    with closing(sqlite3.connect(path)) as connection, connection:
        pattern = {
            table: connection.execute(f"SELECT * FROM {table} LIMIT 1")  # noqa: S608 - ours
            for table in ("skillp_task", "skillp_rollout")
        }
        columns = {table: [column[0] for column in cursor.description] for table, cursor in pattern.items()}
        rows = {table: dict(zip(columns[table], cursor.fetchone(), strict=True)) for table, cursor in pattern.items()}
        insert = {
            table: f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - ours
            for table, names in columns.items()
        }
        for run in runs():
            made, skill = task(run), skills[run % len(skills)]
            ours = {"id": made.id, "family": made.family, "input": made.input, "content_hash": made.content_hash}
            connection.execute(insert["skillp_task"], tuple((rows["skillp_task"] | ours).values()))
            common = {"id": None, "task_id": made.id, "skill_id": skill.id, "version": skill.version}
            common |= {"run_id": f"run-{run}", "thread_id": f"thread-{run}", "created_at": at(run)}
            connection.executemany(
                insert["skillp_rollout"],
                [
                    tuple((rows["skillp_rollout"] | common | {"generation": n, "reward": reward(run + n)}).values())
                    for n in range(ROLLOUTS_A_RUN)
                ],
            )


def groups(path: Path) -> dict[str, Any]:
    """Reads what training does: of every group the prompt, and each candidate's text with its rewards."""
    with closing(sqlite3.connect(path)) as connection:
        rewards = defaultdict(list)
        tried = "SELECT skill_id, version, reward FROM skillp_rollout WHERE namespace = ? AND reward IS NOT NULL ORDER BY id"
        for skill_id, version, value in connection.execute(tried, [NAMESPACE]):
            rewards[skill_id, version].append(value)
        made: dict[str, Any] = {}
        written = """SELECT group_id, prompt, completion, skill_id, version FROM skillp_revision WHERE namespace = ?
            ORDER BY group_id, candidate"""
        for group_id, prompt, completion, skill_id, version in connection.execute(written, [NAMESPACE]):
            made.setdefault(group_id, (json.loads(prompt), []))[1].append((completion, rewards[skill_id, version]))
        return made


def family(path: Path, since: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        statement = """SELECT r.id, r.run_id, r.skill_id, r.version, r.reward FROM skillp_rollout r
            JOIN skillp_task t ON t.namespace = r.namespace AND t.id = r.task_id
            WHERE r.namespace = ? AND t.family = ? AND r.created_at >= ? ORDER BY r.id"""
        return len(connection.execute(statement, [NAMESPACE, "family-3", since]).fetchall())


def timed(call: Callable[[], Any], times: int = 5) -> float:
    """Returns the median time of a call, in milliseconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begun) * 1000)
    return round(statistics.median(taken), 1)


def open_store(home: Path) -> SkillStore:
    return SkillStore.open(home, embedder=HashingEmbedder(), chroma=False)


def show(store: SkillStore, name: str) -> None:
    store.get(name)
    store.versions(name)
    store.lift(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    total: int = arguments.rollouts
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        path = home / "skills.db"
        with open_store(home) as store:
            skills = add_skills(store)
            first = record(store, skills, 0, MEASURED)
        fill(path, skills, MEASURED, total - MEASURED)
        with open_store(home) as store:
            last = record(store, skills, total - MEASURED, total)
        with closing(sqlite3.connect(path)) as connection:
            counted = connection.execute("SELECT count(*) FROM skillp_rollout").fetchone()[0]
        middle = at(total // ROLLOUTS_A_RUN // 2)
        command = [sys.executable, "-c", SHOW, "skills", "show", "skill-7"]
        environment = {**os.environ, "SKILL_PLUGIN_HOME": str(home), "SKILL_PLUGIN_EMBEDDER": "hashing"}
        with open_store(home) as store:
            shown = timed(lambda: show(store, "skill-7"))
        figures = {
            "rollouts": counted,
            "filled_in_by_bulk_sql": total - 2 * MEASURED,
            "one_transaction": f"one run: a task, {ROLLOUTS_A_RUN} rollouts, {ROLLOUTS_A_RUN} credits",
            "first_10000_rollouts_per_s": round(first),
            "last_10000_rollouts_per_s": round(last),
            "file_mib": round(path.stat().st_size / 2**20),
            "bytes_per_rollout": round(path.stat().st_size / counted),
            "open_ms": timed(lambda: open_store(home).close()),
            "show_ms": shown,
            "show_command_ms": timed(
                lambda: subprocess.run(command, env=environment, check=True, capture_output=True), times=3
            ),
            "groups": len(groups(path)),
            "read_groups_ms": timed(lambda: groups(path), times=3),
            "rollouts_of_a_family_since_a_date": family(path, middle),
            "read_family_ms": timed(lambda: family(path, middle), times=3),
        }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
