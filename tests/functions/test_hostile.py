"""Hostile functions: none escapes, the host lives, each gives one line."""

import os
import socket
import subprocess

import pytest

import hostile_functions
from skill_functions import SHORT, SLOW, body, needs_sandbox, package
from skill_plugin.functions import CallResult, runner

pytestmark = needs_sandbox


@pytest.fixture
def world(tmp_path, monkeypatch):
    """What a function may want of the host, and a look at whether it got it."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        yield World(tmp_path, monkeypatch, server, local)


class World:
    def __init__(self, folder, monkeypatch, server, local):
        self.secret, self.mark, self.server = folder / "secret", folder / "mark", server
        self.secret.write_text("s3cret-text")
        self.state = self.secret.stat()
        monkeypatch.setenv("API_KEY", "s3cret-key")
        local.bind(str(folder / "s"))
        local.listen()
        server.setblocking(False)
        self.inherited = os.open(self.secret, os.O_RDONLY)
        os.set_inheritable(self.inherited, True)
        self.names = {
            "SECRET": str(self.secret), "MARK": str(self.mark), "FOLDER": str(folder), "PORT": server.getsockname()[1],
            "SOCKET": str(folder / "s"), "HOST": os.getpid(),
        }  # fmt: skip
        self.wiped = []
        self.tools = {"look": lambda _: "seen", "wipe": lambda arguments: self.wiped.append(arguments)}

    def call(self, text, limits=SLOW, name="sandbox") -> CallResult:
        try:
            made = package(body(text, **self.names), "look")
            return runner(name).run(made, "work", {}, self.tools, limits)
        finally:
            os.close(self.inherited)

    def escaped(self, result):
        """Returns what a function got or did that it should not have."""
        found = ["it returned"] if result.ok else []
        found += ["a secret"] if "s3cret" in result.text + result.error else []
        found += ["a file"] if self.mark.exists() else []
        found += ["a tool"] if self.wiped else []
        try:
            now = self.secret.stat()
        except FileNotFoundError:
            return [*found, "a file is gone"]
        same = (now.st_size, now.st_mode, now.st_mtime) == (self.state.st_size, self.state.st_mode, self.state.st_mtime)
        found += [] if same and not os.listxattr(self.secret) else ["a file is changed"]
        try:
            self.server.accept()[0].close()
        except BlockingIOError:
            return found
        return [*found, "a connection"]


def test_there_are_at_least_forty():
    assert len(hostile_functions.EVERY) + len(hostile_functions.WAITS) >= 40


@pytest.mark.parametrize("name", hostile_functions.EVERY)
def test_a_hostile_function_is_held(name, world):
    result = world.call(hostile_functions.EVERY[name])

    assert world.escaped(result) == []
    assert result.error
    assert len(result.error.splitlines()) == 1
    assert result.error.isprintable()
    assert len(result.error) < 700


@pytest.mark.parametrize("name", hostile_functions.WAITS)
def test_a_function_that_waits_is_ended(name, world):
    result = world.call(hostile_functions.WAITS[name], SHORT)

    assert "ran over 1 s" in result.error
    assert world.escaped(result) == []


def test_a_daemon_is_ended(world):
    before = set(_sleepers())
    world.call(hostile_functions.PROCESSES["leaves a daemon"])

    assert not set(_sleepers()) - before


def _sleepers():
    """Returns the processes of sandboxes whose watcher has ended."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    return [
        line.split()[0] for line in listed.splitlines() if line.split()[1] == "1" and "skill_plugin.sandbox" in line
    ]
