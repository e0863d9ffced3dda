"""A verifier of Python code: the answer's code passes its tests, which run in another process."""

from dataclasses import dataclass
from typing import Any, ClassVar

from skill_plugin.errors import ConfigurationError
from skill_plugin.records import Task, Verdict
from skill_plugin.sandbox import SandboxLimits, judge
from skill_plugin.verifiers.fences import unfence

_MAX_FEEDBACK = 1000


@dataclass(frozen=True)
class PythonTests:
    """Runs the answer, then each test (statements that raise when it fails); the reward is the share that passes.

    The tests see the answer's names, but run in a process of their own: they call what the answer defines, and compare what comes
    back as plain data. docs/verifiers.md says what follows from that, and what is contained.

    Args:
        tests: Each is Python statements.
        seconds: Time for the answer and all its tests.
        memory_mb: Memory of the answer's processes together, and of the tests'.
    """

    tests: list[str] | str
    seconds: float = 10.0
    memory_mb: int = 512
    name: ClassVar[str] = "python_tests"

    def __post_init__(self) -> None:
        if not self.tests:
            raise ConfigurationError("python_tests has no tests; give at least one")
        self._limits()

    @property
    def params(self) -> dict[str, Any]:
        return {"tests": self.tests, "seconds": self.seconds, "memory_mb": self.memory_mb}

    def verify(self, task: Task, answer: str) -> Verdict:  # noqa: ARG002 - the tests say what is right
        tests = [self.tests] if isinstance(self.tests, str) else list(self.tests)
        result = judge(unfence(answer, "python", "py"), tests, self._limits())
        if result.broken:
            return Verdict(0, feedback=f"the code did not run to the end: {result.broken}"[:_MAX_FEEDBACK])
        return Verdict(len(result.passed) / len(tests), feedback="; ".join(result.failures)[:_MAX_FEEDBACK])

    def _limits(self) -> SandboxLimits:
        return SandboxLimits(seconds=self.seconds, memory_mb=self.memory_mb)
