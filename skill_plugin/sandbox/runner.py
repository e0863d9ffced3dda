"""Runs code that somebody else wrote, in processes of its own with limits.

    run_python("print(1 + 1)").stdout                      # a program
    with Sandbox(source, SandboxLimits(seconds=2)) as box:  # functions: plain data goes in, plain data comes out
        box.call("double", 21)
    judge(answer, tests)                                    # an answer and its tests, each in a sandbox of its own

What is and is not contained is in docs/verifiers.md; `missing()` says which of it this machine cannot do.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Self

from skill_plugin.errors import SandboxError
from skill_plugin.sandbox import kernel, wire
from skill_plugin.sandbox.deadline import Deadline
from skill_plugin.sandbox.host import refer, refuse
from skill_plugin.sandbox.limits import SandboxLimits
from skill_plugin.sandbox.peer import LeaveError, Peer, PeerEndedError

_EVERYTHING = (kernel.NETWORK, kernel.PROCESSES, kernel.FILES, kernel.MEMORY)
_USE = ("namespaces", "files")
_GRACE_S = 10.0
_HERE = Path(__file__).parent

# Our own package is not imported there, which would take longer than most programs: two empty modules stand for it.
_START = """
import sys
for name, folder in zip(("skill_plugin", "skill_plugin.sandbox"), sys.argv[1:3]):
    sys.modules[name] = type(sys)(name)
    sys.modules[name].__path__ = [folder]
from skill_plugin.sandbox.launcher import main
main()
"""


@dataclass(frozen=True)
class Result:
    """The result of a program.

    Args:
        returncode: Its exit status; negative for the signal that ended it.
        stdout: What it printed, cut at `output_bytes`.
        stderr: The same of its errors.
        timed_out: It ran over its time.
        over: The limit that it was ended for, in words; empty where it ended by itself.
        missing: What was not contained; see `missing`.
    """

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool
    over: str = ""
    missing: tuple[str, ...] = ()

    @property
    def last_error(self) -> str:
        lines = self.stderr.strip().splitlines()
        return self.over or (lines[-1] if lines else f"it ended with status {self.returncode}")


@dataclass(frozen=True)
class Judgement:
    """Result of an answer's tests.

    Args:
        passed: The numbers of the tests that passed.
        failures: Why others failed.
        broken: Why not all were run; empty where all were.
    """

    passed: frozenset[int]
    failures: tuple[str, ...] = ()
    broken: str = ""


def run_python(program: str, limits: SandboxLimits | None = None) -> Result:
    """Runs a program and returns how it ended; never raises for an error of the program."""
    with ExitStack() as stack:
        reads, writes = _pipe(stack)
        process = stack.enter_context(_Process({"what": "program", "program": program}, limits or SandboxLimits()))
        process.start(reads, subprocess.DEVNULL)
        process.request(writes)
        writes.close()
        return process.wait()


def judge(answer: str, tests: Sequence[str], limits: SandboxLimits | None = None) -> Judgement:
    """Runs an answer in one sandbox and its tests in another, which calls what the answer defines over a pipe."""
    limits = limits or SandboxLimits()
    with ExitStack() as stack:
        (answer_reads, tests_write), (tests_read, answer_writes) = _pipe(stack), _pipe(stack)
        theirs = stack.enter_context(_Process({"what": "serve"}, limits))
        ours = stack.enter_context(_Process({"what": "tests", "answer": answer, "tests": list(tests)}, limits))
        theirs.request(tests_write)  # it is small, and waits in the pipe; what the tests write comes after it
        ours.start(tests_read, tests_write)
        ours.request(answer_writes)  # the other sandbox has not begun, and never sees this
        theirs.start(answer_reads, answer_writes)
        ended = ours.wait()
        end_of_answer = theirs.end()
    return _judgement(ours.said, ended, end_of_answer, len(tests))


def _judgement(said: Sequence[Any], ended: Result, end_of_answer: Result, count: int) -> Judgement:
    told: dict[int, str] = {}
    broken = ""
    for what, *rest in said:
        if what == "broken":
            broken = end_of_answer.over or str(rest[0])
        elif what in ("passed", "failed") and rest[0] not in told:
            told[rest[0]] = "" if what == "passed" else str(rest[1])
    if not broken and len(told) < count:
        broken = ended.over or end_of_answer.over or ended.last_error
    failures = tuple(why for why in told.values() if why)
    return Judgement(frozenset(place for place, why in told.items() if not why), failures, broken)


@lru_cache
def missing() -> tuple[str, ...]:
    """Returns what a sandbox does not contain on this machine.

    "network": a program may open connections. "files": it may read and write what this user may. "processes": what it starts, and
    takes out of its group, may outlive it. "memory": it is not limited.
    """
    return run_python("pass").missing


class Sandbox:
    """A process that holds somebody's functions: plain data goes in, plain data comes out.

    Args:
        source: The code that defines them.
        limits: `seconds` is the time for each call.
        reads: Files and folders that it may read, besides Python's.
        writes: Files and folders that it may write.
        calls_back: For code that nobody has read. It may call `answer`, whose time does not count, through what `HOST` stands for; it
            gets no other programs, no modes of files, and no more processor time than one call has; and only JSON's types and tuples are taken from it, in
            at most six times its `output_bytes` (a number takes more on the wire than in JSON).
        packages: Whether the installed packages can be imported there.
        use: What to contain it with; by default all.
        needs: What must be contained, of `missing()`'s words, or nothing runs.

    Raises:
        SandboxError: the code fails.
    """

    def __init__(
        self,
        source: str,
        limits: SandboxLimits | None = None,
        *,
        reads: Sequence[str] = (),
        writes: Sequence[str] = (),
        calls_back: bool = False,
        packages: bool = True,
        use: Sequence[str] | None = None,
        needs: Sequence[str] = (),
    ) -> None:
        self._limits = limits or SandboxLimits()
        self.answer: Callable[..., Any] = refuse
        self._open = ExitStack()
        theirs, mine = _pipe(self._open)
        answers, say = _pipe(self._open)
        what: dict[str, Any] = {
            "what": "serve",
            "reads": reads,
            "writes": writes,
            "seconds": None,
            "strict": calls_back,
        }
        what |= {"cpu_s": self._limits.seconds if calls_back else None, "needs": needs}
        what |= ({} if packages else {"paths": []}) | ({} if use is None else {"use": list(use)})
        self._process = self._open.enter_context(_Process(what, self._limits))
        self._process.start(theirs, say)
        self._process.request(mine)
        most = 6 * self._limits.output_bytes + 10_000 if calls_back else None
        self._peer = Peer(answers.fileno(), mine.fileno(), self._handle, refer=refer, revive=_as_error, most=most)
        try:
            self._ask(self._limits.seconds + _GRACE_S, "run", source, "program")  # Python has to start first
        except BaseException:
            self.close()
            raise

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Returns what a function gives.

        Raises:
            SandboxError: it raises, gives what is not plain data, or passes a limit; after that last one the process has ended.
            BaseException: what `answer` raised; then too the process has ended.
        """
        return self._ask(self._limits.seconds, "invoke", name, args, kwargs)

    @property
    def ended(self) -> bool:
        """Whether the process has ended, so that nothing more can be called."""
        return bool(self._peer.ended) or self._process.is_over

    def close(self) -> None:
        """Ends the process and whatever it started."""
        self._peer.ended = self._peer.ended or "it was closed"
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handle(self, request: tuple[Any, ...]) -> Any:
        what, number, args, *_ = request
        if (what, number) != ("call", 0):
            raise PermissionError("nothing else can be called here")
        try:
            with self._deadline.held():
                return self.answer(*args)
        except BaseException as exc:
            raise LeaveError from exc

    def _ask(self, seconds: float, *request: Any) -> Any:
        self._deadline = Deadline(seconds, self._process.end)
        try:
            return self._peer.ask(*request)
        except LeaveError as exc:
            self.close()
            raise exc.__cause__ or exc from None
        except PeerEndedError as exc:
            why = f"it ran over {seconds:g} s" if self._deadline.is_over else self._process.end().over or str(exc)
            self.close()
            raise SandboxError(
                f"the code in the sandbox is stopped: {why}; make it do less, or raise the limit"
            ) from exc
        except wire.WireError as exc:
            raise SandboxError(f"{exc}; a sandbox takes plain data") from exc
        finally:
            self._deadline.cancel()


def _as_error(name: str, _kinds: Any, _args: Any, text: str, _attributes: Any) -> SandboxError:
    return SandboxError(f"the code in the sandbox raised {name}: {text}; correct it")


class _Process:
    """The first process of a sandbox, its folder, and the files that hold what it says."""

    def __init__(self, request: dict[str, Any], limits: SandboxLimits) -> None:
        self._limits, self._stack = limits, ExitStack()
        # Not TemporaryDirectory, which a forked process would remove from under its parent.
        folder = tempfile.mkdtemp(prefix="skill-plugin-")
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        inner = Path(folder, "work")
        inner.mkdir()
        # Files, not pipes: what never stops printing then meets the limit of file size, not our memory. Without a name where that
        # can be, so that nobody else can open them.
        self._files = [self._stack.enter_context(_file(folder, name)) for name in ("out", "err", "report")]
        self._seconds = limits.seconds
        self._request = {
            **asdict(limits),
            "cpu_s": limits.seconds,
            "strict": False,
            "needs": (),
            "use": list(_USE),
            "folder": str(inner),
            "paths": [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")],
            **request,
            "reads": [*_readable(), *request.get("reads", ())],
            "writes": [os.devnull, *request.get("writes", ())],
            "files": [file.fileno() if os.name == "posix" else file.name for file in self._files],
        }
        self._result: Result | None = None
        self._turn = threading.Lock()
        self.said: list[Any] = []

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def start(self, stdin: IO[bytes], stdout: IO[bytes] | int) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - running somebody's code is what this file is for
            [sys.executable, "-I", "-S", "-c", _START, str(_HERE.parent), str(_HERE)],
            stdin=stdin,
            stdout=stdout,
            stderr=self._files[1],
            env={},
            cwd=self._request["folder"],
            start_new_session=True,
            pass_fds=[file.fileno() for file in self._files] if os.name == "posix" else (),
        )
        for channel in (stdin, stdout):
            if not isinstance(channel, int):
                channel.close()  # the process alone may hold it, or its end would not be heard

    def request(self, to: IO[bytes]) -> None:
        """Sends what to do; where nobody reads it, `wait` says why."""
        with suppress(OSError):
            wire.send(to.fileno(), wire.dumps(self._request))

    def wait(self) -> Result:
        """Waits until it has ended, by itself or by its limits."""
        # Where it cannot watch itself (Windows), this is the limit; elsewhere it comes into play only if the watcher is stopped.
        most = self._seconds + (_GRACE_S if hasattr(os, "fork") else 0)
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(most, end)
        timer.start()
        self._process.wait()  # with a time limit it would look ever more rarely, up to 50 ms late
        timer.cancel()
        return self._end(f"it ran over {self._seconds:g} s" if late.is_set() else "")

    def end(self) -> Result:
        """Ends it and whatever it started."""
        return self._end("")

    def _end(self, over: str) -> Result:
        with self._turn:
            if self._result is None:
                self._process.terminate()
                timer = threading.Timer(_GRACE_S, self._process.kill)
                timer.start()
                self._process.wait()
                timer.cancel()
                self._result = self._read(over)
            return self._result

    def _read(self, over: str) -> Result:
        out, err = (self._text(file) for file in self._files[:2])
        self._files[2].seek(0)
        ended: dict[str, Any] = {}
        with suppress(EOFError, ValueError, OSError, RecursionError):
            while True:
                what, *rest = wire.loads(wire.receive(self._files[2].fileno()))
                if what == "ended":
                    ended = rest[0]
                else:
                    self.said.append((what, *rest))
        return Result(
            int(ended["returncode"] if ended else self._process.returncode or 0),
            out,
            err,
            timed_out=bool(over) or ended.get("timed_out", False),
            over=over or ended.get("over", ""),
            missing=tuple(part for part in _EVERYTHING if part not in ended.get("holds", ())),
        )

    def _text(self, file: IO[bytes]) -> str:
        file.seek(0)
        return file.read(self._limits.output_bytes).decode("utf-8", "replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_process"):
            self.end()
        self._stack.close()


def _pipe(stack: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    reads, writes = os.pipe()
    return stack.enter_context(os.fdopen(reads, "rb", 0)), stack.enter_context(os.fdopen(writes, "wb", 0))


def _file(folder: str, name: str) -> IO[bytes]:
    return tempfile.TemporaryFile(buffering=0) if os.name == "posix" else Path(folder, name).open("x+b", buffering=0)


@lru_cache
def _readable() -> tuple[str, ...]:
    """Returns what Python, its packages and the C library have to read."""
    paths = [sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(sys.executable).resolve().parent), str(_HERE)]
    paths += [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    paths += ["/usr", "/lib", "/lib64", "/bin", "/nix/store", "/etc/ld.so.cache", "/etc/localtime"]
    paths += ["/dev/zero", "/dev/random", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"]
    return tuple(dict.fromkeys(path for path in paths if Path(path) != Path(Path(path).anchor)))
