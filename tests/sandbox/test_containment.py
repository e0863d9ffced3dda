"""What a sandbox contains, and that nothing of it is left."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skill_plugin.errors import ConfigurationError, SandboxError
from skill_plugin.sandbox import Sandbox, SandboxLimits, missing, run_python, runner

needs = pytest.mark.skipif(bool(missing()), reason=f"this machine cannot contain {missing()}")

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 100)
        time.sleep(600)
    os._exit(0)
os.wait()
"""


def alive(mark):
    """Returns the processes whose command line holds a text."""
    listed = subprocess.run(["ps", "-axww", "-o", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if mark in line]


@pytest.fixture(params=["with namespaces", "without"])
def anywhere(request, monkeypatch):
    if request.param == "without":  # as in most containers
        monkeypatch.setattr(runner, "_USE", ("files",))
    elif missing():
        pytest.skip(f"this machine cannot contain {missing()}")


@needs
def test_everything_is_contained_here():
    assert run_python("pass").missing == ()


def test_what_is_not_contained_is_said(monkeypatch):
    monkeypatch.setattr(runner, "_USE", ())

    assert {"network", "processes", "files"} <= set(run_python("pass").missing)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can find daemons")
@pytest.mark.parametrize("end", ["pass", "time.sleep(60)", "os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_daemon_in_a_session_of_its_own_is_ended(anywhere, end):
    mark = f"daemon-{time.time_ns()}"
    program = (
        "import subprocess, sys, time, os\n"
        f"code = {DAEMON!r}\n"
        f"subprocess.run([sys.executable, '-c', code, {mark!r}])\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', {mark!r}], start_new_session=True)\n{end}"
    )
    result = run_python(program, SandboxLimits(seconds=3))

    assert "Error" not in result.stderr
    assert alive(mark) == []


def test_the_hosts_environment_cannot_be_read(anywhere):
    """Not in the parent's /proc entry either, nor in that of any other process of this user."""
    program = (
        "import os\nseen = dict(os.environ)\n"
        "for pid in [os.getppid(), *filter(str.isdigit, os.listdir('/proc') if os.access('/proc', os.R_OK) else [])]:\n"
        "    try: seen[pid] = open(f'/proc/{pid}/environ').read()\n"
        "    except OSError: pass\n"
        "print(seen)"
    )
    host = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env={"API_KEY": "s3cret-key"})
    try:
        result = run_python(program)
    finally:
        host.kill()
        host.wait()

    assert "HOME" in result.stdout or result.stderr  # it ran, or was not even let look
    assert "s3cret-key" not in result.stdout
    assert result.stdout.count("PATH") == 0


@pytest.mark.skipif("network" in missing(), reason="this machine cannot close the network")
def test_there_is_no_network(anywhere, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "socket"))
        local.listen()
        for family, address in (("AF_INET", server.getsockname()), ("AF_UNIX", str(tmp_path / "socket"))):
            program = f"import socket\nsocket.socket(socket.{family}).connect({address!r})\nprint('reached')"
            result = run_python(program)
            assert "reached" not in result.stdout
            assert "Error" in result.last_error


@pytest.mark.skipif("files" in missing(), reason="this machine cannot restrict files")
def test_only_its_folder_may_be_written_and_no_file_of_the_user_read(anywhere, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("x")
    for program in (
        f"open({str(mine)!r})",
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"import os; os.remove({str(mine)!r})",
        f"import os; os.truncate({str(mine)!r}, 0)",
        f"import os; os.listdir({str(tmp_path)!r})",
        f"import os; os.link({str(mine)!r}, 'link'); open('link')",
        f"import os; os.symlink({str(mine)!r}, 'link'); open('link')",
    ):
        assert "PermissionError" in run_python(program).last_error or "OSError" in run_python(program).last_error
    assert mine.read_text() == "x"
    assert run_python("open('own', 'w').write('x'); print(open('own').read())").stdout == "x\n"


@needs
@pytest.mark.parametrize(
    "change", ["os.chmod({!r}, 0o777)", "os.utime({!r}, (0, 0))", "os.setxattr({!r}, 'user.x', b'1')"]
)
def test_no_file_of_the_user_gets_another_mode_or_time(change, tmp_path):
    """Landlock lets that pass; the disks are read-only."""
    mine = tmp_path / "mine"
    mine.write_text("x")
    mine.chmod(0o600)
    before = mine.stat()

    assert "Read-only" in run_python(f"import os; {change.format(str(mine))}").last_error
    assert (mine.stat().st_mode, mine.stat().st_mtime) == (before.st_mode, before.st_mtime)


@needs
@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(60)", ("processes", "BlockingIOError")),
        ("import os, time\nfor _ in range(3): os.fork()\nx = b'x' * (100 << 20)\ntime.sleep(60)", ("took more than",)),
        ("import os, threading\nfor _ in range(9): os.fork()\nprint('x')", ("processes", "BlockingIOError")),
        ("for n in range(999): open(str(n), 'wb').write(bytes(900_000))", ("No space left",)),
        (
            "import ctypes, os\nif ctypes.CDLL(None).shmget(0, 1 << 30, 0o1600) < 0: raise SystemExit('refused')",
            ("refused",),
        ),
        ("import ctypes, os\nif ctypes.CDLL(None).unshare(0x10000000) < 0: raise SystemExit('refused')", ("refused",)),
    ],
)
def test_limits_of_all_processes_together_hold(program, says):
    result = run_python(program, SandboxLimits(seconds=10, memory_mb=300, processes=8))

    assert any(one in result.last_error for one in says)
    assert not result.timed_out


@needs
def test_the_kernel_refuses_the_thread_that_is_one_too_many_to_root_too():
    """A watcher that looks every 20 ms would see 60 of them, or processes that start processes for as long as they live."""
    program = "import threading, time\nthreading.stack_size(65_536)\n"  # so that memory is not what ends it
    program += "for _ in range(60): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()"

    assert "can't start new thread" in run_python(program, SandboxLimits(processes=8)).last_error


def test_functions_are_called_with_plain_data():
    with Sandbox(
        "def f(x, *, y=0): return {x: (y, None)}\ndef g(): return object()\ndef h(): raise ValueError('no')"
    ) as box:
        assert box.call("f", 1, y=[2.5]) == {1: ([2.5], None)}
        for name, says in (("g", "not plain"), ("h", "ValueError: no"), ("none", "not defined")):
            with pytest.raises(SandboxError, match=says) as caught:
                box.call(name)
            assert "\n" not in str(caught.value)
        with pytest.raises(SandboxError, match="plain"):
            box.call("f", object())
        assert box.call("f", 2) == {2: (0, None)}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("while True: pass", "ran over 1 s"),
        ("import os; os._exit(0)", "ended"),
        ("import os; [os.write(n, b'0' * 16 + b'nonsense') for n in range(3, 20)]", "ended|cannot be read|raised"),
        ("return b'x' * 20_000_000", "MB"),
    ],
)
def test_a_function_that_passes_a_limit_ends_its_sandbox_alone(body, says):
    with Sandbox(f"def f():\n    {body}", SandboxLimits(seconds=1)) as box, pytest.raises(SandboxError, match=says):
        box.call("f")


def test_source_that_fails_and_limits_that_cannot_be_say_so_in_one_line():
    with pytest.raises(SandboxError, match="SyntaxError"):
        Sandbox("def f(")
    with pytest.raises(ConfigurationError, match="memory_mb is 1"):
        SandboxLimits(memory_mb=1)


def test_where_processes_cannot_fork_the_deadline_holds(monkeypatch):
    """As on Windows: the sandbox's one process runs the code, and nothing watches it but the host."""
    monkeypatch.setattr(runner, "_START", "import os\ndel os.fork\n" + runner._START)
    monkeypatch.setattr(runner, "_GRACE_S", 0)

    result = run_python("print('x'); raise SystemExit(3)")
    assert (result.returncode, result.stdout, set(result.missing)) == (
        3,
        "x\n",
        {"network", "processes", "files", "memory"},
    )
    assert run_python("while True: pass", SandboxLimits(seconds=1)).timed_out
    judgement = runner.judge("def f(x): return 2 * x", ["assert f(1) == 2", "assert f(1) == 3"])
    assert (judgement.passed, judgement.broken) == ({0}, "")
    with Sandbox("def f(x): return x") as box:
        assert box.call("f", 1) == 1


def test_no_descriptor_and_no_folder_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    for _ in range(3):
        run_python("open('f', 'w').write('x')")
        runner.judge("def f(): return 1", ["assert f() == 1"])
        with pytest.raises(SandboxError):
            Sandbox("1 / 0")

    assert list(tmp_path.iterdir()) == []
    assert not before or len(list(Path("/proc/self/fd").iterdir())) == before
