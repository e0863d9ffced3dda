"""Runs the tests that come with a skill: `scripts/test_*.py`, plain asserts in functions `test_...()`.

A test runs in one process and every function that it calls in another, each through the runner that functions run with: none of the
functions' code is where the test compares. To a test the functions are what it imports from their files; what it gives and gets is JSON.
"""

import ast
import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from skill_plugin.errors import InvalidSkillError
from skill_plugin.functions.call import CallResult
from skill_plugin.functions.function import TEST_PREFIX, FunctionPackage, SkillFunction, is_script, is_test, sha256_of
from skill_plugin.functions.limits import FunctionLimits
from skill_plugin.functions.module_level import wrong
from skill_plugin.functions.reading import parse
from skill_plugin.functions.recorded_tools import RecordedTools, Records, read_records
from skill_plugin.functions.report import TestReport
from skill_plugin.functions.runners import Runner, runner

CALLS = "calls"
"""In a test, `tools.calls()` returns which tools the functions have called so far, and with what."""

MOST_TESTS = 50
"""Tests of one skill; each may take as long as a call, and somebody waits for them at every staging."""

_MOST_CALLS = 200


def run_tests(
    files: Mapping[str, bytes],
    allowed_tools: Sequence[str],
    *,
    packages: Sequence[str] = (),
    runs: Runner | None = None,
    limits: FunctionLimits | None = None,
) -> TestReport:
    """Runs a skill's own tests, and each that passes once more on stubs, which a test has to notice.

    Args:
        files: The skill's files, by their path in its folder.
        allowed_tools: The tools that its front matter allows. None is called: a file of tests has recorded answers.
        packages: Packages that functions may import.
        runs: What runs them; by default the sandbox.
        limits: Limits of one call of a function.

    Raises:
        InvalidSkillError: a file of functions or of tests breaks the rules (names it and the line), or there are too many tests.
        ConfigurationError: the runner cannot run anything on this machine.
    """
    package = FunctionPackage.read(files, allowed_tools, packages=packages)
    bench = _Bench(package, runs or runner(), limits or FunctionLimits())
    failures, vacuous, tested = list[str](), list[str](), set[str]()
    tests = [one for path in sorted(files) if is_test(path) for one in _read(path, files[path])]
    if len(tests) > MOST_TESTS:
        raise InvalidSkillError(
            f"the skill has {len(tests)} tests; {MOST_TESTS} are run at most, so join some or delete some"
        )
    for test in tests:
        called, failure = bench.run(test)
        if failure:
            failures.append(failure)
            continue
        noticed = {name for name in called if bench.run(test, stub=name)[1]}
        tested |= noticed
        if not noticed:
            vacuous.append(f"{test.path}:{test.name}")
    return TestReport(
        passed=len(tests) - len(failures) - len(vacuous),
        total=len(tests),
        failures=tuple(failures),
        vacuous=tuple(vacuous),
        untested=tuple(one.name for one in package.functions if one.name not in tested),
    )


@dataclass(frozen=True)
class _Test:
    name: str
    path: str
    source: str
    records: Records


def _read(path: str, data: bytes) -> list[_Test]:
    tree = parse(path, data)
    records = read_records(path, tree)
    tests = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(TEST_PREFIX):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if isinstance(node, ast.AsyncFunctionDef) or arguments or node.decorator_list:
                raise wrong(path, node, f"{node.name} is not a plain test; write def {node.name}(): and asserts")
            tests.append(_Test(node.name, path, data.decode("utf-8-sig"), records))
    if not tests:
        raise InvalidSkillError(
            f"{path} has no tests; write functions whose names begin with {TEST_PREFIX}, or delete it"
        )
    return tests


class _Bench:
    """Where the tests of one skill run."""

    def __init__(self, package: FunctionPackage, runs: Runner, limits: FunctionLimits) -> None:
        self._package, self._runs, self._limits = package, runs, limits
        self._stand_ins = {path: _stand_in(package, path) for path in package.files if is_script(path)}

    def run(self, test: _Test, stub: str = "") -> tuple[set[str], str]:
        """Returns which functions a test called, and how it failed, if it did.

        Args:
            test: The test.
            stub: The name of a function that returns None in this run.
        """
        called: set[str] = set()
        recorded = RecordedTools(test.records)

        def function(name: str) -> Callable[[dict[str, Any]], Any]:
            def call(arguments: dict[str, Any]) -> Any:
                called.add(name)
                if name == stub:
                    return None
                tools = recorded.answers(self._package.function(name).tools)
                result = self._runs.run(self._package, name, arguments, tools, self._limits)
                if not result.ok:
                    raise _error(result)
                return result.value

            return call

        names = tuple(one.name for one in self._package.functions)
        given = {CALLS: lambda _: list(recorded.calls), **{name: function(name) for name in names}}
        data = test.source.encode()
        itself = SkillFunction(test.name, test.path, "", {"type": "object"}, {}, (*names, CALLS), sha256_of(data))
        others = {path: one for path, one in self._package.files.items() if not (is_script(path) or is_test(path))}
        # Under another name, because a package runs without its tests.
        moved = replace(itself, path=test.path.replace(TEST_PREFIX, "testing_", 1))
        package = FunctionPackage({**others, **self._stand_ins, moved.path: data}, (moved,), self._package.packages)
        limits = replace(self._limits, tool_calls=_MOST_CALLS)
        return called, _failure(test, moved.path, self._runs.run(package, test.name, {}, given, limits))


def _stand_in(package: FunctionPackage, path: str) -> bytes:
    """Returns a file that has the functions of another one, each of which has the host call the real one."""
    lines = []
    for function in package.functions:
        if function.path == path:
            names = list(function.parameters["properties"])
            given = ", ".join(f"{name}={name}" for name in names)
            lines.append(f"def {function.name}({_signature(function)}): return tools.{function.name}({given})")
    # Compiled under a name that is not a file of the skill, so that an error is said to be where the test calls.
    return f"exec(compile({chr(10).join(lines)!r}, '<functions>', 'exec'))\n".encode()


def _signature(function: SkillFunction) -> str:
    parts: list[str] = []
    has_default = False
    for name, schema in function.parameters["properties"].items():
        if "default" in schema:
            has_default = True
            parts.append(f"{name}={schema['default']!r}")
        else:  # behind one with a default it was given by name alone
            parts += ["*"] if has_default and "*" not in parts else []
            parts.append(name)
    return ", ".join(parts)


def _error(result: CallResult) -> Exception:
    kind = getattr(builtins, result.raised, RuntimeError)
    is_known = isinstance(kind, type) and issubclass(kind, Exception)
    return kind(result.error) if is_known else RuntimeError(result.error)


def _failure(test: _Test, path: str, result: CallResult) -> str:
    if result.ok:
        return ""
    place, line = result.place or ("", 0)
    if place != path:
        return f"{test.path}, {test.name}: {result.error}"
    lines = test.source.splitlines()
    code = lines[line - 1].strip() if 0 < line <= len(lines) else test.name
    why = f"{result.raised}: {result.message}" if result.message else result.raised
    return f"{test.path}, line {line}, {test.name}: {code}: {why}"
