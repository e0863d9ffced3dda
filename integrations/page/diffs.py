"""Two texts side by side, line by line, with the words that differ."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from markupsafe import Markup

from skill_plugin.integrations.page.texts import visible

MOST_LINES = 2000
"""Lines of each text that are compared."""

LONGEST_LINE = 2000
"""Characters of a line within which words are compared."""

AROUND = 3
"""Equal lines that are shown around a difference."""


class DiffRow(NamedTuple):
    """A row: a line of each text with its number; None where the text has none there. `gap` counts equal lines that are left out."""

    kind: Literal["same", "changed", "gap"]
    left: Markup | None = None
    right: Markup | None = None
    left_number: int | None = None
    right_number: int | None = None
    gap: int = 0


def side_by_side(left: str, right: str) -> list[DiffRow]:
    """Returns the rows of a comparison; equal lines far from a difference are left out and counted."""
    mine, theirs = left.split("\n")[:MOST_LINES], right.split("\n")[:MOST_LINES]
    rows: list[DiffRow] = []
    blocks = SequenceMatcher(None, mine, theirs).get_opcodes()
    for number, (tag, begin, end, other, other_end) in enumerate(blocks):
        if tag == "equal":
            rows += _equal(mine, begin, end, other, first=number == 0, last=number == len(blocks) - 1)
        else:
            rows += _changed(mine, theirs, (begin, end, other, other_end))
    return rows


def is_cut(left: str, right: str) -> bool:
    """Returns whether one of the texts has more lines than are compared."""
    return max(left.count("\n"), right.count("\n")) >= MOST_LINES


def _equal(lines: Sequence[str], begin: int, end: int, other: int, *, first: bool, last: bool) -> list[DiffRow]:
    def shown(at: int) -> DiffRow:
        line = visible(lines[at])
        return DiffRow("same", line, line, at + 1, other + at - begin + 1)

    head = 0 if first else AROUND
    tail = 0 if last else AROUND
    if end - begin <= head + tail + 1:
        return [shown(at) for at in range(begin, end)]
    hidden = DiffRow("gap", gap=end - begin - head - tail)
    return [*map(shown, range(begin, begin + head)), hidden, *map(shown, range(end - tail, end))]


def _changed(mine: Sequence[str], theirs: Sequence[str], block: tuple[int, int, int, int]) -> list[DiffRow]:
    begin, end, other, other_end = block
    rows = []
    for at in range(max(end - begin, other_end - other)):
        has_left, has_right = begin + at < end, other + at < other_end
        left = mine[begin + at] if has_left else None
        right = theirs[other + at] if has_right else None
        shown = _words(left, right)
        rows.append(
            DiffRow(
                "changed",
                *shown,
                left_number=begin + at + 1 if has_left else None,
                right_number=other + at + 1 if has_right else None,
            )
        )
    return rows


def _words(left: str | None, right: str | None) -> tuple[Markup | None, Markup | None]:
    if left is None or right is None:
        return (
            None if left is None else Markup("<del>{}</del>").format(visible(left)),
            None if right is None else Markup("<ins>{}</ins>").format(visible(right)),
        )
    if max(len(left), len(right)) > LONGEST_LINE:
        return Markup("<del>{}</del>").format(visible(left)), Markup("<ins>{}</ins>").format(visible(right))
    mine, theirs = left.split(" "), right.split(" ")
    old, new = [], []
    for tag, begin, end, other, other_end in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        before, after = visible(" ".join(mine[begin:end])), visible(" ".join(theirs[other:other_end]))
        if tag == "equal":
            old.append(before)
            new.append(after)
            continue
        if begin < end:
            old.append(Markup("<del>{}</del>").format(before))
        if other < other_end:
            new.append(Markup("<ins>{}</ins>").format(after))
    return Markup(" ").join(old), Markup(" ").join(new)
