"""What a file of functions may hold: imports, constants, functions and classes, and `tools` only as `tools.NAME(...)`.

So what happens when the file is loaded, and which tools its functions call, can be read off its text. The sandbox is what holds code
that hides something; these rules keep honest code readable.
"""

import ast
import sys
from collections.abc import Collection, Iterable, Iterator

from skill_plugin.errors import InvalidSkillError

TOOLS = "tools"

_PLAIN = (
    ast.Constant, ast.Name, ast.Attribute, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.Subscript,
    ast.Slice, ast.JoinedStr, ast.FormattedValue, ast.Starred, ast.operator, ast.unaryop, ast.expr_context,
)  # fmt: skip
_Definition = ast.FunctionDef | ast.AsyncFunctionDef


def wrong(path: str, node: ast.AST, what: str) -> InvalidSkillError:
    """Returns the error for a place in a file."""
    return InvalidSkillError(f"{path}, line {getattr(node, 'lineno', 1)}: {what}")


class ModuleLevel:
    """Checks one file.

    Args:
        path: The file's path in the skill, for messages.
        packages: Names of packages that it may import besides Python's library.
        siblings: Names of the other files of functions, which it may import.
    """

    def __init__(self, path: str, packages: Collection[str], siblings: Collection[str]) -> None:
        self._path, self._packages, self._siblings = path, packages, siblings

    def check(self, tree: ast.Module) -> ast.Module:
        """Returns the tree without its `if __name__ == "__main__":`, which never runs here.

        Raises:
            InvalidSkillError: a line does something when the file is loaded, or uses `tools` in another way than by calling one.
        """
        kept = ast.Module([node for node in tree.body if not is_main(node)], [])
        for node in kept.body:
            self._statement(node)
        for one in ast.walk(kept):
            if isinstance(one, ast.Import | ast.ImportFrom):
                self._import(one)
        self._tools(kept)
        return kept

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(value=ast.Constant()):
                return
            case ast.Assign(targets=targets, value=value):
                self._constants([*targets, value])
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                self._constants([target, annotation, *([value] if value else [])])
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._signature(node)
            case ast.ClassDef():
                self._constants([*node.bases, *node.decorator_list, *(one.value for one in node.keywords)])
                for inner in node.body:
                    self._statement(inner)
            case _:
                raise self._wrong(
                    node, "only imports, constants, functions and classes may stand here; move it into a function"
                )

    def _signature(self, node: _Definition) -> None:
        arguments = node.args
        defaults = [*arguments.defaults, *(one for one in arguments.kw_defaults if one is not None)]
        notes = [one.annotation for one in _arguments(arguments) if one.annotation is not None]
        self._constants([*node.decorator_list, *defaults, *notes, *([node.returns] if node.returns else [])])

    def _constants(self, expressions: Iterable[ast.expr]) -> None:
        for expression in expressions:
            for one in ast.walk(expression):
                if not isinstance(one, _PLAIN):
                    what = "a call" if isinstance(one, ast.Call) else f"this ({type(one).__name__})"
                    raise self._wrong(
                        one if hasattr(one, "lineno") else expression,
                        f"{what} would run when the file is loaded; write a constant, or move it into a function",
                    )

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.ImportFrom) and (node.level or node.module is None):
            raise self._wrong(node, "an import relative to a package; name the file: from totals import ...")
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in self._packages and top not in self._siblings:
                raise self._wrong(
                    node,
                    f"{top!r} is not part of Python's library nor a file of this skill; do without it, or have the operator name it "
                    "in function_packages",
                )

    def _tools(self, tree: ast.Module) -> None:
        called = {id(call.func.value) for call in tool_calls(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id == TOOLS and id(node) not in called:
                raise self._wrong(
                    node,
                    "tools can only be called, as tools.NAME(...): not given on, renamed or looked into",
                )
            if _binds_tools(node):
                raise self._wrong(node, "the name 'tools' stands for the agent's tools; choose another one")
        for call in tool_calls(tree):
            if call.args:
                raise self._wrong(call, f"tools.{call.func.attr} gets its arguments by name: tools.NAME(customer=...)")

    def _wrong(self, node: ast.AST, what: str) -> InvalidSkillError:
        return wrong(self._path, node, what)


class ToolCall(ast.Call):
    """`tools.NAME(...)` in a syntax tree."""

    func: ast.Attribute


def tool_calls(tree: ast.AST) -> Iterator[ToolCall]:
    """Returns the calls of tools below a node."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="tools"), attr=name)) if not name.startswith("_"):
                yield node  # type: ignore[misc]


def _binds_tools(node: ast.AST) -> bool:
    if isinstance(node, ast.alias):
        return TOOLS in (node.asname, node.name.partition(".")[0])
    if isinstance(node, ast.Constant | ast.Attribute | ast.keyword | ast.Name):
        return False
    return any(
        value == TOOLS or (isinstance(value, list) and TOOLS in value) for _, value in ast.iter_fields(node)
    )  # the names of functions, classes, arguments, exceptions, patterns, globals


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    extra = [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra]


def is_main(node: ast.stmt) -> bool:
    """Returns whether a statement is `if __name__ == "__main__":`, which never runs where a function is called."""
    match node:
        case ast.If(
            test=ast.Compare(
                left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]
            ),
            orelse=[],
        ):
            return True
    return False
