"""A scan for text that does not belong in a skill.

That is words aimed at the model above it, hidden characters, secrets, harmful commands, leaks. A skill is text that
gets into a prompt, so what a generator writes is looked at before it is believed. This finds the plain forms and their
cheap disguises: other case, look-alike letters, full-width letters, characters without width, words broken over lines,
base64. It is a net with holes, not a proof; what goes live also has to win at the gate.
"""

import base64
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

Kind = Literal["injection", "hidden", "secret", "command", "link"]

SHOWN = 80
"""Characters of a finding that are shown."""


class Finding(NamedTuple):
    """Something that does not belong in a skill: its kind, and the words themselves, escaped if they cannot be seen."""

    kind: Kind
    excerpt: str


def findings(text: str) -> list[Finding]:
    """Returns the findings in a text, each once: hidden characters first, then in the order of the tables below."""
    return list(dict.fromkeys(Finding(kind, _shown(kind, found)) for kind, found in _found(text)))


def new_findings(text: str, known: str) -> list[Finding]:
    """Returns the findings in `text` that are not in `known`: a generator may repeat what its prompt holds."""
    held = _folded(known)
    there = dict.fromkeys(
        Finding(kind, _shown(kind, found))
        for kind, found in _found(text)
        if (found not in known if kind == "hidden" else _folded(found) not in held)
    )
    return list(there)


def _found(text: str) -> Iterator[tuple[Kind, str]]:
    yield from (("hidden", one[0]) for one in _HIDDEN.finditer(_FLAG.sub("", text)))
    plain = _visible(text)
    folded = _folded(text)
    yield from _matches(plain, folded)
    for encoded in _BASE64.findall(plain):
        decoded = _decoded(encoded)
        if decoded and any(True for _ in _matches(decoded, _folded(decoded))):
            yield "injection", encoded


def _matches(plain: str, folded: str) -> Iterable[tuple[Kind, str]]:
    for kind, pattern in _WORDS:
        yield from ((kind, one[0]) for one in pattern.finditer(folded))
    for pattern in _SECRETS:
        yield from (("secret", one[0]) for one in pattern.finditer(plain))
    for pattern in _LINKS:
        yield from (("link", one["url"]) for one in pattern.finditer(folded))


# Disguises


def _visible(text: str) -> str:
    """Returns the text in compatible form, without characters that have no width."""
    composed = unicodedata.normalize("NFKC", text)
    return "".join(char for char in composed if unicodedata.category(char) != "Cf" and char not in _FILLERS)


def _folded(text: str) -> str:
    """Returns the text in one case, look-alikes as the Latin letter they pass for, and all space as one blank."""
    return " ".join(_visible(text).casefold().translate(_LOOK_ALIKES).split())


_FILLERS = "\u115f\u1160\u3164\uffa0\u034f\u17b4\u17b5"

_LOOK_ALIKES = str.maketrans(
    "авеѕіјкмнорстухԁԍԛԝһӏαεικνορτυχѵɡıℓ",
    "abesijkmhopctyxdgqwhlaeiknoptuxvgil",
)

_LATIN = "A-Za-z\u00c0-\u024f"

_HIDDEN = re.compile(
    "[\u202a-\u202e\u2066-\u2069]+"  # characters that turn the direction of text
    "|[\U000e0000-\U000e007f]+"  # tags: ASCII that cannot be seen
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}"  # variation selectors: one belongs to an emoji, a row of them is a message
    "|[\u3164\uffa0]+"  # letters that are blank
    # Without width inside a word of Latin letters. Persian, Hindi and Thai need some of them between their own letters.
    f"|(?<=[{_LATIN}0-9])[\u200b-\u200f\u2060-\u2064\u061c\ufeff\u180e]+(?=[{_LATIN}0-9])"
)

_FLAG = re.compile("\U0001f3f4[\U000e0061-\U000e007a\U000e0030-\U000e0039]{1,8}\U000e007f")
"""The flags of England, Scotland and Wales are written with tags."""

_BASE64 = re.compile(r"(?<![\w+/])[A-Za-z0-9+/]{24,}={0,2}(?![\w+/=])")


def _decoded(encoded: str) -> str | None:
    """Returns the text that base64 stands for; None if it does not stand for text."""
    bare = encoded.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode("utf-8")
    except ValueError:
        return None


def _shown(kind: Kind, found: str) -> str:
    if kind == "hidden":
        return " ".join(f"U+{ord(char):04X}" for char in found[:8]) + (" ..." if len(found) > 8 else "")
    if kind == "secret":  # a message or a log must not spread it
        return f"{found[:8]}... ({len(found)} characters)"
    return found if len(found) <= SHOWN else f"{found[:SHOWN]}..."


# The tables. Words are matched folded: lower case, one blank between two.

_BRUSH_ASIDE = r"\b(?:ignore|disregard|forget|override|bypass|overrule)"
_EARLIER = r"(?:previous|prior|above|earlier|preceding|foregoing|original|system|developer|safety)"
_ORDERS = r"(?:instructions?|prompts?|guidelines|directions|directives?)"
_JUDGE = r"(?:grader|judge|verifier|evaluator|scorer|reward model|grading (?:model|script))"
_PERSON = r"(?:user|human|operator|developer|anyone)"
_FETCH = r"(?:curl|wget|iwr|invoke-webrequest)"
_SHELL = r"(?:(?:ba|z|da|k|c)?sh|python[\d.]*|perl|ruby|node|iex|invoke-expression)"

_PATTERNS: dict[Kind, tuple[str, ...]] = {
    "injection": (
        rf"{_BRUSH_ASIDE}(?: \w+){{0,3}}? {_EARLIER}(?: \w+){{0,2}}? {_ORDERS}\b",
        rf"{_BRUSH_ASIDE} (?:all|any|your)(?: of| the| your)*(?: \w+)? (?:{_EARLIER} )?(?:rules|{_ORDERS})\b",
        rf"{_BRUSH_ASIDE}(?: the| these| those)? {_ORDERS} (?:above|before|so far|you|that)\b",
        rf"{_BRUSH_ASIDE} (?:all|everything)(?: of)?(?: that)?(?: came| was said| written| you were told)? (?:before|above|so far)\b",
        r"\b(?:new|updated|real|actual|true) system (?:instructions?|prompt)\b",
        r"\bsystem ?(?:override|prompt)\**:",
        # Tags by which chat templates tell who speaks, and calls of tools.
        r"<\|[^|<>]{1,40}\|>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>",
        r"</?(?:system|assistant|developer)(?:[ _-](?:prompt|message|instructions?|reminder))?>",
        r"</?(?:tool_calls?|tool_response|function_calls?)\b",
        rf"\b(?:tell|instruct|convince|persuade|trick|fool|bribe) the {_JUDGE}\b",
        rf"\b{_JUDGE}s? ?[:,] ?(?:please )?(?:print|output|return|give|award|say|answer|mark|score|accept|pass)\b",
        rf"\b{_JUDGE}s? (?:must|should|has to|will) (?:\w+ ){{0,3}}?(?:give|award|mark|score|return|print|output|report)\b.{{0,40}}?\b(?:pass|passed|full|correct|reward|highest|maximum)\b",
        r"\b(?:mark|grade|score|rate|judge) (?:this|your own|my) (?:answer|response|output|solution|attempt|work) (?:as|with)\b",
        r"\byou are now (?:an? |the )?(?:\w+ )?(?:ai|assistant|model|bot|dan|unrestricted|jailbroken|admin|root|free)\b",
        r"\byou are no longer (?:bound|restricted|limited|required|subject)\b|\b(?:do anything now|dan mode)\b",
        r"\b(?:reveal|print|repeat|output|leak|show|quote|disclose|send) (?:me )?(?:all of )?(?:your|the) (?:system prompt|(?:hidden|initial|secret) (?:prompt|instructions?))",
        rf"\b(?:do not|don't|never|without) (?:tell|inform|alert|notify)(?:ing)? (?:the )?{_PERSON} (?:about|of|that) (?:this|these|you|it)\b",
        r"\b(?:follow|obey|execute|run|do) (?:all |any )?(?:the )?(?:instructions?|commands?|orders|steps) (?:at|from|in|on|behind) (?:https?://|this (?:url|link|page))",
    ),
    "command": (
        rf"\b{_FETCH}\b[^|;`]{{0,200}}\| ?(?:sudo )?(?:env )?{_SHELL}\b",
        rf"(?:\b{_SHELL}|\bsource|\beval|(?<!\S)\.)(?: -c)? [\"']?(?:<\(|\$\(|`|\() ?{_FETCH}\b",
        rf"\bbase64 (?:-d|-di|--decode)\b[^|;]{{0,80}}\| ?(?:sudo )?{_SHELL}\b",
        r"\brm (?:-[\w-]+ )*-(?:\w*[rf]\w*|-recursive|-force|-no-preserve-root) (?:-[\w-]+ )*[\"']?(?:/\*?|~/?\*?|(?:\./)?\*|\$home/?\*?|\$\{home\}/?\*?|[a-z]:\\)[\"']?(?=$|[\s;&|`)\"',]|\.(?:$| ))",
        r"\bmkfs(?:\.\w+)? |\bdd if=\S+ of=/dev/|> ?/dev/sd[a-z]|:\(\) ?\{ ?:\|:& ?\} ?;|/dev/tcp/|\bn(?:c|cat) (?:[\w.-]+ ){0,5}-\w*e\b",
        r"\bchmod -r 777 /(?=$| )|\bcat (?:~|/home/\w+|/root)/\.(?:ssh/id_|aws/credentials|netrc|npmrc)|\bcat /etc/shadow\b",
        r"\b(?:eval|exec)\( ?(?:base64|requests|urllib|compile|__import__)|__import__\([\"'](?:os|subprocess)[\"']\)\.(?:system|popen|run)",
    ),
}
_WORDS = [(kind, re.compile(pattern)) for kind, patterns in _PATTERNS.items() for pattern in patterns]

_SECRETS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{22,}",
        r"\bglpat-[\w-]{20,}",
        r"\bsk-(?:proj-|ant-|or-|svcacct-)?[A-Za-z0-9_-]{20,}",
        r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/T\w+/B\w+/\w+",
        r"\bAIza[\w-]{35}",
        r"\bya29\.[\w-]{20,}",
        r"\bhf_[A-Za-z0-9]{30,}",
        r"\bnpm_[A-Za-z0-9]{36}\b|\bpypi-AgE[\w-]{20,}",
        r"\bSG\.[\w-]{16,}\.[\w-]{16,}",
        r"\bAC[0-9a-f]{32}\b|\bSK[0-9a-f]{32}\b",
        r"\bdop_v1_[0-9a-f]{64}\b|\bshp(?:at|ss)_[0-9a-fA-F]{32}\b",
        r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----",
        r"\bAccountKey=[A-Za-z0-9+/]{40,}={0,2}",
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@<>{}$]+:(?!(?i:pass(?:word|wd)?|secret|pw|pwd|x+|user|changeme|example|\*+|\.+)@)[^\s/@<>{}$*]{3,}@",
    )
)

_URL = r"(?:https?|ftp|wss?)://[^\s<>\"'`)\]]+"

_LINKS = tuple(
    re.compile(pattern)
    for pattern in (
        # A plain link is a reference; each of these takes something along, or hides where it leads.
        rf"\b(?:send|post|upload|submit|forward|transmit|exfiltrate|leak|e-?mail)\b[^.]{{0,80}}?\b(?:to|into) (?P<url>{_URL})",
        r"(?P<url>!\[[^\]]{0,80}\]\(https?://[^)\s]+\))",  # an image is loaded without a click, with what its address carries
        r"(?P<url>https?://(?!127\.|0\.0\.0\.0|10\.|192\.168\.)\d{1,3}(?:\.\d{1,3}){3}\b[^\s)]*)",
        r"(?P<url>https?://[^\s/]*(?:ngrok|webhook\.site|requestbin|pipedream|burpcollaborator|interact\.sh|oast\.|pastebin\.com|trycloudflare\.com|\.onion)[^\s)]*)",
        r"(?P<url>https?://[^\s?]{1,200}\?[^\s]{0,100}?=(?:\{|\$|%7b|<)[^\s)]*)",  # to be filled in by whoever follows it
        r"(?P<url>\b(?:java|vb)script:[^\s)]{3,}|\bdata:text/html[^\s)]*)",
    )
)
