"""What runs a function: a process of its own that is shut in, or what an operator names instead.

    package = FunctionPackage.read(files, allowed_tools=["list_charges"])
    runner().run(package, "refund_duplicates", {"customer": "anna"}, {"list_charges": list_charges}).value

Where the machine cannot shut a process in, the default does not run anything: an operator has to name another runner.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

from skill_plugin.errors import ConfigurationError, SandboxError
from skill_plugin.functions.call import CallResult, one_line
from skill_plugin.functions.fitting import problem
from skill_plugin.functions.function import FunctionPackage, SkillFunction, module_of
from skill_plugin.functions.limits import FunctionLimits
from skill_plugin.functions.tool_desk import Answer, ToolDesk, as_json
from skill_plugin.sandbox import HOST, Sandbox, SandboxPool, missing

NEEDED = ("network", "files")
"""What has to be shut off before a function may run."""

_INSIDE = Path(__file__).with_name("inside.py").read_text(encoding="utf-8")
_pool = SandboxPool(_INSIDE)


class Runner(Protocol):
    """Runs functions of skills. An object of your own with these two names can be given wherever a runner is taken."""

    @property
    def problem(self) -> str:
        """Why it cannot run anything on this machine, and what to do, in one line; empty where it can."""
        ...

    def run(
        self,
        package: FunctionPackage,
        function: str,
        arguments: Mapping[str, Any],
        tools: Mapping[str, Answer],
        limits: FunctionLimits | None = None,
    ) -> CallResult:
        """Calls a function.

        Args:
            package: The skill's files and functions.
            function: The function's name.
            arguments: Its arguments, by name, as JSON has them.
            tools: The agent's tools: each takes its arguments and returns JSON. They run here, in this thread; what LangGraph raises
                to interrupt comes out of this call.
            limits: Limits of this call.

        Returns:
            The value, or the error in one line. An error of the function, or of its arguments, is a result.

        Raises:
            ConfigurationError: this runner cannot run anything here.
            SandboxError: its process could not be started.
            InvalidSkillError: the skill has no such function.
        """
        ...


class SandboxRunner:
    """Runs each call in a process of its own, without network, files, programs or anything of the host's but its tools.

    Args:
        is_warm: Have the next process started before it is needed; it takes about 10 MB while it waits.
    """

    name = "sandbox"
    is_contained = True
    _how: Mapping[str, Any] = {"needs": NEEDED}

    def __init__(self, *, is_warm: bool = True) -> None:
        self._is_warm = is_warm

    @property
    def problem(self) -> str:
        lacking = [part for part in NEEDED if part in missing()]
        if not lacking:
            return ""
        return (
            f"functions do not run here: this machine cannot shut off {' and '.join(lacking)}; use Linux 5.13 or newer that allows it, "
            f"or set function_runner to a runner of your own (package.module:object), or to {UnsafeSubprocessRunner.name!r}, which "
            "contains nothing"
        )

    def run(
        self,
        package: FunctionPackage,
        function: str,
        arguments: Mapping[str, Any],
        tools: Mapping[str, Answer],
        limits: FunctionLimits | None = None,
    ) -> CallResult:
        """Calls a function; see `Runner.run`."""
        limits, found = limits or FunctionLimits(), package.function(function)
        if why := self.problem:
            raise ConfigurationError(why)
        if why := refusal(found, arguments, limits):
            return CallResult(error=why)
        desk = ToolDesk(found, tools, limits)
        if lacking := desk.missing():
            return CallResult(
                error=f"{function} needs the tool {lacking[0]!r}, which this agent does not have; give it"
            )
        began = time.monotonic()
        how = {"calls_back": True, "packages": bool(package.packages), **self._how}
        request = (package.files_to_run(), (module_of(found.path), function, dict(arguments)))
        start = _pool.lend_once if self._is_warm else partial(Sandbox, _INSIDE)
        with start(limits.of_sandbox(), **how) as box:
            box.answer = desk.answer
            try:
                told = box.call("run", *request, limits.output_bytes, HOST)
            except SandboxError as exc:
                told = ("stopped", str(exc))
        result = _result(found, told, limits)
        return replace(result, seconds=time.monotonic() - began, tool_uses=tuple(desk.uses))


class UnsafeSubprocessRunner(SandboxRunner):
    """Runs each call in a process of its own with limits of time and memory, and contains nothing else.

    The function can do there whatever the user who runs the agent can. It has to be named; nothing falls back to it.
    """

    name = "unsafe-subprocess"
    is_contained = False
    problem = ""
    _how: Mapping[str, Any] = {"use": ()}


RUNNERS: dict[str, Callable[[], Runner]] = {
    SandboxRunner.name: SandboxRunner,
    UnsafeSubprocessRunner.name: UnsafeSubprocessRunner,
}


@lru_cache
def runner(name: str = SandboxRunner.name) -> Runner:
    """Returns the runner of a name, as of the setting `function_runner`.

    Args:
        name: `sandbox`, `unsafe-subprocess`, or `package.module:object` for one of your own. Importing that runs code, so the name
            must come from the operator, never with data.

    Raises:
        ConfigurationError: there is none of that name, or it is not a runner.
    """
    if name in RUNNERS:
        return RUNNERS[name]()
    if ":" not in name:
        raise ConfigurationError(f"no runner is called {name!r:.80}; use {', '.join(RUNNERS)} or package.module:object")
    from skill_plugin.verifiers.loading import import_object  # noqa: PLC0415 - only where somebody names one

    found = import_object(name)
    made = found() if isinstance(found, type) else found
    if not callable(getattr(made, "run", None)):
        raise ConfigurationError(f"{name!r} is not a runner: it has no run(...); see docs/functions.md")
    return made  # type: ignore[no-any-return]


def describe_runner(name: str) -> tuple[bool, str]:
    """Returns what a setting `function_runner` means on this machine, for people: whether it names a runner, and a line.

    A machine on which functions cannot run is in order: most libraries have none.
    """
    try:
        found = runner(name)
    except ConfigurationError as exc:
        return False, str(exc)
    if why := getattr(found, "problem", ""):
        return True, why
    if name == UnsafeSubprocessRunner.name:
        return True, f"run by {name!r}: in a process with limits of time and memory, and nothing else contains them"
    if name == SandboxRunner.name:
        return True, "run by 'sandbox': in a process without network, files and programs"
    return True, f"run by {name!r}, an object of your own"


def refusal(function: SkillFunction, arguments: Mapping[str, Any], limits: FunctionLimits) -> str:
    """Returns why a function cannot take some arguments, in one line; empty if it can."""
    try:
        text = as_json(dict(arguments), "what it was given")
    except TypeError as exc:
        return f"{function.name} cannot be called: {one_line(exc)}"
    if len(text.encode()) > limits.output_bytes:
        return f"{function.name} was given more than {limits.output_bytes} bytes as JSON; give it less"
    why = problem(function.parameters, json.loads(text))
    return f"{function.name} was given wrong arguments: {one_line(why)}; see its parameters" if why else ""


def _result(function: SkillFunction, told: Any, limits: FunctionLimits) -> CallResult:
    """Reads what the function's process says, which may be anything."""
    name = function.name
    match told:
        case ("gave", value):
            return _value(function, value, limits)
        case ("raised", "MemoryError", *_):
            why = f"took more than {limits.memory_mb} MB of memory; make it take less, or raise memory_mb"
            return CallResult(error=f"{name} {why}", raised="MemoryError")
        case ("raised", str(kind), str(said), str(path), int(line)):
            kind, said, path = one_line(kind), one_line(said), one_line(path)
            where = f" ({path}, line {line})" if path else ""
            why = f"{name} raised {kind}{': ' * bool(said)}{said}{where}"
            return CallResult(error=why, raised=kind, message=said, place=(path, line) if path else None)
        case ("stopped", str(said)):
            return CallResult(error=f"{name}: {one_line(said)}")
    return CallResult(error=f"{name}: its process sent what is not a result; it may have tampered with it")


def _value(function: SkillFunction, value: Any, limits: FunctionLimits) -> CallResult:
    try:
        text = as_json(value, "its result")
    except TypeError as exc:
        return CallResult(error=f"{function.name}: {one_line(exc)}")
    if len(text.encode()) > limits.output_bytes:
        why = f"its result takes more than {limits.output_bytes} bytes as JSON; return less"
        return CallResult(error=f"{function.name}: {why}")
    plain = json.loads(text)
    if why := problem(function.returns, plain):
        why = f"its result is not what it says that it returns: {one_line(why)}; correct it, or its type"
        return CallResult(error=f"{function.name}: {why}")
    return CallResult(value=plain, text=text)
