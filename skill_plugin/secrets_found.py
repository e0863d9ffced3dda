"""Secrets in texts: finding them, and putting `[redacted:KIND]` in their place.

A table of shapes, not a proof: a password that stands in a sentence like any other word cannot be told from one. Whoever knows more
gives patterns of their own.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from skill_plugin.errors import ConfigurationError

Redact = bool | Literal["all"]
"""`True` is secrets, `"all"` also what leads to a person: e-mail addresses and telephone numbers."""

_KEYS = (
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20,}",
    r"\bsk-(?:proj-|ant-|or-|svcacct-)?[A-Za-z0-9_-]{20,}|\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/T\w+/B\w+/\w+",
    r"\bAIza[\w-]{35}|\bya29\.[\w-]{20,}|\bhf_[A-Za-z0-9]{30,}|\bnpm_[A-Za-z0-9]{36}\b|\bpypi-AgE[\w-]{20,}",
    r"\bSG\.[\w-]{16,}\.[\w-]{16,}|\bAC[0-9a-f]{32}\b|\bSK[0-9a-f]{32}\b",
    r"\bdop_v1_[0-9a-f]{64}\b|\bshp(?:at|ss)_[0-9a-fA-F]{32}\b|\bAccountKey=[A-Za-z0-9+/]{40,}={0,2}",
)
_NAMED = r"(?:pass(?:word|wd|phrase)|pwd|secret(?:[_-]?(?:access[_-]?)?key)?|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|client[_-]?secret|private[_-]?key)"
_ASSIGNED = (
    rf"(?i:(?<![A-Za-z])(?:[A-Za-z0-9]{{1,20}}[_-]){{0,4}}{_NAMED}\\?[\"']?\s{{0,3}}(?:[:=]|=>|\bis\b)\s{{0,3}})"
)

_SHAPES: dict[str, str] = {
    # A key may stand in JSON, where the ends of its lines are written out; one that is cut off ends with the text.
    "private-key": r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END)[\s\S]){0,20000}(?:-----END [A-Z ]{0,40}KEY(?: BLOCK)?-----)?",
    "key": "|".join(_KEYS),
    "jwt": r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
    "password": r"(?<=://)[^\s:/@<>{}$\"']{0,100}:[^\s/@<>{}\"']{1,200}(?=@)",
    "bearer": r"(?i:\b(?:bearer|basic)) (?=[^\s]*[\d=_.~+/-])[A-Za-z0-9._~+/-]{16,}={0,2}",
    "cookie": r"(?i:\b(?:set-)?cookie): ?[^\r\n\"]{8,4000}|(?i:\b(?:session(?:_?id)?|sid|phpsessid|jsessionid))=[A-Za-z0-9%._-]{12,}",
    "quoted": rf"(?P<keep>{_ASSIGNED}\\?[\"'])[^\s\"'\\]{{4,200}}",
    # Without quotes it has a digit or a sign that names do not have: `password = read_password` is a program.
    "named": rf"(?P<keep>{_ASSIGNED})(?=[^\s\"',;]*[\d!#$%^&*])[^\s\"'\\,;<>{{}}()\[\]]{{5,200}}",
    "card": r"(?<![\w.])(?:\d[ -]?){12,18}\d(?![\w]|\.\d)",
    "iban": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
}
_PERSONAL: dict[str, str] = {
    "email": r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,5}\.[A-Za-z]{2,24}\b",
    "telephone": r"(?<![\w.])(?:\+|00)[1-9]\d{0,2}(?:[ ()/.-]{0,2}\d){6,12}(?!\w)|(?<![\w.])\(\d{3}\) ?\d{3}[ .-]\d{4}\b",
}

_SHOWN = {"quoted": "password", "named": "password"}
_SECRET_NAME = re.compile(rf"(?i)(?:[a-z0-9]{{1,20}}[_-]){{0,4}}{_NAMED}")
_ISSUERS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}|6(?:011|5\d\d)\d{12}"
)


class Redactor:
    """Puts `[redacted:KIND]` in place of secrets.

    Args:
        what: See `Redact`.
        patterns: Regular expressions of one's own, by their kind.

    Raises:
        ConfigurationError: a pattern is not a regular expression, matches nothing at all, or its kind is not a plain word.
    """

    def __init__(self, what: Redact = True, patterns: Mapping[str, str] | None = None) -> None:
        shapes = {} if not what else {**_SHAPES, **(_PERSONAL if what == "all" else {})}
        self._redacts_names = bool(what)
        self._patterns = [(kind, re.compile(shape)) for kind, shape in shapes.items()]
        for kind, shape in (patterns or {}).items():
            try:
                own = re.compile(shape)
            except re.error as exc:
                raise ConfigurationError(
                    f"the pattern {shape!r} to redact {kind!r} is not a regular expression: {exc}"
                ) from exc
            if own.match(""):
                raise ConfigurationError(
                    f"the pattern {shape!r} to redact {kind!r} matches an empty text; make it say more"
                )
            if not re.fullmatch(r"[\w-]{1,40}", kind):
                raise ConfigurationError(f"{kind!r} is not a kind to redact; use letters, digits and hyphens")
            self._patterns.insert(0, (kind, own))

    def text(self, text: str) -> str:
        """Returns the text without its secrets."""
        for kind, pattern in self._patterns:
            check = _CHECKS.get(kind)
            if check is None:
                kept = r"\g<keep>" if "keep" in pattern.groupindex else ""
                text = pattern.sub(f"{kept}[redacted:{_SHOWN.get(kind, kind)}]", text)
            else:
                text = pattern.sub(partial(_checked, kind, check), text)
        return text

    def value(self, value: Any) -> Any:
        """Returns a JSON value without the secrets in its texts; keys stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self._named(key, one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return value

    def _named(self, key: Any, value: Any) -> Any:
        """Returns the value of a key; what is called a password is one, whatever it looks like."""
        if (
            self._redacts_names
            and isinstance(value, str)
            and value
            and isinstance(key, str)
            and _SECRET_NAME.fullmatch(key)
        ):
            return "[redacted:password]"
        return self.value(value)

    def json(self, text: str) -> str:
        """Returns JSON text whose value has no secrets."""
        try:
            value = json.loads(text)
        except ValueError:
            return self.text(text)
        clean = self.value(value)
        return text if clean == value else json.dumps(clean)


def _checked(kind: str, check: Callable[[str], bool], found: re.Match[str]) -> str:
    return f"[redacted:{kind}]" if check(found[0]) else found[0]


def _is_card(digits: str) -> bool:
    """Returns whether digits are a card's: as many as its issuer's have, and by Luhn's check."""
    numbers = [int(digit) for digit in digits if digit.isdigit()]
    doubled = [number * 2 - 9 * (number > 4) if at % 2 else number for at, number in enumerate(reversed(numbers))]
    return _ISSUERS.fullmatch("".join(map(str, numbers))) is not None and sum(doubled) % 10 == 0


def _is_iban(text: str) -> bool:
    """Returns whether letters and digits are an IBAN, by its check digits (ISO 13616)."""
    bare = text.replace(" ", "")
    return 15 <= len(bare) <= 34 and int("".join(str(int(one, 36)) for one in bare[4:] + bare[:4])) % 97 == 1


_CHECKS = {"card": _is_card, "iban": _is_iban}
