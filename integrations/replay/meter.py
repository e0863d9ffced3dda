"""The meter of a replay: counts the calls of models, whoever makes them, and keeps them within a cap."""

import asyncio
import inspect
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.tracers.context import register_configure_hook

from skill_plugin.errors import ModelError
from skill_plugin.protocols import Generator, Verifier
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.verifiers import base

Caller = Literal["agent", "generator", "judge"]

SIMULATED = ("simulated", "scripted", "fake")
"""Words in the type of a chat model that follows rules or a script; those of LangChain's own are called fake."""

_METER: ContextVar["CallMeter | None"] = ContextVar("skill_plugin_call_meter", default=None)
_CALLER: ContextVar[Caller] = ContextVar("skill_plugin_caller", default="agent")
register_configure_hook(_METER, inheritable=True)  # LangChain asks it for a handler at every call
# LangChain logs what a callback raises; a call that the cap refuses is in the report.
logging.getLogger("langchain_core.callbacks.manager").addFilter(
    lambda record: not (isinstance(record.args, tuple) and CallMeter.__name__ in record.args)
)


class CallMeter(BaseCallbackHandler):
    """Counts model calls and tokens, and refuses calls beyond the cap. Safe for threads.

    A run of the agent counts as one call at least, and so does a text: a model that is not called through LangChain is not seen.
    What a provider's library tries again by itself is one call.

    Args:
        cap: The most calls.
        made: Returns how many runs of the agent and how many texts there were.
    """

    raise_error = True
    run_inline = True

    def __init__(self, cap: int, made: Callable[[], tuple[int, int]]) -> None:
        self.cap = self.limit = cap
        self.input_tokens = self.output_tokens = 0
        self.refused = 0
        self.types: dict[Caller, set[str]] = {"agent": set(), "generator": set(), "judge": set()}
        self._made = made
        self._seen: Counter[Caller] = Counter()
        self._lock = threading.Lock()

    @property
    def calls(self) -> dict[Caller, int]:
        """Returns the calls by who makes them."""
        runs, texts = self._made()
        return {
            "agent": max(self._seen["agent"], runs),
            "generator": max(self._seen["generator"], texts),
            "judge": self._seen["judge"],
        }

    @property
    def total(self) -> int:
        return sum(self.calls.values())

    @property
    def simulated(self) -> bool:
        """Returns whether a model that was called is simulated, by the name of its type."""
        return any(word in kind.lower() for kinds in self.types.values() for kind in kinds for word in SIMULATED)

    def seen(self, caller: Caller) -> bool:
        """Returns whether any of the caller's calls went through LangChain."""
        return self._seen[caller] > 0

    def spent(self, calls: int = 1) -> str | None:
        """Returns why so many more calls may not be made; None if they may."""
        total = self.total
        if total + calls <= self.limit:
            return None
        kept_back = f" and {self.cap - self.limit} kept back for the last look" if self.limit < self.cap else ""
        return f"{total} of {self.cap} model calls are spent{kept_back}"

    @contextmanager
    def watching(self, caller: Caller = "agent") -> Iterator[None]:
        """Counts what is called inside, also in tasks and threads that inherit its context."""
        meter, who = _METER.set(self), _CALLER.set(caller)
        try:
            yield
        finally:
            _CALLER.reset(who)
            _METER.reset(meter)

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **known: Any
    ) -> None:
        del serialized, run_id
        self._count(len(messages), known)

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **known: Any) -> None:
        del serialized, run_id
        self._count(len(prompts), known)

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        for one in (generation for group in response.generations for generation in group):
            used = getattr(getattr(one, "message", None), "usage_metadata", None) or {}
            with self._lock:
                self.input_tokens += used.get("input_tokens") or 0
                self.output_tokens += used.get("output_tokens") or 0

    def _count(self, calls: int, known: dict[str, Any]) -> None:
        caller = _CALLER.get()
        with self._lock:
            self._seen[caller] += calls
            if self.total > self.limit:
                self._seen[caller] -= calls
                self.refused += calls
                raise ModelError(f"the cap of {self.cap} model calls is reached; raise --max-calls")
            kind = (known.get("invocation_params") or {}).get("_type")
            self.types[caller].add(str(kind))


class MeteredGenerator:
    """A generator whose calls count as such."""

    def __init__(self, inner: Generator, meter: CallMeter) -> None:
        self.inner, self._meter = inner, meter

    def propose(self, task: Task, history: Sequence[Generation], *, n: int) -> list[Revision]:
        with self._meter.watching("generator"):
            return self.inner.propose(task, history, n=n)

    async def apropose(self, task: Task, history: Sequence[Generation], *, n: int) -> list[Revision]:
        apropose = getattr(self.inner, "apropose", None)
        if apropose is None:
            return await asyncio.to_thread(self.propose, task, history, n=n)
        with self._meter.watching("generator"):
            return await apropose(task, history, n=n)  # type: ignore[no-any-return] # the twin of propose


class MeteredVerifier:
    """A verifier whose calls of models count as the judge's; named as the one inside."""

    def __init__(self, inner: Verifier, meter: CallMeter) -> None:
        self.inner, self._meter = inner, meter
        function = inner.function if isinstance(inner, base.FunctionVerifier) else None
        self._averify = function if inspect.iscoroutinefunction(function) else getattr(inner, "averify", None)
        if self._averify is not None:
            self.averify = self._awaited

    @property
    def name(self) -> str:
        return base.name_of(self.inner)

    @property
    def params(self) -> dict[str, Any]:
        return getattr(self.inner, "params", None) or {}

    def verify(self, task: Task, answer: str) -> Any:
        with self._meter.watching("judge"):
            return self.inner.verify(task, answer)

    async def _awaited(self, task: Task, answer: str) -> Any:
        assert self._averify is not None  # noqa: S101 - it is only called where there is one
        with self._meter.watching("judge"):
            return await self._averify(task, answer)
