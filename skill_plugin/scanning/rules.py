"""Rule: a pattern over one view of a text. Blanks in a pattern mean any space, as a sentence may be broken over lines.

Every repetition has a limit, so that no text is read more than a fixed number of times.
"""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Literal

from skill_plugin.scanning.findings import FindingVerdict, Kind
from skill_plugin.scanning.views import LOOK_ALIKES, fold

View = Literal["visible", "folded", "words", "leet", "squeezed"]

MOST = 8
"""Finds of one rule in one text that are looked at."""


class Rule:
    """One rule.

    Args:
        kind: The kind of what it finds.
        name: What it finds, in words that are safe to show to a model.
        view: The view that it reads.
        pattern: A regular expression; its group `found`, if it has one, is the finding.
        verdict: What follows; where the words are only talked about it is `note` instead.
        needs: Sets of words; one of each must be in the view, else the pattern is not tried.
        quotable: Whether texts about attacks quote it.
        also: A second pattern, which has to be somewhere in the find.
    """

    def __init__(
        self,
        kind: Kind,
        name: str,
        view: View,
        pattern: str,
        verdict: FindingVerdict = "hold",
        *,
        needs: tuple[tuple[str, ...], ...] = (),
        quotable: bool = True,
        also: re.Pattern[str] | None = None,
    ) -> None:
        self.kind, self.name, self.view, self.verdict = kind, name, view, verdict
        self.quotable = quotable
        self._also = also
        self.needs = tuple(frozenset(map(fold, some)) for some in needs)
        self._pattern = pattern

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        pattern = self._pattern.replace(" ", r"\s")
        if self.view != "visible":
            pattern = "".join(one if one.isascii() else fold(one).translate(LOOK_ALIKES) for one in pattern)
        return re.compile(pattern, re.DOTALL)

    def may_match(self, there: AbstractSet[str]) -> bool:
        """Returns whether a view with these of the needed words can have a find."""
        return all(not some.isdisjoint(there) for some in self.needs)

    def matches(self, text: str) -> Iterator[tuple[int, int]]:
        """Yields the start and the end of each find."""
        if not all(any(one in text for one in some) for some in self.needs):
            return
        group = "found" if "found" in self._compiled.groupindex else 0
        for match in self._compiled.finditer(text):
            if self._also is None or self._also.search(match[group]):
                yield match.span(group)


def rules(
    kind: Kind,
    view: View,
    table: Iterable[tuple[str, ...]],
    *,
    quotable: bool = True,
    also: re.Pattern[str] | None = None,
) -> list[Rule]:
    """Returns the rules of a table of names, patterns, words of which one must be there, and verdicts."""

    def rule(name: str, pattern: str, needs: str = "", verdict: FindingVerdict = "hold") -> Rule:
        return Rule(kind, name, view, pattern, verdict, needs=_sets(needs), quotable=quotable, also=also)

    return [rule(*row) for row in table]  # type: ignore[arg-type] # a verdict is one of the literals


def _sets(needs: str) -> tuple[tuple[str, ...], ...]:
    """Reads `a b & c d`: a or b, and c or d. Of `two_words` the longer one, because a line may end between them."""
    return tuple(
        tuple(max(one.split("_"), key=len) or one for one in some.split()) for some in needs.split(" & ") if some
    )
