"""Runs Python code in a subprocess with limits.

It covers: a deadline that ends the whole process group, limits on CPU time, memory, file size, open files and core
dumps, an empty environment, an isolated interpreter, and a temporary working folder that is removed.

It does not cover: reading files that this user may read, the network, starting processes, or a determined attacker. It
keeps honest but broken code from taking the host down; it is not a security boundary. Run the whole agent in a container
for that. Where the `resource` module is missing (Windows), only the deadline holds.
"""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MAX_OUTPUT = 1_000_000

_BOOTSTRAP = """
import sys
try:
    import resource
except ImportError:
    pass
else:
    seconds, memory, output = map(int, sys.argv[1:4])
    for limit, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, output),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
exec(compile(sys.stdin.read(), "program.py", "exec"), {"__name__": "__main__"})
"""


@dataclass(frozen=True)
class Result:
    """The result of a program. `stdout` and `stderr` are cut at a megabyte."""

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool

    @property
    def last_error(self) -> str:
        lines = self.stderr.strip().splitlines()
        return lines[-1] if lines else f"it ended with status {self.returncode}"


def run_python(program: str, *, seconds: float = 10.0, memory_mb: int = 512) -> Result:
    """Runs `program` and returns how it ended; never raises for an error of the program."""
    limits = [str(value) for value in (int(seconds) + 1, memory_mb * 2**20, _MAX_OUTPUT)]
    with tempfile.TemporaryDirectory(prefix="skill-plugin-") as folder:
        out, err = Path(folder, ".stdout"), Path(folder, ".stderr")
        # Files, not pipes: a program that never stops printing then meets the limit of file size, not our memory.
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(  # noqa: S603 - running a program is what this file is for
                [sys.executable, "-I", "-c", _BOOTSTRAP, *limits],
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                cwd=folder,
                env={},
                start_new_session=True,
            )
            timed_out = False
            try:
                process.communicate(program.encode("utf-8", "surrogatepass"), timeout=seconds)
            except subprocess.TimeoutExpired:
                timed_out = True
            except OSError:
                pass  # it ended before it had read the program
            finally:
                _end(process)
        return Result(process.returncode, _read(out), _read(err), timed_out)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends the process and whatever it started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MAX_OUTPUT).decode("utf-8", "replace")
