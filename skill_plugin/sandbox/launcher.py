"""The first process of a sandbox: starts with an empty environment, shuts its child in, watches it, and ends all that is left.

Its child is a fork, not a second interpreter: that takes a millisecond instead of the time that Python needs to start. Runs by itself
(`runner.py` starts it), so it imports the standard library alone.
"""

import builtins
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from skill_plugin.sandbox import kernel, wire

_MODULES = ("skill_plugin", "skill_plugin.sandbox")
_LOOK_EVERY_S = 0.02


def main() -> None:
    """Reads what to do from stdin, does it, and reports how it ended."""
    request = wire.loads(wire.receive(0, 1 << 30))
    out, err, report = (one if isinstance(one, int) else os.open(one, os.O_RDWR) for one in request["files"])
    if not hasattr(os, "fork"):  # Windows: the host's deadline is all there is
        if request["needs"]:
            wire.send(report, wire.dumps(("ended", {"returncode": 1, "over": _lacking(request, set())})))
            return
        _inside(request, out, err, report)
        return
    kernel.hide()
    kernel.adopt()
    watched = {signal.SIGCHLD, signal.SIGTERM}
    if hasattr(signal, "sigtimedwait"):
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    else:  # macOS
        signal.signal(signal.SIGTERM, lambda *_: None)
    holds: set[str] = set()
    if "namespaces" in request["use"]:
        holds = kernel.separate(request["folder"], request["disk_mb"], read_only=request["writes"] == [os.devnull])
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        kernel.end_with_parent()
        if hasattr(signal, "sigtimedwait"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        else:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        holds |= _limit(request, holds)
        os.write(tell, wire.dumps(sorted(holds)))
        os.close(tell)
        if not _lacking(request, holds):
            _inside(request, out, err, report)
        return
    os.close(tell)
    for channel in (0, 1):
        os.close(channel)  # so that either side hears when the other has gone
    ended = _watch(child, request, watched)
    _end_all(child)
    with suppress(OSError, wire.WireError):
        ended["holds"] = wire.loads(os.read(told, 1000))
        ended["over"] = ended["over"] or _lacking(request, set(ended["holds"]))
    wire.send(report, wire.dumps(("ended", ended)))
    os._exit(0)


def _lacking(request: dict[str, Any], holds: set[str]) -> str:
    """Returns what has to be contained and is not, in words."""
    lacking = [part for part in request["needs"] if part not in holds]
    return f"this machine did not shut off {' and '.join(lacking)}" if lacking else ""


def _limit(request: dict[str, Any], holds: set[str]) -> set[str]:
    """Sets the limits of this process and of those that it will start. Returns what now holds."""
    import resource  # noqa: PLC0415 - Windows has none

    memory = request["memory_mb"] << 20
    limits = [
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, request["output_bytes"]),
        (resource.RLIMIT_NOFILE, request["open_files"]),
        (resource.RLIMIT_CORE, 0),
    ]
    if request["cpu_s"] is not None:
        limits.append((resource.RLIMIT_CPU, int(request["cpu_s"]) + 1))
    if "users" in holds:  # elsewhere it would count every process of this user; threads count too
        limits.append((resource.RLIMIT_NPROC, request["processes"] + 1))
    done = set()
    for limit, value in limits:
        with suppress(ValueError, OSError):  # macOS refuses some
            resource.setrlimit(limit, (value, value))
            done |= {kernel.MEMORY} if limit == resource.RLIMIT_AS else set()
    os.chdir(request["folder"])
    if "files" in request["use"]:
        writes = [request["folder"], *request["writes"]]
        done |= kernel.shut_in(request["reads"], writes, strict=request["strict"])
    return done


def _inside(request: dict[str, Any], out: int, err: int, report: int) -> None:
    """Runs the program, in the process that is shut in."""
    reads, writes = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for one, other in ((null, 0), (out, 1), (err, 2)):
        os.dup2(one, other)
    for one in (null, out, err):
        os.close(one)
    if not hasattr(os, "fork"):
        os.chdir(request["folder"])
    sys.path += request["paths"]
    os.environ["HOME"] = os.environ["TMPDIR"] = request["folder"]
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # `site`, which makes them, was left out to save time
    what = request["what"]
    if what == "tests":
        from skill_plugin.sandbox.trial import run  # noqa: PLC0415 - only what is needed, to start sooner

        run(request["answer"], request["tests"], reads, writes, report)
        sys.stdout.flush()
        os._exit(0)
    os.close(report)
    if what == "serve":
        from skill_plugin.sandbox.server import Server  # noqa: PLC0415

        _forget()
        Server(reads, writes).serve()
        os._exit(0)
    os.close(reads)
    os.close(writes)
    _forget()
    exec(compile(request["program"], "program.py", "exec"), {"__name__": "__main__"})  # noqa: S102 - what this is for


def _forget() -> None:
    """Takes our modules' names away: the program may import the real `skill_plugin`."""
    for name in [name for name in sys.modules if name.partition(".")[0] == _MODULES[0]]:
        del sys.modules[name]


def _watch(child: int, request: dict[str, Any], signals: set[Any]) -> dict[str, Any]:
    """Waits until the child has ended, is over a limit, or is not wanted any more."""
    began = time.monotonic()
    limit = float("inf") if request["seconds"] is None else request["seconds"]
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return {"returncode": os.waitstatus_to_exitcode(status), "over": ""}
        left = limit - (time.monotonic() - began)
        over = f"it ran over {limit:g} s" if left <= 0 else _excess(child, request)
        if over:
            return {"returncode": -int(signal.SIGKILL), "over": over, "timed_out": left <= 0}
        if _pause(min(_LOOK_EVERY_S, left), signals):
            return {"returncode": -int(signal.SIGTERM), "over": ""}


def _pause(seconds: float, signals: set[Any]) -> bool:
    """Waits a moment, or until the child has ended. Returns whether the host wants the end."""
    if not hasattr(signal, "sigtimedwait"):
        time.sleep(seconds / 4)
        return False
    got = signal.sigtimedwait(signals, seconds)
    return got is not None and got.si_signo == signal.SIGTERM


def _excess(child: int, request: dict[str, Any]) -> str:
    """Returns which limit of all processes together is passed, or nothing. One process alone has limits in the kernel."""
    processes = _family(child)
    if sum(map(_threads, processes)) > request["processes"]:
        return f"it started more than {request['processes']} processes and threads"
    if len(processes) > 1 and sum(map(_memory, processes)) > request["memory_mb"] << 10:
        return f"its processes took more than {request['memory_mb']} MB"
    return ""


def _family(first: int) -> list[int]:
    """Returns a process and all that descend from it, as far as Linux says."""
    found, at = [first], 0
    while at < len(found):
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{found[at]}/task"):  # noqa: PTH208
                with suppress(OSError):
                    found += map(int, _text(f"/proc/{found[at]}/task/{thread}/children").split())
        at += 1
    return found


def _threads(pid: int) -> int:
    """Returns how many threads a process has; 1 where Linux does not say."""
    try:
        return len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208
    except OSError:
        return 1


def _memory(pid: int) -> int:
    """Returns the kilobytes that a process takes, its part of shared ones; more where Linux tells us less."""
    for name, fields in (("smaps_rollup", ("Pss:",)), ("status", ("RssAnon:", "RssShmem:"))):
        with suppress(OSError, ValueError, IndexError):
            lines = _text(f"/proc/{pid}/{name}").splitlines()
            found = [int(line.split()[1]) for line in lines if line.startswith(fields)]
            if found:
                return sum(found)
    return 0


def _text(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - pathlib takes 10 ms to import
        return file.read()


def _end_all(child: int) -> None:
    """Ends the child and whatever it started, those in sessions of their own too, and waits until they are gone."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for pid in _family(os.getpid())[1:] or [child]:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)
