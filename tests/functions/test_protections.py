"""Takes each protection of functions out, and sees the escape that it stops."""

import os
import socket
import subprocess
import time

import pytest
from langgraph.errors import GraphInterrupt

from hostile_functions import EVERY
from skill_functions import SLOW, body, call, needs_sandbox, package
from skill_plugin.errors import InvalidSkillError, SandboxError
from skill_plugin.functions import FunctionLimits, FunctionPackage, SandboxRunner, function, module_level, tool_desk
from skill_plugin.sandbox import peer, wire
from skill_plugin.sandbox import runner as sandboxes

pytestmark = needs_sandbox

NO_LANDLOCK = "kernel._landlock = lambda *_: True"
NO_FILTER = "kernel._seccomp = lambda *_: True"
NO_STRICT = "kernel._STRICT = {name: () for name in kernel._STRICT}"
NO_MOUNTS = "separate = kernel.separate; kernel.separate = lambda *a, **_: separate(*a, read_only=False)"
NO_END = "from skill_plugin.sandbox import launcher; launcher._end_all = lambda _: None"
NO_NAMESPACES = "kernel.separate = lambda *_, **__: set()"


def attack(name, *out, limits=SLOW, tools=None, **names):
    """Runs a hostile function where lines of our own code in its process have been replaced."""
    with pytest.MonkeyPatch.context() as patch:
        main = "from skill_plugin.sandbox.launcher import main\n"
        lines = "".join(f"{line}\n" for line in out)
        patch.setattr(
            sandboxes,
            "_START",
            sandboxes._START.replace(main, f"from skill_plugin.sandbox import kernel\n{lines}{main}"),
        )
        given = tools or {"look": lambda _: "seen"}
        # A process that waits was started with the protection.
        return call(body(EVERY.get(name, name), **names), given, limits, runs=SandboxRunner(is_warm=False))


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("s3cret")
    return path


def test_landlock_keeps_files_from_being_read(secret):
    for name in ("reads a file", "makes a symbolic link", "climbs by descriptors"):
        assert not attack(name, SECRET=str(secret)).ok
        assert attack(name, NO_LANDLOCK, SECRET=str(secret)).value == {"read": "s3cret"}


def test_a_process_that_was_not_shut_in_runs_nothing(tmp_path):
    with pytest.raises(SandboxError, match="this machine did not shut off files"):
        attack("writes a file", "kernel._landlock = lambda *_: False", NO_MOUNTS, MARK=str(tmp_path / "mark"))
    assert not (tmp_path / "mark").exists()


def test_landlock_and_mounts_keep_files_from_being_written(tmp_path):
    for out, escapes in (((NO_MOUNTS,), False), ((NO_LANDLOCK,), False), ((NO_LANDLOCK, NO_MOUNTS), True)):
        attack("writes a file", *out, MARK=str(tmp_path / "mark"))
        assert (tmp_path / "mark").exists() is escapes


def test_mounts_and_the_filter_keep_modes_as_they_are(secret):
    secret.chmod(0o600)
    for out, mode in (((NO_MOUNTS,), 0o600), ((NO_STRICT,), 0o600), ((NO_MOUNTS, NO_STRICT), 0o777)):
        attack("changes a mode", *out, SECRET=str(secret))
        assert secret.stat().st_mode & 0o777 == mode


def test_the_namespace_and_the_filter_keep_the_network_away():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        # Landlock refuses TCP too, where it knows it.
        for out, escapes in (
            ((NO_NAMESPACES,), False),
            ((NO_FILTER,), False),
            ((NO_NAMESPACES, NO_FILTER, NO_LANDLOCK), True),
        ):
            assert attack("connects", *out, PORT=port).ok is escapes


def test_landlock_and_the_filter_keep_programs_away():
    for out, escapes in (((NO_LANDLOCK,), False), ((NO_FILTER,), False), ((NO_LANDLOCK, NO_STRICT), True)):
        assert attack("runs a program", *out).ok is escapes


@pytest.mark.parametrize("name", ["makes a namespace", "shares memory"])
def test_the_filter_keeps_calls_of_the_kernel_away(name):
    assert not attack(name).ok
    assert attack(name, NO_FILTER).ok


def test_the_namespace_keeps_the_hosts_processes_away():
    other = subprocess.Popen(["sleep", "60"])
    try:
        # Landlock scopes signals too, where it knows it.
        for out, escapes in (((NO_LANDLOCK,), False), ((NO_LANDLOCK, NO_NAMESPACES), True)):
            attack("ends the host", *out, HOST=other.pid)
            assert (other.poll() is not None) is escapes
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("which", [{"env": None}, {"close_fds": False, "pass_fds": ()}])
def test_neither_the_environment_nor_descriptors_are_inherited(which, monkeypatch, secret):
    monkeypatch.setenv("API_KEY", "s3cret")
    inherited = os.open(secret, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    name = "reads its own environment" if "env" in which else "reads inherited descriptors"
    try:
        assert not attack(name).ok
        start = sandboxes.subprocess.Popen

        def careless(*args, **given):
            for one in given["pass_fds"]:
                os.set_inheritable(one, True)
            return start(*args, **{**given, **which})

        monkeypatch.setattr(sandboxes.subprocess, "Popen", careless)
        assert "s3cret" in attack(name).text
    finally:
        os.close(inherited)


def test_what_a_function_leaves_is_ended(tmp_path):
    leaves = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    os.closerange(0, 64)\n    time.sleep(0.3)\n"
        "    os.close(os.open(MARK, os.O_CREAT | os.O_WRONLY))\n    os._exit(0)\nreturn {}"
    )
    open_disk, mark = (NO_LANDLOCK, NO_MOUNTS), tmp_path / "mark"
    attack(leaves, *open_disk, MARK=str(mark))
    time.sleep(0.6)
    assert not mark.exists()
    attack(leaves, *open_disk, NO_NAMESPACES, NO_END, MARK=str(mark))
    until = time.monotonic() + 60
    while not mark.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_limits_of_memory_results_and_calls_are_what_stops():
    many = "for _ in range(20): tools.look(at='x')\nreturn {}"
    for text, limits in (
        ("return {'x': len(bytearray(500 << 20))}", FunctionLimits(seconds=60, memory_mb=900)),
        ("return {'x': 'x' * 200_000}", FunctionLimits(seconds=60)),
        (many, FunctionLimits(seconds=60, tool_calls=20)),
    ):
        assert not attack(text).ok
        assert attack(text, limits=limits).ok


def test_only_declared_tools_are_answered(monkeypatch):
    wiped = []
    tools = {"look": lambda _: "seen", "wipe": wiped.append}
    text = body(EVERY["calls another tool"])

    def smuggle():
        return SandboxRunner().run(package(text, "look"), "work", {}, tools, SLOW)

    assert "it called the tool 'wipe', which its file does not" in smuggle().error
    assert wiped == []
    every = tool_desk.ToolDesk.answer

    def careless(desk, name, arguments):
        desk._function = function.SkillFunction("work", "", "", {}, {}, (name,), "")
        return every(desk, name, arguments)

    monkeypatch.setattr(tool_desk.ToolDesk, "answer", careless)
    smuggle()
    assert wiped == [{"all": True}]


def test_tools_cannot_be_reached_another_way_in_honest_code(monkeypatch):
    text = body("return {'x': getattr(tools, 'wi' + 'pe')()}")
    with pytest.raises(InvalidSkillError, match="tools can only be called"):
        package(text)
    monkeypatch.setattr(module_level.ModuleLevel, "_tools", lambda *_: None)
    assert package(text).functions[0].tools == ()


def test_an_interrupt_is_not_an_error_that_a_function_may_swallow(monkeypatch):
    def ask(_):
        raise GraphInterrupt(("approve?",))

    text = body("try:\n    tools.ask()\nexcept Exception:\n    pass\nreturn {}")
    with pytest.raises(GraphInterrupt):
        call(text, {"ask": ask})
    monkeypatch.setattr(tool_desk, "is_of_agent", lambda _: False)
    assert call(text, {"ask": ask}).ok


def test_nothing_is_built_of_what_a_function_sends(monkeypatch):
    assert "cannot be read" in attack("sends an array").error
    seen = []
    monkeypatch.setattr(wire, "_BARE", wire._ALL)
    desk = tool_desk.ToolDesk.answer
    monkeypatch.setattr(tool_desk.ToolDesk, "answer", lambda self, *told: seen.append(told[1]) or desk(self, *told))
    attack("sends an array")
    assert [type(one).__name__ for one in seen] == ["Counter"]


def test_a_frame_has_the_size_that_the_host_takes(monkeypatch):
    assert "a frame of 9223372036854775807 bytes; at most" in attack("sends a frame without end").error
    receive = wire.receive
    monkeypatch.setattr(peer.wire, "receive", lambda reads, *_: receive(reads, 1 << 63))
    limits = FunctionLimits(seconds=1)
    assert "ran over 1 s" in attack("sends a frame without end", limits=limits).error  # it reads until the end


def test_a_function_cannot_see_what_its_tests_expect(monkeypatch):
    made = package(body("return {'x': open('scripts/test_work.py').read()}"), **{"scripts/test_work.py": "s3cret"})
    assert not SandboxRunner().run(made, "work", {}, {}, SLOW).ok
    monkeypatch.setattr(function, "is_test", lambda _: False)
    assert SandboxRunner().run(made, "work", {}, {}, SLOW).value == {"x": "s3cret"}


def test_a_file_stays_in_the_folder_also_where_nothing_else_contains_it(monkeypatch, tmp_path):
    files = {**package(body("return {}")).files, f"../../{tmp_path}/mark": b"x"}
    with pytest.raises(InvalidSkillError, match="leads out of the skill's folder"):
        FunctionPackage.read(files, ())
    monkeypatch.setattr(function, "check_path", lambda path: path)
    made = FunctionPackage.read({**files, f"{'../' * 9}{tmp_path}/mark": b"x"}, ())
    runs = SandboxRunner(is_warm=False)
    runs._how = {"use": ()}
    runs.run(made, "work", {}, {}, SLOW)
    assert (tmp_path / "mark").read_text() == "x"
