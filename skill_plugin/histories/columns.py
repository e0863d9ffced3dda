"""The rows of our own format: what `histories export` writes, `histories import` reads, and a trainer learns from.

One row a revision with the rollouts that ran under it (`kind` is `revision`), and one row for the other rollouts of a
generation under one skill, or under none (`rollouts`): generation 0, the control arm, what was imported. Every rollout is
in exactly one row. `rewards`, `feedbacks`, `previous_rewards` (all rewards of the generation before) and `later` (the text's rewards
on sibling tasks) repeat what is elsewhere in the file, so that one row is one training example. In Parquet
`reference`, `verifier`, `prompt`, `sampling` and a rollout's `also` are JSON texts. `tools` are names with spaces between them.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from skill_plugin.disk import whole_file
from skill_plugin.errors import ConfigurationError, MissingExtraError

ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
FORMAT = "skill-plugin histories 2"
FIRST = "skill-plugin histories 1"
"""The format without a rollout's purpose and without `later`, `prompt_tasks`, `chain` and `position`."""

FORMATS = (FIRST, FORMAT)
"""Those that are read."""

AS_JSON = ("reference", "verifier", "prompt", "sampling")
"""Columns that hold any JSON."""

TEXTS = (
    "format", "kind", "task_id", "content_hash", "family", "split", "input", "run_id", "group_id", "parent", "parent_name",
    "parent_text", "skill", "name", "text", "completion", "error", "model", "checkpoint", "base_model", "source", "chain",
)  # fmt: skip
WHOLE = ("generation", "candidate", "input_tokens", "output_tokens", "position")
LISTS = {"prompt_token_ids": "int", "completion_token_ids": "int", "logprobs": "float", "rewards": "float",
         "previous_rewards": "float", "feedbacks": "text", "prompt_tasks": "text", "later": "later"}  # fmt: skip
FLAGS = ("went_live",)
"""Columns that are true or false. `went_live` is of a revision: the gate or a person made its text live. Older files do not have it."""

LATER = {"task": "text", "rewards": "floats", "before": "floats", "none": "floats", "used": "float"}
"""Fields of `later` for one sibling task: its content hash; rewards of the text there, of the text that it revises, and
of no skill; and the share of its rollouts that followed the text. A list is empty if nothing was run."""

ROLLOUT = {
    "k": "int", "arm": "text", "answer": "text", "reward": "float", "passed": "bool", "feedback": "text", "chosen": "bool",
    "skill": "text", "withheld": "text", "thread_id": "text", "model": "text", "verifier_hash": "text",
    "input_tokens": "int", "output_tokens": "int", "latency_s": "float", "error": "text", "adherence": "float",
    "source": "text", "created_at": "time", "purpose": "text", "also": "json", "seen": "bool",
    "tools": "text",
}  # fmt: skip

_BATCH = 500
"""Rows of one Parquet row group: their token ids as Python numbers must fit into memory."""


def write(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes the rows by the file's ending, a batch at a time, and returns their number.

    The file is whole or not there: it has another name until it is.

    Raises:
        ConfigurationError: the ending is not one of those, the file exists, or cannot be written.
        MissingExtraError: Parquet without pyarrow.
    """
    place = Path(path).expanduser()
    if not place.name.endswith(ENDINGS):
        raise ConfigurationError(f"{place.name!r} has no known ending; use one of {', '.join(ENDINGS)}")
    if place.exists():
        raise ConfigurationError(f"{str(place)!r} exists; choose another name, or remove it")
    try:
        with whole_file(place, parents=False) as unfinished:
            return _parquet(unfinished, rows) if place.suffix == ".parquet" else _lines(unfinished, place.suffix, rows)
    except OSError as exc:
        raise ConfigurationError(
            f"{str(place)!r} cannot be written: {exc.strerror or exc}; choose another place"
        ) from exc


def _lines(place: Path, ending: str, rows: Iterable[Mapping[str, Any]]) -> int:
    written = 0
    with _text(place, ending) as file:
        for row in rows:
            file.write(f"{json.dumps(row, ensure_ascii=False, default=_plain)}\n")
            written += 1
    return written


@contextmanager
def _text(place: Path, ending: str) -> Iterator[TextIO]:
    if ending == ".gz":
        with gzip.open(place, "wt", encoding="utf-8") as file:
            yield file
    else:
        with place.open("w", encoding="utf-8") as file:
            yield file


def _parquet(place: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtraError("writing Parquet", "parquet") from exc
    kinds = {
        "text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "time": pa.timestamp("us", "UTC"),
        "json": pa.string(), "floats": pa.list_(pa.float64()),
    }  # fmt: skip
    kinds["later"] = pa.struct([(name, kinds[kind]) for name, kind in LATER.items()])
    rollout = pa.struct([(name, kinds[kind]) for name, kind in ROLLOUT.items()])
    schema = pa.schema(
        [(name, kinds["text"]) for name in (*TEXTS, *AS_JSON)]
        + [(name, kinds["int"]) for name in WHOLE]
        + [(name, pa.list_(kinds[kind])) for name, kind in LISTS.items()]
        + [(name, kinds["bool"]) for name in FLAGS]
        + [("rollouts", pa.list_(rollout)), ("created_at", kinds["time"])]
    )
    written = 0
    with place.open("wb") as file, pq.ParquetWriter(file, schema, write_statistics=False) as writer:
        for batch in _batches(rows):
            writer.write_table(pa.Table.from_pylist([_flat(row) for row in batch], schema=schema))
            written += len(batch)
    return written


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    batch: list[Mapping[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row with texts in place of the columns that may hold any JSON."""
    rollouts = [{**one, "also": _json_or_none(one.get("also"))} for one in row["rollouts"]]
    return {**row, **{key: _json_or_none(row[key]) for key in AS_JSON}, "rollouts": rollouts}


def _json_or_none(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
