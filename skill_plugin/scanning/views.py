"""The views of a text that rules read: what can be seen, folded to one case and one alphabet, its sentences, its disguises undone.

A view keeps the breaks between lines, so that a finding can say its line: all space within a line is one blank, all empty
lines are one break. Everything here is linear: characters are mapped one by one, and none becomes more than four.
"""

import codecs
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache

_LONGEST = 4
"""Characters that one may unfold to. Some (U+FDFA) are whole sentences; they disguise nothing."""

_FILLERS = "\u115f\u1160\u3164\uffa0\u034f\u17b4\u17b5"

LOOK_ALIKES = str.maketrans(
    "авеѕіјкмнорстухԁԍԛԝһӏαεικνορτυχѵɡıℓʀɴɪʟꜱᴀᴇᴏᴜᴠᴡᴛᴍᴋᴊᴅᴄʙɢʜᴘʏᴢøłđħŧ×ɑց",
    "abesijkmhopctyxdgqwhlaeiknoptuxvgilrnilsaeouvwtmkjdcbghpyzoldhtxag",
)

_WORDS = str.maketrans({**dict.fromkeys("*'`~", None), **dict.fromkeys('"_-+=/\\()[]{}<>#|,&^%$@', " ")})
_LEET = [str.maketrans("01345789@$!|+", f"o{one}easts" + "g" + f"as{one}lt") for one in "il"]
_STEMS = (
    "ignor",
    "disregard",
    "forget",
    "overrid",
    "bypass",
    "instruct",
    "prompt",
    "guideline",
    "reveal",
    "grader",
    "verifier",
    " the user",
)
"""One of these is in nearly every order that is turned round."""

# Each begins with what is rare, and looks back only then.
_MIXED = re.compile(r"(?<!\w)(?:[a-z]{1,16}[013457@$!|]{1,2}|[1534@][a-z])[a-z][a-z013457@$!|]{0,24}")
_PIECES = re.compile(r"(?<![a-z])[a-z]{1,6}(?:[.\-_*|~][a-z]{1,6}){2,24}")
_HAS_PIECES = re.compile(r"[.\-_*|~](?<=[a-z].)[a-z]{1,6}[.\-_*|~][a-z]")
_SPELLED = re.compile(r"(?<!\w)\w(?:[ .\-_*|,\n]{1,3}\w(?!\w)){7,}")
_HAS_SPELLED = re.compile(r"[ .\-_*|,\n]\w(?:[ .\-_*|,\n]{1,3}\w){5}(?!\w)")
_SENTENCE = re.compile(r"\n(?=[ \t]*(?:[-*+#|\n]|\d{1,3}[.)]))")
_BLOCK = re.compile(r"</?(?:br|li|p|div|t[dhr]|h\d|ul|ol|table|tr)\b[^<>\n]{0,80}>")
_TAG = re.compile(r"<(?:/?[a-z]|!--)[^<>\n]{0,80}>")
ADDRESS = "xaddress"
"""What stands in sentences for an address of the network; those of this machine stay as they are."""

_ADDRESS = re.compile(
    r"(?:https?|ftp|s3|gs|wss?)://(?!localhost|127\.|0\.0\.0\.0|\[?::1)[^\s)\"'`>]{1,400}|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"
)
_LONG = re.compile(r"[a-z]{20,120}")
_ELISION = re.compile(r"\b(l|d|n|s|m|t|c|j|qu|dell|all|un)'(?=\w)")


_SIGNS = {"Pd": "-", "Po": ".", "Pi": '"', "Pf": '"', "Ps": "(", "Pe": ")"}
_QUOTES = {"\u2018": "'", "\u2019": "'", "\u3002": ".", "\uff01": "!", "\u2022": "*", "\u00b7": "*"}


class Views:
    """One text in every view. `visible` keeps the case; `folded` does not."""

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
        return self.visible.lower() if self.visible.isascii() else _collapsed(self._case)

    @cached_property
    def sentences(self) -> str:
        """The text folded, without signs but for stops and colons. A stop stands between paragraphs and items, `xaddress` for an address;
        lines are the text's.
        """
        text = _SENTENCE.sub("\n . ", self._case)
        if "<" in text:
            text = _TAG.sub("", _BLOCK.sub(" . ", text))
        if "://" in text or "@" in text:
            text = _ADDRESS.sub(f" {ADDRESS} ", text)
        return (_ELISION.sub(r"\1 ", text) if "'" in text else text).translate(_WORDS)

    @cached_property
    def words(self) -> str:
        """The sentences with one blank between words, whatever stands there."""
        return " ".join(self.sentences.split())

    def undisguised(self, is_known: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
        """Yields what the sentences are when a disguise is taken off, with its name: only where that makes a word that rules know."""
        yield from (
            (how, text)
            for how, text in (("rot13", codecs.encode(self.sentences, "rot13")), ("backwards", self.sentences[::-1]))
            if any(stem in text for stem in _STEMS)
        )
        mixed = set(_MIXED.findall(self._case))
        for how, table in zip(("digits for letters", "digits for letters, 1 as l"), _LEET, strict=True):
            if any(is_known(word.translate(table)) for word in mixed):
                yield how, self._case.translate(table).translate(_WORDS)
        if _HAS_PIECES.search(self._case) and any(is_known(_joined(one)) for one in _PIECES.finditer(self._case)):
            yield "words in pieces", _PIECES.sub(_joined, self._case).translate(_WORDS)

    @cached_property
    def spelled(self) -> str:
        """Letters that stand apart, put together; and words without blanks between them."""
        apart = _SPELLED.finditer(self._case) if _HAS_SPELLED.search(self._case) else ()
        return "\n".join([*(re.sub(r"\W", "", match[0]) for match in apart), *_LONG.findall(self._case)])

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    def line(self, view: str, at: int) -> int:
        """Returns the line of the text, from 1, in which a place of a view lies; 0 if the view has no lines."""
        if view == "sentences":
            return self.sentences.count("\n", 0, at) + 1
        raw = {"visible": self.unseen, "folded": self._case}.get(view)
        if raw is None:
            return 0
        if view not in self._filled:
            filled = [number for number, one in enumerate(raw.split("\n"), 1) if one and not one.isspace()]
            breaks = [place for place, one in enumerate(getattr(self, view)) if one == "\n"]
            self._filled[view] = (filled, breaks)
        filled, breaks = self._filled[view]
        before = bisect_left(breaks, at)
        return filled[before] if before < len(filled) else 0


def _joined(pieces: re.Match[str]) -> str:
    return re.sub(r"[^a-z]", "", pieces[0])


def fold(text: str) -> str:
    """Returns a text folded as `Views.folded` has it."""
    return Views(text).folded


def _collapsed(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


@lru_cache(maxsize=1 << 16)
def _plain(char: str) -> str:
    if char == "\u2800":
        return " "
    if "\U0001f130" <= char <= "\U0001f1ff":  # letters in boxes and of flags, which Unicode takes for pictures
        number = (ord(char) - 0x1F130) % 32 if char < "\U0001f190" else ord(char) - 0x1F1E6
        return chr(ord("a") + number) if 0 <= number < 26 else char
    if char in _FILLERS or unicodedata.category(char) in ("Cf", "Mn", "Mc", "Me"):
        return ""
    apart = "".join(one for one in unicodedata.normalize("NFKD", char) if unicodedata.category(one) not in ("Mn", "Me"))
    if len(apart) > _LONGEST:
        return char
    if not apart.isascii() and unicodedata.category(char)[0] in "SPZ":
        return _SIGNS.get(unicodedata.category(char), " ") if char not in _QUOTES else _QUOTES[char]
    # Letters of Hangul are put together again, as the patterns have them.
    return unicodedata.normalize("NFC", apart)
