"""Small tables for notebooks. Names and texts come from anywhere, so everything is escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

LONGEST = 300
"""Letters of a cell; a skill's own text has as many as it has."""


def html_table(rows: Iterable[Sequence[Any]], headings: Sequence[str] = ()) -> str:
    """Returns rows as a table; without headings the first cell of each row is one."""
    head = f"<thead><tr>{''.join(_cell('th', one) for one in headings)}</tr></thead>" if headings else ""
    first = "td" if headings else "th"
    lines = ("".join(_cell("td" if at else first, cell) for at, cell in enumerate(row)) for row in rows)
    return f"<table>{head}<tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table>"


def html_text(text: str) -> str:
    """Returns a text as it was written, folded."""
    return f"<details><summary>text</summary><pre style=white-space:pre-wrap>{escape(text)}</pre></details>"


def _cell(tag: str, value: Any) -> str:
    text = "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
    said = escape(text if len(text) <= LONGEST else f"{text[:LONGEST]} ...")
    return f'<{tag} style="text-align:left">{said}</{tag}>'
