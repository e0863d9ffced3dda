"""Calls of a model in this process: how each is sampled, what it has so far, its reply, and which of them make a batch."""

import secrets
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from skill_plugin.errors import ModelError
from skill_plugin.limits import AT_LEAST_0, AT_LEAST_1, Limit, check_fields

MAX_BATCH = 32
"""The most calls of a batch."""

MAX_BATCH_TOKENS = 32_768
"""The most tokens of a batch, padding included: its memory grows with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSampling:
    """Settings of one call.

    Args:
        temperature: Temperature; 0 takes the likeliest token.
        top_p: Size of the nucleus.
        max_tokens: The most tokens of the reply.
        seed: With one, the same prompt gets the same reply, as far as the sums of another batch round alike.
        stop: Texts before which the reply ends.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    temperature: Annotated[float, AT_LEAST_0] = 0.0
    top_p: Annotated[float, Limit(above=0, most=1)] = 1.0
    max_tokens: Annotated[int, AT_LEAST_1] = 512
    seed: Annotated[int, Limit(least=0, below=2**63)] | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)

    def another(self, number: int) -> "LocalSampling":
        """Returns the settings of a prompt's further reply, which a seed would make the same as the first."""
        return self if self.seed is None else replace(self, seed=(self.seed + number) % 2**63)


@dataclass(frozen=True, slots=True)
class LocalReply:
    """What a model wrote. `logprobs` are of the distribution that was sampled from; of a greedy reply, of the model's own."""

    text: str
    prompt_token_ids: list[int]
    token_ids: list[int]
    logprobs: list[float]
    finish_reason: Literal["stop", "length"]


@dataclass(eq=False, slots=True)
class LocalCall:
    """A call in a batch, and what it has so far."""

    prompt: list[int]
    sampling: LocalSampling
    room: int
    future: "Future[LocalReply]" = field(default_factory=Future)
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    _source: Any = None

    @property
    def is_over(self) -> bool:
        """True once it was answered, failed or cancelled."""
        return self.future.done()

    @property
    def longest(self) -> int:
        return len(self.prompt) + self.room

    def random(self) -> float:
        """Returns the next number of the call's own source, from 0 to below 1."""
        import torch  # noqa: PLC0415

        if self._source is None:
            seed = self.sampling.seed
            self._source = torch.Generator().manual_seed(secrets.randbits(62) if seed is None else seed)
        return float(torch.rand((), generator=self._source, dtype=torch.float64))

    def answer(self, text: str, why: Literal["stop", "length"]) -> None:
        with suppress(InvalidStateError):  # cancelled in this moment
            self.future.set_result(LocalReply(text, self.prompt, self.ids, self.logprobs, why))

    def fail(self, reason: str) -> None:
        with suppress(InvalidStateError):
            self.future.set_exception(ModelError(reason))


def fits(taken: Sequence[LocalCall], row: LocalCall) -> bool:
    """Returns whether a batch has room for one more call."""
    if not taken or len(taken) >= MAX_BATCH:
        return not taken
    return max(one.longest for one in [*taken, row]) * (len(taken) + 1) <= MAX_BATCH_TOKENS
