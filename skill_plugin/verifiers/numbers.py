"""Numbers in the forms that people and models write them: signs, separators of any country, per cent, fractions, scores."""

import re
from collections.abc import Iterator

_DIGITS = r"(?:\d{1,3}(?:[,.'\u2019\u00a0\u202f ]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)?|[.,]\d+)"
_NUMBER = re.compile(
    rf"(?<![\w.,])(?P<sign>[-+\u2212]?)[$\u20ac\u00a3]?(?P<digits>{_DIGITS})(?P<power>[eE][-+]?\d+)?"
    r"(?:[ \u00a0]?/[ ]?(?P<of>\d+(?:[.,]\d+)?)(?![\w/]))?"
    r"(?:[ \u00a0\u202f]?(?P<scale>%|per ?cent\b|thousand\b|million\b|billion\b|trillion\b))?(?![\w])",
    re.IGNORECASE,
)
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_CITATION = re.compile(r"\[\d+(?:[,;\u2013-] ?\d+)*\]")
_ASIDE = re.compile(r"\((?=[^()]*[^\W\d_])[^()]*\)")
# Possessive (*+): a line of 80,000 stars would take minutes.
_SCORE = (
    r"\b[^\w\n.,-]*+(?:(?:is|of)[^\w\n.,-]*+)?(?P<value>(?:\d+(?:[.,]\d+)?|[.,]\d+))"
    r"(?:[*_`\s]*(?P<of>(?:/|out of|of)\s*[*_`]*\d+(?:[.,]\d+)?)|[*_`\s]*(?P<percent>%|per\s?cent\b))?(?![\d/%-])(?!\s*[^\W\d_])"
)


def last_number(text: str) -> tuple[float, ...]:
    """Returns what the last number of a text may mean, most likely first; nothing for a text without numbers.

    Citations such as `[1]` and asides such as `(step 3)` are not answers, as long as there is another number. 50 % is 50 or a
    half, 1/2 is a half.
    """
    shorter = _CITATION.sub(" ", text)
    for one in (_ASIDE.sub(" ", shorter), shorter):
        found = list(_NUMBER.finditer(one))
        if found:
            return tuple(dict.fromkeys(_meanings(found[-1])))
    return ()


def last_score(reply: str, word: str = "score") -> tuple[float | None, str]:
    """Returns the score that the last line with a word gives, and the reply without that line.

    It is from 0 to 1: `Score: 0.8`, `**SCORE: 8/10**`, `score: 80 %`; None without such a line, or without a score in it.

    A number that is not from 0 to 1 and has nothing to be divided by is not a score.
    """
    lines = reply.splitlines()
    named = [number for number, line in enumerate(lines) if word in line.lower()]
    if not named:
        return None, reply
    rest = "\n".join(line for number, line in enumerate(lines) if number != named[-1]).strip()
    scores = list(re.finditer(word + _SCORE, lines[named[-1]].replace("\uff1a", ":"), re.IGNORECASE))
    return (_score(scores[-1]) if scores else None), rest


def _score(found: "re.Match[str]") -> float | None:
    value = _decimal(found["value"])
    if found["of"]:
        of = _decimal(re.sub(r"[^\d.,]", "", found["of"]))
        value = value / of if of else -1.0
    elif found["percent"]:
        value /= 100
    return value if 0 <= value <= 1 else None


def _meanings(found: "re.Match[str]") -> Iterator[float]:
    value = _plain(found["digits"]) * (-1 if found["sign"] in ("-", "\u2212") else 1)
    if found["power"]:
        value *= float(f"1{found['power']}")  # infinite where ** would raise
    if found["of"]:
        of = _decimal(found["of"])
        if of:
            yield value / of
        return
    scale = (found["scale"] or "").lower()
    yield value * _SCALES.get(scale, 1.0)
    if scale.startswith(("%", "per")):
        yield value / 100


def _plain(digits: str) -> float:
    """Returns the value of digits with separators. The last of two kinds is the decimal one; a comma before three digits is not."""
    digits = re.sub(r"['\u2019\u00a0\u202f ]", "", digits)
    if "," in digits and "." in digits:
        decimal = max(",", ".", key=digits.rfind)
        other = "." if decimal == "," else ","
        return float(digits.replace(other, "").replace(decimal, "."))
    if digits.count(".") > 1 or re.fullmatch(r"\d{1,3}(?:,\d{3})+", digits):
        return float(digits.replace(".", "").replace(",", ""))
    return _decimal(digits)


def _decimal(digits: str) -> float:
    return float(digits.replace(",", "."))
