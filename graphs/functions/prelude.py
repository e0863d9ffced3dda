"""The offered functions of a run as one block of code, for agents that act by writing code.

SAGE's protocol: the functions stand before what the model writes, and are run first; a block that fails is dropped whole, because code of
the model's that comes after it would fail with it (arXiv:2512.17102).
"""

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool

from skill_plugin.errors import SkillPluginError
from skill_plugin.functions import FunctionLimits, FunctionPackage, Runner, SkillFunction
from skill_plugin.functions.function import is_script, module_of, sha256_of
from skill_plugin.functions.module_level import TOOLS, is_main
from skill_plugin.graphs.functions.function_tool import as_tools, offered_functions, set_runner
from skill_plugin.graphs.functions.offer import LeftOutFunction, OfferedFunction
from skill_plugin.store import SkillStore
from skill_plugin.store.skills.permissions import function_packages

_SHIM = '''
class _SkillTools:
    """The agent's tools, as its code has them: functions of this namespace."""

    def __getattr__(self, name):
        return globals()[name]


tools = _SkillTools()
'''
_SHIM_NAMES = (TOOLS, "_SkillTools")
_TRIED = "skill_prelude_can_be_run"
_PATH = "scripts/prelude.py"


UNHELD = "nobody has allowed it; that it only reads is not enough here, where nothing of ours holds it to its tools"


@dataclass(frozen=True)
class SkillPrelude:
    """A block of code, empty where there is nothing to put there.

    Args:
        code: Runs in one namespace with the agent's tools, each a function of its own name, before what the model writes.
        functions: The functions that it defines.
        left_out: Why others are not among them.
    """

    code: str = ""
    functions: tuple[SkillFunction, ...] = ()
    left_out: tuple[LeftOutFunction, ...] = ()


def skill_prelude(
    store: SkillStore,
    state: Mapping[str, Any],
    tools: Sequence[BaseTool | Callable[..., Any]] = (),
    *,
    runs: Runner | None = None,
    limits: FunctionLimits | None = None,
) -> SkillPrelude:
    """Returns the functions of a run's skills as one block of code, which was run once in our sandbox.

    What the block does afterwards, the agent's own sandbox contains: no call is limited, checked or kept by this library.

    Args:
        store: The library.
        state: The graph's state, with `skillp_skills`.
        tools: The agent's tools.
        runs: What tries the block; by default the runner that the setting `function_runner` names.
        limits: Limits of that.
    """
    runs, own = runs or set_runner(), as_tools(tools)
    offer = offered_functions(store, state, own, runs=runs)
    trusted = [one for one in offer.functions if not one.only_reads]
    left_out, parts = list(offer.left_out), _Parts({*_SHIM_NAMES, *(tool.name for tool in own)})
    left_out += [LeftOutFunction(one.skill, one.function.name, UNHELD) for one in offer.functions if one.only_reads]
    functions: list[SkillFunction] = []
    for ref in dict.fromkeys(one.ref for one in trusted):
        mine = [one for one in trusted if one.ref == ref]
        if why := parts.add(mine[0].package, mine):
            left_out += [LeftOutFunction(one.skill, one.function.name, why) for one in mine]
        else:
            functions += [one.function for one in mine]
    if not functions:
        return SkillPrelude(left_out=tuple(left_out))
    code = parts.code(with_tools=any(function.tools for function in functions))
    if why := _failure(code, runs, limits, function_packages(store)):
        return SkillPrelude(left_out=(*left_out, LeftOutFunction("the block of code", "", f"it is dropped: {why}")))
    return SkillPrelude(code, tuple(functions), tuple(left_out))


class _Parts:
    """Files put one after the other into one namespace.

    Args:
        taken: Names that none of them may define.
    """

    def __init__(self, taken: Collection[str]) -> None:
        self._origins: dict[str, str] = dict.fromkeys(taken, "the agent")
        self._body: list[ast.stmt] = []
        self._futures: set[str] = set()

    def add(self, package: FunctionPackage, offered: Sequence[OfferedFunction]) -> str:
        """Adds the files that some functions need; returns why they do not fit, and then adds none."""
        trees = {module_of(path): ast.parse(package.files[path]) for path in package.files if is_script(path)}
        origins, body, futures = dict(self._origins), list(self._body), set(self._futures)
        for module in _in_order(trees, [module_of(one.function.path) for one in offered]):
            for node in trees[module].body:
                if _is_docstring(node) or is_main(node):
                    continue
                if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                    futures |= {alias.name for alias in node.names}
                    continue
                if _imported(node, trees):
                    if not isinstance(node, ast.ImportFrom) or any(
                        alias.asname or alias.name == "*" for alias in node.names
                    ):
                        return f"{ast.unparse(node)!r} cannot be in one block; write: from NAME import names"
                    continue
                for name, origin in _defined(node, f"{offered[0].ref}/{module}"):
                    if origins.setdefault(name, origin) != origin:
                        return f"the name {name!r} is taken in the block by {origins[name]}; give it another"
                body.append(node)
        self._origins, self._body, self._futures = origins, body, futures
        return ""

    def code(self, *, with_tools: bool) -> str:
        futures = f"from __future__ import {', '.join(sorted(self._futures))}\n" if self._futures else ""
        nodes = "\n\n\n".join(ast.unparse(node) for node in self._body)
        return f"{futures}{_SHIM if with_tools else ''}\n\n{nodes}\n".lstrip("\n")


def _in_order(trees: Mapping[str, ast.Module], wanted: Sequence[str]) -> list[str]:
    """Returns the files that some need, each behind those that it imports."""
    order: list[str] = []
    seen: set[str] = set()

    def visit(module: str) -> None:
        if module in seen:
            return
        seen.add(module)
        for node in ast.walk(trees[module]):
            for other in _imported(node, trees):
                visit(other)
        order.append(module)

    for module in wanted:
        visit(module)
    return order


def _imported(node: ast.AST, trees: Collection[str]) -> list[str]:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
    return [name for name in names if name in trees]


def _defined(node: ast.stmt, where: str) -> list[tuple[str, str]]:
    """Returns the names that a statement defines, each with where from; what is imported twice is the same."""
    if isinstance(node, ast.Import):
        return [((one.asname or one.name).partition(".")[0], ast.unparse(ast.Import([one]))) for one in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(one.asname or one.name, f"{node.module}.{one.name}") for one in node.names]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [(node.name, where)]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [(one.id, where) for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _failure(code: str, runs: Runner, limits: FunctionLimits | None, packages: tuple[str, ...]) -> str:
    """Runs the block with nothing behind it; returns what went wrong."""
    data = f"{code}\n\ndef {_TRIED}():\n    return True\n".encode()
    tried = SkillFunction(_TRIED, _PATH, "", {"type": "object"}, {"type": "boolean"}, (), sha256_of(data))
    try:
        return runs.run(FunctionPackage({_PATH: data}, (tried,), packages), _TRIED, {}, {}, limits).error
    except SkillPluginError as exc:
        return str(exc)
