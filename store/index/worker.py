"""Our side of the process that runs Chroma: starting it, asking it within a deadline, ending it."""

import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from skill_plugin.store import forks
from skill_plugin.store.index.chroma_process import receive, send

START_SECONDS = 60.0
QUERY_SECONDS = 2.0
WRITE_SECONDS = 120.0
BUSY_SECONDS = 0.02
END_SECONDS = 0.5


class WorkerError(Exception):
    """Chroma refused, was too slow, or ended.

    Args:
        message: What happened.
        no_fault: The folder is not to blame.
        busy: Another thread's request was under way for all of the time that this one could wait.
    """

    def __init__(self, message: str, *, no_fault: bool = False, busy: bool = False) -> None:
        super().__init__(message)
        self.no_fault = no_fault
        self.busy = busy


class Worker:
    """One Chroma process for one location. Safe for threads; one request at a time."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._pid = 0
        forks.tell(self)

    def after_fork(self) -> None:
        """Makes a lock of the child's own: the process is the parent's, and so is the old lock."""
        self._lock = threading.Lock()

    @property
    def alive(self) -> bool:
        """True if Chroma's process runs and is our own child: a fork must not speak on its parent's pipe."""
        return self._process is not None and self._process.poll() is None and self._pid == os.getpid()

    def start(self) -> None:
        """Starts the process and opens the client.

        Raises:
            WorkerError: it ended, or did not open within a minute.
        """
        with self._lock:
            if self.alive:
                return
            if self._process is not None and self._pid == os.getpid():
                _end(self._process)
            command = [sys.executable, "-m", "skill_plugin.store.index.chroma_process", self.location]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            try:
                self._process = process = subprocess.Popen(  # noqa: S603 - our own module
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
                )
            except OSError as exc:
                raise WorkerError(f"its process cannot be started: {exc}", no_fault=True) from exc
            self._pid = os.getpid()
            self._replies = queue.SimpleQueue()
            reader = threading.Thread(target=_read, args=(process, self._replies), daemon=True, name="chroma-replies")
            reader.start()
            try:
                self._ask("ping", (), START_SECONDS)
            except WorkerError:
                _end(process)  # a client that did not open leaves half of itself behind; `stop` may have come meanwhile
                raise

    def call(self, operation: str, *arguments: Any, seconds: float, patience: float | None = None) -> Any:
        """Runs an operation in Chroma's process and returns its result.

        Args:
            operation: A method of `chroma_process.Engine`.
            *arguments: Its arguments.
            seconds: The deadline; a process that misses it is ended, because it would never answer again.
            patience: How long to wait for another thread's request to end; for ever by default.

        Raises:
            WorkerError: busy, refused, too slow, or gone.
        """
        if not self._lock.acquire(timeout=-1 if patience is None else patience):
            raise WorkerError("busy", no_fault=True, busy=True)
        try:
            if not self.alive:
                raise WorkerError("its process is gone")
            return self._ask(operation, arguments, seconds)
        finally:
            self._lock.release()

    def stop(self) -> None:
        """Ends the process: closes its input, and kills it if that does not help."""
        process, self._process = self._process, None
        if process is None or self._pid != os.getpid():
            return
        with suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        _end(process)

    def _ask(self, operation: str, arguments: tuple[Any, ...], seconds: float) -> Any:
        process = self._process
        if process is None or process.stdin is None:
            raise WorkerError("its process is gone")
        started = time.monotonic()
        try:
            send(process.stdin, (operation, arguments))  # type: ignore[arg-type] # IO[bytes] is what it is
            worked, result = self._replies.get(timeout=seconds)
        except (OSError, ValueError) as exc:
            raise self._gone(process, operation) from exc
        except queue.Empty as exc:
            _end(process)
            took = time.monotonic() - started
            raise WorkerError(f"{operation} took over {took:.1f} s, so it was ended") from exc
        if worked is None:
            raise self._gone(process, operation)
        if not worked:
            raise WorkerError(f"{operation} failed: {result}")
        return result

    def _gone(self, process: "subprocess.Popen[bytes]", operation: str) -> WorkerError:
        return WorkerError(f"its process ended during {operation} (status {_end(process)})")


def _end(process: "subprocess.Popen[bytes]") -> int:
    """Kills the process if it still runs, and closes our end of its input; returns its exit status."""
    process.kill()
    status = process.wait()
    with suppress(OSError):  # what it had not read is lost with it
        if process.stdin is not None:
            process.stdin.close()
    return status


def _read(process: "subprocess.Popen[bytes]", replies: "queue.SimpleQueue[Any]") -> None:
    """Passes replies on; runs in a thread, because a pipe has no deadline."""
    try:
        while process.stdout is not None:
            replies.put(receive(process.stdout))  # type: ignore[arg-type] # IO[bytes] is what it is
    except (EOFError, OSError, ValueError):
        replies.put((None, None))
    finally:
        if process.stdout is not None:
            process.stdout.close()
