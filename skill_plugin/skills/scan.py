"""A scan for text that does not belong in a skill: every write is looked at before it is believed.

That is words aimed at the model above it, forged structure, hidden characters, secrets, harmful commands, leaks. It finds the
plain forms and their cheap disguises: other case, look-alike letters, digits for letters, characters without width, words broken
over lines, encodings. It is a net with holes, not a proof; what goes live also has to win at the gate.

Each finding has a verdict (`scanning.findings`). Words that are only quoted, where a text is about attacks, are a note. The rules are
tables (`scanning.tables`), read at the first scan.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from skill_plugin.records import sha256
from skill_plugin.scanning import decoding
from skill_plugin.scanning.findings import SHOWN, Finding, FindingVerdict, Kind
from skill_plugin.scanning.frames import Frames
from skill_plugin.scanning.hidden import hidden
from skill_plugin.scanning.mentions import is_mention, is_wrapped
from skill_plugin.scanning.patterns import Find, Patterns
from skill_plugin.scanning.tables import CLASSES, TABLES
from skill_plugin.scanning.views import ADDRESS, Views

__all__ = ["Finding", "all_findings", "findings", "new_findings"]

_WORD = re.compile(r"\w+")
_SPLICE = re.compile(r"[a-z](?:''|\"\"|\\)[a-z]|(?<![a-z])[a-z]{1,6}['\"][a-z]['\"][a-z]")
_SPLICES = re.compile(r"(?<=[a-z])(?:''|\"\"|\\|'|\")(?=[a-z])")

MOST = 8
"""Serious finds of one rule in one text that are told."""


class _Found(NamedTuple):
    kind: Kind
    rule: str
    verdict: FindingVerdict
    words: str
    line: int


def findings(text: str) -> list[Finding]:
    """Returns the findings in a text, each once: hidden characters first, then in the order of the tables."""
    return list(dict.fromkeys(all_findings(text)))


def new_findings(text: str, known: str) -> list[Finding]:
    """Returns the findings in `text` that are not in `known`: a generator may repeat what its prompt holds. Notes are left out."""
    seen = Views(known)
    there = [known, seen.visible, seen.folded, seen.words]
    found = [one for one in _all(text) if one.verdict != "note" and not any(one.words in view for view in there)]
    return list(dict.fromkeys(map(_finding, found)))


def all_findings(text: str) -> tuple[Finding, ...]:
    """Returns the findings in a text; what it says twice is there twice."""
    return tuple(map(_finding, _all(text)))


@cache
def _frames() -> Frames:
    return Frames([table for table in TABLES if table.view == "sentences"], CLASSES)


@cache
def _patterns() -> Patterns:
    return Patterns([table for table in TABLES if table.view != "sentences"])


@cache
def _commands() -> Patterns:
    return Patterns([table for table in TABLES if table.kind in ("command", "exfiltration") and table.view == "folded"])


@lru_cache(maxsize=256)
def _all(text: str) -> tuple[_Found, ...]:
    views = Views(text)
    found = [
        _Found("hidden", rule, verdict, words, text.count("\n", 0, at) + 1) for rule, verdict, words, at in hidden(text)
    ]
    found += _in(views)
    found += _disguised(views)
    found += _spliced(views)
    found += _encoded(views, decoding.DEPTH)
    return tuple(found)


def _in(views: Views) -> Iterator[_Found]:
    """Yields what stands in a text as it is."""
    serious: Counter[int] = Counter()
    told: dict[str, list[Find]] = defaultdict(list)
    for frame, start, end in _frames().finds(views.sentences):
        find = Find(frame.table, frame.rule, start, end)
        # Several frames may say the same of the same words.
        if serious[id(find.rule)] < MOST and not any(
            start < one.end and one.start < end for one in told[find.rule.name]
        ):
            told[find.rule.name].append(find)
            if (found := _judged(views, find)) is not None:
                serious[id(find.rule)] += found.verdict != "note"
                yield found
    for find in _patterns().finds(views):
        if serious[id(find.rule)] < MOST and (found := _judged(views, find)) is not None:
            serious[id(find.rule)] += found.verdict != "note"
            yield found


def _judged(views: Views, find: Find) -> _Found | None:
    table, rule, start, end = find
    view: str = getattr(views, table.view)
    words = (
        view[start:end]
        if table.view != "sentences"
        else " ".join(view[start:end].split()).replace(ADDRESS, "(address)")
    )
    verdict = rule.verdict if rule.check is None else rule.check(words)
    if verdict is None:
        return None
    line = views.line(table.view, start)
    quoted = verdict != "note" and (
        (table.quoting == "mention" and is_mention(views, line, words))
        or (table.quoting == "code" and is_wrapped(view, start, end))
    )
    return _Found(table.kind, rule.name, "note" if quoted else verdict, words, line)


def _disguised(views: Views) -> Iterator[_Found]:
    """Yields orders whose letters are digits, stand apart or are turned round. A word of each has to be one by that alone."""
    for how, text in views.undisguised(_frames().knows):
        plain: set[str] | None = None
        for frame, start, end in _frames().finds(text):
            words = _WORD.findall(text[start:end])
            plain = plain or set(_WORD.findall(views.words))
            if frame.table.follows_disguises and any(map(_frames().knows, set(words) - plain)):
                name = f"{frame.rule.name}, {how}"
                yield _Found(frame.table.kind, name, frame.rule.verdict, " ".join(words), 0)


def _spliced(views: Views) -> Iterator[_Found]:
    """Yields commands whose words are broken by quotes or strokes that a shell takes away."""
    if _SPLICE.search(views.folded) is None:
        return
    whole = _SPLICES.sub("", views.folded)
    if not _commands().know(set(_WORD.findall(whole)) - set(_WORD.findall(views.folded))):
        return
    for find in _commands().finds(Views(whole)):
        words = whole[find.start : find.end]
        if words not in views.folded:
            yield _Found(find.table.kind, f"{find.rule.name}, words broken", find.rule.verdict, words, 0)


def _encoded(views: Views, depth: int) -> Iterator[_Found]:
    """Yields what stands in a text encoded, once or several times."""
    if depth == 0:
        return
    text = views.unseen
    for how, plain, at in decoding.decoded(text):
        inner = Views(plain)
        line = text.count("\n", 0, at) + 1
        for one in (*_in(inner), *_disguised(inner), *_encoded(inner, depth - 1)):
            if one.verdict != "note" and not any(
                one.words in view for view in (views.folded, views.words, views.visible)
            ):
                yield one._replace(rule=f"{one.rule}, in {how}", line=line)


def _finding(found: _Found) -> Finding:
    mark = sha256(found.words)[:16]
    return Finding(found.kind, _shown(found.kind, found.words), found.verdict, found.rule, found.line, mark)


def _shown(kind: Kind, words: str) -> str:
    if kind == "hidden" and not words.isascii() and all(not one.isalnum() or one in "\u3164\uffa0" for one in words):
        return " ".join(f"U+{ord(char):04X}" for char in words[:8]) + (" ..." if len(words) > 8 else "")
    if kind == "secret":  # a message or a log must not spread it
        return f"{words[: min(8, len(words) // 3)]}... ({len(words)} characters)"
    words = " ".join(words.split())
    return words if len(words) <= SHOWN else f"{words[:SHOWN]}..."


def forget() -> None:
    """Forgets the texts that were looked at, so that a benchmark can look again."""
    _all.cache_clear()
