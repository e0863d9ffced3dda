"""What pyright sees of us, in a wheel and in a checkout; `make types` asks mypy the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = (ROOT / "tests" / "project" / "typing_examples.py").read_text(encoding="utf-8")


@pytest.fixture(params=["wheel", "checkout"])
def place(request):
    if request.param == "wheel":
        return request.getfixturevalue("site")
    if not (ROOT / "skill_plugin" / "store").exists():
        pytest.skip("a source distribution has no links, by which a type checker finds the packages of a checkout")
    return ROOT


def errors(text, place, folder):
    """Returns pyright's errors on a text, and fails if it did not read it: without a file it also reports none."""
    (folder / "user.py").write_text(text, encoding="utf-8")
    settings = {"include": ["user.py"], "extraPaths": [str(place)], "typeCheckingMode": "standard"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--project", str(folder), "--pythonpath", sys.executable],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    report = json.loads(ran.stdout)
    assert report["summary"]["filesAnalyzed"] == 1, ran.stdout
    return [one["message"] for one in report["generalDiagnostics"] if one["severity"] == "error"]


def test_pyright_knows_our_types(place, tmp_path):
    assert errors(EXAMPLES, place, tmp_path) == []


def test_pyright_would_say_so(place, tmp_path):
    wrong = EXAMPLES.replace('store.get("a").version, int)', 'store.get("a").version, str)')

    assert errors(wrong, place, tmp_path) == ['"assert_type" mismatch: expected "str" but received "int"']
