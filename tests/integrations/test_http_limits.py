"""One client of the HTTP server cannot shut out the others: asked over real sockets."""

import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from fakes import skill_text
from skill_plugin.errors import ConfigurationError
from skill_plugin.integrations import tools
from skill_plugin.integrations.mcp import clients
from skill_plugin.integrations.mcp.clients import ClientLimitError, Clients, HttpLimits, place_of
from skill_plugin.integrations.mcp.http import http_app, server_config

TOKEN = "open-sesame-42"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json, text/event-stream"}
SECONDS = 30
"""Far longer than any limit here."""


@contextmanager
def served(store, *, token=TOKEN, allow_write=True, **limits):
    """A server's port."""
    given = HttpLimits(**limits)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = http_app(store, token=token, allow_write=allow_write, limits=given)
        server = uvicorn.Server(server_config(app, given))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(SECONDS)


def send(port, data=b""):
    connection = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    connection.sendall(data)
    return connection


def all_of(connection):
    """What comes until the server closes the connection."""
    with connection:
        read = b""
        while part := connection.recv(65536):
            read += part
    return read.decode()


def is_closed_on(connection, data):
    """Whether the server closes a connection on which the data comes again and again."""
    ended = time.monotonic() + SECONDS
    with connection:
        while time.monotonic() < ended:
            try:
                connection.sendall(data)
            except OSError:
                return True
            time.sleep(0.02)
    return False


def head(length=0, path="/outcomes", token=TOKEN):
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n".encode()
    )


def call(name, /, **arguments):
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def ask(port, method, path, **options):
    return httpx.request(method, f"http://127.0.0.1:{port}{path}", headers=HEADERS, timeout=SECONDS, **options)


@pytest.mark.parametrize("begun", [b"", b"POST /outc", b"POST /outcomes HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_without_a_whole_request_is_closed(store, begun):
    with served(store, header_s=0.2) as port:
        assert all_of(send(port, begun)) == ""


def test_headers_that_trickle_are_not_waited_for(store):
    with served(store, header_s=0.3) as port:
        assert is_closed_on(send(port), b"x")


def test_a_body_that_does_not_come_is_refused_in_one_line_and_the_connection_ends(store):
    with served(store, body_s=0.2) as port:
        said = all_of(send(port, head(100) + b"{"))

    assert said.startswith("HTTP/1.1 408")
    assert "the body did not come within 0.2 s; send it faster" in said


def test_a_body_that_is_refused_unread_does_not_keep_the_connection(store):
    with served(store, header_s=0.3, idle_s=1) as port:
        with send(port, head(100_000, token="wrong")) as connection:
            assert b"401" in connection.recv(65536)
            connection.sendall(b"{")  # and no more
            assert connection.recv(65536) == b""
        long = all_of(send(port, head(2**21) + b" " * (2**20 + 1)))
    assert long.startswith("HTTP/1.1 413")


def test_a_connection_between_two_requests_is_closed(store):
    with served(store, idle_s=1) as port:
        assert all_of(send(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).endswith('{"ok":true}')


def test_headers_have_a_size(store):
    with served(store) as port:
        assert is_closed_on(send(port, b"GET /healthz HTTP/1.1\r\nX: "), b"x" * 2**14)


def test_one_address_has_so_many_connections(store):
    with served(store, connections=3) as port:
        held = [send(port) for _ in range(3)]
        assert is_closed_on(send(port), b"x")
        for one in held:
            one.close()
        for _ in range(100):
            try:
                assert ask(port, "GET", "/healthz").status_code == 200
                break
            except httpx.HTTPError:
                time.sleep(0.05)  # the server has not yet seen that they are closed


def test_requests_at_once_wait_and_are_then_refused(store, skill, monkeypatch):
    held = threading.Event()
    monkeypatch.setattr(store, "search", lambda *_: held.wait(SECONDS) and store.query())
    with served(store, requests=2, wait_s=0.3) as port:
        search = {"json": call("search_skills", query="add")}
        asked = [threading.Thread(target=ask, args=(port, "POST", "/mcp"), kwargs=search) for _ in range(2)]
        for one in asked:
            one.start()
        until = time.monotonic() + SECONDS
        while (refused := ask(port, "GET", "/nothing")).status_code != 429:
            assert time.monotonic() < until
        healthy = ask(port, "GET", "/health")
        held.set()
        for one in asked:
            one.join()
        served_again = ask(port, "GET", "/nothing")

    assert "2 requests of this client are being answered; ask again" in refused.json()["error"]
    assert refused.headers["Retry-After"] == "1"
    assert healthy.json()["status"] == "healthy"
    assert served_again.status_code == 404


def test_a_flood_of_writes_is_refused_and_reading_goes_on(store, skill):
    with served(store, writes_a_minute=6) as port:  # one at once
        said = [ask(port, "POST", "/mcp", json=call("get_skill", name="adding", task="add")) for _ in range(3)]
        posted = ask(port, "POST", "/outcomes", json={"run_id": "x", "reward": 1})
        read = ask(port, "POST", "/mcp", json=call("search_skills", query="add"))

    assert [answer.status_code for answer in said] == [200, 429, 429]
    assert posted.status_code == 429
    assert "this client may write 6 times a minute; wait" in posted.json()["error"]
    assert int(posted.headers["Retry-After"]) >= 1
    assert read.json()["result"]["structuredContent"]["skills"][0]["name"] == "adding"
    assert store.runs.waiting().rollouts == 1


def test_so_many_proposals_may_wait_for_a_decision(store, skill, monkeypatch):
    monkeypatch.setattr(tools, "MOST_WAITING", 3)
    with served(store) as port:

        def propose(number):
            answer = ask(port, "POST", "/mcp", json=call("propose_skill", text=skill_text(f"skill-{number}")))
            return answer.json()["result"]

        said = [propose(number) for number in range(5)]
        store.promote("skill-0")
        store.retire("skill-1")
        said += [propose(number) for number in range(5, 8)]

    assert [bool(one.get("isError")) for one in said] == [False] * 3 + [True] * 2 + [False] * 2 + [True]
    assert "3 proposals wait for a decision, and no more are taken; ask a person" in said[3]["content"][0]["text"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("search_skills", {"query": "x" * 100_001}),
        ("get_skill", {"name": "adding", "task": "x" * 100_001}),
        ("report_outcome", {"run_id": "x", "reward": 1, "feedback": "x" * 100_001}),
    ],
)
def test_a_text_has_a_length(store, skill, name, arguments):
    with served(store) as port:
        said = ask(port, "POST", "/mcp", json=call(name, **arguments)).json()["result"]

    assert said["isError"] is True
    assert "has 100001 characters; give at most 100000" in said["content"][0]["text"]


def test_health_says_one_word_to_anybody_and_all_of_it_to_a_token(store, skill):
    with served(store) as port:
        anybody = httpx.get(f"http://127.0.0.1:{port}/health")
        known = ask(port, "GET", "/health")
        store.add_text(skill_text("sorting"))
        again = ask(port, "GET", "/health")

    assert anybody.json() == {"status": "healthy"}
    assert known.json()["store"]["skills"] == {"live": 1}
    assert again.json() == known.json()  # of seconds ago: nobody makes the server look all the time


def test_health_of_a_store_that_is_gone_is_503(home, store, skill):
    (home / "skills.db").rename(home / "elsewhere.db")
    with served(store) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/health")

    assert (answer.status_code, answer.json()) == (503, {"status": "down"})


def test_metrics_want_the_token(store, skill):
    tools.search_skills(store, "add")
    with served(store) as port:
        refused = httpx.get(f"http://127.0.0.1:{port}/metrics")
        read = ask(port, "GET", "/metrics")

    assert refused.status_code == 401
    assert read.headers["content-type"].startswith("text/plain")
    assert 'skill_plugin_search_seconds_count{namespace="default"} 1.0' in read.text
    assert 'skill_plugin_skills{namespace="default",status="live"} 1.0' in read.text
    assert "adding" not in read.text


async def test_clients_are_forgotten_but_for_those_that_ask(monkeypatch):
    monkeypatch.setattr(clients, "MOST_CLIENTS", 2)
    known = Clients(HttpLimits(writes_a_minute=6))
    async with known.turn("asks"):
        for name in ("asks", "b", "c", "d"):
            known.count_writes(name, 1)
        with pytest.raises(ClientLimitError):
            known.count_writes("asks", 1)
    assert len(known._clients) == 2


def test_an_address_of_ipv6_is_its_network():
    assert place_of("2001:db8::1%eth0") == place_of("2001:db8::ffff") == "2001:db8::/64"
    assert place_of("192.0.2.7") == "192.0.2.7"
    assert place_of("unix") == "unix"


def test_limits_are_checked():
    with pytest.raises(ConfigurationError, match="writes_a_minute is 0; give a whole number from 1"):
        HttpLimits(writes_a_minute=0)
