"""The tools that the front matter of a skill allows: `allowed-tools: list_charges refund`, or a list in YAML."""

import re
from collections.abc import Mapping
from typing import Any

from skill_plugin.errors import InvalidSkillError

KEY = "allowed-tools"

_ONE = re.compile(r"(?P<name>[\w.:-]+)(?P<part>\([^()]*\))?")


def allowed_tools(front: Mapping[Any, Any]) -> tuple[str, ...]:
    """Returns the names of the tools that a skill allows, each once; none where its front matter says nothing.

    `Bash(git:*)` allows a part of a tool, to which a function cannot be held: it does not count.

    Args:
        front: The front matter's keys, as `SkillDocument.extra` has them.

    Raises:
        InvalidSkillError: what it says is not a list of names.
    """
    given = front.get(KEY)
    parts = given if isinstance(given, list) else [] if given is None else [given]
    if not all(isinstance(part, str) for part in parts):
        raise InvalidSkillError(f"{KEY} is {given!r:.80}; write the names of tools, with spaces between them")
    names = [found["name"] for part in parts for found in _ONE.finditer(part) if not found["part"]]
    left = [word for part in parts for word in _ONE.sub(" ", part).replace(",", " ").split()]
    if left:
        raise InvalidSkillError(f"{KEY} holds {left[0]!r:.80}; write the names of tools, with spaces between them")
    return tuple(dict.fromkeys(names))
