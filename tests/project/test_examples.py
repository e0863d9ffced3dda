"""The examples run as they are, and print what they promise."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = {
    "stategraph": "utility of refunds: 1.0 after 1 use",
    "create_agent": "with one: 41.84 km",
    "learn": "after: 12 of 12",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py")],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert EXAMPLES[name] in ran.stdout.splitlines(), ran.stdout


def test_every_example_is_run_and_in_the_list():
    files = {path.stem for path in (ROOT / "examples").glob("*.py")}

    assert files == set(EXAMPLES)
    assert all(f"({name}.py)" in (ROOT / "examples" / "README.md").read_text() for name in files)
