"""What a scanner says of a text: findings, each with its verdict."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Kind = Literal["injection", "hidden", "secret", "command", "exfiltration", "link", "other"]

FindingVerdict = Literal["block", "hold", "note"]
"""`block`: the text cannot be stored. `hold`: it is stored, and no model sees it until a person releases it. `note`: it is said."""

SHOWN = 80
"""Characters of a finding that are shown."""


class Finding(NamedTuple):
    """Something that does not belong in a skill.

    Args:
        kind: Its family.
        excerpt: The words themselves, escaped if they cannot be seen, cut short if they are a secret.
        verdict: What follows from it.
        rule: Which rule found it, in words that are safe to show to a model.
        line: The line that it begins in, from 1; 0 is not known.
        mark: Tells it from others of its rule: equal for equal words.
        file: The path of the skill's file that it stands in; empty for its SKILL.md.
    """

    kind: Kind
    excerpt: str
    verdict: FindingVerdict = "hold"
    rule: str = ""
    line: int = 0
    mark: str = ""
    file: str = ""

    @property
    def place(self) -> str:
        """What it is and where, without its own words: they may be orders."""
        where = f" in line {self.line}" if self.line else ""
        return f"{self.kind} ({self.rule}){where}" if self.rule else f"{self.kind}{where}"

    def __str__(self) -> str:
        return f"{f'{self.file}: ' if self.file else ''}{self.place}: {self.excerpt!r}"


def fresh(found: Iterable[Finding], known: Iterable[Finding]) -> list[Finding]:
    """Returns the findings that are not among the known ones; said twice and known once, one is left."""
    spare = Counter((one.kind, one.rule, one.mark or one.excerpt) for one in known)
    left = []
    for one in found:
        key = (one.kind, one.rule, one.mark or one.excerpt)
        spare[key] -= 1
        if spare[key] < 0:
            left.append(one)
    return left


def of(verdict: FindingVerdict, found: Iterable[Finding]) -> list[Finding]:
    """Returns the findings with this verdict, each once."""
    return list(dict.fromkeys(one for one in found if one.verdict == verdict))


def sentence(found: Sequence[Finding], *, words: bool = True) -> str:
    """Says findings in one line; `words=False` leaves their own words out, for a reader that is a model."""
    shown = list(dict.fromkeys(str(one) if words else one.place for one in found))
    return "; ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
