"""Texts on their way into the database: without secrets, and without what no database keeps."""

import re
from typing import Any

from sqlalchemy import Insert, Update

from skill_plugin.secrets_found import Redactor
from skill_plugin.store.tables import PREFIX

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_REDACTED = {
    "task": ("input", "reference"),
    "rollout": ("answer", "feedback", "error"),
    "outcome": ("feedback",),
    "revision": ("prompt", "completion", "error"),
    "call": ("error", "arguments"),
    "event": ("reason", "evidence"),
    "checkpoint_event": ("reason", "evidence"),
    "item": ("value", "texts"),
}
"""The columns that hold what users, agents and models said. A skill's own text and files are not changed behind their hash."""

_JSON_TEXT = {("item", "value"), ("call", "arguments")}


def storable(text: str) -> str:
    """Returns a text as it will be read back; see `without_unstorable`."""
    return _UNSTORABLE.sub("\ufffd", text)


def without_unstorable(*arguments: Any) -> tuple[str, Any]:
    """Replaces in every text what PostgreSQL or UTF-8 has no place for: NUL, and halves of surrogate pairs.

    Answers and feedback come from models and tools; one such character must not cost a run, nor mean one thing on SQLite
    and another on PostgreSQL. Listens to `before_cursor_execute`.
    """
    _, _, statement, parameters, _, _ = arguments
    rows_of_many = isinstance(parameters, list)
    return statement, [_clean(row) for row in parameters] if rows_of_many else _clean(parameters)


def _clean(row: Any) -> Any:
    values = row.values() if isinstance(row, dict) else row
    if not any(isinstance(value, str) and _UNSTORABLE.search(value) for value in values):
        return row
    made = [_UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else value for value in values]
    return dict(zip(row, made, strict=True)) if isinstance(row, dict) else tuple(made)


class Redaction:
    """Listens to `before_execute`, through which every write goes, and takes secrets out of it."""

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor

    def __call__(self, _: Any, statement: Any, many: Any, one: Any, __: Any) -> tuple[Any, Any, Any]:
        if isinstance(statement, Insert | Update):
            table = str(getattr(statement.table, "name", "")).removeprefix(PREFIX)
            if columns := _REDACTED.get(table):
                return statement, [self._row(table, columns, row) for row in many], self._row(table, columns, one)
        return statement, many, one

    def _row(self, table: str, columns: tuple[str, ...], row: Any) -> Any:
        held = [column for column in columns if row.get(column) is not None]
        if not held:
            return row
        made = {
            column: self.redactor.json(row[column])
            if (table, column) in _JSON_TEXT
            else self.redactor.value(row[column])
            for column in held
        }
        if table == "revision" and any(made[key] != row[key] for key in ("prompt", "completion") if key in made):
            made |= dict.fromkeys(("prompt_token_ids", "completion_token_ids", "logprobs"))  # they spell the text out
        return {**row, **made}
