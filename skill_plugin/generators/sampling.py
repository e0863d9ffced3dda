"""Sampling settings of the generators that log token ids and log-probabilities."""

from dataclasses import dataclass
from typing import Annotated, Any

from skill_plugin.generators.prompt import PROMPT_VERSION
from skill_plugin.limits import ABOVE_0, AT_LEAST_1, Limit, check_fields
from skill_plugin.records import CUT_OFF

MAX_TOKENS = 1024
"""The most tokens of a completion: about 4,000 characters, five times a usual skill. A text that does not end is paid for to here."""

RAW = "raw_logprobs"
"""Log-probabilities of the model's own distribution, at temperature 1, however it was sampled. vLLM's default."""
PROCESSED = "processed_logprobs"
"""Log-probabilities of the distribution sampled from: divided by the temperature, cut to top_p, normalised again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Temperature and nucleus, and nothing else: no top-k, no min-p, no penalties, whatever a model's own defaults are.

    Args:
        temperature: Temperature, above 0; candidates of one prompt are sampled, never the same greedy text n times.
        top_p: Size of the nucleus, in (0, 1].
        max_tokens: The most tokens of one completion.
        seed: With one, the same prompt gets the same candidates, as far as the hardware allows.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    temperature: Annotated[float, ABOVE_0] = 1.0
    top_p: Annotated[float, Limit(above=0, most=1)] = 1.0
    max_tokens: Annotated[int, AT_LEAST_1] = MAX_TOKENS
    seed: Annotated[int, Limit(least=0, below=2**63)] | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def is_plain(self) -> bool:
        """True if the distribution sampled from is the model's own, so that `RAW` and `PROCESSED` are the same."""
        return self.temperature == 1 and self.top_p == 1

    def to_json(self, logprobs_mode: str) -> dict[str, Any]:
        """Returns the value for `Revision.sampling`."""
        seed = {} if self.seed is None else {"seed": self.seed}
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            **seed,
            "logprobs_mode": logprobs_mode,
            "prompt_version": PROMPT_VERSION,
        }


def cut_off(completion: str) -> str:
    """Returns the error of a completion that its token limit ended: it may still parse, and would lack its end."""
    return f"{CUT_OFF}, after {completion[-60:]!r}; raise its max_tokens"
