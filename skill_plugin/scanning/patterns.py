"""Patterns: the regular expressions of the tables, ready to be looked for in a view."""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from skill_plugin.scanning.rules import Rule, RuleTable
from skill_plugin.scanning.views import LOOK_ALIKES, Views, fold

_WORD = re.compile(r"\w+")

_BEHIND = 160

MOST = 50
"""Finds of one pattern in one text that are looked at."""


class Find(NamedTuple):
    """A place in a view where a rule's pattern fits."""

    table: RuleTable
    rule: Rule
    start: int
    end: int


class Patterns:
    """The regular expressions of some tables."""

    def __init__(self, tables: Sequence[RuleTable]) -> None:
        self._patterns = [_Pattern(table, rule) for table in tables for rule in table.rules]
        self._parts = frozenset(part for one in self._patterns for some in one.needs for part in some if _is_part(part))

    def know(self, words: AbstractSet[str]) -> bool:
        """Returns whether a pattern needs one of these words."""
        return any(not need.isdisjoint(words) for one in self._patterns for need in one.needs)

    def finds(self, views: Views) -> Iterator[Find]:
        """Yields what the patterns find in a text. What they need is looked for once, not once by each."""
        folded = views.folded
        there = set(_WORD.findall(folded))
        there.update(part for part in self._parts if part.rstrip("*") in folded)
        for pattern in self._patterns:
            if all(not some.isdisjoint(there) for some in pattern.needs):
                yield from pattern.finds(getattr(views, pattern.table.view))


def _is_part(need: str) -> bool:
    return _WORD.fullmatch(need) is None


class _Pattern:
    def __init__(self, table: RuleTable, rule: Rule) -> None:
        self.table, self._rule = table, rule
        self.needs = [frozenset(some.split()) for some in rule.needs.split(" & ") if some]

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return self._made(self._rule.pattern)

    @cached_property
    def _behind(self) -> re.Pattern[str]:
        return self._made(rf"(?:{self._rule.behind})\Z")

    def _made(self, pattern: str) -> re.Pattern[str]:
        pattern = pattern.replace(" ", r"\s")
        if self.table.view != "visible":
            pattern = "".join(one if one.isascii() else fold(one).translate(LOOK_ALIKES) for one in pattern)
        return re.compile(pattern, re.DOTALL)

    def finds(self, text: str) -> Iterator[Find]:
        group = "found" if "found" in self._regex.groupindex else 0
        for match in islice(self._regex.finditer(text), MOST):
            if self._rule.behind and self._behind.search(text, max(0, match.start() - _BEHIND), match.start()) is None:
                continue
            yield Find(self.table, self._rule, *match.span(group))
