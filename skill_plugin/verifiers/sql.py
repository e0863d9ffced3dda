"""A verifier of SQL: the answer's query returns the rows that the reference's query returns."""

import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from skill_plugin.errors import VerifierError
from skill_plugin.records import Task, Verdict
from skill_plugin.verifiers.base import gold_answer
from skill_plugin.verifiers.fences import unfence

_MAX_ROWS = 10_000
_READS = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE))
_STEPS_BETWEEN_LOOKS = 10_000

Row = tuple[Any, ...]


@dataclass(frozen=True)
class SQLRows:
    """Runs the answer and the reference on a SQLite database and compares the rows.

    The database is opened read-only and nothing but reading is allowed, so an answer can neither change it nor reach
    another file. Numbers are equal to nine significant digits.

    Args:
        database: Path of the SQLite file.
        ordered: The order of the rows matters.
        partial: Reward the share of rows in common (intersection over union) instead of all or nothing.
        reveal: Show a wrong row and a missing one in the feedback. Turn it off where the feedback must not hold gold
            values.
        seconds: Limit for each query.
    """

    database: str
    ordered: bool = False
    partial: bool = False
    reveal: bool = True
    seconds: float = 5.0
    name: ClassVar[str] = "sql_rows"

    @property
    def params(self) -> dict[str, Any]:
        return asdict(self)

    def verify(self, task: Task, answer: str) -> Verdict:
        try:
            expected = self._rows(gold_answer(task))
        except sqlite3.Error as exc:
            raise VerifierError(f"the reference {gold_answer(task)[:200]!r} fails: {exc}; correct it") from exc
        try:
            found = self._rows(unfence(answer))
        except (sqlite3.Error, ValueError) as exc:
            return Verdict(0, feedback=f"the query failed: {exc}")
        return self._compare(found, expected)

    def _rows(self, query: str) -> list[Row]:
        path = Path(self.database)
        if not path.is_file():
            raise VerifierError(f"there is no database at {self.database!r}; give the path of a SQLite file")
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY)
            deadline = time.monotonic() + self.seconds
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
            rows = connection.execute(query).fetchmany(_MAX_ROWS + 1)
        if len(rows) > _MAX_ROWS:
            raise ValueError(f"more than {_MAX_ROWS} rows")
        return [tuple(_canonical(value) for value in row) for row in rows]

    def _compare(self, found: list[Row], expected: list[Row]) -> Verdict:
        if found == expected or (not self.ordered and Counter(found) == Counter(expected)):
            return Verdict(1)
        missing, extra = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
        union = (Counter(found) | Counter(expected)).total()
        common = (Counter(found) & Counter(expected)).total()
        reward = common / union if self.partial and not self.ordered else 0.0
        says = [f"the query returned {len(found)} rows, {len(expected)} were expected"]
        if not missing and not extra:
            says.append("the rows are right but their order is not")
        if self.reveal and extra:
            says.append(f"wrong: {next(iter(extra))}")
        if self.reveal and missing:
            says.append(f"missing: {next(iter(missing))}")
        return Verdict(reward, passed=False, feedback="; ".join(says))


def _canonical(value: Any) -> Any:
    return float(f"{value:.9g}") if isinstance(value, int | float) else value
