"""`langgraph dev` itself: the checkout's own agent, and the project that docs/deploy.md describes, over the official client.

`make test-server` runs this, in an environment of its own: `langgraph-cli[inmem]` needs an older protobuf than chromadb gets
elsewhere. The server refuses blocking calls on its event loop, and nothing here turns that off.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from langgraph_sdk import get_sync_client

from skill_plugin.store import SkillStore

ROOT = Path(__file__).parents[2]
QUESTION = {"task": "How many gold customers do we have in the north region?"}

OFFLINE = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "1", "LANGSMITH_TRACING": "false"}

BLOCKING = """
import time
from langgraph.graph import START, MessagesState, StateGraph

async def sleep(state):
    time.sleep(0.01)

builder = StateGraph(MessagesState)
builder.add_node(sleep)
builder.add_edge(START, "sleep")
blocking = builder.compile()
"""

pytestmark = pytest.mark.server


@contextmanager
def langgraph_dev(folder, config, log):
    """A client of a server that is started in `folder`, keeps no threads on disk and is killed at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = log.with_suffix(".json")
    file.write_text(json.dumps({**config, "disable_persistence": True}))
    command = [Path(sys.executable).with_name("langgraph"), "dev", "--no-browser", "--no-reload", "--config", file]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder, stdout=out, stderr=subprocess.STDOUT,
            env={**os.environ, **OFFLINE, "PYTHONPATH": str(ROOT / "tests")},
        )  # fmt: skip
        try:
            wait_for(f"http://127.0.0.1:{port}/ok", process, log)
            with get_sync_client(url=f"http://127.0.0.1:{port}") as client:
                yield client
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(url, process, log):
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        else:
            return


def own_config(home):
    """The checkout's, but for the developer's own .env."""
    config = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
    assert config["env"] == ".env"
    return {**config, "env": {"SKILL_PLUGIN_HOME": str(home)}}


def assert_never_blocked(log):
    said = log.read_text()
    assert re.findall("BlockingError|[Bb]locking call", said) == []
    assert re.findall(r"Traceback|Background run failed", said) == []


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The checkout's own server, its home and its log."""
    folder = tmp_path_factory.mktemp("checkout")
    with langgraph_dev(ROOT, own_config(folder / "home"), folder / "log") as client:
        yield client, folder / "home", folder / "log"


def run(client, thread, **given):
    """A run's custom events by their step, and the keys of its last update."""
    events, updates = {}, {}
    for part in client.runs.stream(thread["thread_id"], "agent", input=given, stream_mode=["custom", "updates"]):
        assert part.event in ("metadata", "custom", "updates"), part
        if part.event == "custom":
            events[part.data["type"].removeprefix("skill_plugin.")] = part.data
        elif part.event == "updates":
            updates.update(part.data)
    return events, updates["record"]


def test_a_thread_is_streamed_and_every_run_of_it_is_in_the_store(checkout):
    client, home, log = checkout
    thread = client.threads.create()

    events, first = run(client, thread, **QUESTION)
    _, second = run(client, thread, task="How many units of lamps are in stock at Turin?")

    assert list(events) == ["retrieved", "executed", "verified", "revised", "recorded"]
    assert events["retrieved"]["skills"] == [first["skill"].replace("@2", "@1")]
    assert (first["passed"], first["generations"]) == (True, 1)
    assert "c.kind <> 'T'" in first["answer"]
    assert second["run_id"] != first["run_id"]
    assert second["answer"].startswith("```sql\nSELECT SUM(")
    assert client.threads.get_state(thread["thread_id"])["interrupts"] == []
    with SkillStore.open(home / "simulated", chroma=False, create=False) as store:
        assert [rollout.answer for rollout in store.runs.rollouts(first["run_id"])][-1] == first["answer"]
        assert store.runs.rollouts(second["run_id"])[-1].answer == second["answer"]
        assert store.get(first["skill"]).status == "staged"
    assert_never_blocked(log)


def test_a_client_sets_the_question_and_nothing_of_the_operators(checkout):
    client, _, _ = checkout
    asked = {**QUESTION, "arm": "control", "pin": "no@1", "verifier": {"name": "exact_match"}, "skillp_skills": []}

    _, result = run(client, client.threads.create(), **asked)

    assert (result["passed"], result["error"]) == (True, None)
    assert result["skill"] is not None


def test_what_the_simulated_model_does_not_know_is_told_and_earns_nothing(checkout):
    client, _, _ = checkout

    _, result = run(client, client.threads.create(), task="What is the meaning of life?")

    assert "simulated" in result["answer"]
    assert result["reward"] is None
    assert "SKILL_PLUGIN_MODEL" in result["error"]


def test_the_schemas_and_the_mcp_tool_say_what_to_send(checkout):
    client, *_ = checkout
    assistant = client.assistants.search(graph_id="agent")[0]
    schema = client.assistants.get_schemas(assistant["assistant_id"])["input_schema"]
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    url = client.http.client.base_url.join("/mcp")
    with urllib.request.urlopen(urllib.request.Request(str(url), json.dumps(call).encode(), headers)) as reply:
        (tool,) = json.loads(reply.read())["result"]["tools"]

    assert (sorted(schema["properties"]), schema["required"]) == (["reference", "task"], ["task"])
    assert "simulated" in tool["description"]
    assert tool["inputSchema"]["properties"]["task"]["description"]


def test_the_project_of_the_documentation_is_served_and_tasks_bring_verifiers(tmp_path):
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    agent = re.search(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[1]
    config = json.loads(re.search(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[1])
    project, log = tmp_path / "project", tmp_path / "log"
    project.mkdir()
    (project / "my_agent.py").write_text(
        "from fakes import MACHINE, FingersAdder, ScriptedChat\n"
        "agent, model, right = FingersAdder(), ScriptedChat(lambda _: MACHINE), None\n"
        f"{agent}{BLOCKING}"
    )
    config["graphs"]["packaged"] = "skill_plugin.graphs.agent:graph"
    config["graphs"]["blocking"] = "./my_agent.py:blocking"

    with langgraph_dev(project, {**config, "env": {"SKILL_PLUGIN_HOME": str(tmp_path / "home")}}, log) as client:
        asked = {"task": "add 2 and 2", "reference": "4", "verifier": {"name": "exact_match"}}
        _, result = run(client, client.threads.create(), **asked)
        packaged = client.runs.wait(None, "packaged", input=QUESTION)
        assert_never_blocked(log)
        refused = client.runs.wait(None, "blocking", input={"messages": []}, raise_error=False)

    assert packaged["passed"] is True
    assert "BlockingError" in str(refused)  # the server does look
    assert "Blocking call to time.sleep" in log.read_text()
    assert (result["answer"], result["passed"], result["generations"]) == ("4", True, 1)
    with SkillStore.open(project / "skills", chroma=False, create=False) as store:
        assert [rollout.answer for rollout in store.runs.rollouts(result["run_id"])] == ["3", "4"]


def test_the_checkouts_configuration_is_valid(checkout):
    validated = subprocess.run(
        [Path(sys.executable).with_name("langgraph"), "validate"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, **OFFLINE},
    )  # fmt: skip

    assert (validated.returncode, validated.stderr) == (0, ""), validated.stdout
    assert "1 graph found" in validated.stdout
