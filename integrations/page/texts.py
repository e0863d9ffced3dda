"""Words, numbers and moments as the page shows them, and texts from outside with what is hidden in them made visible."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from unicodedata import category
from urllib.parse import quote

from markupsafe import Markup, escape

JOINERS = "\u200c\u200d\u200e\u200f"
"""Characters that are not seen, and that ordinary texts in Arabic, Hebrew, Persian or the languages of India need."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

STATUS_WORDS = {
    "live": "in use: agents are shown it",
    "staged": "written, and nobody has let it through yet",
    "retired": "taken out of use; it can be restored",
    "quarantined": "held back: nobody sees it until a person releases it",
}

EVENT_WORDS = {
    "added": "was added, and went live",
    "staged": "was written, and waits",
    "revised": "was written as a new version",
    "promoted": "went live",
    "rolled back": "is live again",
    "refused": "was refused",
    "held": "is held",
    "released": "was released by a person",
    "retired": "was retired",
    "quarantined": "was quarantined",
    "restored": "was restored",
    "pinned": "was pinned",
    "unpinned": "was unpinned",
    "demoted": "lost its trust tier",
    "certified": "was certified",
    "tried": "was tried on tasks",
}


def number(value: float | None, digits: int = 2) -> str:
    """Returns a number in few digits; an en dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 2) -> str:
    """Returns a number with its sign."""
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "\u2212")


def count(value: int) -> str:
    """Returns a whole number with thousands apart."""
    return f"{value:,}"


def many(value: int, word: str) -> str:
    """Returns a count with its word in the right form."""
    return f"{value:,} {word}{'' if value == 1 else 's'}"


def size(value: int | None) -> str:
    """Returns bytes in the largest unit of which there is one."""
    if value is None:
        return "–"
    amount = float(value)
    for unit in ("bytes", "KB", "MB", "GB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TB"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Returns how long ago a moment was, in one unit."""
    if moment is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < _MINUTE:
        return "just now"
    for length, word in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= length:
            return f"{many(int(seconds // length), word)} ago"
    return "just now"


def when(moment: datetime | None) -> Markup:
    """Returns a moment as an element: how long ago, with the time itself."""
    if moment is None:
        return Markup("–")
    exact = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment.isoformat(), exact, ago(moment))


def visible(text: object, limit: int | None = None) -> Markup:
    """Returns a text from outside as text: nothing in it is markup, and characters that cannot be seen are named.

    Args:
        text: The text.
        limit: Characters after which it is cut, with a mark that says so.
    """
    shown = str(text)
    cut = limit is not None and len(shown) > limit
    shown = shown[:limit] if cut else shown
    parts: list[str | Markup] = []
    plain: list[str] = []
    for char in shown:
        if char in "\n\t" or char in JOINERS or category(char)[0] != "C":
            plain.append(char)
            continue
        parts += [
            "".join(plain),
            Markup('<span class="unseen" title="a character that is not seen">{}</span>').format(f"U+{ord(char):04X}"),
        ]
        plain = []
    parts.append("".join(plain))
    if cut:
        parts.append(Markup('<span class="soft"> … cut here: {} characters</span>').format(f"{len(str(text)):,}"))
    return Markup("").join(escape(part) for part in parts)


def marked(text: str, findings: Sequence[Mapping[str, Any]]) -> Markup:
    """Returns a text with the lines marked in which the scanner found something, and its words where they can be found."""
    by_line: dict[int, list[Mapping[str, Any]]] = {}
    for one in findings:
        line = one.get("line")
        by_line.setdefault(line if isinstance(line, int) else 0, []).append(one)
    lines = []
    for at, line in enumerate(text.split("\n"), 1):
        found = by_line.get(at)
        if found is None:
            lines.append(visible(line))
            continue
        said = "; ".join(f"{one.get('kind', 'finding')}: {one.get('rule', '')}" for one in found)
        lines.append(Markup('<mark title="{}">{}</mark>').format(said, visible(line) or "\u00a0"))
    return Markup("\n").join(lines)


def why_picked(why: Mapping[str, Any], rank: int) -> str:
    """Returns in a sentence why search picked a skill."""
    said = [f"meaning {why['dense']:.2f} near (cosine)"]
    said.append(f"words in common {why['lexical']:.1f} (BM25)" if why["lexical"] else "no words in common")
    if why.get("utility") is not None:
        said.append(f"utility {why['utility']:.2f} over {many(int(why['uses']), 'use')}")
    else:
        said.append("never used, so its utility is not known")
    if why.get("bonus"):
        said.append(f"{why['bonus']:+.3f} for utility and curiosity")
    moved = int(why.get("rank_before", rank)) - rank
    if moved:
        said.append(f"use and utility moved it {'up' if moved > 0 else 'down'} by {abs(moved)}")
    if why.get("copies"):
        said.append(f"stands for {many(_length(why['copies']), 'near copy').replace('copys', 'copies')}")
    return "; ".join(said)


def _length(value: object) -> int:
    return value if isinstance(value, int) else len(value) if isinstance(value, Iterable) else 0  # type: ignore[arg-type]


def pretty(value: object) -> str:
    """Returns evidence as JSON that a person can read."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def segment(value: str) -> str:
    """Returns a text as one part of an address, in which no letter of it means anything: a run's id may be any text."""
    return quote(value, safe="")


def money(value: float) -> str:
    """Returns dollars with their cents; what is under a dollar with two digits that say something."""
    if value >= 1 or value == 0:
        return f"${value:,.2f}"
    return f"${value:.{max(2, 1 - math.floor(math.log10(value)))}f}"


FILTERS = {
    "number": number, "signed": signed, "count": count, "size": size, "ago": ago, "when": when, "visible": visible, "pretty": pretty,
    "segment": segment, "money": money,
}  # fmt: skip
"""What the templates call by name."""
