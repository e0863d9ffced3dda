"""What cannot be seen: messages in characters without a shape, directions that are turned, strays."""

import re
from collections.abc import Iterator
from itertools import islice

from skill_plugin.scanning.findings import FindingVerdict

_MOST = 20

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
