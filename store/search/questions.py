"""The question in a text: what is searched with where a task is a long paste, or a turn of a conversation says little."""

import re
from collections import Counter
from collections.abc import Sequence

LONG = 8_000
"""Characters. A request that somebody writes is shorter; LOG.md's sets of requests hold none that is as long."""

MOST = 400_000
"""Characters that are looked at, half of them from either end, before any pattern is."""

WORDS, LETTERS = 40, 400
"""What is taken from either end of a long text: words, and characters of scripts without blanks."""

_SHAPE = re.compile(r"[^\W\d_]+")

_LITTLE = frozenset(
    ["yes", "yeah", "yep", "yup", "ok", "okay", "sure", "right", "correct", "exactly", "fine", "good", "great", "perfect", "cool", "nice", "no", "not", "nope", "thanks", "thank", "thx", "please", "pls", "do", "does", "did", "it", "that", "this", "these", "those", "them", "they", "one", "ones", "go", "ahead", "on", "continue", "proceed", "carry", "again", "more", "next", "both", "all", "same", "other", "others", "another", "too", "also", "and", "or", "then", "now", "the", "a", "an", "of", "to", "for", "with", "as", "you", "your", "i", "me", "my", "we", "us", "is", "are", "was", "be", "sounds", "looks", "let", "lets", "try", "just", "so", "well", "yet", "still", "ja", "nein", "bitte", "mach", "das", "danke", "gut", "genau", "weiter", "oui", "non", "merci", "vas", "y", "d", "accord", "si", "sí", "por", "favor", "gracias", "vale", "sigue", "claro", "sim", "não", "obrigado", "да", "нет", "пожалуйста", "спасибо", "хорошо", "好", "好的", "是", "是的", "对", "谢谢", "请", "继续", "可以", "はい", "お願いします", "いいえ", "続けて", "نعم", "لا", "شكرا", "حسنا"]
)  # fmt: skip
"""Words of turns that answer, thank or agree, and name no work."""


def question_in(text: str) -> str:
    """Returns what to search with: a text as it is, but of a long one its two ends, without lines that are all alike.

    A log, a table or a dump is many lines of one shape; the question stands before them, behind them or between them, in lines of
    its own.
    """
    if len(text) <= LONG:
        return text
    if len(text) > MOST:
        text = f"{text[: MOST // 2]}\n{text[-MOST // 2 :]}"
    lines = text.splitlines()
    shapes = [tuple(_SHAPE.findall(line[:LETTERS])[:2]) for line in lines]
    often = Counter(shapes)
    own = [line for line, shape in zip(lines, shapes, strict=True) if shape and often[shape] <= 2]
    kept = "\n".join(own) or text
    if len(kept) <= LETTERS:
        return kept
    return f"{_first(kept)}\n{_last(kept)}"


def says_little(text: str) -> bool:
    """Returns whether a turn of a conversation names no work: "yes, please do it"."""
    words = re.findall(r"[^\W\d_]+", text[:LONG].lower())
    return len(words) <= 20 and all(word in _LITTLE for word in words)


def task_of_turns(turns: Sequence[str]) -> str:
    """Returns the task of a conversation: its last turn, with the one before that it answers where it says little itself.

    Args:
        turns: What the person said, oldest first.
    """
    if not turns or not turns[-1].strip() or not says_little(turns[-1]):
        return turns[-1] if turns else ""
    before = next((turn for turn in reversed(turns[:-1]) if turn.strip() and not says_little(turn)), None)
    return turns[-1] if before is None else f"{before}\n{turns[-1]}"


def _first(text: str) -> str:
    return " ".join(text[: LETTERS * 4].split()[:WORDS])[:LETTERS]


def _last(text: str) -> str:
    return " ".join(text[-LETTERS * 4 :].split()[-WORDS:])[-LETTERS:]
