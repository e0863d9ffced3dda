"""Verifiers that compare an answer's text with the reference."""

import math
import re
import string
import unicodedata
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from skill_plugin.errors import ConfigurationError, VerifierError
from skill_plugin.records import Task, Verdict
from skill_plugin.verifiers.base import gold_answer
from skill_plugin.verifiers.numbers import last_number

_REGEX_SECONDS = 5.0


@dataclass(frozen=True)
class ExactMatch:
    """The answer is the reference, but for white space around it."""

    name: ClassVar[str] = "exact_match"

    @property
    def params(self) -> dict[str, Any]:
        return asdict(self)

    def verify(self, task: Task, answer: str) -> Verdict:
        expected = gold_answer(task)
        same = answer.strip() == expected.strip()
        return Verdict(same, feedback="" if same else f"expected {expected[:500]!r}, got {answer[:200]!r}")


@dataclass(frozen=True)
class NormalizedText:
    """The answer is the reference, but for case, punctuation, English articles and runs of white space.

    The rules are those of SQuAD's evaluation script.
    """

    articles: bool = True
    name: ClassVar[str] = "normalized_text"

    @property
    def params(self) -> dict[str, Any]:
        return asdict(self)

    def verify(self, task: Task, answer: str) -> Verdict:
        same = self._normalize(answer) == self._normalize(gold_answer(task))
        return Verdict(same, feedback="" if same else f"expected {gold_answer(task)[:500]!r}, got {answer[:200]!r}")

    def _normalize(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", text).casefold()
        text = "".join(
            char for char in text if char not in string.punctuation and not unicodedata.category(char).startswith("P")
        )
        if self.articles:
            text = re.sub(r"\b(?:a|an|the)\b", " ", text)
        return " ".join(text.split())


@dataclass(frozen=True)
class Numeric:
    """The last number in the answer is the reference, within an absolute or a relative tolerance; see `numbers.last_number`."""

    tolerance: float = 0.0
    relative: float = 1e-9
    name: ClassVar[str] = "numeric"

    @property
    def params(self) -> dict[str, Any]:
        return asdict(self)

    def verify(self, task: Task, answer: str) -> Verdict:
        wanted = last_number(gold_answer(task))
        if not wanted:
            raise VerifierError(f"the reference {task.reference!r} holds no number; give one, or use another verifier")
        found = last_number(answer)
        if not found:
            return Verdict(0, feedback=f"no number in the answer {answer[:200]!r}")
        same = any(
            math.isclose(one, other, rel_tol=self.relative, abs_tol=self.tolerance) for one in found for other in wanted
        )
        return Verdict(same, feedback="" if same else f"expected {wanted[0]:g}, got {found[0]:g}")


@dataclass(frozen=True)
class Regex:
    """The pattern is found in the answer; `full` demands that it is all of it."""

    pattern: str
    full: bool = False
    ignore_case: bool = False
    name: ClassVar[str] = "regex"

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except (re.error, TypeError) as exc:
            raise ConfigurationError(
                f"{self.pattern!r} is not a regular expression: {exc}; correct the pattern"
            ) from exc

    @property
    def params(self) -> dict[str, Any]:
        return asdict(self)

    def verify(self, task: Task, answer: str) -> Verdict:  # noqa: ARG002 - the pattern says what is right
        import regex  # noqa: PLC0415 - unlike re it can be stopped, and a bad pattern would hold the interpreter

        match = regex.fullmatch if self.full else regex.search
        flags = regex.IGNORECASE if self.ignore_case else 0
        try:
            found = match(self.pattern, answer, flags=flags, timeout=_REGEX_SECONDS)
        except TimeoutError as exc:
            raise VerifierError(
                f"the pattern {self.pattern!r} took over {_REGEX_SECONDS:g} s; make it simpler"
            ) from exc
        return Verdict(bool(found), feedback="" if found else f"{answer[:200]!r} does not match {self.pattern!r}")
