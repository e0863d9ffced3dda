"""Whether a text speaks of an attack or makes one: security texts quote what they warn of.

This is a hole by design. An order in quotes below a warning has lost most of its force; to hold every text about attacks would
teach people to release without reading.
"""

import re

from skill_plugin.scanning.views import Views

_ABOUT = re.compile(
    r"attack|inject|jailbreak|malicious|malware|adversar|phish|red[ -]?team|detect|suspicio|threat|exploit|vulnerab|untrusted|"
    r"hostile|payload|sanitiz|sanitis|refuse|reject|blocked|blocklist|denylist|denied|forbid|prohibit|dangerous|destructive|unsafe|"
    r"\bsigns?\b|red flag|fraud|scam|resist|impersonat|anti-?pattern|watch (?:out )?for|audit|pentest|threat|scanner|hook|guard|treat (?:it|them|this|that|such)? ?as data|"
    r"do not obey|don't obey|risk|trojan|backdoor|compromis|(?:phrase|text|pattern|string|prompt|sentence|word)s? (?:such as|like)|incident|forensic|ioc\b|evasion|poison|smuggl|abuse|bad example|\bbad:|❌|wrong:",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"(?:never|do not|don't|dont|avoid|must not|mustn't|should not|shouldn't|refuse to|block|deny|instead of|rather than)\s(?:ever\s|blindly\s|just\s)?"
    r"(?:run|running|use|using|execute|executing|pipe|piping|type|allow|paste|call|write|accept|commands? like|commands? such as)?\s?\W{0,3}$"
    r"|(?:never|do not|don't|must not|should not)\s(?:run|use|execute|obey|follow)\s(?!.*\b(?:but|until|before|without|except|else|other|instead)\b)[^.!?;]{0,80}$"
    r"|(?:refuse|block|reject|deny|detect|flag|report)s?\s(?:any\s|all\s)?(?:requests?|attempts?|texts?|prompts?|orders|messages?)\s[^.!?]{0,60}$",
    re.IGNORECASE,
)
_TOLD = re.compile(
    r"\b(?<!this\s)(?<!my\s)(?:attack\w*|injections?|jailbreaks?|malware|phish\w*|fraud\w*|prompts?|texts?|skills?|pages?|e?-?mails?|messages?|users?|models?|document|content|hack\w+)\s"
    r"(?:\w+\s){0,4}?(?:ask|tell|tri|try|claim|say|pretend|attempt|make|instruct|want|mean)(?:s|es)?\b[^.!?]{0,80}$"
    r"|\b(?:requests?|attempts?)\s(?:to|that)\s[^.!?]{0,60}$"
    r"|\b(?:example|sample|instance)s?\s(?:of|for)\s(?:an?\s)?(?:attack|injection|jailbreak|phish\w*|scam)\b[^.!?]{0,40}$",
    re.IGNORECASE,
)
"""Who is told of, and says it: what follows is an order of somebody else."""

_QUOTES = re.compile(
    r"[\"\u201c\u201d\u00ab\u201e](.{3,300}?)[\"\u201d\u201c\u00bb]|`([^`]{3,300})`|(?<!\w)['\u2018](.{3,300}?)['\u2019](?!\w)"
)
_ITEM = re.compile(r"\s*(?:[-*+|>]|\d{1,3}[.)])\s")
_LIST = 20
_ABOVE = 3
_LOOKED = 80
_BEHIND = 16


def is_mention(views: Views, line: int, words: str) -> bool:
    """Returns whether a finding is quoted (or code) where the text speaks of attacks, or a command that it warns of."""
    if not 0 < line <= len(views.lines):
        return False
    own = views.lines[line - 1][:2000]
    if _NEGATED.search(_before(own, words)):
        return True
    first = line - 1
    while line - first < _LIST and first > 0 and _ITEM.match(views.lines[first]):
        first -= 1  # what is said above a list is said of each of its items
    around = "\n".join(
        [*(one[:400] for one in views.lines[max(0, first - _ABOVE) : line]), _heading(views.lines, line)]
    )
    told = _TOLD.search(_before(own, words)) is not None
    quoted = _is_quoted(own, words)
    if _ABOUT.search(around) is None:
        return told and quoted
    return told or quoted or _is_code(views.lines, line)


def _before(line: str, words: str) -> str:
    """Returns what stands in a line before a finding; nothing if it is not in that line."""
    before, found, _ = Views(line).folded.partition(" ".join(words.split()[:2]))
    return before[-160:] if found else ""


def is_wrapped(view: str, start: int, end: int) -> bool:
    """Returns whether a finding is a word in code or in quotes, by itself or with a few letters behind it."""
    return (
        start > 0
        and view[start - 1] in "`\"'"
        and view[start - 1] in view[end : end + _BEHIND].split("\n", maxsplit=1)[0]
    )


def _is_quoted(line: str, words: str) -> bool:
    first = " ".join(words.split()[:2])
    for match in _QUOTES.finditer(line):
        inner = Views(match[1] or match[2] or match[3])
        if first in inner.words or first in inner.folded or (len(inner.words) > 6 and inner.words in words):
            return True
    return line.lstrip().startswith("|") and line.count("|") > 2


def _is_code(lines: list[str], line: int) -> bool:
    fences = sum(one.lstrip().startswith(("```", "~~~")) for one in lines[: line - 1])
    return fences % 2 == 1


def _heading(lines: list[str], line: int) -> str:
    for one in reversed(lines[max(0, line - _LOOKED) : line]):
        if one.startswith("#"):
            return one[:200]
    return ""
