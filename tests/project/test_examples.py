"""The examples run as they are, and print what they promise."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    "stategraph": ["skill shown: refunds", "answer: You have it .*", "utility of refunds: 1.0 after 1 use"],
    "create_agent": ["without a skill: 39.00 km", "with one: 41.84 km", "utility of miles: 1.0 after 1 use"],
    "replay": [
        r"\d+ of 12 failures would have been solved",
        r"Of these \d+, \d+ had never been shown to the writer of the skill .*",
        "revenue: .* held-out tasks.*",
        "stock-units: .* held-out tasks.*",
        r"\d+ model calls of at most 150",
    ],
    "evolve": [
        "before: 0 of 12",
        "after: 12 of 12",
        r"revenue, version \d+, live because of .* held-out tasks",
        r"  utility \d\.\d\d after \d+ uses; .*",
        r"stock-units, version \d+, live because of .* held-out tasks",
        r"  utility \d\.\d\d after \d+ uses; .*",
    ],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py")],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch("\n".join([*EXAMPLES[name], ""]), ran.stdout), ran.stdout


def test_every_example_is_run_and_in_the_list():
    files = {path.stem for path in (ROOT / "examples").glob("*.py")}

    assert files == set(EXAMPLES)
    assert all(f"({name}.py)" in (ROOT / "examples" / "README.md").read_text() for name in files)
