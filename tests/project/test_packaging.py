"""What an installed user gets is what a developer has."""

import importlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import skill_plugin.store.tables
from skill_plugin.moved import MOVED

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = ("skill_plugin", "store", "graphs", "integrations")


def sources():
    """`package/path.py` as imported, for every source file in the tree, and for the adapters and the page's files that come with it."""
    found = set()
    for folder in FOLDERS:
        prefix = "skill_plugin" if folder == "skill_plugin" else f"skill_plugin/{folder}"
        for path in (ROOT / folder).rglob("*"):
            is_source = path.suffix in (".py", ".mako", ".typed") or {"adapters", "static", "templates"} & set(
                path.parts
            )
            if path.resolve() == path and path.is_file() and is_source:
                found.add(f"{prefix}/{path.relative_to(ROOT / folder).as_posix()}")
    return found


def test_the_wheel_holds_every_source_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert names == sources()


def test_the_wheel_runs_without_the_checkout(site, tmp_path):
    code = (
        "import skill_plugin, skill_plugin.graphs, skill_plugin.store, skill_plugin.integrations.cli as cli;"
        "from skill_plugin.store import SkillStore;"
        f"SkillStore.open({str(tmp_path / 's')!r}, embedder='hashing').add(name='a', description='b', body='c');"
        "print(skill_plugin.graphs.__file__)"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == str(site / "skill_plugin" / "graphs" / "__init__.py")


def in_git():
    """Every file that git has, but for links and for those that were just deleted."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name for name in listed.splitlines() if (ROOT / name).is_file() and not (ROOT / name).is_symlink()}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a source distribution has no git to compare with")
def test_the_source_distribution_holds_the_tests_with_all_that_they_need(tmp_path):
    clone = tmp_path / "clone"  # in a checkout setuptools adds what an earlier build listed in egg-info
    for name in in_git():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    command = [sys.executable, "-c", "import setuptools.build_meta as b; b.build_sdist('.')"]
    subprocess.run(command, check=True, capture_output=True, cwd=clone, timeout=250)
    with tarfile.open(next(clone.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert "tests/conftest.py" in names
    assert in_git() - names == {".gitignore"}


def test_the_extra_all_is_every_extra_of_a_user():
    extras = PROJECT["project"]["optional-dependencies"]

    assert set(re.findall(r"[\w-]+", extras["all"][0].partition("[")[2])) == set(extras) - {"all", "bench", "dev"}


def test_every_package_is_listed():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])

    assert listed == {name.rsplit("/", 1)[0].replace("/", ".") for name in sources() if name.endswith("__init__.py")}


def test_every_direct_dependency_has_a_floor_and_is_constrained():
    groups = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(item for group in groups.values() for item in group)]
    named = {item.split("[")[0].split(">")[0].strip() for item in wanted} - {"skill-plugin"}
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }

    assert [item for item in wanted if ">=" not in item and "skill-plugin" not in item and "types-" not in item] == []
    assert {name.lower() for name in named} - pinned == set()


def test_the_modules_of_a_checkout_are_the_files_of_the_top_level_folders():
    assert Path(skill_plugin.store.tables.__file__) == ROOT / "store" / "tables.py"


@pytest.mark.parametrize("name", ["skill_plugin", "tests", "benchmarks", "docs"])
def test_what_lies_beside_the_package_in_a_checkout_is_no_part_of_it(name):
    with pytest.raises(ModuleNotFoundError, match=rf"skill_plugin\.{name}"):
        importlib.import_module(f"skill_plugin.{name}")


def test_a_module_that_moved_says_where_it_is_now():
    for old, new in MOVED.items():
        with pytest.warns(DeprecationWarning, match=f"{re.escape(old)} is now {re.escape(new)}; import it from there"):
            module = importlib.import_module(old)
        assert module is importlib.import_module(new)
        del sys.modules[old]


def test_the_public_names_are_listed_and_there():
    assert len(set(skill_plugin.__all__)) == len(skill_plugin.__all__)
    assert all(hasattr(skill_plugin, name) for name in skill_plugin.__all__)
