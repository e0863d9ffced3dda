"""What pyright sees of us, in a wheel and in a checkout; `make types` asks mypy the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "tests" / "project" / "typing_examples.py"


@pytest.fixture(params=["wheel", "checkout"])
def place(request):
    return request.getfixturevalue("site") if request.param == "wheel" else ROOT


def pyright(place, folder, file):
    settings = {"include": [str(file)], "extraPaths": [str(place)], "typeCheckingMode": "standard"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    return subprocess.run(
        [sys.executable, "-m", "pyright", "--project", str(folder), "--pythonpath", sys.executable],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip


def test_pyright_knows_our_types(place, tmp_path):
    ran = pyright(place, tmp_path, EXAMPLES)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 errors" in ran.stdout


def test_pyright_would_say_so(site, tmp_path):
    wrong = EXAMPLES.read_text(encoding="utf-8").replace('store.get("a").version, int)', 'store.get("a").version, str)')
    (tmp_path / "wrong.py").write_text(wrong, encoding="utf-8")

    assert (
        '"assert_type" mismatch: expected "str" but received "int"'
        in pyright(site, tmp_path, tmp_path / "wrong.py").stdout
    )
