"""The output of the command line: tables and JSON on standard output, errors as one line on standard error.

A terminal gets tables with lines around them. A pipe or a file gets plain rows: a heading and a row a line, with tabs between the
columns, never wrapped, so that `cut`, `awk` and a spreadsheet read them.
"""

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

out = Console(soft_wrap=not sys.stdout.isatty())
err = Console(stderr=True)

STATES = {
    "live": "green",
    "staged": "yellow",
    "retired": "dim",
    "quarantined": "red",
    "candidate": "yellow",
    "WRONG": "red",
}
"""The colours of what a skill or a checkpoint is, on a terminal."""

_PROSE = 24
"""Letters that a column of sentences has at least on a terminal, unless its longest word has fewer."""


def fail(message: str, status: int = 1) -> NoReturn:
    """Prints one line and ends with a status."""
    err.print(Text.assemble(("error: ", "bold red"), " ".join(message.split())), soft_wrap=True)
    raise typer.Exit(status)


def print_json(value: Any, *, compact: bool = False) -> None:
    """Prints pure JSON, whatever the terminal, `compact` in one line; where that knows no Unicode every other letter is escaped."""
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    sys.stdout.write(f"{json.dumps(value, indent=None if compact else 2, ensure_ascii=plain, default=_plain)}\n")


def print_table(
    title: str, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], *, alone: bool = False
) -> None:
    """Prints rows under headings, `{key: heading}`; an empty table says so.

    Args:
        title: What they are.
        rows: The rows.
        columns: Which of their values, and under which heading.
        alone: The rows are all that the command prints, so that without a terminal no title stands before them.
    """
    cells = [[shown(row[key]) for key in columns] for row in rows]
    headings = list(columns.values())
    if sys.stdout.isatty():
        _draw(title, cells, headings)
        return
    if not alone:
        sys.stdout.write(f"{_line([title])}{'' if cells else ': none'}\n")
    for line in [headings, *cells] if (cells or alone) and any(headings) else cells:
        sys.stdout.write(f"{_line(line)}\n")


def note(text: str) -> None:
    """Prints a line for people about what was printed; without a terminal on standard error, so that rows are all there is."""
    (out if sys.stdout.isatty() else err).print(Text(text), soft_wrap=not sys.stdout.isatty())


def cut_line(answers: int) -> str:
    """Returns what to say of answers that the task LLM's token limit cut off."""
    were = "1 answer was" if answers == 1 else f"{answers} answers were"
    return f"{were} cut off by the task LLM's token limit and judged as cut; the setting task_max_tokens raises it"


def shown(value: Any) -> str:
    """Returns a value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        here = value.astimezone()
        return here.strftime("%Y-%m-%d %H:%M:%S") if sys.stdout.isatty() else here.isoformat(timespec="seconds")
    return str(value)


def _draw(title: str, rows: Sequence[Sequence[str]], headings: Sequence[str]) -> None:
    """Draws a table so that no id is broken in two, on a narrow terminal with the sentences of a row under it."""
    if not rows:
        out.print(f"{title}: none", highlight=False)
        return
    table = Table(title=title, title_justify="left", header_style="bold", expand=False)
    prose, widths, needed = [], [], 1
    for place, (heading, cells) in enumerate(zip(headings, zip(*rows, strict=True), strict=True)):
        longest = max(map(len, " ".join((heading, *cells)).split()), default=0)
        if any(" " in cell for cell in cells):
            prose.append(place)
            longest = min(_PROSE, longest)
        widths.append(max(longest, len(heading)))
        table.add_column(heading, overflow="fold", min_width=longest, no_wrap=place not in prose)
        needed += longest + 3
    if needed <= out.width:
        for row in rows:
            table.add_row(*map(_coloured, row))
        out.print(table)
        return
    out.print(Text(title, style="bold"))
    short = [place for place in range(len(headings)) if place not in prose]
    if sum(widths[place] + 2 for place in short) <= out.width:
        _under(rows, headings, short, widths)
    else:
        for row in rows:
            for heading, cell in zip(headings, row, strict=True):
                out.print(_named(heading, cell))
            out.print()


def _under(rows: Sequence[Sequence[str]], headings: Sequence[str], short: Sequence[int], widths: Sequence[int]) -> None:
    """Draws the short columns without lines around them, and under each row its sentences."""
    heading = "  ".join(headings[place].ljust(widths[place]) for place in short)
    out.print(Text(heading.rstrip(), style="bold"), no_wrap=True)
    for row in rows:
        line = Text("  ").join([_coloured(row[place].ljust(widths[place])) for place in short])
        out.print(line, no_wrap=True)
        for place in range(len(row)):
            if place not in short:
                out.print(Padding(_named(headings[place], row[place]), (0, 0, 0, 4)))


def _named(heading: str, cell: str) -> Text:
    return Text.assemble((f"{heading}: " if heading else "", "bold"), _coloured(cell))


def _coloured(cell: str) -> Text:
    return Text(cell, style=STATES.get(cell.strip(), ""))


def _line(cells: Sequence[str]) -> str:
    """Joins cells to one line; what would end it, part it otherwise or steer a terminal becomes a space."""
    return "\t".join("".join(one if one.isprintable() else " " for one in " ".join(cell.split())) for cell in cells)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
