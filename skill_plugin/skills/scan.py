"""A scan for text that does not belong in a skill: every write is looked at before it is believed.

That is words aimed at the model above it, forged structure, hidden characters, secrets, harmful commands, leaks. It finds the
plain forms and their cheap disguises: other case, look-alike letters, digits for letters, characters without width, words broken
over lines, encodings. It is a net with holes, not a proof; what goes live also has to win at the gate.

Each finding has a verdict (`scanning.findings`). Words that are only quoted, where a text is about attacks, are a note.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from skill_plugin.records import sha256
from skill_plugin.scanning import decoding
from skill_plugin.scanning.acts import COMMANDS, EXFILTRATION, LINKS
from skill_plugin.scanning.findings import SHOWN, Finding, FindingVerdict, Kind
from skill_plugin.scanning.mentions import is_mention, is_wrapped
from skill_plugin.scanning.rules import MOST, Rule
from skill_plugin.scanning.secrets import secrets
from skill_plugin.scanning.structure import HIDDEN_ORDERS, STRUCTURE, hidden
from skill_plugin.scanning.views import Views
from skill_plugin.scanning.wording import CORE, SQUEEZED, STEMS, WORDING

__all__ = ["Finding", "all_findings", "findings", "new_findings"]

_SPLICE = re.compile(r"[a-z](?:''|\"\"|\\)[a-z]|(?<![a-z])[a-z]{1,6}['\"][a-z]['\"][a-z]")
_SPLICES = re.compile(r"(?<=[a-z])(?:''|\"\"|\\|'|\")(?=[a-z])")

_RULES = [*WORDING, *STRUCTURE, *HIDDEN_ORDERS, *COMMANDS, *EXFILTRATION, *LINKS]


_NEEDED = {
    view: frozenset(word for rule in _RULES if rule.view == view for some in rule.needs for word in some)
    for view in {rule.view for rule in _RULES}
}
"""The words that any rule needs: each is looked for once in a view, not once by each rule."""

LOOKED = 50
"""Finds of one rule of which it is asked whether they are only quoted."""


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


@lru_cache(maxsize=256)
def _all(text: str) -> tuple[_Found, ...]:
    views = Views(text)
    found = [
        _Found("hidden", rule, verdict, words, text.count("\n", 0, at) + 1) for rule, verdict, words, at in hidden(text)
    ]
    found += _in(views)
    found += _disguised(views)
    found += _spliced(views)
    found += _encoded(views.unseen, decoding.DEPTH)
    return tuple(found)


def _in(views: Views) -> Iterator[_Found]:
    """Yields what stands in a text as it is."""
    there = {view: {word for word in words if word in getattr(views, view)} for view, words in _NEEDED.items()}
    for rule in _RULES:
        if rule.may_match(there[rule.view]):
            yield from _by(rule, views)
    for name, verdict, words, at in secrets(views.visible):
        yield _Found("secret", name, verdict, words, views.line("visible", at))


def _by(rule: Rule, views: Views) -> Iterator[_Found]:
    view: str = getattr(views, rule.view)
    serious = 0
    for number, (start, end) in enumerate(rule.matches(view)):
        words, verdict, line = view[start:end], rule.verdict, views.line(rule.view, start)
        if verdict != "note" and number < LOOKED:  # so many quotes of attacks are not looked at one by one: they count
            harmless = is_mention(views, line, words) if rule.quotable else is_wrapped(view, start, end)
            verdict = "note" if harmless else verdict
        yield _Found(rule.kind, rule.name, verdict, words, line)
        serious += verdict != "note"
        if serious == MOST or number == LOOKED:
            return


def _disguised(views: Views) -> Iterator[_Found]:
    """Yields orders whose letters stand apart, are digits, or are turned round. What also stands there as it is was found already."""
    squeezed = list(islice(SQUEEZED.matches(views.squeezed), LOOKED))
    if squeezed and len(squeezed) > sum(1 for rule in CORE[:2] for _ in islice(rule.matches(views.words), LOOKED)):
        for start, end in squeezed[:MOST]:
            yield _Found(SQUEEZED.kind, SQUEEZED.name, SQUEEZED.verdict, views.squeezed[start:end], 0)
    turned = ((decoding.rot13(views.words), "rot13"), (views.words[::-1], "backwards"))
    for view, how in ((views.leet, "digits for letters"), *turned) if views.has_digits_in_words else turned:
        if not any(view.count(stem) > views.words.count(stem) for stem in STEMS):
            continue
        for rule in CORE:
            for start, end in islice(rule.matches(view), MOST):
                if view[start:end] not in views.words:
                    yield _Found(rule.kind, f"{rule.name}, {how}", rule.verdict, view[start:end], 0)


def _spliced(views: Views) -> Iterator[_Found]:
    """Yields commands whose words are broken by quotes or strokes that a shell takes away."""
    if _SPLICE.search(views.folded) is None:
        return
    whole = _SPLICES.sub("", views.folded)
    for rule in (*COMMANDS, *EXFILTRATION):
        for start, end in islice(rule.matches(whole), MOST):
            if whole[start:end] not in views.folded:
                yield _Found(rule.kind, f"{rule.name}, words broken", rule.verdict, whole[start:end], 0)


def _encoded(text: str, depth: int) -> Iterator[_Found]:
    """Yields what stands in a text encoded, once or several times."""
    if depth == 0:
        return
    there = None
    for how, plain, at in decoding.decoded(text):
        views = Views(plain)
        there = there or Views(text)
        line = text.count("\n", 0, at) + 1
        for one in (*_in(views), *_encoded(plain, depth - 1)):
            if (
                one.verdict != "note"
                and one.words not in there.folded
                and one.words not in there.words
                and one.words not in there.visible
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
