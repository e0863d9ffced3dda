"""The output of the command line: tables and JSON on standard output, errors as one line on standard error."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console()
err = Console(stderr=True)


def fail(message: str) -> NoReturn:
    """Prints one line and ends with status 1."""
    err.print(Text.assemble(("error: ", "bold red"), " ".join(message.split())), soft_wrap=True)
    raise typer.Exit(1)


def print_json(value: Any) -> None:
    """Prints pure JSON, whatever the terminal; where that knows no Unicode every other letter is escaped."""
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    sys.stdout.write(f"{json.dumps(value, indent=2, ensure_ascii=plain, default=_plain)}\n")


def print_table(title: str, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Prints rows under headings, `{key: heading}`; an empty table says so."""
    table = Table(title=title, title_justify="left", header_style="bold", expand=False)
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(row[key])) for key in columns))
    if table.row_count:
        out.print(table)
    else:
        out.print(f"{title}: none", highlight=False)


def shown(value: Any) -> str:
    """Returns a value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
