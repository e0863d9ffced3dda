"""A verifier of Python code: the answer's code passes its tests in a limited subprocess."""

import secrets
from dataclasses import dataclass
from typing import Any, ClassVar

from skill_plugin.records import Task, Verdict
from skill_plugin.verifiers.fences import unfence
from skill_plugin.verifiers.sandbox import run_python


@dataclass(frozen=True)
class PythonTests:
    """Runs the answer, then each test (statements that raise when it fails); the reward is the share that passes.

    The tests see the answer's names. The limits of the subprocess are in `skill_plugin.verifiers.sandbox`.
    """

    tests: list[str] | str
    seconds: float = 10.0
    memory_mb: int = 512
    name: ClassVar[str] = "python_tests"

    @property
    def params(self) -> dict[str, Any]:
        return {"tests": self.tests, "seconds": self.seconds, "memory_mb": self.memory_mb}

    def verify(self, task: Task, answer: str) -> Verdict:  # noqa: ARG002 - the tests say what is right
        tests = [self.tests] if isinstance(self.tests, str) else list(self.tests)
        # Only our own last lines know the word, so an answer that prints "passed" or exits early gains nothing.
        word = secrets.token_hex(16)
        program = _HARNESS.format(answer=unfence(answer, "python", "py"), tests=tests, word=word)
        result = run_python(program, seconds=self.seconds, memory_mb=self.memory_mb)
        lines = result.stdout.splitlines()
        failures = [line.removeprefix(f"{word} failed ") for line in lines if line.startswith(f"{word} failed ")]
        passed = lines.count(f"{word} passed")
        if passed + len(failures) < len(tests):
            ended = f"it ran over {self.seconds:g} s" if result.timed_out else result.last_error
            return Verdict(0, feedback=f"the code did not run to the end: {ended}")
        return Verdict(passed / len(tests), feedback="; ".join(failures)[:1000])


_HARNESS = """
names = {{"__name__": "answer"}}
exec(compile({answer!r}, "answer.py", "exec"), names)
for test in {tests!r}:
    try:
        exec(compile(test, "test.py", "exec"), names)
    except BaseException as exc:
        print("\\n{word} failed", " ".join(f"{{test.strip()[:200]}}: {{type(exc).__name__}} {{exc}}".split()))
    else:
        print("\\n{word} passed")
"""
