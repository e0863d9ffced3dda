"""Budgets of unattended jobs, and the spending that is counted against them."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Self

from skill_plugin.errors import ConfigurationError
from skill_plugin.limits import ABOVE_0, AT_LEAST_0, AT_LEAST_1, check_fields


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens."""

    input: Annotated[float, AT_LEAST_0]
    output: Annotated[float, AT_LEAST_0]

    def __post_init__(self) -> None:
        check_fields(self)

    def of(self, input_tokens: float, output_tokens: float) -> float:
        """Returns what so many tokens cost, in dollars."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads prices as a person writes them: INPUT/OUTPUT, such as 0.25/2.

        Raises:
            ConfigurationError: they are not written so.
        """
        try:
            return cls(*map(float, text.split("/")))
        except (TypeError, ValueError) as exc:
            raise ConfigurationError(f"prices are INPUT/OUTPUT, such as 0.25/2, got {text!r:.80}") from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of a job; None means no limit.

    Args:
        calls: Rollouts and candidates together, failed ones too. Never exceeded.
        tokens: Tokens in and out. Calls that are running when they are spent still end, and count.
        dollars: US dollars, counted in the same way; needs prices.
        minutes: Wall-clock time of this start of the job.
        prices: Prices of the task LLM.
        generator_prices: Prices of the generator; by default those of the task LLM.
        stop: A limit of your own: is asked before each call, with how many there will be, and returns why they may not be made.

    Raises:
        ConfigurationError: a limit is not above 0, or there are dollars without prices.
    """

    calls: Annotated[int, AT_LEAST_1] | None = None
    tokens: Annotated[int, AT_LEAST_1] | None = None
    dollars: Annotated[float, ABOVE_0] | None = None
    minutes: Annotated[float, ABOVE_0] | None = None
    prices: Prices | None = None
    generator_prices: Prices | None = None
    stop: Callable[[int], str | None] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.dollars is not None and self.prices is None:
            raise ConfigurationError(f"a budget of {self.dollars} dollars needs prices; give them a million tokens")


@dataclass(slots=True)
class Usage:
    """Calls and tokens of one model."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, *, calls: int = 0, input_tokens: int | None = None, output_tokens: int | None = None) -> None:
        self.calls += calls
        self.input_tokens += input_tokens or 0
        self.output_tokens += output_tokens or 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def dollars(self, prices: Prices) -> float:
        return prices.of(self.input_tokens, self.output_tokens)


class Spending:
    """Counts calls, tokens, dollars and time against a budget. Belongs to one event loop, so it has no locks.

    Args:
        budget: The limits.
        task: Usage of the task LLM by earlier starts of the job.
        generator: Usage of the generator by earlier starts of the job.
        clock: Returns seconds.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        task: Usage | None = None,
        generator: Usage | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self.task = task or Usage()
        self.generator = generator or Usage()
        self._clock = clock
        self._started = clock()

    @property
    def seconds(self) -> float:
        return self._clock() - self._started

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the minutes are over; None without a limit of them."""
        return None if self.budget.minutes is None else max(0.0, self.budget.minutes * 60 - self.seconds)

    @property
    def dollars(self) -> float | None:
        prices = self.budget.prices
        if prices is None:
            return None
        return self.task.dollars(prices) + self.generator.dollars(self.budget.generator_prices or prices)

    def over(self, calls: int = 1) -> str | None:
        """Returns why so many more calls may not be made; None if they may."""
        budget = self.budget
        made, tokens = self.task.calls + self.generator.calls, self.task.tokens + self.generator.tokens
        if budget.calls is not None and made + calls > budget.calls:
            return f"{made} of {budget.calls} calls are spent"
        if budget.tokens is not None and tokens >= budget.tokens:
            return f"{tokens} of {budget.tokens} tokens are spent"
        if budget.dollars is not None and (self.dollars or 0.0) >= budget.dollars:
            return f"{self.dollars:.2f} of {budget.dollars:.2f} dollars are spent"
        if budget.minutes is not None and self.seconds >= budget.minutes * 60:
            return f"{budget.minutes:g} minutes are over"
        return None if budget.stop is None else budget.stop(calls)

    def to_json(self) -> dict[str, object]:
        models = {name: asdict(getattr(self, name)) for name in ("task", "generator")}
        return {**models, "dollars": self.dollars, "seconds": round(self.seconds, 3)}
