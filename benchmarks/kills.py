"""SIGKILL at random moments and at every crash point: what is lost, what disagrees, how long repair takes.

    python benchmarks/kills.py [--kills 200] [--seed N] [--json OUT]

A process works on a store (adding, revising, promoting, pruning, recording, importing, embedding anew, ...) with Chroma on,
prints each step that has returned, and is killed. The store is opened again and compared with one that took the same steps
and was never killed (tests/crash_oracle.py); then the work resumes where it was. A new store is begun every ten kills.
Then one process is killed at each crash point named in the source.

`lost` counts reopened stores that hold neither what was acknowledged nor one step more, `disagreements` those where anything
else is wrong: SQLite's integrity_check, the ids in Chroma beside the live ids in SQL, `skill-plugin doctor`'s checks, utilities
beside a replay of the rollouts, files half written. Both targets are 0. `repair_ms` is from opening the store to an index
that has caught up; about a second of it is the start of Chroma's process. `chroma_folders_put_aside` counts the folders that
Chroma could not use any more and that were built anew from SQL.
"""

import argparse
import json
import random
import re
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.progress import track

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))
import crash_oracle  # noqa: E402 - from where the tests are

KILLS_A_STORE = 10
POINT_SEED = 2425
POINT_STEPS = 40


def crash_points() -> list[str]:
    sources = (TESTS.parent / "store").rglob("*.py")
    return sorted({name for path in sources for name in re.findall(r'crashpoint\("([^"]+)"\)', path.read_text())})


class Victim:
    """A store that is killed again and again, and its reference."""

    def __init__(self, seed: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.home = Path(self.folder.name, "home")
        self.reference = crash_oracle.Reference(Path(self.folder.name, "reference"), seed)
        self.steps = 0

    def kill(self, **how: Any) -> crash_oracle.Finding:
        run = crash_oracle.run(self.home, self.reference.seed, first=self.steps, chroma=True, **how)
        finding = crash_oracle.examine(self.home, self.reference, self.steps, run.acknowledged, chroma=True)
        if not run.killed:
            finding.problems.append(f"it ended by itself: {run.errors[-500:]}")
        if finding.problems:
            print(f"seed {self.reference.seed}, steps {self.steps} to {finding.steps}, {how}: {finding.problems}")
        self.steps = finding.steps
        return finding

    def close(self) -> None:
        self.reference.close()
        self.folder.cleanup()


def at_random(kills: int, seed: int) -> list[crash_oracle.Finding]:
    chance = random.Random(seed)  # noqa: S311 - it has to be repeatable
    findings: list[crash_oracle.Finding] = []
    victim = Victim(seed)
    for number in track(range(kills), "random kills"):
        if number and (number % KILLS_A_STORE == 0 or findings[-1].lost):
            victim.close()
            victim = Victim(seed + number)
        findings.append(victim.kill(kill_after=chance.uniform(0.0, 3.0)))
    victim.close()
    return findings


def at_crash_points() -> list[crash_oracle.Finding]:
    findings: list[crash_oracle.Finding] = []
    for point in track(crash_points(), "crash points"):
        victim = Victim(POINT_SEED)
        findings.append(victim.kill(last=POINT_STEPS, crash_at=point))
        victim.close()
    return findings


def summary(findings: list[crash_oracle.Finding]) -> dict[str, float]:
    repairs = [finding.repair_ms for finding in findings]
    return {
        "kills": len(findings),
        "lost": sum(finding.lost for finding in findings),
        "disagreements": sum(bool(finding.problems) and not finding.lost for finding in findings),
        "chroma_folders_put_aside": sum(finding.put_aside for finding in findings),
        "repair_ms_median": round(statistics.median(repairs)),
        "repair_ms_longest": round(max(repairs)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = at_random(arguments.kills, arguments.seed)
    figures = {
        "seed": arguments.seed,
        "steps_acknowledged": sum(finding.acknowledged for finding in found),
        "random": summary(found),
        "crash_points": summary(at_crash_points()),
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
