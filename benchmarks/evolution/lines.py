"""The lines of a table as a CSV file, which an interrupted measurement goes on from. Not run itself."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read(out: Path, kind: type[Any]) -> list[Any]:
    """Returns the lines of `OUT.csv`, each a `kind`, whose fields are its columns; none where the file is not there yet."""
    if not (path := out.with_suffix(".csv")).exists():
        return []
    kinds = kind.__annotations__
    with path.open(newline="", encoding="utf-8") as file:
        return [kind(**{key: kinds[key](value) for key, value in row.items()}) for row in csv.DictReader(file)]


def write(out: Path, kind: type[Any], lines: Sequence[Any]) -> None:
    with out.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, kind.__annotations__)
        table.writeheader()
        table.writerows(vars(line) for line in lines)
