"""The views of a text that rules read: what can be seen, folded to one case and one alphabet, and its bare words.

A view keeps the breaks between lines, so that a finding can say its line: all space within a line is one blank, all empty
lines are one break. Everything here is linear: characters are mapped one by one, and none becomes more than four.
"""

import re
import unicodedata
from bisect import bisect_left
from functools import cached_property, lru_cache

_LONGEST = 4
"""Characters that one may unfold to. Some (U+FDFA) are whole sentences; they disguise nothing."""

_FILLERS = "\u115f\u1160\u3164\uffa0\u034f\u17b4\u17b5\u2800"

LOOK_ALIKES = str.maketrans(
    "авеѕіјкмнорстухԁԍԛԝһӏαεικνορτυχѵɡıℓʀɴɪʟꜱᴀᴇᴏᴜᴠᴡᴛᴍᴋᴊᴅᴄʙɢʜᴘʏᴢøłđħŧ×ɑց",
    "abesijkmhopctyxdgqwhlaeiknoptuxvgilrnilsaeouvwtmkjdcbghpyzoldhtxag",
)

_WORDS = str.maketrans({**dict.fromkeys("*'`~", None), **dict.fromkeys('"_-+=/\\()[]{}<>#|,&^%$@', " ")})
_LEET = str.maketrans("01345789@$!|+", "oieasts" + "g" + "asilt")
_MIXED = re.compile(r"[a-z][013457@$!|][a-z]|(?<![\w])[1534@$!|][a-z]{2}")
_ENDS = str.maketrans(dict.fromkeys(".,;:!? \n", None))


_SIGNS = {"Pd": "-", "Po": ".", "Pi": '"', "Pf": '"', "Ps": "(", "Pe": ")"}
_QUOTES = {"\u2018": "'", "\u2019": "'", "\u3002": ".", "\uff01": "!", "\u2022": "*", "\u00b7": "*"}


class Views:
    """One text in every view. `visible` keeps the case; `folded` does not; `words` is without signs; `leet` reads digits as letters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._filled: dict[str, tuple[list[int], list[int]]] = {}

    @cached_property
    def unseen(self) -> str:
        """The text in compatible form, without what has no width or only marks a letter; its lines are the text's."""
        if self.text.isascii():
            return self.text
        table = {ord(one): _plain(one) for one in set(self.text) if not one.isascii()}
        return self.text.translate(table)

    @cached_property
    def visible(self) -> str:
        return _collapsed(self.unseen)

    @cached_property
    def _case(self) -> str:
        return self.unseen.lower() if self.unseen.isascii() else self.unseen.casefold().translate(LOOK_ALIKES)

    @cached_property
    def folded(self) -> str:
        return _collapsed(self._case)

    @cached_property
    def words(self) -> str:
        return _collapsed(self._case.translate(_WORDS))

    @cached_property
    def leet(self) -> str:
        return _collapsed(self._case.translate(_LEET).translate(_WORDS))

    @cached_property
    def has_digits_in_words(self) -> bool:
        """Whether a word has a digit or a sign between or before its letters, as a disguise has; three of them do."""
        return len(_MIXED.findall(self._case)) > 2

    @cached_property
    def squeezed(self) -> str:
        """The words without any space or stop, for letters that stand apart."""
        return self.words.translate(_ENDS)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    def line(self, view: str, at: int) -> int:
        """Returns the line of the text, from 1, in which a place of a view lies; 0 if the view has no lines."""
        if view not in self._filled:
            raw = {
                "visible": lambda: self.unseen,
                "words": lambda: self._case.translate(_WORDS),
                "folded": lambda: self._case,
            }
            if view not in raw:
                return 0
            filled = [number for number, one in enumerate(raw[view]().split("\n"), 1) if one and not one.isspace()]
            breaks = [place for place, one in enumerate(getattr(self, view)) if one == "\n"]
            self._filled[view] = (filled, breaks)
        filled, breaks = self._filled[view]
        before = bisect_left(breaks, at)
        return filled[before] if before < len(filled) else 0


def fold(text: str) -> str:
    """Returns a text folded as `Views.folded` has it."""
    return Views(text).folded


def _collapsed(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


@lru_cache(maxsize=1 << 16)
def _plain(char: str) -> str:
    if char in _FILLERS or unicodedata.category(char) in ("Cf", "Mn", "Me"):
        return ""
    apart = "".join(one for one in unicodedata.normalize("NFKD", char) if unicodedata.category(one) not in ("Mn", "Me"))
    if len(apart) > _LONGEST:
        return char
    if not apart.isascii() and unicodedata.category(char)[0] in "SPZ":
        return _SIGNS.get(unicodedata.category(char), " ") if char not in _QUOTES else _QUOTES[char]
    # Letters of Hangul are put together again, as the patterns have them.
    return unicodedata.normalize("NFC", apart)
