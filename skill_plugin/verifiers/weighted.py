"""A verifier made of others: the weighted mean of their rewards."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from skill_plugin.errors import ConfigurationError
from skill_plugin.protocols import Verifier
from skill_plugin.records import Task, Verdict
from skill_plugin.verifiers.base import arun, as_verifier, name_of, run, spec
from skill_plugin.verifiers.loading import load


@dataclass(frozen=True)
class Weighted:
    """Reward = sum of weight * reward over the sum of the weights; passed from `pass_at` on.

    Args:
        parts: Pairs of a weight above 0 and a verifier (an object, a function, a name, or a logged spec).
        pass_at: The reward from which the answer counts as passed.
    """

    parts: Sequence[tuple[float, Any]]
    pass_at: float = 1.0
    name: ClassVar[str] = "weighted"
    _parts: tuple[tuple[float, Verifier], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.parts or not all(weight > 0 for weight, _ in self.parts):
            raise ConfigurationError(f"weighted needs parts with weights above 0, got {self.parts!r}")
        made = tuple(
            (float(weight), load(part) if isinstance(part, str | Mapping) else as_verifier(part))
            for weight, part in self.parts
        )
        object.__setattr__(self, "_parts", made)

    @property
    def params(self) -> dict[str, Any]:
        return {"parts": [[weight, spec(part)] for weight, part in self._parts], "pass_at": self.pass_at}

    def verify(self, task: Task, answer: str) -> Verdict:
        return self._combine([run(part, task, answer) for _, part in self._parts])

    async def averify(self, task: Task, answer: str) -> Verdict:
        return self._combine(await asyncio.gather(*(arun(part, task, answer) for _, part in self._parts)))

    def _combine(self, verdicts: Sequence[Verdict]) -> Verdict:
        pairs = [(weight, part, verdict) for (weight, part), verdict in zip(self._parts, verdicts, strict=True)]
        total = sum(weight for weight, _ in self._parts)
        # A sum of shares can end a hair above 1 or below; rewards have no use for the 12th digit.
        reward = min(1.0, round(sum(weight * verdict.reward for weight, _, verdict in pairs) / total, 12))
        says = [f"{name_of(part)}: {verdict.feedback}" for _, part, verdict in pairs if verdict.feedback]
        return Verdict(reward, passed=reward >= self.pass_at, feedback="; ".join(says))
