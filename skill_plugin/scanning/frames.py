"""Frames: patterns over the words of a sentence, for what is said in many ways and in many languages.

Each word of a text becomes one character that stands for the classes it belongs to (`ignore`: `BRUSH`), and a frame becomes a regular
expression over these characters. So a text is split into words once, and a frame costs nothing where a class of it does not occur.

| in a frame | means |
|---|---|
| `BRUSH` | a word of this class (`scanning.tables.words`) |
| `from`, `revis*` | this word; a word that begins so |
| `..4` | up to four words, within the sentence |
| `(a|b c)`, `a?` | one of these; perhaps |
| `!(a|b)` | not followed by one of these |
| `A & B & C` | all of these within a sentence, in any order, up to eight words apart |
| `:`, `.`, `^` | a colon, the end of a sentence, its beginning |
| `<!NOT` | none of the three words before is one of these |
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from itertools import islice, permutations
from typing import NamedTuple

from skill_plugin.scanning.rules import Rule, RuleTable
from skill_plugin.scanning.views import fold

MOST = 50
"""Finds of one frame in one text that are looked at."""

_COMMON = (
    "the a to of in is are you your this that it not no all any as for from use file system user text run test : value add on and or be must "
    "should do answer output code report section one code note check error best 10 1 set example"
)
"""Words that most texts have: a frame is tried where its others are."""

_KEPT = 50_000
"""Words whose classes are remembered."""

_LONGEST = 24
_SCRAMBLED = 6
_APART = 8
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Letters of Chinese and Japanese, which leave no space between words: there a word is what a class has, or one letter."""

_HAS_IDEOGRAPHS = re.compile(f"[{_IDEOGRAPHS}]")
_WORD = rf"[^\W_{_IDEOGRAPHS}]+|[;!?]+(?=[\s{_IDEOGRAPHS}]|$)|(?<!\.)\.(?=[\s{_IDEOGRAPHS}]|$)|:|[{_IDEOGRAPHS}]"
_PART = re.compile(r"\.\.\d+|<![A-Z]+|[^\W_]+\*?|!\(|[()|?:.^]")
_EDGES = {".": "(?:[.]|$)", "^": "(?:^|(?<=[.:]))"}
_WITHOUT_DOTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_OTHER, _END, _COLON = "x", ".", ":"


class Frame(NamedTuple):
    """A rule whose pattern is a frame, and the table that it stands in."""

    table: RuleTable
    rule: Rule


class Frames:
    """The frames of some tables over one vocabulary.

    Args:
        tables: Tables over sentences.
        classes: Words by the name of their class, with blanks between them; `ignor*` is every word that begins so.

    Raises:
        ValueError: a frame names a class that does not exist, or cannot be read.
    """

    def __init__(self, tables: Sequence[RuleTable], classes: Mapping[str, str]) -> None:
        frames = [Frame(table, rule) for table in tables for rule in table.rules]
        words = {name: _folded(some) for name, some in classes.items()}
        for frame in frames:
            for part in re.findall(r"(?<!\.)(?<![^\W_])[^\W_]+\*?", frame.rule.pattern):
                if not part.isupper():
                    words[part] = _folded(part)
                elif part not in words:
                    raise ValueError(f"the frame {frame.rule.pattern!r} names {part}, which is not a class of words")
        self._codes = _Codes(words)
        common = {self._codes[word] for word in _COMMON.split()}
        self._by_char: dict[str, list[tuple[int, _Pattern]]] = defaultdict(list)
        for number, frame in enumerate(frames):
            pattern = _Pattern(frame, self._codes.of_class)
            for char in pattern.rarest(common):
                self._by_char[char].append((number, pattern))
        self._terms = sorted(
            {word.rstrip("*") for some in words.values() for word in some if _HAS_IDEOGRAPHS.match(word)},
            key=len,
            reverse=True,
        )

    def finds(self, text: str) -> Iterator[tuple[Frame, int, int]]:
        """Yields what frames find in a text (`Views.sentences`): the frame, where the find starts and ends."""
        ideographs = _HAS_IDEOGRAPHS.search(text) is not None
        split = self._with_terms if ideographs else _SPLIT
        codes = "".join(map(self._codes.__getitem__, split.findall(text)))
        there = set(codes)
        spans: list[tuple[int, int]] = []
        asked = {number: pattern for char in there for number, pattern in self._by_char.get(char, ())}
        for _, pattern in sorted(asked.items()):
            if pattern.may_match(there):
                for match in islice((pattern.wide if ideographs else pattern.plain).finditer(codes), MOST):
                    spans = spans or [one.span() for one in split.finditer(text)]
                    yield pattern.frame, spans[match.start()][0], spans[match.end() - 1][1]

    def knows(self, word: str) -> bool:
        """Returns whether a word is in any class."""
        return self._codes[word] not in (_OTHER, _END, _COLON)

    @cached_property
    def _with_terms(self) -> re.Pattern[str]:
        return re.compile("|".join([*map(re.escape, self._terms), _WORD]))


_SPLIT = re.compile(_WORD)


class _Codes(dict[str, str]):
    """The character of each word: of the set of classes that it is in."""

    def __init__(self, classes: Mapping[str, frozenset[str]]) -> None:
        of_word: dict[str, set[str]] = defaultdict(set)
        for name, words in classes.items():
            for word in words:
                of_word[word].add(name)
        stems = {word[:-1]: names for word, names in of_word.items() if word.endswith("*")}
        sets: dict[frozenset[str], str] = {}

        def code(word: str, own: AbstractSet[str]) -> str:
            begins = (stems[word[:n]] for n in range(1, len(word) + 1) if word[:n] in stems)
            return sets.setdefault(frozenset(own).union(*begins), chr(0x4E00 + len(sets)))

        self._stems = {stem: code(stem, set()) for stem in stems}
        self._scrambled = {
            _letters(word): code(word, of_word[word]) for word in of_word if len(word) >= _SCRAMBLED and word.isascii()
        }
        super().__init__({word: code(word, of_word[word]) for word in of_word if not word.endswith("*")})
        self.of_class = {name: "".join(char for names, char in sets.items() if name in names) for name in classes}

    def __missing__(self, word: str) -> str:
        if word[0] in ".;!?:":
            return _COLON if word == ":" else _END
        found = _OTHER
        for length in range(min(len(word), _LONGEST), 0, -1):
            if word[:length] in self._stems:
                found = self._stems[word[:length]]
                break
        if found == _OTHER and len(word) >= _SCRAMBLED and word.isascii():
            found = self._scrambled.get(_letters(word), _OTHER)
        if len(self) < _KEPT and len(word) <= _LONGEST:
            self[word] = found
        return found


def _letters(word: str) -> str:
    """Returns what a word keeps when its inner letters change places: a model reads `preivous` as well as `previous`."""
    return word[0] + "".join(sorted(word[1:-1])) + word[-1]


class _Pattern:
    """A frame as a regular expression over the characters of words."""

    def __init__(self, frame: Frame, of_class: Mapping[str, str]) -> None:
        self.frame = frame
        self._of_class = of_class
        self._needs = [need for part in frame.rule.pattern.split(" & ") for need in self._read(part, 1).needs]

    def rarest(self, common: AbstractSet[str]) -> frozenset[str]:
        """Returns characters of which every match has one: those of the part that has the fewest, and few that are common."""
        return min(self._needs, key=lambda some: (len(some & common), len(some)))

    def may_match(self, there: set[str]) -> bool:
        return all(not some.isdisjoint(there) for some in self._needs)

    @cached_property
    def plain(self) -> re.Pattern[str]:
        return self._regex(1)

    @cached_property
    def wide(self) -> re.Pattern[str]:
        """The pattern where a letter may be a word, so that twice as many lie between two."""
        return self._regex(2)

    def _regex(self, stretch: int) -> re.Pattern[str]:
        orders = permutations(self.frame.rule.pattern.split(" & "))
        return re.compile("|".join(self._read(f" ..{_APART} ".join(order), stretch).regex for order in orders))

    def _read(self, pattern: str, stretch: int) -> "_Read":
        return _Reader(pattern, self._of_class, stretch).alternatives()


class _Read(NamedTuple):
    regex: str
    needs: list[frozenset[str]]
    """Sets of characters: each match has one of each."""


class _Reader:
    """Reads a frame from left to right."""

    def __init__(self, pattern: str, of_class: Mapping[str, str], stretch: int) -> None:
        self._left = [match[0] for match in reversed([*_PART.finditer(pattern)])]
        self._of_class = of_class
        self._stretch = stretch

    def alternatives(self) -> _Read:
        branches = [self._sequence()]
        while self._next() == "|":
            self._left.pop()
            branches.append(self._sequence())
        needs = branches[0].needs
        if len(branches) > 1:
            least = [min(one.needs, key=len, default=frozenset()) for one in branches]
            needs = [frozenset().union(*least)] if all(least) else []
        return _Read("|".join(one.regex for one in branches), needs)

    def _sequence(self) -> _Read:
        made: list[str] = []
        needs: list[frozenset[str]] = []
        while self._next() not in ("", "|", ")"):
            one = self._item(needs[0] if len(made) == len(needs) == 1 else frozenset())
            if self._next() == "?":
                self._left.pop()
                one = _Read(f"(?:{one.regex})?", [])
            made.append(one.regex)
            needs += one.needs
        return _Read("".join(made), needs)

    def _item(self, first: frozenset[str]) -> _Read:
        part = self._left.pop()
        if part in ("(", "!("):
            inner = self.alternatives()
            self._left.pop()
            return _Read(f"(?:{inner.regex})", inner.needs) if part == "(" else _Read(f"(?!{inner.regex})", [])
        if part.startswith(".."):
            # Of several first words the last one counts, so that a row of them is read once and not again from each.
            passed = "".join(sorted(first))
            return _Read(f"[^{_END}{passed}]{{0,{int(part[2:]) * self._stretch}}}?", [])
        if part in _EDGES:
            return _Read(_EDGES[part], [])
        if part.startswith("<!"):
            chars = self._of_class[part[2:]]
            return _Read("".join(f"(?<![{chars}]{'[^.]' * passed})" for passed in range(3)), [])
        chars = _COLON if part == ":" else self._of_class[part]
        return _Read(f"[{chars}]", [frozenset(chars)])

    def _next(self) -> str:
        return self._left[-1] if self._left else ""


def _folded(words: str) -> frozenset[str]:
    """Returns words as texts have them after folding; of a German word also the spelling without dots."""
    both = [words, words.translate(_WITHOUT_DOTS)] if any(one in words for one in "äöü") else [words]
    return frozenset(fold(word.rstrip("*")) + "*" * word.endswith("*") for some in both for word in some.split())
