import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes import TopicEmbedder, skill_text
from mcp_clients import SERVE, environment, in_memory, over_stdio
from skill_plugin.integrations.mcp import sdk, server
from skill_plugin.integrations.mcp.server import create_server
from skill_plugin.prompts import guidance

only_extensions = pytest.mark.skipif(
    not sdk.HAS_EXTENSIONS, reason="release 1 of the MCP SDK cannot declare extensions"
)


@contextmanager
def served_on_stdio():
    # A shell's background jobs ignore SIGINT, and their children would too; a handler of Python's is not inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, *SERVE],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)

    def ask(method, identity, **params):
        message = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
        process.stdin.write(f"{json.dumps(message)}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    try:
        ask("initialize", 1, protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "test", "version": "1"})
        process.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        process.stdin.flush()
        yield process, ask
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


# Tools


async def test_a_client_may_propose_skills_only_where_that_is_allowed(store):
    async with in_memory(create_server(store)) as peer:
        reading = set(await peer.tools())
    async with in_memory(create_server(store, allow_write=True)) as peer:
        writing = set(await peer.tools())

    assert reading == {"search_skills", "get_skill", "report_outcome"}
    assert writing - reading == {"propose_skill"}


async def test_every_tool_says_what_it_is_what_it_takes_and_what_it_gives(store):
    async with in_memory(create_server(store, allow_write=True)) as peer:
        tools = await peer.tools()

    for tool in tools.values():
        assert tool["description"]
        assert "\n  " not in tool["description"]
        assert all(parameter["description"] for parameter in tool["inputSchema"]["properties"].values())
        assert tool["outputSchema"]["properties"]
        assert tool["annotations"]["destructiveHint"] is False
    assert [name for name, tool in tools.items() if tool["annotations"]["readOnlyHint"]] == ["search_skills"]
    assert tools["search_skills"]["inputSchema"]["properties"]["k"]["maximum"] == 20


async def test_a_skill_that_was_used_is_credited_with_what_the_client_reports(store, skill):
    async with in_memory(create_server(store, allow_write=True)) as peer:
        found = await peer.call("search_skills", query="add 2 and 2")
        got = await peer.call("get_skill", name=found["skills"][0]["name"], task="add 2 and 2")
        report = {"run_id": got["run_id"], "reward": 0.8, "feedback": "one short"}
        first = await peer.call("report_outcome", **report)
        again = await peer.call("report_outcome", **report)

    assert got["text"] == guidance([(skill.ref, "adding", skill.text)])
    assert (first["counted"], again["counted"]) == (True, False)
    assert (store.get("adding").utility, store.get("adding").uses) == (0.8, 1)
    assert [rollout.skill for rollout in store.runs.rollouts(got["run_id"])] == [skill.ref]


async def test_a_client_that_may_not_write_reports_and_nothing_is_credited(store, skill):
    async with in_memory(create_server(store)) as peer:
        got = await peer.call("get_skill", name="adding", task="add 2 and 2")
        report = await peer.call("report_outcome", run_id=got["run_id"], reward=0.0)

    assert (report["recorded"], report["counted"]) == (True, False)
    assert (store.get("adding").utility, store.get("adding").uses) == (None, 0)
    assert [rollout.purpose for rollout in store.runs.rollouts(got["run_id"])] == ["claim"]


async def test_reading_a_skill_without_a_task_begins_no_run(store, skill):
    async with in_memory(create_server(store)) as peer:
        got = await peer.call("get_skill", name="adding")

    assert got["run_id"] is None
    assert store.get("adding").uses == 0


async def test_what_a_client_proposes_is_staged(store, skill):
    async with in_memory(create_server(store, allow_write=True)) as peer:
        new = await peer.call("propose_skill", text=skill_text("sorting", "How to sort"))
        better = await peer.call("propose_skill", text=skill_text(body="Use a machine."))
        found = await peer.call("search_skills", query="sort these")

    assert (new["status"], new["version"]) == ("staged", 1)
    assert (better["status"], better["version"]) == ("staged", 2)
    assert store.get("adding").text == skill.text
    assert "sorting" not in [hit["name"] for hit in found["skills"]]


async def test_a_search_that_finds_nothing_says_why(store):
    async with in_memory(create_server(store)) as peer:
        found = await peer.call("search_skills", query="add 2 and 2")

    assert found["skills"] == []
    assert found["reason"]


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("search_skills", {"query": " "}, "empty"),
        ("search_skills", {"query": "add", "k": 99}, "k is 99"),
        ("get_skill", {"name": "nope"}, "no skill 'nope'"),
        ("get_skill", {"name": "waiting"}, "staged, not live"),
        ("get_skill", {"name": "adding", "task": " "}, "a task needs a text"),
        ("report_outcome", {"run_id": "nope", "reward": 1}, "no run 'nope'; call get_skill"),
        ("report_outcome", {"run_id": "nope", "reward": 7}, "the reward is 7.0"),
        ("propose_skill", {"text": "nope"}, "no front matter"),
    ],
)
async def test_what_goes_wrong_is_one_line_for_the_model(store, skill, tool, arguments, message):
    store.add_text(skill_text("waiting"), author="generator")
    async with in_memory(create_server(store, allow_write=True)) as peer:
        with pytest.raises(AssertionError, match=message) as caught:
            await peer.call(tool, **arguments)

    assert "Traceback" not in str(caught.value)
    assert str(caught.value).count("\n") == 0


async def test_the_event_loop_goes_on_while_the_store_works(open_store):
    class WaitingEmbedder(TopicEmbedder):
        working, go_on = threading.Event(), threading.Event()

        def embed(self, texts):
            self.working.set()
            assert self.go_on.wait(30)
            return super().embed(texts)

    embedder = WaitingEmbedder()
    embedder.go_on.set()
    store = open_store(embedder=embedder)
    store.add_text(skill_text())
    embedder.working.clear()
    embedder.go_on.clear()
    async with in_memory(create_server(store)) as peer:
        search = asyncio.create_task(peer.call("search_skills", query="add 5 and 5"))
        await asyncio.to_thread(embedder.working.wait, 30)
        meanwhile = await peer.call("get_skill", name="adding")  # on a blocked loop it would never come
        embedder.go_on.set()
        found = await search

    assert meanwhile["name"] == found["skills"][0]["name"] == "adding"


# Resources


async def test_live_skills_are_resources_and_others_are_not(store, skill):
    store.add_text(skill_text("waiting"), author="generator")
    store.add_text(skill_text("gone"))
    store.retire("gone")
    async with in_memory(create_server(store)) as peer:
        listed = await peer.resources()
        template, *of_files = await peer.templates()
        read = await peer.read("skill://adding/SKILL.md")
        index = json.loads((await peer.read("skill://index.json"))["text"])
        for uri in ("waiting/SKILL.md", "gone/SKILL.md", "nope/SKILL.md", "adding@1/SKILL.md", f"{skill.id}/SKILL.md"):
            with pytest.raises(Exception, match="skill"):
                await peer.read(f"skill://{uri}")

    assert set(listed) == {"skill://index.json", "skill://adding/SKILL.md"}
    entry = listed["skill://adding/SKILL.md"]
    assert (entry["name"], entry["description"], entry["mimeType"]) == ("adding", skill.description, "text/markdown")
    assert entry["size"] == len(skill.text)
    assert template["uriTemplate"] == "skill://{name}/SKILL.md"
    assert {one["name"] for one in of_files} == {"file"}
    assert (read["text"], read["mimeType"]) == (skill.text, "text/markdown")
    assert index["skills"] == [
        {
            "name": "adding",
            "type": "skill-md",
            "description": skill.description,
            "url": "skill://adding/SKILL.md",
            "digest": f"sha256:{hashlib.sha256(skill.text.encode()).hexdigest()}",
        }
    ]


async def test_a_listing_is_bounded_and_begins_with_the_most_useful(store, monkeypatch):
    monkeypatch.setattr(server, "LISTED", 2)
    for name in ("adding", "sorting", "shipping"):
        store.add_text(skill_text(name))
    async with in_memory(create_server(store, allow_write=True)) as peer:
        run = await peer.call("get_skill", name="shipping", task="ship it")
        await peer.call("report_outcome", run_id=run["run_id"], reward=1)
        listed = list(await peer.resources())
        rest = await peer.read("skill://sorting/SKILL.md")

    assert listed == ["skill://index.json", "skill://shipping/SKILL.md", "skill://adding/SKILL.md"]
    assert "name: sorting" in rest["text"]


async def test_the_extension_is_declared_only_where_its_methods_are_served(store):
    async with in_memory(create_server(store)) as peer:
        assert (sdk.SKILLS_EXTENSION in peer.extensions()) is sdk.HAS_EXTENSIONS


@only_extensions
async def test_the_extension_lists_every_live_skill_with_digests_that_what_is_read_has(store, monkeypatch):
    monkeypatch.setattr(server, "PAGE", 2)
    for name in ("adding", "sorting", "shipping"):
        store.add_text(skill_text(name, body="Größe beachten."))
    store.add_text(skill_text("waiting"), author="generator")
    async with in_memory(create_server(store)) as peer:
        first = await peer.request("skills/list")
        second = await peer.request("skills/list", cursor=first["nextCursor"])
        skills = first["skills"] + second["skills"]
        read = [(await peer.read(skill["uri"]))["text"].encode() for skill in skills]
        single = await peer.request("skills/get", uri=skills[0]["uri"])

    assert [skill["frontmatter"]["name"] for skill in skills] == ["adding", "shipping", "sorting"]
    assert "nextCursor" not in second
    for skill, text in zip(skills, read, strict=True):
        digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
        assert skill["resources"] == [{"uri": skill["uri"], "digest": digest, "size": len(text)}]
    assert single["skill"] == skills[0]
    for result in (first, single):
        assert (result["resultType"], result["ttlMs"], result["cacheScope"]) == ("complete", 0, "private")


@only_extensions
async def test_the_front_matter_is_what_the_author_wrote_as_json(store):
    front = 'name: adding\ndescription: "  How to add  "\nlicense: MIT\nmetadata:\n  since: 2026-01-02\n  limit: .inf\n'
    store.add_text(f"---\n{front}---\n\nUse your fingers.\n")
    async with in_memory(create_server(store)) as peer:
        got = await peer.request("skills/get", uri="skill://adding/SKILL.md")

    assert got["skill"]["frontmatter"] == {
        "name": "adding",
        "description": "  How to add  ",
        "license": "MIT",
        "metadata": {"since": "2026-01-02", "limit": None},
    }


@only_extensions
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("skills/get", {"uri": "skill://nope/SKILL.md"}),
        ("skills/get", {"uri": "skill://waiting/SKILL.md"}),
        ("skills/get", {"uri": "file:///etc/passwd"}),
        ("skills/get", {}),
        ("skills/list", {"cursor": "../../1"}),
        ("skills/list", {"cursor": "9" * 30}),
    ],
)
async def test_the_extension_refuses_what_it_does_not_serve(store, method, params):
    store.add_text(skill_text("waiting"), author="generator")
    async with in_memory(create_server(store)) as peer:
        with pytest.raises(Exception, match=r"skill|page") as caught:
            await peer.request(method, **params)

    assert caught.value.error.code == -32602


# Standard input and output


async def test_a_client_works_with_a_server_that_it_started(home, open_store):
    open_store(embedder="hashing").add_text(skill_text())
    async with over_stdio(sys.executable, [*SERVE, "--allow-write"], environment()) as peer:
        tools = await peer.tools()
        got = await peer.call("get_skill", name="adding", task="add 2 and 2")
        report = await peer.call("report_outcome", run_id=got["run_id"], reward=True)
        listed = await peer.resources()

    assert "propose_skill" in tools
    assert report["counted"]
    assert "skill://adding/SKILL.md" in listed
    assert open_store(embedder="hashing").get("adding").utility == 1


def children(process):
    """The processes that a process started; the index is one of them."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    others = (path.read_text().split() for path in Path(f"/proc/{process.pid}/task").glob("*/children"))
    return {int(pid) for pids in (text, *others) for pid in pids}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("how", ["end of input", signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_and_takes_the_index_with_it(open_store, how):
    open_store(embedder="hashing").add_text(skill_text())
    with served_on_stdio() as (process, ask):
        while not (index := children(process)):  # it is started beside the first searches
            answer = ask("tools/call", 2, name="search_skills", arguments={"query": "add numbers"})
            assert answer["result"]["structuredContent"]["skills"][0]["name"] == "adding"
        if how == "end of input":
            process.stdin.close()
        else:
            process.send_signal(how)
        code = process.wait(60)
        rest, errors = process.stdout.read(), process.stderr.read()

    assert code == 0
    assert (rest, errors) == ("", "")
    assert [pid for pid in index if Path(f"/proc/{pid}").exists()] == []


def test_without_the_sdk_the_extra_is_named(tmp_path):
    (tmp_path / "mcp.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    result = subprocess.run(
        [sys.executable, *SERVE],
        env=environment(PYTHONPATH=path),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )

    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].endswith("pip install 'skill-plugin[mcp]'")
    assert "Traceback" not in result.stderr
