"""A verifier of SQL: the answer's query returns the rows that the reference's query returns."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from skill_plugin.errors import SandboxError, VerifierError
from skill_plugin.limits import ABOVE_0, check_fields
from skill_plugin.records import Task, Verdict
from skill_plugin.sandbox import SandboxLimits, SandboxPool
from skill_plugin.verifiers.base import gold_answer
from skill_plugin.verifiers.fences import unfence

_LATER_S = 2.0
"""SQLite looks at the clock between its steps; a step that takes longer is ended with its process, so much later."""

_queries = SandboxPool(Path(__file__).with_name("queries.py").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class SQLRows:
    """Runs the answer and the reference on a SQLite database and compares the rows.

    The database is opened read-only and nothing but reading is allowed, so an answer can neither change it nor reach
    another file. The queries run in a process of their own with limits of time, memory and size. Numbers are equal to nine
    significant digits.

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
    seconds: Annotated[float, ABOVE_0] = 5.0
    name: ClassVar[str] = "sql_rows"

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def params(self) -> dict[str, Any]:
        return asdict(self)

    def verify(self, task: Task, answer: str) -> Verdict:
        path = Path(self.database).absolute()
        if not path.is_file():
            raise VerifierError(f"there is no database at {self.database!r}; give the path of a SQLite file")
        uri, gold = f"{path.as_uri()}?mode=ro", gold_answer(task)
        # Large files are what SQLite sorts in. Its folder may be written, as far as SQLite is concerned: a database in WAL mode has
        # files beside it even for who only reads.
        limits = SandboxLimits(self.seconds + _LATER_S, output_bytes=64 << 20)
        folder = str(path.parent)
        expected = False
        try:
            with _queries.lend(limits, reads=(folder,), writes=(folder,)) as box:
                why = box.call("expect", uri, gold, self.seconds)
                if why:
                    raise VerifierError(f"the reference {gold[:200]!r} fails: {why}; correct it")
                expected = True
                result = box.call("compare", uri, unfence(answer), self.seconds, self.ordered, self.partial)
        except SandboxError as exc:
            if not expected:
                raise VerifierError(f"the reference {gold[:200]!r} fails: {exc}") from exc
            return Verdict(0, feedback=f"the query failed: {exc}")
        return self._verdict(result)

    def _verdict(self, result: dict[str, Any]) -> Verdict:
        if "failed" in result:
            return Verdict(0, feedback=f"the query failed: {result['failed']}")
        if result["reward"] == 1:
            return Verdict(1)
        says = result["says"]
        if self.reveal:
            says += [f"{word}: {result[word]}" for word in ("wrong", "missing") if result[word]]
        return Verdict(result["reward"], passed=False, feedback="; ".join(says))
