"""Secrets and personal numbers. What looks like an example is not one."""

import re
from collections.abc import Iterator
from itertools import islice

from skill_plugin.scanning.findings import FindingVerdict

_KEYS = [
    ("AWS key", r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("AWS secret key", r"(?i:aws_?secret_?(?:access_?)?key|secretaccesskey)[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?P<found>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"),
    ("GitHub token", r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}"),
    ("GitLab token", r"glpat-[\w-]{20,64}"),
    ("API key", r"(?<![\w-])sk-(?:proj-|ant-|or-|svcacct-)?[A-Za-z0-9_-]{20,256}"),
    ("payment key", r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,128}"),
    ("Slack token", r"xox[abeoprs]-[A-Za-z0-9-]{10,128}|hooks\.slack\.com/services/T\w{6,16}/B\w{6,16}/\w{8,32}"),
    ("Google key", r"AIza[\w-]{35}|ya29\.[\w-]{20,255}"),
    ("Hugging Face token", r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{30,64}"),
    ("registry token", r"npm_[A-Za-z0-9]{36}(?!\w)|pypi-AgE[\w-]{20,255}"),
    ("mail service key", r"SG\.[\w-]{16,64}\.[\w-]{16,64}"),
    ("telephone service key", r"(?<![A-Za-z0-9])(?:AC|SK)[0-9a-f]{32}(?![A-Za-z0-9])"),
    ("cloud token", r"dop_v1_[0-9a-f]{64}|shp(?:at|ss)_[0-9a-fA-F]{32}"),
    ("bot token", r"(?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])|[MN][A-Za-z\d]{23,25}\.[\w-]{6}\.[\w-]{27,38}"),
    ("signed token", r"eyJ[\w-]{10,1000}\.eyJ[\w-]{10,2000}\.[\w-]{10,1000}"),
    ("private key", r"-----BEGIN (?:[A-Z]{2,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\s{0,4}[A-Za-z0-9+/=:, -]{40,80}\s){2}"),
    ("storage key", r"AccountKey=[A-Za-z0-9+/]{40,100}={0,2}"),
]  # fmt: skip

_LIKELY: list[tuple[str, str, FindingVerdict]] = [
    ("private key", r"-----BEGIN (?:[A-Z]{2,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----", "note"),
    ("password in an address", r"[a-z][a-z0-9+.-]{1,20}://[^\s:/@<>{}$\"'`]{1,64}:(?P<found>[^\s/@<>{}$*\"'`]{3,128})@[\w.-]", "hold"),
    ("password", r"(?i:pass(?:word|wd|phrase|wort)?|pwd|kennwort|contrase[nñ]a|mot de passe)(?:\s(?i:is|ist|for \w{1,20} is))?[\"']?\s{0,3}[=:]?\s{0,3}[\"'`]?(?P<found>(?<=[=:\"'`\s])[^\s\"'`<>{}$|,;()]{8,64})", "hold"),
    ("token", r"(?i:api[_-]?key|secret(?:[_-]?key)?|token|client[_-]?secret|access[_-]?key|auth[_-]?key)[\"']?\s{0,3}[=:]\s{0,3}[\"'`]?(?P<found>[A-Za-z0-9_\-/+=.]{20,256})", "hold"),
    ("bearer token", r"(?i:bearer)\s(?P<found>[A-Za-z0-9._~+/=-]{20,512})", "hold"),
    ("basic authorization", r"(?i:authorization)[\"']?\s?:\s?[\"']?(?i:basic)\s(?P<found>[A-Za-z0-9+/=]{12,256})", "hold"),
    ("cookie", r"(?i:cookie)[\"']?\s?:\s?[\"']?(?:[\w.-]{1,40}=[^\s;\"']{1,200};?\s?){0,4}?[\w.-]{0,30}(?i:sess|sid|auth|token|id)\w{0,20}=(?P<found>[^\s;\"'<>{}$]{12,512})", "hold"),
]  # fmt: skip

_TABLE: list[tuple[str, re.Pattern[str], FindingVerdict]] = [
    *((name, re.compile(pattern), "block") for name, pattern in _KEYS),
    *((name, re.compile(pattern), verdict) for name, pattern, verdict in _LIKELY),
]

_CARD = re.compile(r"(?<![\w.-])(?:\d{4}[ -]?){3}\d{1,7}(?![\w.-]?\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")

_EXAMPLE = re.compile(
    r"(?i)example|sample|dummy|fake|placeholder|changeme|change[_-]me|replace|your|xxxx|\*\*\*|\.\.\.|abcdef|1234567|"
    r"0000000|foobar|redacted|test[_-]?(?:key|token|secret|pass)|<|insert|my[_-]?(?:secret|password|token|key|api)|hunter2$|"
    r"process\.env|os\.environ|getenv|secrets?\.|env\.|config\.|settings\.|self\.|https?:|^\d{1,4}$|todo|test-|secure|pass123|password|p@ss"
)
_KNOWN_CARDS = (
    "4242424242424242",
    "4111111111111111",
    "5555555555554444",
    "4000000000",
    "378282246310005",
    "4012888888881881",
)
_KNOWN_IBANS = (
    "DE89370400440532013000",
    "GB82WEST12345698765432",
    "GB29NWBK60161331926819",
    "FR1420041010050500013M02606",
)

_MOST = 20


_HINTS = {
    "AWS key": ("akia", "asia"),
    "AWS secret key": ("aws", "secretaccesskey"),
    "GitHub token": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat"),
    "GitLab token": ("glpat",),
    "API key": ("sk-",),
    "payment key": ("k_live", "k_test"),
    "Slack token": ("xox", "hooks.slack"),
    "Google key": ("aiza", "ya29"),
    "Hugging Face token": ("hf_",),
    "registry token": ("npm_", "pypi-"),
    "mail service key": ("sg.",),
    "telephone service key": ("ac", "sk"),
    "cloud token": ("dop_v1", "shpat", "shpss"),
    "bot token": (":aa", "."),
    "signed token": ("eyj",),
    "private key": ("private key",),
    "storage key": ("accountkey",),
    "password in an address": ("://",),
    "password": ("pass", "pwd", "kennwort", "contrase", "mot de"),
    "token": ("key", "secret", "token"),
    "bearer token": ("bearer",),
    "basic authorization": ("basic",),
    "cookie": ("cookie",),
}
"""Without one of these, in one case, the pattern is not tried."""


def secrets(text: str) -> Iterator[tuple[str, FindingVerdict, str, int]]:
    """Yields secrets: what each is, the verdict, its characters, and where it begins."""
    lower = text.lower()
    for name, pattern, verdict in _TABLE:
        if any(one in lower for one in _HINTS[name]):
            for match in islice(pattern.finditer(text), _MOST):
                group = "found" if "found" in pattern.groupindex else 0
                if (judged := _judged(name, verdict, match[group])) is not None:
                    yield name, judged, match[group], match.start(group)
    for match in islice(_CARD.finditer(text), _MOST):
        if _is_card("".join(filter(str.isdigit, match[0]))):
            yield "payment card", "hold", match[0], match.start()
    for match in islice(_IBAN.finditer(text), _MOST):
        if _is_iban(match[0].replace(" ", "")):
            yield "bank account", "hold", match[0], match.start()


def _judged(name: str, verdict: FindingVerdict, found: str) -> FindingVerdict | None:
    """Returns the verdict on what looks like a secret; None if it is a name or an example."""
    if verdict == "note" or name == "private key":
        return verdict
    if verdict == "block":
        return "note" if _EXAMPLE.search(found) or len(set(found[4:])) < 7 else "block"
    if name == "password in an address":
        return None if _EXAMPLE.search(found) or (len(found) <= 8 and found.isalpha()) else verdict
    return verdict if _is_random(found, word=name == "password") else None


def _is_card(digits: str) -> bool:
    known = digits.startswith(_KNOWN_CARDS) or len(set(digits)) <= 3
    issuer = digits.startswith(("34", "37", "4", "51", "52", "53", "54", "55", "6011", "65"))
    return 13 <= len(digits) <= 19 and issuer and not known and _luhn(digits)


def _is_random(value: str, *, word: bool) -> bool:
    """Returns whether a value is more likely a secret than a name or an example; a password is also random if it is short."""
    if _EXAMPLE.search(value) or len(set(value)) < 6:
        return False
    digits, upper, lower = (any(map(kind, value)) for kind in (str.isdigit, str.isupper, str.islower))
    signs = any(not one.isalnum() and one not in "_-./=:\\[]" for one in value)
    if word:
        return (
            digits
            and (upper or lower)
            and not any(one in value for one in "()[]/\\=.:")
            and (signs or (upper and lower))
        )
    if re.fullmatch(r"0x[0-9a-fA-F]+|[a-z-]+(?:-\d{4}){1,3}|[\d.-]+[a-z]*", value):
        return False
    return (
        digits
        and ((upper and lower) or re.fullmatch(r"[0-9a-f]{32,}|[A-Z0-9]{20,}", value) is not None)
        and sum(map(str.isdigit, value)) >= 3
        and value.count(".") < 4
        and value.count("_") < 4
        and value.count("-") < 6
    )


def _luhn(digits: str) -> bool:
    doubled = (int(one) * (1 + at % 2) for at, one in enumerate(reversed(digits)))
    return sum(one - 9 if one > 9 else one for one in doubled) % 10 == 0


def _is_iban(plain: str) -> bool:
    moved = plain[4:] + plain[:4]
    return (
        15 <= len(plain) <= 34
        and plain not in _KNOWN_IBANS
        and int("".join(str(int(one, 36)) for one in moved)) % 97 == 1
    )
