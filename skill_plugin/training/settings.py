"""What a training run is told. Skill-R1 publishes none of its numbers: each default here is a choice of this project."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from skill_plugin.credit import Credit
from skill_plugin.errors import ConfigurationError

Way = Literal["auto", "shared", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvantageSettings:
    """How rewards become advantages: `intra + inter_weight * inter`.

    Args:
        credit: What a text's reward R(g,c) is made of: `evolving-rl` (its rewards on sibling tasks alone), `skill-r1` (on the task
            alone that it was written from), or `sage` (half and half, and a bonus); see `chains`. A group without at least two
            siblings that were judged goes by its own task in every mode.
        later_weight: w, the weight of the siblings, from 0 to 1; None is the credit's own.
        bonus: b, for a text that solves its task and was used on siblings, from 0; None is the credit's own.
        intra: `candidate`: `R(g,c) - mean_c R(g,c)`; `rollout`: the paper's wording, `r(g,c,k) - mean_k r(g,c,k)`, which is of one
            task and needs `skill-r1`.
        inter_weight: Lambda.
        first_inter: What the first edit is compared with: `baseline` is generation 0's rollouts, `zero` is nothing, the paper's
            A_inter(1) = 0.
        scale: `std` divides the intra term by its group's standard deviation, as GRPO does; Skill-R1 does not.
        malformed_reward: What a text that is not a skill is worth, from -1 (SAGE, arXiv:2512.17102) to 1; None leaves it out.

    Raises:
        ConfigurationError: a value is out of its range, or `rollout` is asked for where siblings count.
    """

    credit: Literal["skill-r1", "evolving-rl", "sage"] = "evolving-rl"
    later_weight: float | None = None
    bonus: float | None = None
    intra: Literal["candidate", "rollout"] = "candidate"
    inter_weight: float = 1.0
    first_inter: Literal["baseline", "zero"] = "baseline"
    scale: Literal["none", "std"] = "none"
    malformed_reward: float | None = 0.0

    def __post_init__(self) -> None:
        _one_of("intra", self.intra, "candidate", "rollout")
        _one_of("first_inter", self.first_inter, "baseline", "zero")
        _one_of("scale", self.scale, "none", "std")
        _ = self.weights  # checks them
        _check("inter_weight", self.inter_weight, 0 <= self.inter_weight < float("inf"), "a number from 0")
        reward = self.malformed_reward
        _check("malformed_reward", reward, reward is None or -1 <= reward <= 1, "from -1 to 1, or None")
        if self.intra == "rollout" and self.weights != Credit.of("skill-r1"):
            raise ConfigurationError(
                f"intra is 'rollout' and credit is {self.credit!r}; that wording compares rollouts of a text's own task alone: set "
                "credit to 'skill-r1', or intra to 'candidate'"
            )

    @property
    def weights(self) -> Credit:
        """The weights of a text's own task and of its siblings.

        Raises:
            ConfigurationError: there is no such credit, or a weight is out of its range.
        """
        named = Credit.of(self.credit)
        return Credit(
            named.later_weight if self.later_weight is None else self.later_weight,
            named.bonus if self.bonus is None else self.bonus,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """The loss of one token; see `loss`.

    Args:
        clip_low: Epsilon below 1.
        clip_high: Epsilon above 1.
        ratio_cap: The largest ratio that a token with a negative advantage counts with (dual clip); None means no limit.
        log_ratio_limit: |log ratio| is cut to this before it is exponentiated.
        kl_weight: Beta.
        kl_importance: Weigh the KL term by the ratio, because the tokens are the behaviour policy's and not the current one's.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    ratio_cap: float | None = 3.0
    log_ratio_limit: float = 10.0
    kl_weight: float = 0.01
    kl_importance: bool = True

    def __post_init__(self) -> None:
        _check("clip_low", self.clip_low, 0 < self.clip_low < 1, "above 0 and below 1")
        _check("clip_high", self.clip_high, 0 < self.clip_high < float("inf"), "a number above 0")
        cap = self.ratio_cap
        _check("ratio_cap", cap, cap is None or cap > 1 + self.clip_high, "above 1 + clip_high, or None")
        _check("log_ratio_limit", self.log_ratio_limit, 0 < self.log_ratio_limit <= 60, "above 0 and at most 60")
        _check("kl_weight", self.kl_weight, 0 <= self.kl_weight < float("inf"), "a number from 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """What a training run is told.

    Args:
        rank: Of the adapter; one that is trained further keeps its own.
        alpha: Of the adapter; it is scaled by alpha / rank.
        targets: Names of the modules that get an adapter; None lets the model's family decide.
        learning_rate: The highest.
        warmup: Share of all steps in which it rises from 0; then it falls as a cosine to 0.
        weight_decay: AdamW's.
        max_grad_norm: Gradients are scaled down to this norm.
        epochs: Passes over the groups.
        groups_per_step: Groups whose gradients make one step, over all processes.
        max_steps: Stop after so many steps; None means no limit.
        max_minutes: Take no step more after so many minutes, of this start where a run resumes; None means no limit.
        way: How a group is computed: `shared` computes its prompt once, `plain` once a candidate, `auto` shares it where
            that is right for the model.
        rows: Candidates of one forward pass of the plain way.
        head_chunk: Tokens whose logits are in memory at a time.
        gradient_checkpointing: Compute activations again rather than keep them.
        dtype: Of the base model: `auto` is bfloat16 on a GPU that has it, else float32. The adapter is float32.
        max_kl: Stop when a step's KL to the base is above this (nats a token).
        max_ratio: Stop when a step's mean ratio is above this, or below its inverse.
        max_bad_steps: Stop as failed after so many steps in a row without a finite loss and gradient.
        snapshot_steps: Steps between two snapshots.
        logprob_tolerance: Nats a token, on average, that logged log-probs may differ from recomputed ones.
        logprob_samples: Groups whose log-probs are recomputed before the first step.
        validation_groups: Groups held back from training that the policy is scored on before and after.
        sft_epochs: Passes of supervised training on accepted revisions before the first step; 0 means none.
        seed: Of the data's order and of a new adapter.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    rank: int = 16
    alpha: int = 32
    targets: tuple[str, ...] | None = None
    learning_rate: float = 2e-5
    warmup: float = 0.05
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    epochs: int = 2
    groups_per_step: int = 8
    max_steps: int | None = None
    max_minutes: float | None = None
    way: Way = "auto"
    rows: int = 2
    head_chunk: int = 1024
    gradient_checkpointing: bool = True
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    max_kl: float = 1.0
    max_ratio: float = 3.0
    max_bad_steps: int = 5
    snapshot_steps: int = 5
    logprob_tolerance: float = 0.1
    logprob_samples: int = 4
    validation_groups: int = 64
    sft_epochs: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rank", "alpha", "epochs", "groups_per_step", "rows", "head_chunk", "max_bad_steps"):
            _check(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        _check("snapshot_steps", self.snapshot_steps, self.snapshot_steps >= 1, "at least 1")
        for name in ("logprob_samples", "validation_groups", "sft_epochs", "seed", "weight_decay"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        for name in ("learning_rate", "max_grad_norm", "max_kl", "logprob_tolerance"):
            _check(name, getattr(self, name), 0 < getattr(self, name) < float("inf"), "a number above 0")
        for name in ("max_steps", "max_minutes"):
            value = getattr(self, name)
            _check(name, value, value is None or value > 0, "above 0, or None")
        _check("warmup", self.warmup, 0 <= self.warmup < 1, "from 0 to below 1")
        _check("max_ratio", self.max_ratio, self.max_ratio > 1, "above 1")
        _one_of("way", self.way, "auto", "shared", "plain")
        _one_of("dtype", self.dtype, "auto", "float32", "bfloat16")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _check(name: str, value: Any, right: bool, range_: str) -> None:
    if not right:
        raise ConfigurationError(f"{name} is {value!r}; give {range_}")


def _one_of(name: str, value: Any, *choices: str) -> None:
    if value not in choices:
        raise ConfigurationError(f"{name} is {value!r}; it is one of {', '.join(choices)}")
