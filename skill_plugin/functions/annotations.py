"""Type annotations of a function as JSON Schema, read from the syntax tree; nothing is imported.

int, float, str, bool, None, list, dict, Literal, Optional, unions and TypedDict can be written in JSON; anything else is refused.
"""

import ast
from typing import Any

from skill_plugin.errors import InvalidSkillError

Schema = dict[str, Any]

_SCALARS = {"int": "integer", "float": "number", "str": "string", "bool": "boolean", "None": "null"}
_OLD_NAMES = {"List": "list", "Dict": "dict"}
_TYPING = ("typing", "typing_extensions")
_MAX_DEPTH = 20


class Annotations:
    """Reads the annotations of one file.

    Args:
        path: The file's path in the skill, for messages.
        tree: The file's syntax tree.
    """

    def __init__(self, path: str, tree: ast.Module) -> None:
        self._path = path
        self._names: dict[str, str] = {}
        self._modules: set[str] = set()
        self._classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        for node in tree.body:
            if isinstance(node, ast.Import):
                self._modules |= {alias.asname or alias.name for alias in node.names if alias.name in _TYPING}
            elif isinstance(node, ast.ImportFrom) and node.module in _TYPING:
                self._names |= {alias.asname or alias.name: alias.name for alias in node.names}

    def schema(self, node: ast.expr, depth: int = 0) -> Schema:
        """Returns the JSON Schema of an annotation.

        Raises:
            InvalidSkillError: it is not a type that JSON can carry; says where.
        """
        if depth > _MAX_DEPTH:
            raise self._wrong(node, "holds itself, or is nested too deep")
        match node:
            case ast.Constant(value=None):
                return {"type": "null"}
            case ast.Constant(value=str(text)):
                return self.schema(self._quoted(node, text), depth + 1)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return _either(self.schema(left, depth + 1), self.schema(right, depth + 1))
            case ast.Subscript(value=base, slice=inner):
                return self._subscript(node, self._name(base), inner, depth)
        return self._named(node, self._name(node), depth)

    def _named(self, node: ast.expr, name: str, depth: int) -> Schema:
        if name in _SCALARS:
            return {"type": _SCALARS[name]}
        if name == "list":
            return {"type": "array"}
        if name == "dict":
            return {"type": "object"}
        if name in self._classes and self._is_typed_dict(self._classes[name]):
            return self._typed_dict(self._classes[name], depth)
        raise self._wrong(node)

    def _subscript(self, node: ast.expr, name: str, inner: ast.expr, depth: int) -> Schema:
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if name == "Literal":
            values = [part.value if isinstance(part, ast.Constant) else ... for part in parts]
            if not all(value is None or isinstance(value, (str, int)) for value in values):
                raise self._wrong(node, "has a value that is not a text, a whole number, a bool or None")
            return {"enum": values}
        if name == "list" and len(parts) == 1:
            return {"type": "array", "items": self.schema(parts[0], depth + 1)}
        if name == "dict" and len(parts) == 2:
            if self.schema(parts[0], depth + 1) != {"type": "string"}:
                raise self._wrong(node, "has keys that are not texts")
            return {"type": "object", "additionalProperties": self.schema(parts[1], depth + 1)}
        if name == "Optional" and len(parts) == 1:
            return _either(self.schema(parts[0], depth + 1), {"type": "null"})
        if name == "Union":
            return _either(*(self.schema(part, depth + 1) for part in parts))
        raise self._wrong(node)

    def _typed_dict(self, cls: ast.ClassDef, depth: int) -> Schema:
        properties: dict[str, Any] = {}
        required: list[str] = []
        for base in cls.bases:
            if (above := self._classes.get(self._name(base))) is not None:
                inherited = self._named(base, above.name, depth + 1)
                properties |= inherited["properties"]
                required += inherited["required"]
        total = not any(
            one.arg == "total" and isinstance(one.value, ast.Constant) and one.value.value is False
            for one in cls.keywords
        )
        for line in cls.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                kind, needed = line.annotation, total
                if isinstance(kind, ast.Subscript) and (mark := self._name(kind.value)) in ("Required", "NotRequired"):
                    kind, needed = kind.slice, mark == "Required"
                properties[line.target.id] = self.schema(kind, depth + 1)
                required += [line.target.id] if needed else []
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def _is_typed_dict(self, cls: ast.ClassDef, depth: int = 0) -> bool:
        names = [self._name(base) for base in cls.bases]
        above = [self._classes[name] for name in names if name in self._classes]
        return "TypedDict" in names or (
            depth < _MAX_DEPTH and bool(above) and all(self._is_typed_dict(one, depth + 1) for one in above)
        )

    def _name(self, node: ast.expr) -> str:
        """Returns the name of a type as Python or `typing` has it, or one of this file, or nothing."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in self._modules:
            return _OLD_NAMES.get(node.attr, node.attr)
        if isinstance(node, ast.Name):
            name = self._names.get(node.id, "")
            return _OLD_NAMES.get(name, name) or node.id
        return ""

    def _quoted(self, node: ast.expr, text: str) -> ast.expr:
        try:
            inner = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
            raise self._wrong(node) from exc
        for one in ast.walk(inner):
            if hasattr(one, "lineno"):
                one.lineno = node.lineno
        return inner

    def _wrong(
        self, node: ast.expr, why: str = "is not a type that a function of a skill can have"
    ) -> InvalidSkillError:
        return InvalidSkillError(
            f"{self._path}, line {node.lineno}: the type {_shown(node)} {why}; use int, float, str, bool, None, list, dict with keys "
            "of str, Literal, Optional or a TypedDict of this file"
        )


def _shown(node: ast.expr) -> str:
    try:
        return repr(ast.unparse(node)[:80])
    except (RecursionError, ValueError):
        return "here"


def _either(*schemas: Schema) -> Schema:
    flat = [one for schema in schemas for one in (schema["anyOf"] if set(schema) == {"anyOf"} else [schema])]
    different = [one for place, one in enumerate(flat) if one not in flat[:place]]
    return different[0] if len(different) == 1 else {"anyOf": different}
