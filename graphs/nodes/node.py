"""A LangGraph node written once for `invoke` and `ainvoke`.

A node's body is a generator. Where it has to wait it yields a `Step`; the sync driver calls the step's function, the
async driver awaits its async twin or, without one, runs it in a thread. So there is one body, and the event
loop is never blocked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config

from skill_plugin.graphs.observe import span
from skill_plugin.store.guard import StoreGuard

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """Something to wait for. Its result, or its error, comes back to the body at the `yield`."""

    call: Callable[[], Any]
    acall: Callable[[], Awaitable[Any]] | None = None


def ask(guard: StoreGuard, call: Callable[[], T], otherwise: Callable[[str], T]) -> Generator[Step, Any, T]:
    """Asks the store in a node's body; see `StoreGuard.ask`."""
    answer: T = yield Step(lambda: guard.ask(call, otherwise), lambda: guard.aask(call, otherwise))
    return answer


Body = Callable[[Mapping[str, Any], RunnableConfig], Generator[Step, Any, dict[str, Any]]]


class SkillNode(Runnable[Mapping[str, Any], dict[str, Any]]):
    """A node from a body, with the state keys that it reads.

    LangGraph hands a node only the keys of its input type, and takes that type from the annotation of the first
    parameter of what it calls. `__call__` carries ours, so `builder.add_node("retrieve", retrieve_node(store))` is
    enough in any graph, and the host's own state class need not change.
    """

    def __init__(self, name: str, body: Body, reads: type) -> None:
        self.name: str = name
        self.body = body
        self.reads = reads

        def call(_: SkillNode, state: Any) -> dict[str, Any]:
            return self.invoke(state)

        call.__annotations__["state"] = reads
        self.__call__ = call.__get__(self)  # type: ignore[method-assign]

    def __call__(self, state: Any) -> dict[str, Any]:
        return self.invoke(state)

    def invoke(self, input: Mapping[str, Any], config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:  # noqa: A002 - Runnable's name for it
        with span(str(self.name)):
            body = self.body(input, ensure_config(config))
            try:
                step = next(body)
                while True:
                    try:
                        result = step.call()
                    except Exception as exc:  # noqa: BLE001 - the body decides what an error means
                        step = body.throw(exc)
                    else:
                        step = body.send(result)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return] # a body returns the update

    async def ainvoke(self, input: Mapping[str, Any], config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:  # noqa: A002
        with span(str(self.name)):
            body = self.body(input, ensure_config(config))
            try:
                step = next(body)
                while True:
                    try:
                        result = await (step.acall() if step.acall else asyncio.to_thread(step.call))
                    except Exception as exc:  # noqa: BLE001
                        step = body.throw(exc)
                    else:
                        step = body.send(result)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
