"""Where the files of a skill are seen: on the command line, over MCP, in an agent's file system, in what doctor says."""

import base64
import json

import pytest
from sqlalchemy import text

from fakes import skill_text
from mcp_clients import in_memory
from skill_plugin.integrations.langgraph_store import SkillBaseStore
from skill_plugin.integrations.mcp.server import create_server
from skill_plugin.store import diff_versions

FILES = {"scripts/totals.py": b"print(1)\n", "assets/a.bin": b"\x00\xff", "empty.md": b""}
BODY = "Run scripts/totals.py, then scripts/gone.py."


@pytest.fixture
def skill(store):
    return store.add_text(skill_text(body=BODY), files=FILES)


def test_a_diff_shows_each_file_that_differs(store, skill):
    store.revise("adding", files={"scripts/totals.py": b"print(2)\r\n", "assets/a.bin": b"\x00", "new.md": b"A\x0cB"})

    assert diff_versions(store, "adding@1", "adding@2") == [
        "binary file assets/a.bin: 2 bytes -> 1 bytes",
        "--- adding@1/empty.md",
        "+++ /dev/null",
        "--- /dev/null",
        "+++ adding@2/new.md",
        "@@ -0,0 +1,2 @@",
        "+A\\x0cB",
        "+\\ no newline at the end",
        "--- adding@1/scripts/totals.py",
        "+++ adding@2/scripts/totals.py",
        "@@ -1 +1 @@",
        "-print(1)",
        "+print(2)\\r",
    ]


def test_the_command_line_adds_shows_compares_and_revises_folders(cli, tmp_path):
    folder = tmp_path / "adding"
    (folder / "scripts").mkdir(parents=True)
    (folder / "SKILL.md").write_text(skill_text())
    (folder / "scripts" / "a.py").write_text("print(1)\n")
    cli("skills", "add", folder)
    shown = cli("skills", "show", "adding")
    (folder / "scripts" / "a.py").write_text("print(2)\n")
    cli("skills", "revise", "adding", folder)
    (folder / "SKILL.md").write_text(skill_text(body="Else."))
    cli("skills", "revise", "adding", folder / "SKILL.md")

    assert "scripts/a.py" in shown
    assert "an operator has not allowed the functions of version 1 to run" in shown
    assert "+print(2)" in cli("skills", "diff", "adding", "1", "2")
    found = json.loads(cli("skills", "show", "adding@3", "--json"))
    assert ([one["path"] for one in found["files"]], found["may_run"]) == (["scripts/a.py"], False)
    (folder / "scripts" / "A.py").write_text("")
    assert "differ in case only" in cli("skills", "add", folder, code=1)


def test_an_agent_reads_them_in_its_file_system(store, skill):
    files = SkillBaseStore(store)
    found = {item.key: item.value for item in files.search(("skills",), limit=100)}

    assert list(found) == ["/adding/SKILL.md", "/adding/assets/a.bin", "/adding/empty.md", "/adding/scripts/totals.py"]
    assert files.get(("skills",), "/adding/scripts/totals.py").value["content"] == "print(1)\n"
    binary = files.get(("skills",), "/adding/assets/a.bin").value
    assert (base64.b64decode(binary["content"]), binary["encoding"]) == (b"\x00\xff", "base64")
    assert [files.get(("skills",), key) for key in ("/adding/gone.py", f"/{skill.id}/empty.md", "/adding/")] == [
        None
    ] * 3
    store.retire("adding")
    assert files.get(("skills",), "/adding/scripts/totals.py") is None


async def test_a_client_of_mcp_reads_them(store, skill):
    async with in_memory(create_server(store)) as peer:
        read = await peer.read("skill://adding/scripts/totals.py")
        binary = await peer.read("skill://adding/assets/a.bin")
        for uri in (
            "adding/scripts/gone.py",
            "gone/scripts/totals.py",
            "adding/..%2F..%2Fetc/passwd",
            "adding/a/b/c/d.py",
        ):
            with pytest.raises(Exception, match="skill"):
                await peer.read(f"skill://{uri}")

    assert (read["text"], base64.b64decode(binary["blob"])) == ("print(1)\n", b"\x00\xff")


def test_doctor_names_what_is_not_there_and_what_was_changed(store, skill):
    store.add_text(skill_text("whole", body="Run scripts/a.py."), files={"scripts/a.py": b""})
    [check] = [check for check in store.check() if check.name == "files"]
    assert (check.ok, check.detail) == (
        True,
        "4 files; texts that point to files that do not exist: adding (scripts/gone.py); import their folders again",
    )
    with store.database.write() as session:
        session.connection().execute(text("UPDATE skillp_blob SET data = x'00' WHERE size = 9"))
    [check] = [check for check in store.check() if check.name == "files"]

    assert not check.ok
    assert "changed since they were written: adding@1" in check.detail
