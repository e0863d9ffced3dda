"""One call of an offered function: by the agent's tools, kept in the store as a call of its run."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from skill_plugin import workers
from skill_plugin.errors import SandboxError, SkillPluginError
from skill_plugin.functions import CallResult, FunctionLimits, Runner
from skill_plugin.functions.tool_desk import Answer
from skill_plugin.graphs.functions.offer import OfferedFunction
from skill_plugin.graphs.functions.version import functions_of
from skill_plugin.records import canonical_json
from skill_plugin.store import FunctionCall, SkillStore, record_calls, why_not_run
from skill_plugin.store.guard import StoreGuard


@dataclass(frozen=True)
class HostTool:
    """A tool of the agent, as a function calls it.

    Args:
        tool: The LangChain tool.
        call: Takes the arguments and returns what the tool returned.
        acall: The same for an event loop.
    """

    tool: Any
    call: Answer
    acall: Callable[[dict[str, Any]], Coroutine[Any, Any, Any]]

    @classmethod
    def of(cls, tool: Any) -> "HostTool":
        """Makes one that calls a LangChain tool directly, under the run's configuration."""
        loud = raising(tool)
        return cls(tool, loud.invoke, loud.ainvoke)

    def answer(self, arguments: dict[str, Any]) -> Any:
        return _plain(self.call(self.checked(arguments)))

    async def aanswer(self, arguments: dict[str, Any]) -> Any:
        return _plain(await self.acall(self.checked(arguments)))

    def checked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Returns the arguments, if a model could have given them: those that the agent puts in itself are not a function's to choose.

        Raises:
            TypeError: it takes no such argument.
        """
        is_open = isinstance(self.tool.args_schema, dict)  # one of another program, into which nothing is put
        unknown = [] if is_open else [name for name in arguments if name not in self.tool.args]
        if unknown or arguments.get("type") == "tool_call":
            raise TypeError(f"{self.tool.name}() takes no argument {(unknown or ['type'])[0]!r:.80}")
        return dict(arguments)


class FunctionCaller:
    """Calls offered functions in one run, and keeps each call in the store.

    Args:
        store: The library.
        run_id: The run.
        runs: What runs functions.
        limits: Limits of one call.
        guard: Asks the store; what it does not take is in the log, and the agent goes on.
    """

    def __init__(
        self,
        store: SkillStore,
        run_id: str,
        *,
        runs: Runner,
        limits: FunctionLimits | None = None,
        guard: StoreGuard | None = None,
    ) -> None:
        self._store, self._run_id, self._runs, self._limits = store, run_id, runs, limits
        self._guard = guard or StoreGuard(store, "skip")

    def call(self, offered: OfferedFunction, arguments: Mapping[str, Any], tools: Mapping[str, HostTool]) -> CallResult:
        """Calls a function; what goes wrong is in the result, in one line.

        Raises:
            BaseException: what a tool raised for the agent: an interrupt, a cancellation. The call is not kept then.
        """
        return self._called(offered, arguments, {name: tool.answer for name, tool in tools.items()})

    async def acall(
        self, offered: OfferedFunction, arguments: Mapping[str, Any], tools: Mapping[str, HostTool]
    ) -> CallResult:
        """Does as `call` does, in a thread of its own; the tools are awaited in this event loop."""
        loop = asyncio.get_running_loop()
        is_left = threading.Event()
        waiting: list[Any] = []

        def answer(tool: HostTool) -> Answer:
            def ask(given: dict[str, Any]) -> Any:
                if is_left.is_set():
                    raise asyncio.CancelledError
                waiting[:] = [asyncio.run_coroutine_threadsafe(tool.aanswer(given), loop)]
                return waiting[0].result()

            return ask

        try:
            return await _in_thread(
                lambda: self._called(offered, arguments, {name: answer(tool) for name, tool in tools.items()})
            )
        except asyncio.CancelledError:
            is_left.set()
            for one in waiting:
                one.cancel()
            raise

    def _called(
        self, offered: OfferedFunction, arguments: Mapping[str, Any], answers: Mapping[str, Answer]
    ) -> CallResult:
        if why := self._guard.ask(
            lambda: functions_of(self._store, offered.ref).why_not(offered.function, self._runs), str
        ):
            return CallResult(error=f"{offered.tool_name} cannot be called any more: {why}")

        def still(answer: Answer) -> Answer:
            """Asks before each tool whether an operator has forbidden the function since it began."""

            def ask(given: dict[str, Any]) -> Any:
                if why := self._guard.ask(lambda: why_not_run(self._store, offered.ref, offered.function.tools), str):
                    raise SandboxError(f"it was stopped: {why}")
                return answer(given)

            return ask

        try:
            allowed = {name: still(answer) for name, answer in answers.items() if name in offered.function.tools}
            result = self._runs.run(offered.package, offered.function.name, arguments, allowed, self._limits)
        except SkillPluginError as exc:  # the runner cannot run anything here
            result = CallResult(error=str(exc))
        call = FunctionCall(
            skill=offered.ref,
            function=offered.function.name,
            ok=result.ok,
            error=result.error,
            seconds=result.seconds,
            tool_calls=len(result.tool_uses),
            arguments=_as_json(arguments),
        )
        self._guard.ask(lambda: record_calls(self._store, self._run_id, [call]), lambda _: 0)
        return result


def raising(tool: Any) -> Any:
    """Returns a tool that raises its errors; one that makes texts of them would have a function take them for its answer."""
    return tool.model_copy(update={"handle_tool_error": False, "handle_validation_error": False})


def _as_json(arguments: Mapping[str, Any]) -> str:
    try:
        return canonical_json(arguments)
    except (TypeError, ValueError):  # the call has failed for it
        return ""


def _plain(value: Any) -> Any:
    """Returns what a tool returned as JSON has it, where it is an object that has such a form; the runner refuses what is left."""
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        return value


async def _in_thread(call: Callable[[], CallResult]) -> CallResult:
    """Runs a call in a thread of its own. The event loop's pool may be full of such calls, each of which waits for a tool that needs it."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[CallResult] = loop.create_future()

    def tell(result: CallResult | None, error: BaseException | None) -> None:
        if ended.done():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(result)  # type: ignore[arg-type] # there was no error

    def work() -> None:
        told: tuple[CallResult | None, BaseException | None]
        try:
            told = (call(), None)
        except BaseException as exc:  # noqa: BLE001 - it is raised where it is waited for
            told = (None, exc)
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, *told)

    workers.start(work)
    return await ended
