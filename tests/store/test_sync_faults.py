"""A sync with what is hostile, broken or cut short: nothing outside is written, nothing is lost, the next one finishes."""

import json
import os
import signal
import subprocess
import sys

import pytest

from fakes import skill_text
from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills.record import without_record
from skill_plugin.store import SkillStore, sync_skills
from skill_plugin.store.sync.sync_state import STATE_FILE

SYNC = """
import sys
from skill_plugin.store import SkillStore, sync_skills
with SkillStore.open(sys.argv[1], embedder="hashing", chroma=False) as store:
    sync_skills(store, sys.argv[2], delete=True)
"""


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "skills"
    made.mkdir()
    return made


def lay(folder, name, body="B."):
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "SKILL.md").write_text(skill_text(name, body=f"{name}: {body}"))


def everything(place):
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["folder", "dangling folder", "text", "temporary", "hard"])
def test_nothing_outside_is_written_through_a_link(store, folder, tmp_path, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("untouched")
    store.add_text(skill_text())
    if kind == "folder":
        (folder / "adding").symlink_to(outside)
    elif kind == "dangling folder":
        (folder / "adding").symlink_to(outside / "new")
    else:
        (folder / "adding").mkdir()
    if kind == "text":
        (folder / "adding" / "SKILL.md").symlink_to(outside / "victim")
    elif kind == "temporary":
        (folder / "adding" / ".SKILL.md.tmp").symlink_to(outside / "victim")
    elif kind == "hard":
        (folder / "adding" / ".SKILL.md.tmp").hardlink_to(outside / "victim")
    report = sync_skills(store, folder)

    assert everything(outside) == {outside / "victim": b"untouched"}
    [step] = report.steps
    assert step.has_failed == (kind not in ("temporary", "hard")), step


@pytest.mark.parametrize("link", [STATE_FILE, f".{STATE_FILE}.tmp"])
def test_the_state_is_not_written_through_a_link(store, folder, tmp_path, link):
    (tmp_path / "victim").write_text("untouched")
    (folder / link).symlink_to(tmp_path / "victim")
    lay(folder, "adding")
    if link == STATE_FILE:
        with pytest.raises(InvalidSkillError, match="it is a link"):
            sync_skills(store, folder)
    else:
        sync_skills(store, folder)

    assert (tmp_path / "victim").read_text() == "untouched"


def test_a_link_within_the_folder_is_written_where_it_leads(store, folder):
    lay(folder, "real")
    (folder / ".store").mkdir()
    (folder / "real").rename(folder / ".store" / "real")
    (folder / "real").symlink_to(".store/real")
    assert [step.result for step in sync_skills(store, folder).steps] == ["live"]
    store.revise("real", body="Better.")
    store.promote("real")

    assert [step.result for step in sync_skills(store, folder).steps] == ["written"]
    assert (folder / "real").is_symlink()
    assert "Better." in (folder / ".store" / "real" / "SKILL.md").read_text()


@pytest.mark.parametrize("name", ["SKILL.md", "skill.md"])
def test_a_file_of_somebody_else_is_not_written_over(store, folder, name):
    store.add_text(skill_text())
    (folder / "adding").mkdir()
    (folder / "adding" / name).write_text("not a skill yet")
    [step] = sync_skills(store, folder, prefer="store").steps

    assert step.result.startswith("not written: ")
    assert (folder / "adding" / name).read_text() == "not a skill yet"


def test_one_file_that_cannot_be_written_does_not_stop_the_others(store, folder):
    for name in ("a", "b"):
        store.add_text(skill_text(name, body=name))
    (folder / "a").write_text("a file, where a folder should be")
    report = sync_skills(store, folder)

    assert [(step.name, step.has_failed) for step in report.steps] == [("a", True), ("b", False)]
    (folder / "a").unlink()
    assert [(step.name, step.result) for step in sync_skills(store, folder).steps] == [("a", "written")]


GOOD = {"path": "adding/SKILL.md", "file": "0" * 64, "store": None, "version": None}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"format": "else", "stores": {}}',
        '{"format": "skill-plugin sync 1", "stores": []}',
        *(
            json.dumps({"format": "skill-plugin sync 1", "stores": {"x": {name: facts}}})
            for name, facts in (
                ("../up", GOOD),
                ("adding", {**GOOD, "path": "../../etc/passwd"}),
                ("adding", {**GOOD, "path": "/etc/passwd"}),
                ("adding", {**GOOD, "path": 3}),
                ("adding", {**GOOD, "file": "x"}),
                ("adding", {**GOOD, "store": 5}),
                ("adding", {**GOOD, "more": 5}),
                ("adding", {}),
                ("adding", []),
            )
        ),
    ],
)
def test_a_damaged_state_is_one_line_and_nothing_is_done(store, folder, content):
    lay(folder, "adding")
    (folder / STATE_FILE).write_text(content)
    with pytest.raises(InvalidSkillError, match=r"is not what a sync wrote .*; remove it") as caught:
        sync_skills(store, folder, delete=True)

    assert "\n" not in str(caught.value)
    assert store.list() == []


@pytest.mark.parametrize("point", ["import.middle", "sync.imported", "sync.middle", "sync.middle:2", "sync.middle:4"])
def test_a_sync_that_is_killed_is_finished_by_the_next(folder, tmp_path, point):
    home = tmp_path / "store"
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        for name in ("changed", "gone", "kept"):
            lay(folder, name)
        sync_skills(store, folder)
        lay(folder, "changed", "Better.")
        lay(folder, "new")
        (folder / "gone" / "SKILL.md").unlink()
        for name in ("one", "two"):
            store.add_text(skill_text(name, body=name))
    command = [sys.executable, "-c", SYNC, str(home), str(folder)]
    killed = subprocess.run(command, env={**os.environ, "SKILL_PLUGIN_CRASH_AT": point}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    subprocess.run(command, check=True)

    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        assert [(skill.name, skill.status) for skill in store.list()] == [
            ("changed", "live"),
            ("gone", "retired"),
            ("kept", "live"),
            ("new", "live"),
            ("one", "live"),
            ("two", "live"),
        ]
        assert [len(store.versions(skill.name)) for skill in store.list()] == [2, 1, 1, 1, 1, 1]
        assert sync_skills(store, folder).steps == []
        for name in ("kept", "new", "one", "two"):
            assert without_record((folder / name / "SKILL.md").read_text())[0] == store.get(name).text
        assert not list(folder.rglob("*.tmp"))
