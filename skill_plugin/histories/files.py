"""The rows of a file or folder of recorded runs, one at a time: JSON lines, JSON, Parquet, plain or gzip.

A row that cannot be read is a refusal, and the rows after it are still read. Memory holds one row, except for a JSON
file that is one single object.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BufferedReader, RawIOBase, TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from skill_plugin.errors import InvalidHistoryError, MissingExtraError
from skill_plugin.histories.records import Refusal, Row

ENDINGS = (".jsonl", ".ndjson", ".json", ".parquet")
MAX_ROW = 64 * 2**20
"""Bytes that one row may have."""

BROKEN = "broken JSON"
NO_OBJECT = "no JSON object"
NOT_UTF8 = "not UTF-8"
TOO_LONG = "row over 64 MiB"
DAMAGED = "the file is damaged or ends early"

Tell = Callable[[int], None]

_CHUNK = 2**16
_BATCH = 100
_DIGITS = re.compile(r"(\d+)")
_PYTHON_MAY_RAISE = (ValueError, RecursionError)  # json: broken, too many digits, too deep


def files(path: str | Path) -> list[Path]:
    """Returns the files to read: the file itself, or a folder's with a known ending, `trial_2` before `trial_10`.

    Raises:
        InvalidHistoryError: the file does not exist, or the folder holds none.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        found = [file for file in place.rglob("*") if file.is_file() and _ending(file) in ENDINGS]
        if not found:
            raise InvalidHistoryError(
                f"the folder {str(place)!r} holds no file that ends in {', '.join(ENDINGS)} (or .gz after it); give another"
            )
        return sorted(found, key=lambda file: [int(p) if p.isdigit() else p for p in _DIGITS.split(str(file))])
    if not place.exists():
        raise InvalidHistoryError(f"there is no file {str(place)!r}; give a file or a folder of recorded runs")
    return [place]


def rows(
    paths: Sequence[Path], *, family: str | None = None, judged: bool = True, tell: Tell | None = None
) -> Iterator[Row | Refusal]:
    """Yields every row of the files, in order.

    Args:
        paths: The files, as `files` returns them.
        family: The family of tasks that name none.
        judged: Whether a row must have a reward.
        tell: Called with the number of further bytes that were read.

    Raises:
        InvalidHistoryError: a file cannot be opened.
        MissingExtraError: Parquet without pyarrow.
    """
    for path in paths:
        read, told, stem = 0, 0, _stem(path)
        try:
            with path.open("rb") as raw:
                for number, value in _values(path, raw):
                    read += 1
                    where = f"{path.name}:{number}"
                    if isinstance(value, str):
                        yield Refusal(reason=value, where=where)
                    elif not isinstance(value, Mapping):
                        yield Refusal(reason=NO_OBJECT, where=where)
                    else:
                        yield Row(
                            value=value,
                            where=where,
                            stem=stem,
                            folder=path.absolute().parent.name,
                            family=family,
                            is_first=read == 1,
                            is_parquet=_ending(path) == ".parquet",
                            judged=judged,
                        )
                    if tell is not None:
                        tell(raw.tell() - told)
                        told = raw.tell()
        except (EOFError, zlib.error, gzip.BadGzipFile):
            yield Refusal(reason=DAMAGED, where=f"{path.name}:{read + 1}")
        except OSError as exc:
            raise InvalidHistoryError(
                f"{str(path)!r} cannot be read: {exc.strerror or exc}; give a readable file"
            ) from exc


def _values(path: Path, raw: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Yields each row's number and value; where a row cannot be read, the reason as a text."""
    if _ending(path) == ".parquet":
        yield from _parquet(raw)
        return
    magic = raw.read(2)
    raw.seek(0)
    stream: Any = gzip.GzipFile(fileobj=raw) if magic == b"\x1f\x8b" else raw  # whatever its name says
    number = 0
    for line in iter(lambda: stream.readline(MAX_ROW + 1), b""):
        number += 1
        if not line.strip(b"\xef\xbb\xbf \t\r\n"):
            continue
        if line.lstrip(b"\xef\xbb\xbf \t").startswith(b"["):
            text = TextIOWrapper(BufferedReader(_Rest(line, stream)), encoding="utf-8-sig")
            yield from _numbered(_elements(text, in_list=True))
        elif _ending(path) == ".json" or line.strip() == b"{":
            rest = stream.read(MAX_ROW)
            whole = _loads(line + rest)
            if isinstance(whole, dict):
                yield from enumerate(_each(whole), start=1)
            elif line.strip() == b"{":  # one object after the other, each over many lines
                text = TextIOWrapper(BufferedReader(_Rest(line + rest, stream)), encoding="utf-8-sig")
                yield from _numbered(_elements(text, in_list=False))
            else:  # lines after all
                yield from _lines(BufferedReader(_Rest(line + rest, stream)), number - 1)
        else:
            yield number, TOO_LONG if len(line) > MAX_ROW else _loads(line)
            yield from _lines(stream, number)
        return


def _lines(stream: BinaryIO, number: int) -> Iterator[tuple[int, Any]]:
    for line in iter(lambda: stream.readline(MAX_ROW + 1), b""):
        number += 1
        if len(line) > MAX_ROW:
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_ROW)  # noqa: PLW2901 - the rest of it is passed over
            yield number, TOO_LONG
        elif line.strip():
            yield number, _loads(line)


def _loads(line: bytes) -> Any:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return NOT_UTF8
    except _PYTHON_MAY_RAISE:
        return BROKEN
    return NO_OBJECT if isinstance(value, str) else value


def _each(whole: dict[str, Any]) -> list[Any]:
    """Returns a file's one object, or each object of an object of objects."""
    values = list(whole.values())
    return values if values and all(isinstance(one, dict) for one in values) else [whole]


def _elements(text: TextIO, *, in_list: bool) -> Iterator[Any]:
    """Yields the elements of one JSON list, or values that follow each other, without holding all of them."""
    decoder, buffer, at, ended = json.JSONDecoder(), text.read(_CHUNK), 0, False
    at = buffer.index("[") + 1 if in_list else 0
    while True:
        while at < len(buffer) and buffer[at] in " \t\r\n,":
            at += 1
        try:
            if buffer.startswith("]", at):
                return
            value, end = decoder.raw_decode(buffer, at)
            if end == len(buffer) and not ended and not isinstance(value, dict | list):
                raise ValueError("a number may go on")
            yield NO_OBJECT if isinstance(value, str) else value
            at = end
        except UnicodeDecodeError:
            raise
        except _PYTHON_MAY_RAISE:
            more = "" if ended else text.read(max(_CHUNK, len(buffer) - at))
            if not more and not in_list and at == len(buffer):
                return
            if not more or len(buffer) - at > MAX_ROW:
                yield BROKEN  # where the next element begins cannot be told
                return
            buffer, at, ended = buffer[at:] + more, 0, False


def _numbered(values: Iterator[Any]) -> Iterator[tuple[int, Any]]:
    number = 0
    try:
        for number, value in enumerate(values, start=1):
            yield number, value
    except UnicodeDecodeError:
        yield number + 1, NOT_UTF8


class _Rest(RawIOBase):
    """A stream with the bytes that were already read of it put back in front."""

    def __init__(self, read: bytes, stream: BinaryIO) -> None:
        self._read, self._at = read, 0
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        given = self._read[self._at : self._at + len(into)] or self._stream.read(len(into))
        self._at += len(given)
        into[: len(given)] = given
        return len(given)


def _parquet(raw: BinaryIO) -> Iterator[tuple[int, Any]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtraError("reading Parquet", "parquet") from exc
    number = 0
    try:
        # Buffering ahead keeps all that was read until the end of the file.
        for batch in pq.ParquetFile(raw, pre_buffer=False).iter_batches(batch_size=_BATCH):
            for value in batch.to_pylist():
                number += 1
                yield number, value
    except (pa.ArrowException, OSError):
        yield number + 1, DAMAGED


def _ending(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), name) or name
