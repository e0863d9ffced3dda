"""Checks what must be true after benchmarks/soak.py: the ledgers of its processes beside what the store holds."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soak_worker import JUDGED  # sets the path to the tests
from sqlalchemy import NullPool, create_engine, text

import crash_oracle
from skill_plugin.store import SkillStore

NAMESPACES = ("north", "south")
MANY = 20
"""Findings of a kind that are told."""


@dataclass
class Report:
    """What was found."""

    acknowledged: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    searches: list[tuple[float, float]] = field(default_factory=list)
    """Milliseconds, and when each began."""


def examine(folder: Path, database: str, open_store: Callable[[str], SkillStore]) -> Report:
    """Reads every ledger, and looks for what it says in the store."""
    report = Report()
    engine = create_engine(database, poolclass=NullPool)

    def ask(statement: str) -> list[list[Any]]:
        with engine.connect() as connection:
            return [list(row) for row in connection.execute(text(statement))]

    kept = _Kept(ask)
    for path in sorted(folder.glob("*.ledger")):
        namespace = "south" if path.stem == "agent-2" else "north"
        for line in _lines(path):
            _judge(report, kept, namespace, path.stem, line)
    for problem in (*crash_oracle.wrong_utilities(ask, within=1e-9), *_wrong_later(ask)):
        report.wrong.append(problem)
    for path in sorted(folder.glob("*.errors")):
        said = path.read_text(encoding="utf-8", errors="replace")
        for part in said.split("Traceback (most recent call last)")[1:]:
            report.tracebacks.append(f"{path.stem}: {part[-1500:]}")
    for namespace in NAMESPACES:
        report.wrong += list(_of_doctor(open_store, namespace))
    report.wrong, report.lost = report.wrong[:MANY], report.lost[:MANY]
    report.tracebacks = report.tracebacks[:MANY]
    return report


class _Kept:
    """What the store holds, read once."""

    def __init__(self, ask: Callable[[str], list[list[Any]]]) -> None:
        self.runs = {
            (space, run): reward for space, run, reward in ask("SELECT namespace, run_id, reward FROM skillp_rollout")
        }
        self.outcomes = {
            (space, run): reward for space, run, reward in ask("SELECT namespace, run_id, reward FROM skillp_outcome")
        }
        versions = "SELECT s.namespace, s.name, v.number, v.sha256 FROM skillp_skill_version v JOIN skillp_skill s ON s.id = v.skill_id"
        self.versions = {(space, name, number): sha for space, name, number, sha in ask(versions)}
        self.skills = dict(ask("SELECT id, namespace FROM skillp_skill"))  # type: ignore[arg-type]
        self.checkpoints = {(space, one) for space, one in ask("SELECT namespace, id FROM skillp_checkpoint")}
        self.evolved = {(space, one) for space, one in ask("SELECT namespace, id FROM skillp_evolve_run")}


def _judge(report: Report, kept: _Kept, namespace: str, who: str, line: dict[str, Any]) -> None:
    kind = line["kind"]
    if kind == "search":
        report.searches.append((line["ms"], line["began"]))
    elif kind == "refused":
        said = re.sub(r"\S+://\S+|/\S+", "...", " ".join(line["line"].split()))
        report.refusals[f"{line['step']}: {line['error']}: {said[:120]}"] += 1
        if line["lines"]:
            report.wrong.append(f"{who}: a refusal of several lines: {line['line']}")
    elif kind == "model":
        report.refusals[f"model: {line['error']}"] += 1
    elif kind == "wrong":
        report.wrong.append(f"{who}: {line['what']}")
    elif kind == "saw":
        foreign = [one for one in line["ids"] if kept.skills.get(one) != namespace]
        report.wrong += [f"{who} in {namespace} saw {one} of {kept.skills.get(one)}" for one in foreign]
    elif kind in ("run", "outcome", "version", "checkpoint", "evolve"):
        report.acknowledged[kind] += 1
        if (problem := _missing(kept, namespace, line)) is not None:
            getattr(report, problem).append(f"{who}: {json.dumps(line)}")


def _missing(kept: _Kept, namespace: str, line: dict[str, Any]) -> str | None:
    """Returns whether an acknowledged write is `lost` or `wrong`; None if it is as it should be."""
    kind = line["kind"]
    if kind == "version":
        sha = kept.versions.get((namespace, line["name"], line["number"]))
        return "lost" if sha is None else None if sha == line["sha"] else "wrong"
    if kind == "checkpoint":
        return None if (namespace, line["id"]) in kept.checkpoints else "lost"
    if kind == "evolve":
        # Its outcome is open again while a later turn at the same tasks goes on, and where that one was killed.
        return None if (namespace, line["run_id"]) in kept.evolved else "lost"
    there = kept.runs if kind == "run" else kept.outcomes
    key = (namespace, line["run_id"])
    if key not in there:
        return "lost"
    return "wrong" if "reward" in line and there[key] != line["reward"] else None


def _wrong_later(ask: Callable[[str], list[list[Any]]]) -> Iterator[str]:
    """The skill whose runs are judged later, beside a replay of the outcomes in their order."""
    for skill_id, namespace, utility, uses in ask(
        f"SELECT id, namespace, utility, uses FROM skillp_skill WHERE name = '{JUDGED}'"  # noqa: S608 - a constant
    ):
        mine = f"skill_id = '{skill_id}'"
        others = f"{mine} AND credited AND reward IS NOT NULL AND run_id NOT LIKE 'later-%'"
        if ask(f"SELECT 1 FROM skillp_rollout WHERE {others}"):  # noqa: S608
            continue  # the graph used it too, so that the order of rewards cannot be told
        moved, count = None, 0
        joined = f"skillp_outcome o JOIN skillp_rollout r ON r.namespace = o.namespace AND r.run_id = o.run_id WHERE r.{mine}"
        for (reward,) in ask(f"SELECT o.reward FROM {joined} ORDER BY o.id"):  # noqa: S608
            count += 1
            rate = max(1 / count, crash_oracle.UTILITY_RATE)
            moved = reward if moved is None else moved + rate * (reward - moved)
        if uses != count or abs((utility or 0) - (moved or 0)) > 1e-9:
            yield f"{namespace}: {JUDGED} has utility {utility} after {uses} uses, its outcomes make {moved} after {count}"


def _of_doctor(open_store: Callable[[str], SkillStore], namespace: str) -> Iterator[str]:
    with open_store(namespace) as store:
        deadline = time.monotonic() + 120
        while not store.wait_for_index(60) and time.monotonic() < deadline:
            time.sleep(1)
        yield from (f"doctor of {namespace}: {check.name}: {check.detail}" for check in store.check() if not check.ok)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):  # empty, or cut by a kill
            yield json.loads(line)
