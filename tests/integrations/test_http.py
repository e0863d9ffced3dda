import asyncio
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fakes import skill_text
from mcp_clients import SERVE, environment, over_http
from skill_plugin.integrations import tools
from skill_plugin.integrations.mcp import http
from skill_plugin.integrations.mcp.http import http_app

TOKEN = "open-sesame-42"


@contextmanager
def served_over_http(*options, **env):
    """`skill-plugin serve --http` on a free port; its address, and where it writes."""
    command = [sys.executable, *SERVE, "--http", "--port", "0", *options]
    process = subprocess.Popen(
        command, env=environment(**env), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        first = process.stderr.readline()
        assert first.startswith("MCP at "), first + process.stderr.read()
        yield first.split()[-1], process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def web(store):
    """Asks the application for what it says over HTTP, without a network."""

    async def ask(method, path, *, token=None, base="http://127.0.0.1:8765", **options):
        transport = httpx.ASGITransport(http_app(store, token=token))
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, **options)

    return ask


async def test_two_clients_are_served_at_once_over_http(home, open_store):
    open_store(embedder="hashing").add_text(skill_text())
    with served_over_http() as (url, _):
        async with over_http(url) as one, over_http(url) as other:
            tools = await one.tools()
            got = await asyncio.gather(
                *(peer.call("get_skill", name="adding", task="add") for peer in (one, other) * 4)
            )
            listed = await other.resources()

    assert set(tools) == {"search_skills", "get_skill", "report_outcome"}
    assert len({item["run_id"] for item in got}) == 8
    assert "skill://adding/SKILL.md" in listed


async def test_a_token_is_wanted_and_never_shown(home, open_store):
    open_store(embedder="hashing").add_text(skill_text())
    with served_over_http("--allow-write", SKILL_PLUGIN_TOKEN=TOKEN) as (url, process):
        async with over_http(url, TOKEN) as peer:
            tools = await peer.tools()
            got = await peer.call("get_skill", name="adding", task="add 2 and 2")
        posted = {"run_id": got["run_id"], "reward": 1.0}
        outcomes = url.replace("/mcp", "/outcomes")
        async with httpx.AsyncClient() as client:
            refused = [
                await client.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
                await client.post(outcomes, json=posted),
                await client.post(outcomes, json=posted, headers={"Authorization": f"Bearer {TOKEN}x"}),
            ]
            accepted = await client.post(outcomes, json=posted, headers={"Authorization": f"Bearer {TOKEN}"})
            alive = await client.get(url.replace("/mcp", "/healthz"))
        command_line = Path(f"/proc/{process.pid}/cmdline").read_text() if sys.platform == "linux" else ""
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        written = process.stdout.read() + process.stderr.read()

    assert "propose_skill" in tools
    assert [answer.status_code for answer in refused] == [401, 401, 401]
    assert accepted.json() == {"recorded": True}
    assert alive.json() == {"ok": True}
    assert code == 0
    assert TOKEN not in command_line + written
    assert "Traceback" not in written


async def test_a_wrong_token_is_told_how_to_send_one(web):
    for headers in ({}, {"Authorization": "Bearer nope"}, {"Authorization": TOKEN}, {"Authorization": "Bearer ä"}):
        sent = {key: value.encode() for key, value in headers.items()}
        answer = await web("POST", "/outcomes", token=TOKEN, headers=sent, json={})

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert set(answer.json()) == {"error"}
        assert TOKEN not in answer.text


@pytest.mark.parametrize("path", ["/mcp", "/outcomes", "/nothing"])
async def test_without_a_token_only_this_machine_is_answered(web, path):
    rebound = await web("POST", path, base="http://skills.example:8765", json={})
    from_a_page = await web("POST", path, headers={"Origin": "https://page.example"}, json={})

    assert (rebound.status_code, from_a_page.status_code) == (421, 403)


async def test_a_page_of_this_machine_may_ask(web):
    answer = await web("POST", "/outcomes", headers={"Origin": "http://localhost:5173"}, json={})

    assert answer.status_code == 422


async def test_healthz_answers_anybody_and_says_nothing(web):
    answer = await web("GET", "/healthz", token=TOKEN, base="http://balancer.example")

    assert (answer.status_code, answer.json()) == (200, {"ok": True})


def begun(store):
    return tools.begin_run(store, "adding", "add 2 and 2", believed=True)


@pytest.mark.parametrize("of_langsmith", [False, True])
async def test_an_outcome_that_is_posted_counts_once(store, skill, web, of_langsmith):
    body = {"run_id": begun(store)}
    body |= {"key": "ok", "score": 0.5, "comment": "so so"} if of_langsmith else {"reward": 0.5, "feedback": "so so"}

    assert (await web("POST", "/outcomes", json=body)).json() == {"recorded": True}
    assert (await web("POST", "/outcomes", json=body)).json() == {"recorded": False}
    assert store.get("adding").utility == 0.5
    body |= {"key": "another"} if of_langsmith else {"feedback": "another"}
    for reward in (1.0, 0.0):
        assert (await web("POST", "/outcomes", json=body | {"score" if of_langsmith else "reward": reward})).is_success
    assert (store.get("adding").utility, store.get("adding").uses) == (0.0, 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("[" * 100_000, 400),
        (b"\xff\xfe\xff", 400),
        ("[]", 422),
        ('{"reward": 1}', 422),
        ('{"run_id": 7, "reward": 1}', 422),
        ('{"run_id": "RUN"}', 422),
        ('{"run_id": "RUN", "reward": 2}', 422),
        ('{"run_id": "RUN", "reward": NaN}', 422),
        ('{"run_id": "RUN", "reward": "1"}', 422),
        (f'{{"run_id": "RUN", "reward": 1{"0" * 4000}}}', 422),
        (f'{{"run_id": "RUN", "reward": 1{"0" * 5000}}}', 400),
        ('{"run_id": "\\ud800", "reward": 1}', 404),
        ('{"run_id": "RUN", "reward": null}', 422),
        ('{"run_id": "RUN", "reward": 1, "feedback": {}}', 422),
        ('{"run_id": "RUN", "key": "ok", "value": "good"}', 422),
        ('{"run_id": "RUN", "key": "ok", "score": -1}', 422),
        ('{"run_id": "nope", "reward": 1}', 404),
        ('{"run_id": "nope", "key": "ok", "score": true}', 404),
        (f'{{"run_id": "RUN", "reward": 1, "feedback": "{"x" * http.MAX_BODY}"}}', 413),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_an_outcome_that_cannot_be_taken_is_refused_in_one_line(store, skill, web, body, status):
    content = body if isinstance(body, bytes) else body.replace("RUN", begun(store)).encode()
    answer = await web("POST", "/outcomes", content=content)

    assert answer.status_code == status
    assert re.fullmatch(r".+; .+", answer.json()["error"])
    assert store.get("adding").utility is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_another_address_than_this_machines_needs_a_token(cli, hashing, host):
    said = cli("serve", "--http", "--host", host, "--port", "0", code=1)

    assert "no token is set; set SKILL_PLUGIN_TOKEN" in said


def test_a_port_that_is_taken_is_named(cli, hashing):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = cli("serve", "--http", "--port", taken.getsockname()[1], code=1)

        assert f"cannot listen on 127.0.0.1 port {taken.getsockname()[1]}" in said
    assert "in use" in said


def test_a_token_must_not_be_empty(cli, hashing):
    assert "setting 'token' cannot be what it is" in cli("serve", "--http", "--token", "", code=1)


@pytest.mark.parametrize("text", ["\\ud800", "\\u0000", "<script>", "'; DROP TABLE skill; --"])
async def test_whatever_a_comment_holds_is_data(store, skill, web, text):
    body = f'{{"run_id": "{begun(store)}", "key": "ok", "score": 1, "comment": "{text}"}}'

    assert (await web("POST", "/outcomes", content=body.encode())).json() == {"recorded": True}
