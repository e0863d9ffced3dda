"""The front matter of a SKILL.md: YAML, read as people mean it who do not know YAML.

A name and a description are texts, whatever they look like (`yes`, `1.0`, a colon, a `#`). What is not YAML is read once more key by
key: a broken line of a key costs that key alone. YAML's dangers are refused: aliases, deep nesting, repeated keys.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import yaml
from yaml.parser import ParserError
from yaml.scanner import ScannerError

from skill_plugin.errors import InvalidSkillError

MAX_DEPTH = 10
TEXTS = ("name", "description")
_WANTED = "write 'name: ...' and 'description: ...', each on a line of its own, plain, with a space behind the colon"

_KEY = re.compile(r"(?P<key>[\"']?[\w.-]+[\"']?)[ \t]*:(?=\s|$)(?P<rest>.*)", re.DOTALL)
_COMMENTED = re.compile(r"^description[ \t]*:[ \t]+(?P<said>[^\s\"'|>\[{&*!%@`#][^\n]*?[ \t]#[^\n]*)$", re.MULTILINE)


@lru_cache(maxsize=1024)  # a skill's versions mostly share it, and YAML is slow
def read(text: str) -> dict[Any, Any]:
    """Returns the keys of a front matter, without the dashes around it.

    Raises:
        InvalidSkillError: it has no keys, or what YAML allows and nobody needs.
    """
    try:
        front = _load(text)
    except InvalidSkillError:
        raise
    except _NOT_YAML as exc:
        # What is YAML and cannot be, such as a tag that makes objects, is not a slip of the pen.
        front = _by_key(text) if isinstance(exc, ScannerError | ParserError) else {}
        if not front or any(str(front.get(key, "")).startswith(("[", "{")) for key in TEXTS):
            raise InvalidSkillError(f"the front matter is not YAML: {' '.join(str(exc).split())}; {_WANTED}") from exc
    if not isinstance(front, dict):
        raise InvalidSkillError(f"the front matter must be 'key: value' lines, got {text[:80]!r}; {_WANTED}")
    if (cut := _COMMENTED.search(text)) is not None and isinstance(front.get("description"), str):
        said = cut["said"].strip()
        if said.startswith(front["description"]):  # YAML took what is behind the # for a comment
            front["description"] = said
    return front


def is_yaml(text: str) -> bool:
    """Returns whether a front matter is YAML for every reader."""
    try:
        return isinstance(_load(text), dict)
    except (InvalidSkillError, *_NOT_YAML):
        return False


class _Loader(yaml.SafeLoader):
    """SafeLoader without aliases, with a limit of depth and without silent repetition of a key."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise InvalidSkillError("the front matter uses a YAML alias (*name); write the value out")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise InvalidSkillError(f"the front matter is nested deeper than {MAX_DEPTH} levels; flatten it")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        repeated = sorted({key for key in keys if keys.count(key) > 1}) if len(keys) < 200 else ["200 keys or more"]
        if repeated:
            raise InvalidSkillError(f"the front matter repeats {', '.join(map(repr, repeated))}; keep one of each")
        return super().construct_mapping(node, deep=deep)


_NOT_YAML = (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError)
"""A date such as 2026-13-45 or a tag on the wrong value raises whatever PyYAML stumbles over."""


def _load(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        front = None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()
    if node is not None and isinstance(front, dict):
        for key, value in node.value:
            plain = isinstance(value, yaml.ScalarNode) and not value.tag.endswith((":null", ":binary"))
            if key.value in TEXTS and plain:
                front[key.value] = value.value
    return front


def _by_key(text: str) -> dict[str, Any]:
    """Reads one key after the other; lines that are indented, or begin with no key, belong to the key before them."""
    front: dict[str, Any] = {}
    for key, lines in _entries(text):
        if key in front:
            raise InvalidSkillError(f"the front matter repeats {key!r}; keep one of each")
        try:
            value = _load(lines)[key]
        except InvalidSkillError:
            raise
        except _NOT_YAML:
            _, _, rest = lines.partition(":")
            value = _unquoted(" ".join(rest.split()))
        front[key] = value
    return front


def _entries(text: str) -> Iterator[tuple[str, str]]:
    key, lines = "", list[str]()
    for line in text.split("\n"):
        found = _KEY.fullmatch(line)
        if found is not None:
            if key:
                yield key, "\n".join(lines)
            key, lines = found["key"].strip("\"'"), [line]
        elif key:
            lines.append(line)
    if key:
        yield key, "\n".join(lines)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
