"""Result of a skill's own tests."""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class TestReport:
    """Result of a skill's own tests. A test counts only if it fails where a function that it calls is replaced by `return None`.

    Args:
        passed: Tests that passed, and count.
        total: All tests.
        failures: For each that failed, the place, its line and why.
        vacuous: Tests that pass whatever the functions do; they count as absent.
        untested: Functions that no passing test tests.
    """

    __test__: ClassVar[bool] = False  # pytest takes what is called Test... for one of its own

    passed: int
    total: int
    failures: tuple[str, ...] = ()
    vacuous: tuple[str, ...] = ()
    untested: tuple[str, ...] = ()

    @property
    def is_red(self) -> bool:
        """Whether a test failed, so that this version must not be staged."""
        return bool(self.failures)

    def as_dict(self) -> dict[str, Any]:
        """Returns the report as JSON has it."""
        return {
            "passed": self.passed,
            "total": self.total,
            "failures": list(self.failures),
            "vacuous": list(self.vacuous),
            "untested": list(self.untested),
        }

    def __str__(self) -> str:
        parts = [f"{self.passed} of {self.total} tests passed"]
        parts += [f"{len(self.failures)} failed: {self.failures[0]}"] if self.failures else []
        parts += [f"{', '.join(self.vacuous)} would pass on any function, and counts as absent"] if self.vacuous else []
        parts += [f"no test of {', '.join(self.untested)}"] if self.untested else []
        return "; ".join(parts)
