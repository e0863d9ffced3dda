"""Texts inside a text: base64, hex, escapes, percent signs, entities, Morse code. Each is decoded a few levels deep, within limits."""

import base64
import binascii
import html
import quopri
import re
from collections.abc import Callable, Iterator
from itertools import islice
from string import ascii_lowercase
from urllib.parse import unquote

_SHORTEST = 15
"""What is longer may be base64."""

DEPTH = 3
"""Levels that are decoded: base64 in base64, and one more."""

MOST = 64
"""Pieces that are decoded in one text."""

MOST_CHARS = 64_000
"""Characters that may come of decoding one text, all together."""

# Each begins with what is rare, and looks back only then: most texts have nothing of this.
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_BASE64_LINE = re.compile(r"[\s>|#*`\"'+\\-]{0,12}([A-Za-z0-9+/_-]{4,}={0,2})[\s\"'`+\\,]{0,6}")
_TWO_LINES = re.compile(r"\n\W{0,12}[A-Za-z0-9+/_-]{4,}={0,2}\W{0,6}(?:\n|$)")
_BASE32 = re.compile(r"[A-Z2-7](?<!\w.)[A-Z2-7]{23,}={0,6}(?![\w=])")
_HEX = re.compile(
    r"[0-9a-fA-F](?<!\w.)(?:(?<=0)x[0-9a-fA-F]{2}|[0-9a-fA-F])[ :,]?(?:(?:0x)?[0-9a-fA-F]{2}[ :,]?){11,}(?![\w])"
)
_BYTES = re.compile(r"\d(?<![\w.].)\d{1,2}[ ,]{1,2}(?:1?\d{2}[ ,]{1,2}){10,}1?\d{2}(?![\w.])")
_BITS = re.compile(r"[01](?<!\w.)[01]{7} ?(?:[01]{8} ?){9,}(?![\w])")
_BASE85 = re.compile(r"<~[!-uz\s]{16,}~>|[0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{40,}")
_MORSE = re.compile(r"[.-](?<![\w.-].)[.-]{0,5}(?:[ /|]{1,3}[.-]{1,6}){9,}")
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})|\\u\{?([0-9a-fA-F]{4,6})\}?|\\U([0-9a-fA-F]{8})|\\([0-3][0-7]{2})")
_SPLICED = re.compile(r"[\"']\s{0,4}[+.]?\s{0,4}\\?\n?\s{0,8}[\"']")


def decoded(text: str) -> Iterator[tuple[str, str, int]]:
    """Yields what is encoded in a text: how, the text that it stands for, and where it begins."""
    left = MOST_CHARS
    for how, found, at in islice(_all(text), MOST):
        if left <= 0:
            return
        left -= len(found)
        yield how, found[:MOST_CHARS], at


def _all(text: str) -> Iterator[tuple[str, str, int]]:
    yield from _escaped(text)
    yield from _base64_of(text)
    joined = _SPLICED.sub("", text) if text.count("'") + text.count('"') > 3 else text
    if joined != text:
        yield from (("joined base64", found, 0) for _, found, _ in _base64_of(joined))
    if _TWO_LINES.search(text):
        yield from _lines_of_base64(text)
    for pattern, how, read in _OTHERS:
        for match in pattern.finditer(text):
            if (found := _text(read(match[0]))) is not None:
                yield how, found, match.start()


def _escaped(text: str) -> Iterator[tuple[str, str, int]]:
    """Yields the whole text without its escapes, by each way to escape that it has."""
    if "&#" in text or "&lt;" in text:
        plain = html.unescape(text)
        if plain != text:
            yield "entities", plain, text.find("&")
    if "%" in text and re.search(r"(?:%[0-9a-fA-F]{2}){3}|(?:\w{1,12}%20){2}", text):
        yield "percent signs", unquote(text, errors="replace"), text.find("%")
    if text.count("=20") > 1:
        yield "quoted-printable", quopri.decodestring(text.encode()).decode(errors="replace"), text.find("=20")
    if "\\" in text and (first := re.search(r"(?:\\(?:x|u|U|[0-3][0-7]{2})[0-9a-fA-F{}]{0,8}){3}", text)):
        yield "escapes", _ESCAPE.sub(_unescaped, text), first.start()


def _base64_of(text: str) -> Iterator[tuple[str, str, int]]:
    at = 0
    for word in _BASE64.findall(text):
        # Words with hyphens and paths are long as well; base64 has capitals.
        if len(word) > _SHORTEST and not word.islower() and (found := _from_base64(word)) is not None:
            at = text.find(word, at)
            yield "base64", found, at


def _lines_of_base64(text: str) -> Iterator[tuple[str, str, int]]:
    """Yields what lines of nothing but base64 say together."""
    run: list[str] = []
    start = at = 0
    for line in [*text.split("\n"), ""]:
        words = line.split(None, 3) if len(line) < 400 else ()
        match = _BASE64_LINE.fullmatch(line) if 0 < len(words) < 3 else None
        if match is not None:
            start = start if run else at
            run.append(match[1])
        elif run:
            if len(run) > 1 and (found := _from_base64("".join(run))) is not None:
                yield "base64 over lines", found, start
            run = []
        at += len(line) + 1


def _from_base64(encoded: str) -> str | None:
    bare = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    if len(bare) % 4 == 1:
        return None
    try:
        raw = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None
    if raw[1::2].count(0) > len(raw) // 3:  # UTF-16, as PowerShell has it
        raw = raw[::2]
    return _text(raw)


def _from_hex(encoded: str) -> bytes:
    digits = re.sub(r"0x|[^0-9a-fA-F]", "", encoded)
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _from_base32(encoded: str) -> bytes:
    bare = encoded.rstrip("=")
    try:
        return base64.b32decode(bare + "=" * (-len(bare) % 8))
    except (ValueError, binascii.Error):
        return b""


def _from_numbers(encoded: str) -> bytes:
    return bytes(number for one in re.findall(r"\d+", encoded) if (number := int(one)) < 256)


def _from_bits(encoded: str) -> bytes:
    return bytes(int(one, 2) for one in re.findall(r"[01]{8}", encoded))


def _from_base85(encoded: str) -> bytes:
    try:
        return base64.a85decode(encoded, adobe=True) if encoded.startswith("<~") else base64.b85decode(encoded)
    except ValueError:
        return b""


def _from_morse(encoded: str) -> bytes:
    words = re.split(r"\s*[/|]\s*|\s{2,}", encoded)
    return " ".join("".join(_MORSE_LETTERS.get(one, "") for one in word.split()) for word in words).encode()


_CODES = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
_MORSE_LETTERS = dict(zip(_CODES.split(), ascii_lowercase, strict=True))


def _unescaped(match: re.Match[str]) -> str:
    digits = match[1] or match[2] or match[3]
    number = int(digits, 16) if digits else int(match[4], 8)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else ""


def _text(raw: bytes | None) -> str | None:
    """Returns bytes as text; None if they are not mostly readable."""
    if not raw or len(raw) < 8:
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    readable = sum(one.isprintable() or one in "\n\r\t" for one in text[:2000])
    return text if readable > 0.9 * len(text[:2000]) else None


_OTHERS: list[tuple[re.Pattern[str], str, Callable[[str], bytes]]] = [
    (_HEX, "hex", _from_hex),
    (_BASE32, "base32", _from_base32),
    (_BASE85, "base85", _from_base85),
    (_BYTES, "numbers", _from_numbers),
    (_BITS, "bits", _from_bits),
    (_MORSE, "Morse", _from_morse),
]
