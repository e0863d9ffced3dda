"""A library that can be read and not written: it answers, records nothing, and says so in one line."""

import os
import shutil
import subprocess
import sys

import pytest

from fakes import skill_text
from skill_plugin.store import SkillStore

MOUNTED = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" "$0" && exec "$@"'

READ = """
import logging, sys
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from skill_plugin.errors import StoreUnavailableError
from skill_plugin.graphs import create_skill_graph
from skill_plugin.store import SkillStore
logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
for create in (True, False):
    with SkillStore.open(sys.argv[1], embedder="hashing", create=create) as store:
        print([hit.name for hit in store.search("add numbers")], [skill.name for skill in store.list()])
        print(all(check.ok for check in store.check()), store.check()[0].detail.split(", ")[-1])
        try:
            store.retire("adding")
        except StoreUnavailableError as exc:
            print(exc)
graph = create_skill_graph(llm=FakeListChatModel(responses=["4"]), store=SkillStore.open(sys.argv[1], embedder="hashing")).compile()
for task in ("add numbers", "How to add numbers"):
    print(graph.invoke({"task": task})["skill"] is not None)
"""

LIST = """
import sys
from skill_plugin.store import SkillStore
with SkillStore.open(sys.argv[1], embedder="hashing") as store:
    print([skill.name for skill in store.list()], store.database.read_only)
"""


@pytest.fixture
def library(tmp_path):
    place = tmp_path / "a%20 library?"
    with SkillStore.open(place, embedder="hashing", chroma=False) as store:
        store.add_text(skill_text())
    return place


def run_mounted(folder, *command):
    """Runs a command for which the folder is on a mount for reading only."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("needs Linux and the right to mount")
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", MOUNTED, str(folder), *command], capture_output=True, text=True, check=False
    )


def test_a_library_on_a_read_only_mount_answers_and_records_nothing(library):
    before = {path.name: path.read_bytes() for path in library.iterdir()}
    done = run_mounted(library, sys.executable, "-c", READ, str(library))

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    refused = (
        f"{library}/skills.db is open for reading only, because it cannot be written: Read-only file system; use a copy"
    )
    for start in (0, 3):
        assert lines[start] == "['adding'] ['adding']"
        assert lines[start + 1] == "True for reading only (Read-only file system)"
        assert lines[start + 2].startswith(refused)
    assert [line for line in lines[6:] if line in ("True", "False")] == ["True", "True"]
    assert len([line for line in lines[6:] if "for reading only" in line]) == 1  # a warning, once
    assert {path.name: path.read_bytes() for path in library.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["skills", "list"], 0, "adding"),
        (["search", "add numbers"], 0, "adding"),
        (["search", "add numbers", "--strategy", "query-embedding"], 0, "none"),
        (["doctor"], 0, "for reading only"),
        (["skills", "pin", "adding"], 1, "is open for reading only"),
        (["reindex"], 1, "is open for reading only"),
    ],
)
def test_the_command_line_looks_and_refuses_to_write_in_one_line(library, words, code, says):
    command = [sys.executable, "-m", "skill_plugin.integrations.cli", *words, "--home", str(library)]
    done = run_mounted(library, "env", "SKILL_PLUGIN_EMBEDDER=hashing", "COLUMNS=250", *command)

    assert done.returncode == code, done.stderr
    assert says in (done.stderr if code else done.stdout + done.stderr)
    assert done.stderr.count("error: ") == code
    assert done.stderr.count("\n") <= 1


def test_changes_of_a_process_that_writes_are_read_from_beside_the_file(library):
    with SkillStore.open(library, embedder="hashing", chroma=False) as store:
        store.add_text(skill_text("sorting", "How to sort", "Sort."))
        assert (library / "skills.db-wal").stat().st_size
        done = run_mounted(library, sys.executable, "-c", LIST, str(library))

    assert (done.returncode, done.stdout) == (0, "['adding', 'sorting'] Read-only file system\n"), done.stderr


def test_changes_that_cannot_be_read_are_not_left_out_in_silence(library):
    """A copy that was made while the library was in use, with SQLite's log but without the means to read it."""
    with SkillStore.open(library, embedder="hashing", chroma=False) as store:
        store.add_text(skill_text("sorting", "How to sort", "Sort."))
        copy = library.with_name("copy")
        shutil.copytree(library, copy)
    (copy / "skills.db-shm").unlink()
    done = run_mounted(
        copy, sys.executable, "-m", "skill_plugin.integrations.cli", "skills", "list", "--home", str(copy)
    )

    assert done.returncode == 1
    assert done.stderr == (
        f"error: {copy}/skills.db cannot be read here: its last changes are in skills.db-wal; open it once where it can be written, and where there is room\n"
    )


def test_a_place_that_cannot_be_written_and_has_no_store_is_one_line(tmp_path):
    place = tmp_path / "empty"
    place.mkdir()
    done = run_mounted(
        place, sys.executable, "-m", "skill_plugin.integrations.cli", "skills", "add", "--name", "x", "--description", "y",
        "--body", "z", "--home", str(place),
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {place}/skills.db cannot be written: Read-only file system; choose another")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everything")
def test_a_user_without_rights_reads(library, open_store):
    (library / "skills.db").chmod(0o444)
    library.chmod(0o555)
    try:
        assert [skill.name for skill in open_store(library, embedder="hashing").list()] == ["adding"]
    finally:
        library.chmod(0o755)
