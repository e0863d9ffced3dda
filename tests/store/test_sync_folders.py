"""A store and a folder in step where skills have files."""

import pytest

from fakes import skill_text
from skill_plugin.store import files_of, sync_skills

SCRIPT = "scripts/totals.py"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "skills" / "adding"
    (folder / "scripts").mkdir(parents=True)
    (folder / "SKILL.md").write_bytes(skill_text().encode())
    (folder / SCRIPT).write_bytes(b"print(1)\n")
    return folder.parent


def steps(store, root, **options):
    return {step.name: (step.action, step.result) for step in sync_skills(store, root, **options).steps}


def test_a_changed_file_goes_to_the_other_side(store, root):
    assert steps(store, root) == {"adding": ("import", "live")}
    assert steps(store, root) == {}
    store.revise("adding", files={SCRIPT: b"print(2)\n", "assets/a.bin": b"\xff"})
    store.promote("adding@2")
    assert steps(store, root) == {"adding": ("write", "written")}
    assert (root / "adding" / "assets" / "a.bin").read_bytes() == b"\xff"
    assert steps(store, root) == {}
    (root / "adding" / SCRIPT).write_bytes(b"print(3)\n")
    assert steps(store, root) == {"adding": ("import", "staged")}
    assert files_of(store, "adding@3") == {SCRIPT: b"print(3)\n", "assets/a.bin": b"\xff"}
    store.promote("adding@3")
    assert steps(store, root) == {}


def test_line_ends_that_git_changes_are_not_a_change(store, root):
    steps(store, root)
    (root / "adding" / SCRIPT).write_bytes(b"print(1)\r\n")

    assert steps(store, root) == {}


def test_a_file_that_the_live_version_has_not_is_removed_and_others_stay(store, root):
    steps(store, root)
    (root / "adding" / ".DS_Store").write_text("")
    (root / "other.txt").write_text("mine")
    store.revise("adding", files={"new.md": "N"})
    store.promote("adding@2")
    assert steps(store, root) == {"adding": ("write", "written")}

    assert sorted(path.name for path in root.rglob("*") if path.is_file() and path.name[0] != ".") == [
        "SKILL.md",
        "new.md",
        "other.txt",
    ]
    assert (root / "adding" / ".DS_Store").exists()
    assert steps(store, root) == {}


def test_a_change_on_both_sides_is_named_and_nothing_is_overwritten(store, root):
    steps(store, root)
    store.revise("adding", files={SCRIPT: "print(2)"})
    store.promote("adding@2")
    (root / "adding" / SCRIPT).write_bytes(b"print(3)")

    assert steps(store, root) == {"adding": ("conflict", "")}
    assert (root / "adding" / SCRIPT).read_bytes() == b"print(3)"
    assert steps(store, root, prefer="store") == {"adding": ("write", "written")}
    assert (root / "adding" / SCRIPT).read_bytes() == b"print(2)"


def test_nothing_is_written_through_a_link(store, root, tmp_path):
    steps(store, root)
    store.revise("adding", files={"docs/new.md": "N"})
    store.promote("adding@2")
    (tmp_path / "outside").mkdir()
    (root / "adding" / "docs").symlink_to(tmp_path / "outside")
    [(action, result)] = steps(store, root).values()

    assert action in ("write", "skipped")
    assert result != "written"
    assert list((tmp_path / "outside").iterdir()) == []
