"""Training in a process of its own: its memory is free again when it ends, and it may be many processes on many GPUs."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from skill_plugin.errors import ConfigurationError, TrainingError

WATCHED = "SKILL_PLUGIN_WATCH_PARENT"
"""Set for a trainer that must end when the process that started it has."""

_TRAINED, _MADE_NONE = 0, 3
_GRACE_S = 30.0


def train(folder: Path, *, launcher: str | None = None, tell: Callable[[str], None] | None = None) -> None:
    """Trains what a run's folder says, and waits for the end. The result is in the folder.

    Args:
        folder: The run's folder.
        launcher: Command for the processes, such as `accelerate launch --num_processes 4`; by default this Python.
        tell: Is told each line that the trainer prints.

    Raises:
        ConfigurationError: the launcher cannot be started, or the trainer says that it cannot work; with its line.
        TrainingError: it died.
    """
    start = _start(launcher)
    command = [*start, "-m", "skill_plugin.training", str(folder)]
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own launcher
            command,
            stdin=subprocess.PIPE,  # stays open as long as this process lives
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, WATCHED: "1"},
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as exc:
        raise _no_launcher(start[0], exc.strerror) from exc
    last: deque[str] = deque(maxlen=20)
    try:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        for line in process.stdout:
            last.append(line.rstrip("\n"))
            if tell is not None:
                tell(last[-1])
        code = process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
    if code not in {_TRAINED, _MADE_NONE}:
        raise _failed(code, list(last))


def check_launcher(launcher: str | None) -> None:
    """Checks the launcher. Raises `ConfigurationError` where it is not installed."""
    start = _start(launcher)
    if shutil.which(start[0]) is None:
        raise _no_launcher(start[0], "there is no such program")


def _start(launcher: str | None) -> list[str]:
    try:
        return shlex.split(launcher or "") or [sys.executable]
    except ValueError as exc:
        raise ConfigurationError(f"the launcher {launcher!r} is not a command: {exc}; see --launcher") from exc


def _no_launcher(program: str, why: str | None) -> ConfigurationError:
    return ConfigurationError(f"the launcher {program!r} cannot be started: {why}; see --launcher")


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _failed(code: int, last: list[str]) -> ConfigurationError | TrainingError:
    """Returns the error of a trainer that ended with one, from its last lines."""
    if said := next((line.removeprefix("error: ") for line in reversed(last) if line.startswith("error: ")), None):
        return ConfigurationError(said)
    end = " ".join(line for line in last[-3:] if line.strip())
    if code < 0:
        name = signal.Signals(-code).name
        why = "; the machine may have run out of memory" if -code == getattr(signal, "SIGKILL", None) else ""
        return TrainingError(f"the trainer was killed by {name}{why}; the same command resumes from its last snapshot")
    return TrainingError(
        f"the trainer ended with status {code}: {end}; the same command resumes from its last snapshot"
    )
