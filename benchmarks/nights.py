"""The share of nights on the tiny generator of the tests that end in a promotion.

    python benchmarks/nights.py [--nights 30] [--tasks 100] [--set NAME=VALUE ...] [--json OUT]

Each night is tests/integrations/test_night.py's, with a draw of its own: `evolve` on one family's tasks with a real
model of 89,000 weights and a simulated task LLM, then `retrain` with the gate on 20 held-out tasks, in an empty home.
`--set` changes a training setting.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for threads
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from nights import NIGHT, SETTINGS, evolving, run, tasks_file
from tiny_writer import tiny_writer


def night(folder: Path, writer: Path, tasks: int, changes: Sequence[str]) -> dict[str, Any]:
    """Runs a night; returns its result, with rewards as means over the gate's held-out tasks."""
    home = folder / "home"
    path = tasks_file(folder, "tasks", range(100, 100 + tasks), heldout=range(900, 920))
    run(evolving(path), home, writer)
    changed = [word for one in changes for word in ("--set", one)]
    said = json.loads(run(("retrain", *NIGHT, *SETTINGS, *changed, "--json"), home, writer))
    gate = {name: said["gate"][name] for name in ("before", "after")}
    return {"outcome": said["outcome"], **gate, "reason": said["reason"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        writer = tiny_writer(Path(folder) / "writer")
        for number in range(arguments.nights):
            place = Path(folder) / str(number)
            place.mkdir()
            found.append(night(place, writer, arguments.tasks, arguments.set))
            print(found[-1], flush=True)
    promoted = sum(one["outcome"] == "promoted" for one in found)
    print(
        f"{promoted} of {len(found)} promoted; the lowest reward after one is {min(one['after'] for one in found):.3f}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
