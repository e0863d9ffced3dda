"""The rows of a file that `histories export` wrote, one at a time, with the columns that are asked for."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from skill_plugin.errors import InvalidHistoryError, MissingExtraError
from skill_plugin.histories import columns

NEEDED = (
    "format", "kind", "content_hash", "family", "split", "generation", "group_id", "candidate", "skill", "error", "sampling",
    "prompt_token_ids", "completion_token_ids", "logprobs", "rewards", "previous_rewards", "later", "checkpoint",
    "base_model", "source", "created_at",
)  # fmt: skip
"""The columns that groups are built from. The texts, which are most of a file, are not among them."""

IMITATED = ("prompt", "completion", "went_live")
"""The further columns that texts to imitate are built from."""

_NEW = ("chain", "position", "prompt_tasks", "later")
"""Columns that files of the first format do not have."""

_EXPORT = "give a file that `skill-plugin histories export` wrote"
_BATCH = 100
"""Rows of a Parquet file that are Python objects at a time."""


def read_rows(path: str | Path, names: Sequence[str] = NEEDED) -> Iterator[dict[str, Any]]:
    """Reads the rows of a `.jsonl`, `.jsonl.gz` or `.parquet` file, as `store.histories.rows` gives them.

    An error of the whole file is raised at once, an error further on when its row is reached. Memory does not grow with
    the file.

    Args:
        path: The file.
        names: The columns that a row has; Parquet reads no others.

    Raises:
        InvalidHistoryError: the file does not exist, is empty or damaged, is not ours, or is of another version of the
            format.
        MissingExtraError: Parquet without pyarrow.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        what = "is a folder" if place.is_dir() else "is not there"
        raise InvalidHistoryError(f"{str(place)!r} {what}; {_EXPORT}")
    if not place.name.endswith(columns.ENDINGS):
        raise InvalidHistoryError(f"{place.name!r} has no known ending ({', '.join(columns.ENDINGS)}); {_EXPORT}")
    rows = _parquet(place, names) if place.suffix == ".parquet" else _lines(place, names)
    first = next(rows, None)
    if first is None:
        raise InvalidHistoryError(f"{str(place)!r} is empty; {_EXPORT} from a store that has histories")
    return chain([first], rows)


def check_format(row: Any, where: str) -> None:
    """Raises `InvalidHistoryError` if a row is not one of ours, or is of another version."""
    said = row.get("format") if isinstance(row, Mapping) else None
    if said in columns.FORMATS:
        return
    if isinstance(said, str) and said.startswith(columns.FORMAT.rsplit(" ", 1)[0]):
        raise InvalidHistoryError(
            f"{where} is in the format {said!r}, and this release reads {' and '.join(map(repr, columns.FORMATS))}; export the "
            "histories again with it"
        )
    raise InvalidHistoryError(f"{where} is not a row that histories export wrote; {_EXPORT}")


def _lines(place: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    try:
        with place.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"  # whatever its name says
            raw.seek(0)
            for number, line in enumerate(gzip.GzipFile(fileobj=raw) if is_gzip else raw, start=1):
                if line.strip():
                    yield _chosen(line, names, f"{place.name}:{number}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise InvalidHistoryError(f"{str(place)!r} is damaged or ends early; export it again") from exc
    except OSError as exc:
        raise _unreadable(place, exc) from exc


def _chosen(line: bytes, names: Sequence[str], where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise InvalidHistoryError(f"{where} is broken JSON; {_EXPORT}") from exc
    check_format(row, where)
    if missing := [name for name in _needed(names, row["format"]) if name not in row]:
        raise InvalidHistoryError(f"{where} has no {missing[0]!r}; {_EXPORT}")
    return {name: row.get(name) for name in names}


def _needed(names: Sequence[str], said: str) -> Iterator[str]:
    """Yields the columns that a row of this format must have."""
    return (name for name in names if name not in columns.FLAGS and (said == columns.FORMAT or name not in _NEW))


def _parquet(place: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtraError("reading Parquet", "parquet") from exc
    unfolded = [name for name in names if name in columns.AS_JSON]
    number = 0
    try:
        # Buffering ahead keeps all that was read until the end of the file.
        with place.open("rb") as raw, pq.ParquetFile(raw, pre_buffer=False) as file:
            there = [name for name in dict.fromkeys(("format", *names)) if name in file.schema_arrow.names]
            if missing := [name for name in ("format", *names) if name not in (*there, *_NEW, *columns.FLAGS)]:
                raise InvalidHistoryError(f"{str(place)!r} has no column {missing[0]!r}; {_EXPORT}")
            for batch in file.iter_batches(batch_size=_BATCH, columns=there):
                read = [_values(column) for column in batch.columns]
                for values in zip(*read, strict=True):
                    number += 1
                    row = dict(zip(batch.schema.names, values, strict=True))
                    check_format(row, f"{place.name}:{number}")
                    if missing := [name for name in _needed(names, row["format"]) if name not in row]:
                        raise InvalidHistoryError(f"{str(place)!r} has no column {missing[0]!r}; {_EXPORT}")
                    row = {name: row.get(name) for name in names}
                    for name in unfolded:
                        row[name] = None if row[name] is None else json.loads(row[name])
                    yield row
    except (pa.ArrowException, ValueError) as exc:
        if isinstance(exc, InvalidHistoryError):
            raise
        raise InvalidHistoryError(f"{str(place)!r} is damaged after row {number}; export it again") from exc
    except OSError as exc:
        raise _unreadable(place, exc) from exc


def _values(column: Any) -> list[Any]:
    """Returns a column as Python objects; lists of numbers through NumPy, because Arrow makes two objects of each."""
    kind = str(column.type)
    if not kind.startswith("list<") or "string" in kind or column.null_count:
        return list(column.to_pylist())
    ends = column.offsets.to_pylist()
    flat = column.values
    if flat.null_count:
        return list(column.to_pylist())
    numbers = flat.to_numpy(zero_copy_only=False).tolist()
    return [numbers[begin:end] for begin, end in pairwise(ends)]


def _unreadable(place: Path, exc: OSError) -> InvalidHistoryError:
    return InvalidHistoryError(f"{str(place)!r} cannot be read: {exc.strerror or exc}; give a readable file")
