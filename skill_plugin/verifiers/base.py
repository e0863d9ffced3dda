"""Common handling of all verifiers: makes them objects, runs them under a deadline, checks and names them."""

import asyncio
import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from skill_plugin import workers
from skill_plugin.errors import ConfigurationError, VerifierError
from skill_plugin.protocols import NamedVerifier, Verifier
from skill_plugin.records import Task, Verdict, canonical_json, sha256

DEFAULT_TIMEOUT_S = 30.0

_Ended = tuple[bool, Any]
"""True and the value that a verifier returned, or False and the error that it raised."""


@dataclass(frozen=True)
class FunctionVerifier:
    """A plain function `(task, answer)` as a verifier; its name is where it can be imported from."""

    function: Callable[[Task, str], Any]

    @property
    def name(self) -> str:
        target = inspect.unwrap(self.function)
        return f"{target.__module__}:{getattr(target, '__qualname__', type(target).__qualname__)}"

    @property
    def params(self) -> dict[str, Any]:
        return {}

    def verify(self, task: Task, answer: str) -> Any:
        return self.function(task, answer)


def as_verifier(verifier: Any) -> Verifier:
    """Returns the verifier itself, or a plain function wrapped into one.

    Raises:
        ConfigurationError: it is neither.
    """
    if callable(getattr(verifier, "verify", None)):
        return verifier  # type: ignore[no-any-return]
    if callable(verifier) and not isinstance(verifier, type):
        return FunctionVerifier(verifier)
    raise ConfigurationError(
        f"{verifier!r} is not a verifier; pass an object with verify(task, answer) or a function of the same two arguments"
    )


def name_of(verifier: Verifier) -> str:
    return verifier.name if isinstance(verifier, NamedVerifier) else type(verifier).__qualname__


def spec(verifier: Verifier) -> dict[str, Any] | None:
    """Returns `{"name": ..., "params": ...}` to log with a task, or None for a verifier without a name."""
    if not isinstance(verifier, NamedVerifier):
        return None
    return {"name": verifier.name, "params": verifier.params}


def fingerprint(verifier: Verifier) -> str:
    """Returns a hash that changes with the verifier: its name, its parameters, or the source of its function."""
    judge = verifier.function if isinstance(verifier, FunctionVerifier) else type(verifier).verify
    try:
        # Only for a function: the source of a class is found with `ast`, which now and then fails in threads on Python
        # 3.11 ("AST constructor recursion depth mismatch").
        source = inspect.getsource(inspect.unwrap(judge))
    except (OSError, TypeError):
        source = ""  # typed into a prompt: the name has to do
    params = getattr(verifier, "params", {})
    return sha256(canonical_json([name_of(verifier), params, source]))[:16]


def gold_answer(task: Task) -> str:
    """Returns the reference as an agent would have answered it."""
    return task.reference if isinstance(task.reference, str) else json.dumps(task.reference, ensure_ascii=False)


def self_check(verifier: Verifier | Callable[[Task, str], Any], task: Task) -> Verdict:
    """Returns the verdict on the task's own gold answer.

    Raises:
        VerifierError: the gold answer does not earn the full reward, so verifier and task do not fit.
    """
    verdict = run(as_verifier(verifier), task, gold_answer(task))
    if verdict.reward != 1:
        raise VerifierError(
            f"{name_of(as_verifier(verifier))} gives the task's own reference a reward of {verdict.reward} "
            f"({verdict.feedback or 'no feedback'}); correct the reference {task.reference!r} or the verifier's parameters"
        )
    return verdict


def run(verifier: Verifier, task: Task, answer: str, *, timeout: float = DEFAULT_TIMEOUT_S) -> Verdict:
    """Returns the verifier's verdict, within `timeout` seconds.

    A coroutine function gets an event loop of its own. A hung verifier is left behind in its daemon thread, because
    Python cannot stop a thread; one that never lets go of the interpreter's lock cannot be timed out at all, so run such
    code in a process of its own, as `python_tests` does.

    Raises:
        VerifierError: it crashed, hung, or returned no verdict.
    """
    ended: SimpleQueue[_Ended] = SimpleQueue()
    _start(verifier, task, answer, ended.put)
    try:
        return _outcome(verifier, *ended.get(timeout=timeout))
    except Empty:
        raise _hung(verifier, timeout) from None


async def arun(verifier: Verifier, task: Task, answer: str, *, timeout: float = DEFAULT_TIMEOUT_S) -> Verdict:  # noqa: ASYNC109
    """Does what `run` does, on the event loop for an `averify` or a coroutine function, else in a thread."""
    averify = getattr(verifier, "averify", None)
    if averify is None and isinstance(verifier, FunctionVerifier) and inspect.iscoroutinefunction(verifier.function):
        averify = verifier.function
    if averify is None:
        return await _in_a_thread(verifier, task, answer, timeout)
    try:
        value = await asyncio.wait_for(averify(task, answer), timeout)
    except TimeoutError as exc:
        raise _hung(verifier, timeout) from exc
    except Exception as exc:
        raise _crashed(verifier, exc) from exc
    return _verdict(verifier, value)


async def _in_a_thread(verifier: Verifier, task: Task, answer: str, timeout: float) -> Verdict:  # noqa: ASYNC109
    """Does what `run` does, without a second thread that would wait for the verifier's own."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[_Ended] = loop.create_future()

    def tell(outcome: _Ended) -> None:
        if not ended.done():
            ended.set_result(outcome)

    def hear(outcome: _Ended) -> None:
        with suppress(RuntimeError):  # the loop was closed while a hung verifier still ran
            loop.call_soon_threadsafe(tell, outcome)

    _start(verifier, task, answer, hear)
    try:
        return _outcome(verifier, *await asyncio.wait_for(ended, timeout))
    except TimeoutError as exc:
        raise _hung(verifier, timeout) from exc


def _start(verifier: Verifier, task: Task, answer: str, tell: Callable[[_Ended], None]) -> None:
    """Has the verifier judge in a thread of its own, which can be left behind."""

    def call() -> None:
        try:
            value = verifier.verify(task, answer)
            ended = True, asyncio.run(_await(value)) if inspect.isawaitable(value) else value
        except BaseException as exc:  # noqa: BLE001 - whatever the thread dies of is the verifier's failure
            ended = False, exc
        tell(ended)

    workers.start(call)


def _outcome(verifier: Verifier, returned: bool, value: Any) -> Verdict:
    if not returned:
        raise _crashed(verifier, value) from value
    return _verdict(verifier, value)


async def _await(value: Any) -> Any:
    return await value


def _verdict(verifier: Verifier, value: Any) -> Verdict:
    if isinstance(value, Verdict):
        return value
    if isinstance(value, bool | int | float):
        return Verdict(value)
    raise VerifierError(
        f"verifier {name_of(verifier)} returned {value!r}; return a float from 0 to 1, a bool or a Verdict"
    )


def _hung(verifier: Verifier, timeout: float) -> VerifierError:
    return VerifierError(
        f"verifier {name_of(verifier)} gave no verdict within {timeout:g} s; speed it up or raise timeout"
    )


def _crashed(verifier: Verifier, exc: BaseException) -> VerifierError:
    if isinstance(exc, VerifierError):
        return exc
    return VerifierError(
        f"verifier {name_of(verifier)} raised {type(exc).__name__}: {exc}; fix the verifier or the task"
    )
