"""Recorded runs in any known format, read row by row."""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from skill_plugin.errors import ConfigurationError, InvalidHistoryError
from skill_plugin.histories.files import Tell, files, rows
from skill_plugin.histories.formats.attempts import Attempts
from skill_plugin.histories.formats.episodes import Episodes
from skill_plugin.histories.formats.langsmith import LangSmith
from skill_plugin.histories.formats.messages import Messages
from skill_plugin.histories.formats.otel import OpenTelemetry
from skill_plugin.histories.formats.own import Own
from skill_plugin.histories.formats.trials import ReflectionTrials
from skill_plugin.histories.records import Episode, Note, Refusal, Row

AUTO = "auto"
HEADER = "header row"
OTHER_FORMAT = "row of another format"

PROBED = 20
"""Rows that are looked at to tell a format."""

Read = Episode | Refusal | Note


class Reader(Protocol):
    """Reads one format: says which rows are of it, and reads them. A new reader is made for every reading."""

    @staticmethod
    def claims(value: Mapping[str, Any]) -> bool: ...

    def read(self, row: Row) -> Iterator[Read]:
        """Yields what a row holds; `InvalidHistoryError` refuses the whole row."""
        ...


@runtime_checkable
class LateReader(Reader, Protocol):
    """Reads a format in which what belongs together may stand in several rows."""

    def rest(self) -> Iterator[Read]:
        """Yields what could not be told before the last row was read."""
        ...


FORMATS: dict[str, type[Reader]] = {
    "messages": Messages,
    "langsmith": LangSmith,
    "episodes": Episodes,
    "trials": ReflectionTrials,
    "attempts": Attempts,
    "otel": OpenTelemetry,
    "skill-plugin": Own,
}


def read(
    format: str,  # noqa: A002 - its name on the command line
    path: str | Path,
    *,
    family: str | None = None,
    judged: bool = True,
    tell: Tell | None = None,
) -> Iterator[Read]:
    """Reads the episodes, refusals and notes of a file or folder, in order.

    An error of the whole is raised at once, an error of a row is a `Refusal`.

    Args:
        format: A name in `FORMATS`, or `auto` to tell it from the first rows.
        path: A file (`.jsonl`, `.json`, `.parquet`, plain or `.gz`) or a folder of them.
        family: The family of tasks that name none.
        judged: Refuse a run that has no reward, in the formats that always have one.
        tell: Called with the number of further bytes that were read.

    Raises:
        ConfigurationError: no format has this name.
        InvalidHistoryError: the file does not exist, is empty, or is in another format.
        MissingExtraError: Parquet without pyarrow.
    """
    if format not in FORMATS and format != AUTO:
        raise ConfigurationError(f"{format!r} is not a format of histories; use one of {_names()}, or {AUTO}")
    stream = rows(files(path), family=family, judged=judged, tell=tell)
    head = list(islice(stream, PROBED))
    if not head:
        raise InvalidHistoryError(f"{str(path)!r} is empty; give a file that holds recorded runs")
    objects = [row.value for row in head if isinstance(row, Row)]
    claimed = [name for name, kind in FORMATS.items() if any(kind.claims(value) for value in objects)]
    if format == AUTO:
        if len(claimed) != 1:
            raise InvalidHistoryError(f"the format of {str(path)!r} cannot be told: {_seen(head, claimed)}")
        format = claimed[0]  # noqa: A001
    elif format not in claimed:
        raise InvalidHistoryError(f"{str(path)!r} is not in the format {format!r}: {_seen(head, claimed)}")
    return _read(FORMATS[format](), chain(head, stream))


def _read(reader: Reader, stream: Iterator[Row | Refusal]) -> Iterator[Read]:
    for row in stream:
        if isinstance(row, Refusal):
            yield row
        elif not reader.claims(row.value):
            if row.is_first:
                yield Note(what=HEADER, where=row.where)
            else:
                yield Refusal(reason=OTHER_FORMAT, where=row.where)
        else:
            try:
                yield from reader.read(row)
            except InvalidHistoryError as exc:
                yield Refusal(reason=str(exc), where=row.where)
    if isinstance(reader, LateReader):
        yield from reader.rest()


def _seen(head: list[Row | Refusal], claimed: list[str]) -> str:
    """Returns what the first rows look like, and what to do, for a message."""
    if claimed:
        return f"its first rows look like {' and '.join(claimed)}; name the format they are in"
    row = next((row for row in head if isinstance(row, Row)), None)
    if row is None:
        refused = next(row for row in head if isinstance(row, Refusal))
        return f"its first row is {refused.reason} ({refused.where}); formats are {_names()}"
    return f"its first row has the keys {', '.join(map(str, list(row.value)[:8])) or '(none)'}; formats are {_names()}"


def _names() -> str:
    return ", ".join(FORMATS)
