"""What forges the structure of a prompt, and what cannot be seen."""

import re
from collections.abc import Iterator
from itertools import islice

from skill_plugin.scanning.findings import FindingVerdict
from skill_plugin.scanning.rules import rules

STRUCTURE = rules(
    "injection",
    "folded",
    [
        ("chat template", r"< ?\| ?(?:im_start|im_end|im_sep|endoftext|end_?of_?text|begin_?of_?text|start_header_id|end_header_id|eot_id|eom_id|system|user|assistant|human|bot|tool|end|observation|python_tag|start|message|channel|return|call|endofprompt|fim_\w{1,10}|startoftext|sep|pad|end_of_turn|start_of_turn|[a-z_ ]{2,24}begin[a-z_▁ ]{0,24}|[a-z_▁ ]{2,24}end[a-z_▁ ]{0,24}) ?\| ?>"),
        ("chat template", r"<\|[a-z0-9_▁]{2,40}\|>"),
        ("chat template", r"\[ ?/? ?(?:inst|system_prompt|available_tools|tool_calls|tool_results) ?\]|< ?< ?/? ?sys ?> ?>|< ?/?(?:start|end)_of_turn ?>|<extra_id_\d>|<(?:bos|eos)>[^\n]{0,40}(?:system|user|model)"),
        ("turn of another speaker", r"</? ?(?:system|assistant|developer)(?:[ _-](?:prompt|message|instructions?|reminder|override|notice))? ?>"),
        ("call of a tool", r"</? ?(?:\w{1,10}:)?(?:tool_calls?|tool_response|function_calls?|invoke name|function_results)\b"),
        ("end of the fence", r"< ?/ ?skills?(?: [^>\n]{0,80})?>"),
    ],
    # The bodies of skills about prompts and templates have them in code; a chat template makes no difference.
    quotable=False,
)  # fmt: skip
STRUCTURE += rules(
    "injection",
    "visible",
    [
        ("turn of another speaker", r"(?:^|\n)[\W_]{0,4}(?:SYSTEM|ADMIN|ROOT|DEVELOPER)(?: (?:MESSAGE|NOTE|NOTICE|ALERT|OVERRIDE|INSTRUCTIONS?|PROMPT|COMMAND|UPDATE|DIRECTIVE))?[\]\W_]{0,4}: ?(?=[^\n]{0,200}(?:\b[Yy]ou\b|[Oo]bey|OBEY|[Ii]gnore|[Ff]rom now|[Aa]nswer|[Rr]eply|[Oo]utput|[Rr]everse|[Ss]end))"),
        ("turn of another speaker", r"(?:^|\n)#{2,4} ?(?:System|SYSTEM|Human|Assistant) ?: ?\n?(?=[^\n]{0,200}(?:\b[Yy]ou\b|[Oo]bey|[Ii]gnore))"),
        ("turn of another speaker", r"\n(?:Human|H): [^\n]{1,300}\n(?:Assistant|A): (?:Sure|Yes|OK|Okay|Understood|Of course|I will)"),
    ],
)  # fmt: skip

_ORDER = re.compile(
    r"(?:\byou\b|\byour\b|assistant|\bmodel|\bagent|\bllm|\bai\b|instruction|ignore|system prompt|user)[^<]{0,200}?"
    r"(?:\bmust\b|\bshould\b|always|never|\bdo not\b|don't|\bsend\b|include|instead|append|add |run |execute|reply|answer|output|ignore|disregard|upload|obey|say)"
)
"""What is not shown is an order if it speaks to whoever reads and says what to do."""

HIDDEN_ORDERS = rules(
    "hidden",
    "folded",
    [
        ("order in a comment", r"<!--(?P<found>[^>]{1,600})", "<!--"),
        ("order in a comment", r"\n\[(?://|comment|_)\]: ?# ?[\"'(](?P<found>[^\n]{1,600})", "]:"),
        ("order in text that is not shown", r"<(?:span|div|details|p|font|section|td|b|i|a|small)\b(?=[^>]{0,120}(?:display: ?none|visibility: ?hidden|font-size: ?0|opacity: ?0(?![.\d])|color: ?(?:white|#fff\b|#ffffff|transparent|rgba?\(255, ?255, ?255)|color=[\"']?(?:white|#fff)|\bhidden\b))[^>]{0,240}>(?P<found>[^<]{1,600})", "<"),
        ("order in text that is not shown", r"(?:\\color\{white\}|\\textcolor\{white\})(?P<found>[^\n]{1,400})", "white"),
    ],
    quotable=False,
    also=_ORDER,
)  # fmt: skip

_LATIN = "A-Za-z\u00c0-\u024f"
_NO_WIDTH = "\u200b-\u200f\u2060-\u2064\u061c\ufeff\u180e\u00ad"
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff]")
_FLAG = re.compile("\U0001f3f4[\U000e0061-\U000e007a\U000e0030-\U000e0039]{1,8}\U000e007f")
"""The flags of England, Scotland and Wales are written with tags."""

_MESSAGE = re.compile(
    "[\U000e0000-\U000e007f]{2,}"  # tags: ASCII that cannot be seen
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}"  # variation selectors: one belongs to an emoji, a row of them is a message
    "|[\u200b\u200c\u200d\u200e\u200f\u2060-\u2064\ufeff\u180e]{6,}"
    "|(?:[\u200b\u200c\u200d\u2060-\u2064\ufeff\u180e]{1,5} ?){8,}"
)
_UNSEEN = re.compile(
    "[\u200b-\u200f\u202a-\u202e\u2060-\u2069\u061c\ufeff\u180e\u3164\uffa0\ufe00-\ufe0f\U000e0000-\U000e01ef]"
)
_STRAY = re.compile(
    "[\u202a-\u202e\u2066-\u2069]+"  # characters that turn the direction of text
    "|[\U000e0000-\U000e007f]"
    "|[\u3164\uffa0]+"  # letters that are blank
    # Without width inside a word of Latin letters. Persian, Hindi and Thai need some of them between their own letters.
    f"|(?<=[{_LATIN}0-9])[\u200b-\u200f\u2060-\u2064\u061c\ufeff\u180e]+(?=[{_LATIN}0-9])"
    "|[\u200b\u2060-\u2064\ufeff]{2,}"
)


def hidden(text: str) -> Iterator[tuple[str, FindingVerdict, str, int]]:
    """Yields what cannot be seen: what it is, the verdict, the characters, and where they begin."""
    if text.isascii():
        return
    if _UNSEEN.search(text) is None:
        return
    bare = _FLAG.sub(lambda flag: " " * len(flag[0]), text)
    for one in islice(_MESSAGE.finditer(bare), _MOST):
        yield "message in characters that cannot be seen", "block", one[0], one.start()
    right_to_left = _RIGHT_TO_LEFT.search(bare) is not None
    for one in islice(_STRAY.finditer(bare), _MOST):
        turns = "\u202a" <= one[0][0] <= "\u202e" or "\u2066" <= one[0][0] <= "\u2069"
        overrides = "\u202d" in one[0] or "\u202e" in one[0]
        if turns:
            yield "turned direction", "hold" if overrides or not right_to_left else "note", one[0], one.start()
        else:
            yield "characters without width", "note", one[0], one.start()


_MOST = 20
