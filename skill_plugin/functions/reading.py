"""Reads the functions of a skill from the syntax trees of its files; none of its code runs.

What is decided here, a line each: `async` functions are refused, because tools wait by themselves; `*args` and `**kwargs`, because a
schema cannot say what they take; arguments by place alone (`/`), because callers give names; decorators, because they put something
else in the place of what was read; generators, because a result is one value. Helpers may be any of these: functions whose names begin with
`_`, and those of files whose names do.
"""

import ast
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skill_plugin.errors import InvalidSkillError
from skill_plugin.functions.annotations import Annotations
from skill_plugin.functions.fitting import problem
from skill_plugin.functions.function import SkillFunction, is_script, is_test, module_of, sha256_of
from skill_plugin.functions.module_level import ModuleLevel, tool_calls, wrong

MAX_BYTES = 256 * 1024


@dataclass(frozen=True)
class FunctionSurvey:
    """The functions of a skill's files that can be read, and why other files have none.

    Args:
        functions: From the files that keep the rules.
        refused: For every other file its path and the first line that breaks them. An ordinary script is one of those.
    """

    functions: tuple[SkillFunction, ...]
    refused: Mapping[str, str]


def read_functions(
    files: Mapping[str, bytes], allowed_tools: Sequence[str], *, packages: Sequence[str] = ()
) -> tuple[SkillFunction, ...]:
    """Returns the functions that `scripts/*.py` of a skill define, in the order of paths and lines.

    Args:
        files: The skill's files, by their path in its folder.
        allowed_tools: The tools that its front matter allows.
        packages: Packages besides Python's library that the operator lets functions import.

    Raises:
        InvalidSkillError: a file breaks the rules; names it and the line.
    """
    scripts = _Scripts(files, allowed_tools, packages)
    functions = [one for path in scripts.paths for one in scripts.functions_of(path)]
    _check_names(functions)
    return tuple(functions)


def survey_functions(
    files: Mapping[str, bytes], allowed_tools: Sequence[str], *, packages: Sequence[str] = ()
) -> FunctionSurvey:
    """Reads like `read_functions`, but a file that breaks the rules costs its own functions alone. Never raises for a file."""
    scripts, functions, refused = _Scripts(files, allowed_tools, packages), list[SkillFunction](), dict[str, str]()
    for path in scripts.paths:
        try:
            found = scripts.functions_of(path)
            _check_names([*functions, *found])
        except InvalidSkillError as exc:
            refused[path] = str(exc)
        else:
            functions += found
    return FunctionSurvey(tuple(functions), refused)


def parse(path: str, data: bytes) -> ast.Module:
    """Returns the syntax tree of a file.

    Raises:
        InvalidSkillError: it is not Python, too long, or nested too deep.
    """
    if len(data) > MAX_BYTES:
        raise InvalidSkillError(f"{path} takes {len(data)} bytes; a file of functions has at most {MAX_BYTES}")
    try:
        return ast.parse(data.decode("utf-8-sig"), path)
    except SyntaxError as exc:
        raise InvalidSkillError(f"{path}, line {exc.lineno or 1}: it is not Python: {exc.msg}; correct it") from exc
    except UnicodeDecodeError as exc:
        raise InvalidSkillError(f"{path} is not a text in UTF-8; save it as one") from exc
    except (ValueError, RecursionError, MemoryError) as exc:
        raise InvalidSkillError(f"{path} cannot be read as Python: {type(exc).__name__}; make it simpler") from exc


class _Scripts:
    """The files of functions of one skill, each read once."""

    def __init__(self, files: Mapping[str, bytes], allowed_tools: Sequence[str], packages: Sequence[str]) -> None:
        self._files, self._allowed, self._packages = files, frozenset(allowed_tools), frozenset(packages)
        self.paths = sorted(path for path in files if is_script(path))
        self._by_module = {module_of(path): path for path in self.paths}
        self._trees: dict[str, ast.Module] = {}

    def tree(self, path: str) -> ast.Module:
        """Returns the tree of a file that keeps the rules."""
        if path not in self._trees:
            module = module_of(path)
            if not module.isidentifier() or module in sys.stdlib_module_names or module in self._packages:
                raise InvalidSkillError(
                    f"{path}: {module!r} is the name of another module, or cannot be the name of one; rename the file"
                )
            tree = ModuleLevel(path, self._packages, self._by_module).check(parse(path, self._files[path]))
            for call in tool_calls(tree):
                if call.func.attr not in self._allowed:
                    allowed = ", ".join(sorted(self._allowed)) or "none"
                    raise wrong(
                        path,
                        call,
                        f"the tool {call.func.attr!r} is not among the skill's allowed-tools ({allowed}); add it there, or do without",
                    )
            self._trees[path] = tree
        return self._trees[path]

    def functions_of(self, path: str) -> list[SkillFunction]:
        try:
            tree = self.tree(path)
            notes = Annotations(path, tree)
            public = [one for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            if module_of(path).startswith("_"):
                return []
            return [self._function(path, notes, node) for node in public if not node.name.startswith("_")]
        except RecursionError as exc:
            raise InvalidSkillError(f"{path} is nested too deep; make it simpler") from exc

    def _function(self, path: str, notes: Annotations, node: ast.FunctionDef | ast.AsyncFunctionDef) -> SkillFunction:
        _check_form(path, node)
        properties, required = {}, []
        for argument, default in _arguments(node):
            if argument.annotation is None:
                raise wrong(path, argument, f"the argument {argument.arg!r} has no type; write one")
            schema = notes.schema(argument.annotation)
            if default is None:
                required.append(argument.arg)
            else:
                schema = {**schema, "default": _default(path, argument, default, schema)}
            properties[argument.arg] = schema
        if node.returns is None:
            raise wrong(path, node, f"{node.name} does not say what it returns; write: -> dict")
        return SkillFunction(
            name=node.name,
            path=path,
            docstring=str(ast.get_docstring(node)),
            parameters={
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            },
            returns=notes.schema(node.returns),
            tools=tuple(sorted(self._tools_of(module_of(path), node.name))),
            source_sha256=sha256_of(self._files[path]),
        )

    def _tools_of(self, module: str, name: str) -> set[str]:
        """Returns the tools that a definition calls, with those of all that it names, in other files too."""
        tools, seen, waiting = set[str](), set[tuple[str, str]](), [(module, name)]
        while waiting:
            at = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            for node, imported in self._definitions(*at):
                tools |= {call.func.attr for call in tool_calls(node)}
                names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
                waiting += [imported] if imported else [(at[0], one) for one in names]
                waiting += [where for one in ast.walk(node) for where in self._imported(one)] if not imported else []
        return tools

    def _definitions(self, module: str, name: str) -> Iterator[tuple[ast.AST, tuple[str, str] | None]]:
        """Returns what a name stands for at the top of a file; all of the file for the name '*'."""
        for node in self.tree(self._by_module[module]).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                bound = [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
                found = [where for local, where in zip(bound, self._places(node), strict=True) if local == name]
                yield from ((node, where) for where in found if where)
            elif name == "*" or name in _bound(node):
                yield node, None

    def _places(self, node: ast.Import | ast.ImportFrom) -> list[tuple[str, str] | None]:
        """Returns for each name of an import which name of which of our files it is."""
        if isinstance(node, ast.Import):
            return [(alias.name, "*") if alias.name in self._by_module else None for alias in node.names]
        ours = node.module in self._by_module
        return [(str(node.module), alias.name) if ours else None for alias in node.names]

    def _imported(self, node: ast.AST) -> list[tuple[str, str]]:
        return [one for one in self._places(node) if one] if isinstance(node, ast.Import | ast.ImportFrom) else []


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    arguments = node.args
    without = len(arguments.args) - len(arguments.defaults)
    yield from zip(arguments.args, [None] * without + list(arguments.defaults), strict=True)
    yield from zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)


def _check_form(path: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    arguments = node.args
    for is_wrong, at, what in (
        (isinstance(node, ast.AsyncFunctionDef), node, "is async; tools wait by themselves, so write def"),
        (bool(node.decorator_list), node, "has a decorator, which puts something else in its place; write it out"),
        (bool(arguments.vararg or arguments.kwarg), node, "takes * or ** arguments; name each, with its type"),
        (bool(arguments.posonlyargs), node, "takes arguments by place alone; leave the / out"),
        (_yields(node), node, "is a generator; return a list"),
        (not ast.get_docstring(node), node, "has no docstring; say in one sentence what it does"),
    ):
        if is_wrong:
            raise wrong(path, at, f"{node.name} {what} (or begin its name with _, if it is a helper)")


def _yields(node: ast.AST) -> bool:
    for one in ast.iter_child_nodes(node):
        if isinstance(one, ast.Yield | ast.YieldFrom):
            return True
        inner = isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef)
        if not inner and _yields(one):
            return True
    return False


def _default(path: str, argument: ast.arg, default: ast.expr, schema: Mapping[str, Any]) -> Any:
    try:
        value = ast.literal_eval(default)
        plain = json.loads(json.dumps(value, allow_nan=False))
        if plain != value or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError("not JSON")
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as exc:
        raise wrong(
            path, default, f"the default of {argument.arg!r} is not a value of JSON; write it out, or use None"
        ) from exc
    if why := problem(schema, plain):
        raise wrong(path, default, f"the default of {argument.arg!r} is not of its type: {why}")
    return plain


def _check_names(functions: Sequence[SkillFunction]) -> None:
    paths: dict[str, str] = {}
    for one in functions:
        if one.name in paths:
            where = one.path if paths[one.name] == one.path else f"{paths[one.name]} and {one.path}"
            raise InvalidSkillError(f"{where}: {one.name!r} is defined twice; rename one of them")
        paths[one.name] = one.path


def has_tests(files: Mapping[str, bytes]) -> bool:
    """Returns whether a skill has files of tests."""
    return any(is_test(path) for path in files)
