"""Retrieval: how many skills a run is shown, and how they are found. Every front door takes the same options."""

from dataclasses import dataclass, replace
from typing import Annotated, Self, TypedDict

from skill_plugin.limits import SHARE, Limit, check_fields
from skill_plugin.protocols import Strategy
from skill_plugin.store.search import strategies

DEFAULT_MIN_SCORE = 0.25
"""The floor: cosine under which a skill is not about the query, unless its words are (LOG.md)."""

DEFAULT_EXPERIENCE = 0.5
"""How much the tasks that a skill has passed count (LOG.md)."""

DEFAULT_STRATEGY = "hybrid"

HOW_MANY = Limit(least=1, most=20)
"""More skills than that in one prompt make a model choose worse, not better (arXiv:2601.04748)."""


class RetrievalOptions(TypedDict, total=False):
    """The fields of `Retrieval` as keywords, or a whole one as `retrieval`."""

    k: int
    min_score: float
    strategy: str | Strategy
    experience: float
    control_share: float
    retrieval: "Retrieval"


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """The settings of retrieval: how many skills a run is shown, and how they are found.

    Args:
        k: Skills to show, from 1 to 20. Each is credited; the first is the one that is revised and measured.
        min_score: The floor; see `SkillStore.search`.
        strategy: The way to search: a name in `store.STRATEGIES`, or an object with `rank(lookup)`.
        experience: How much the tasks that a skill has passed count, from 0 to 1; see `SkillStore.search`.
        control_share: Share of the runs, drawn at random, in which the skill that was found is withheld, so that there is
            something to measure its lift against. Such runs are not revised. 0 withholds nothing.

    Raises:
        ConfigurationError: a value is out of its range, or no strategy has this name.
    """

    k: Annotated[int, HOW_MANY] = 1
    min_score: Annotated[float, Limit()] = DEFAULT_MIN_SCORE
    strategy: str | Strategy = DEFAULT_STRATEGY
    experience: Annotated[float, SHARE] = DEFAULT_EXPERIENCE
    control_share: Annotated[float, SHARE] = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        strategies.load(self.strategy)

    @classmethod
    def of(cls, options: RetrievalOptions) -> Self:
        """Returns the options that a function's keywords give; single ones go before those of `retrieval`."""
        given = dict(options)
        whole = given.pop("retrieval", None)
        return cls(**given) if whole is None else replace(whole, **given)  # type: ignore[arg-type, type-var, return-value]
