"""Rows as a file that other programs read: JSON, JSON lines, CSV or Parquet, by the file's ending."""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from skill_plugin.errors import ConfigurationError, MissingExtraError

FORMATS = (".json", ".jsonl", ".csv", ".parquet")


def write_rows(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the rows; any value that is not a number, text or time becomes JSON text in CSV and Parquet.

    Raises:
        ConfigurationError: the ending is not one of those, or the file cannot be written.
        MissingExtraError: Parquet without pyarrow.
    """
    place = Path(path)
    if place.suffix not in FORMATS:
        raise ConfigurationError(f"{place.name!r} has no known ending; use one of {', '.join(FORMATS)}")
    try:
        if place.suffix == ".parquet":
            _parquet(place, rows)
        elif place.suffix == ".csv":
            with place.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]) if rows else [])
                writer.writeheader()
                writer.writerows({key: _flat(value) for key, value in row.items()} for row in rows)
        elif place.suffix == ".jsonl":
            place.write_text("".join(f"{_json(row)}\n" for row in rows), encoding="utf-8")
        else:
            place.write_text(f"{_json(list(rows), indent=2)}\n", encoding="utf-8")
    except OSError as exc:
        raise ConfigurationError(f"{str(place)!r} cannot be written: {exc.strerror}; choose another place") from exc


def _parquet(place: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtraError("writing Parquet", "parquet") from exc
    table = pa.Table.from_pylist([{key: _flat(value) for key, value in row.items()} for row in rows])
    with place.open("wb") as file:  # Python's own errors are shorter than Arrow's
        pq.write_table(table, file)


def _flat(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | datetime) else _json(value)


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=_plain)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
