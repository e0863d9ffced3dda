"""Settings of `evolve`: how many of what."""

from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from skill_plugin.credit import DEFAULT_CREDIT, Credit
from skill_plugin.gates.versions import load_rule
from skill_plugin.graphs.evolution import selection
from skill_plugin.graphs.evolution.selection import Selection
from skill_plugin.limits import ABOVE_0, AT_LEAST_0, AT_LEAST_1, check_fields
from skill_plugin.protocols import GateRule, Strategy, name_of
from skill_plugin.store import DEFAULT_EXPERIENCE, DEFAULT_MIN_SCORE, Retrieval
from skill_plugin.store.search.retrieval import DEFAULT_STRATEGY


@dataclass(frozen=True, kw_only=True)
class EvolveSettings:
    """Settings of `evolve`.

    Args:
        generations: G, how often a task's skill is revised. More of them resume a run that ended.
        candidates: C, how many texts are sampled from one prompt.
        rollouts: K, how often each is tried on its own task.
        controls: Rollouts without the first skill, where a task begins with one; 0 measures no lift.
        siblings: Other train tasks of the family that judge a text, at most; 0 judges it by its own task alone.
        credit: How a text's reward is made of both: `evolving-rl`, `skill-r1`, `sage` or a `chains.Credit`.
        minibatch: Failing tasks of the family that one prompt shows, the lineage's own included; at most 3.
        adaptive: Write one candidate first and the others only where it does not help (it is worth no more and fails in the
            same way), stop the rollouts of a text when the first two agree, and run controls at the end, only until the lift
            of what is live can be told. Off, every generation has C candidates with K rollouts each.
        lineages: Lineages of a family that begin at first, and that write, at a time; see `families.Family`.
        gate_tasks: Held-out tasks of a family that judge one decision, at most; 0 leaves everything staged.
        stop_when_solved: End a task when every rollout under its best text passes.
        order: `file`, or `half-solved`: tasks that were solved about half of the time first.
        selection: Which text is revised next: `best-mean`, `frontier`, or a function; see `skill_plugin.graphs.evolution.selection`.
        concurrency: Calls at once, of the task LLM and the generator together.
        min_score: The floor of retrieval; see `SkillStore.search`.
        experience: How much the tasks that a skill has passed count in search, from 0 to 1; see `SkillStore.search`.
        strategy: How to search: a name in `store.STRATEGIES`, or an object with `rank(lookup)`.
        rule: What the gate asks of the pairs: a name in `gates.versions.GATES` (`paired`: more repairs than regressions;
            `no-regression`), or an object with `decide(before, after)`.
        verifier_timeout: Seconds until a verifier counts as hung.
        allow_functions: Let the functions of candidates run while they are tried, if their tests pass; those of what goes live stay
            allowed. Off, functions that were written are tested and stored, and run only after an operator allows them.

    Raises:
        ConfigurationError: a value is outside its range.
    """

    generations: Annotated[int, AT_LEAST_0] = 5
    candidates: Annotated[int, AT_LEAST_1] = 4
    rollouts: Annotated[int, AT_LEAST_1] = 4
    controls: Annotated[int, AT_LEAST_0] = 1
    siblings: Annotated[int, AT_LEAST_0] = 4
    credit: str | Credit = DEFAULT_CREDIT
    minibatch: Annotated[int, AT_LEAST_1] = 3
    adaptive: bool = True
    lineages: Annotated[int, AT_LEAST_1] = 1
    gate_tasks: Annotated[int, AT_LEAST_0] = 8
    stop_when_solved: bool = True
    order: Literal["file", "half-solved"] = "file"
    selection: str | Selection = "best-mean"
    concurrency: Annotated[int, AT_LEAST_1] = 8
    min_score: float = DEFAULT_MIN_SCORE
    experience: float = DEFAULT_EXPERIENCE
    strategy: str | Strategy = DEFAULT_STRATEGY
    rule: str | GateRule = "paired"
    verifier_timeout: Annotated[float, ABOVE_0] = 30.0
    allow_functions: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        load_rule(self.rule)
        _ = self.weights, self.select, self.retrieval  # checks them

    @property
    def weights(self) -> Credit:
        """The weights of a text's own task and of its siblings."""
        return Credit.of(self.credit)

    @property
    def select(self) -> Selection:
        """Chooses the text that is revised next."""
        return selection.load(self.selection)

    @property
    def retrieval(self) -> Retrieval:
        """The options of a rollout's search."""
        return Retrieval(min_score=self.min_score, experience=self.experience, strategy=self.strategy)

    def deciding(self) -> dict[str, Any]:
        """Returns what decides which rollouts are run. Not how many generations: those that exist stay the same."""
        named = {
            **{one.name: getattr(self, one.name) for one in fields(self)},
            "strategy": name_of(self.strategy),
            "rule": name_of(self.rule),
            "credit": asdict(Credit.of(self.credit)),
            "selection": chosen if isinstance(chosen := self.selection, str) else chosen.__qualname__,
        }
        left_out = _MAY_CHANGE if self.allow_functions else (*_MAY_CHANGE, "allow_functions")
        return {key: value for key, value in named.items() if key not in left_out}


_MAY_CHANGE = ("generations", "concurrency", "lineages", "order")
"""Settings that another start of the same run may have."""
