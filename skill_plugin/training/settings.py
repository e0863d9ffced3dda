"""Settings of a training run. Skill-R1 publishes none of its numbers: each default here is a choice of this project."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from skill_plugin.credit import Credit
from skill_plugin.errors import ConfigurationError
from skill_plugin.limits import ABOVE_0, AT_LEAST_0, AT_LEAST_1, Limit, check_fields

Way = Literal["auto", "shared", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvantageSettings:
    """Settings by which rewards become advantages: `intra + inter_weight * inter`.

    Args:
        credit: The parts of a text's reward R(g,c): `evolving-rl` (its rewards on sibling tasks alone), `skill-r1`
            (only on the task that it was written from), or `sage` (half and half, and a bonus); see `credit`. A group
            without at least two siblings that were judged is judged by its own task in every mode.
        later_weight: w, the weight of the siblings, from 0 to 1; None is the credit's own.
        bonus: b, for a text that solves its task and was used on siblings, from 0; None is the credit's own.
        intra: `candidate`: `R(g,c) - mean_c R(g,c)`; `rollout`: the paper's wording, `r(g,c,k) - mean_k r(g,c,k)`, which is of one
            task and needs `skill-r1`.
        inter_weight: Lambda, the weight of the inter term.
        first_inter: The comparison of the first edit: `baseline` is generation 0's rollouts, `zero` is nothing, the
            paper's A_inter(1) = 0.
        scale: `std` divides the intra term by its group's standard deviation, as GRPO does; Skill-R1 does not.
        malformed_reward: The worth of a text that is not a skill, from -1 (SAGE, arXiv:2512.17102) to 1; None leaves it
            out.
        cut_off: What is done with a text that its token limit cut off: `drop` leaves it out, as DAPO's overlong filter does
            (arXiv:2503.14476); `malformed` treats it as any text that is not a skill.

    Raises:
        ConfigurationError: a value is out of its range, or `rollout` is asked for while siblings count.
    """

    credit: Literal["skill-r1", "evolving-rl", "sage"] = "evolving-rl"
    later_weight: float | None = None
    bonus: float | None = None
    intra: Literal["candidate", "rollout"] = "candidate"
    inter_weight: Annotated[float, AT_LEAST_0] = 1.0
    first_inter: Literal["baseline", "zero"] = "baseline"
    scale: Literal["none", "std"] = "none"
    malformed_reward: Annotated[float, Limit(least=-1, most=1)] | None = 0.0
    cut_off: Literal["drop", "malformed"] = "drop"

    def __post_init__(self) -> None:
        check_fields(self)
        _ = self.weights  # checks them
        if self.intra == "rollout" and self.weights != Credit.of("skill-r1"):
            raise ConfigurationError(
                f"intra is 'rollout' and credit is {self.credit!r}; that wording compares rollouts of a text's own task alone: set "
                "credit to 'skill-r1', or intra to 'candidate'"
            )

    @property
    def weights(self) -> Credit:
        """The weights of a text's own task and of its siblings.

        Raises:
            ConfigurationError: no credit has this name, or a weight is out of its range.
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
        clip_low: Epsilon of the clip below a ratio of 1.
        clip_high: Epsilon of the clip above a ratio of 1.
        ratio_cap: The largest ratio that a token with a negative advantage counts with (dual clip); None means no limit.
        log_ratio_limit: |log ratio| is cut to this before it is exponentiated.
        kl_weight: Beta, the weight of the KL term.
        reference: The policy that the KL term is measured to. `base` is the frozen base model; `behaviour` is the policy that wrote each
            text, by its logged log-probabilities, which costs no forward pass. `auto` is `base` for a new adapter and `behaviour` where
            one is trained further, as iterative GRPO begins each round at the policy of the last (arXiv:2402.03300, Algorithm 1): an
            adapter that was taught its form by imitation is far from a base that has none.
        kl_importance: Weigh the KL term by the ratio, because the tokens are the behaviour policy's and not the current one's.
        max_share: Share of a step's tokens that one candidate counts as, at most (or twice the mean of the step's, where that is more): each
            of its tokens counts for less where it has more. 1 means no limit.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    clip_low: Annotated[float, Limit(above=0, below=1)] = 0.2
    clip_high: Annotated[float, ABOVE_0] = 0.2
    ratio_cap: float | None = 3.0
    log_ratio_limit: Annotated[float, Limit(above=0, most=60)] = 10.0
    kl_weight: Annotated[float, AT_LEAST_0] = 0.01
    reference: Literal["auto", "base", "behaviour"] = "auto"
    kl_importance: bool = True
    max_share: Annotated[float, Limit(above=0, most=1)] = 0.25

    def __post_init__(self) -> None:
        check_fields(self)
        if self.ratio_cap is not None and self.ratio_cap <= 1 + self.clip_high:
            raise ConfigurationError(f"ratio_cap is {self.ratio_cap!r}; give a number above 1 + clip_high, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """Settings of a training run.

    Args:
        rank: The adapter's rank; an adapter that is trained further keeps its own.
        alpha: The adapter's alpha; it is scaled by alpha / rank.
        targets: Names of the modules that get an adapter; None lets the model's family decide.
        learning_rate: The highest learning rate. LoRA wants about ten times that of full training (J. Schulman et al., "LoRA
            Without Regret", 2025).
        warmup: Share of all steps in which it rises from 0; then it falls as a cosine to 0.
        weight_decay: AdamW's weight decay.
        max_grad_norm: Gradients are scaled down to this norm.
        epochs: Passes over the groups.
        groups_per_step: Groups whose gradients make one step, over all processes; None lets their number decide: up to 8, but few enough
            for 8 steps in a pass, so that a first night of 16 groups takes 24 steps and not 4.
        max_steps: Stop after so many steps; None means no limit.
        max_minutes: Take no further step after so many minutes, counted from this start if a run resumes; None means no
            limit.
        way: The way to compute a group: `shared` computes its prompt once, `plain` once a candidate, `auto` shares it
            where that is right for the model.
        rows: Candidates of one forward pass of the plain way.
        head_chunk: Tokens whose logits are in memory at a time.
        gradient_checkpointing: Compute activations again rather than keep them.
        dtype: The base model's data type: `auto` is bfloat16 on a GPU that has it, else float32. The adapter is
            float32.
        max_kl: Stop when a step's KL to the reference is above this (nats a token).
        max_ratio: Stop when a step's mean ratio is above this, or below its inverse.
        max_bad_steps: Stop as failed after so many steps in a row without a finite loss and gradient.
        snapshot_steps: Steps between two snapshots.
        logprob_tolerance: Nats a token, on average, that logged log-probs may differ from recomputed ones.
        logprob_samples: Groups whose log-probs are recomputed before the first step.
        validation_groups: Groups held back from training that the policy is scored on before and after.
        sft_epochs: Passes of supervised training on accepted revisions before the first step; 0 means none.
        sft_from: Whose revisions those are: `own` are those among the groups, which this base model wrote; `any` are the run's
            pairs of messages and texts, of any generator, read again by this model's own chat template.
        seed: Seed of the data's order and of a new adapter.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    rank: Annotated[int, AT_LEAST_1] = 16
    alpha: Annotated[int, AT_LEAST_1] = 32
    targets: tuple[str, ...] | None = None
    learning_rate: Annotated[float, ABOVE_0] = 1e-4
    warmup: Annotated[float, Limit(least=0, below=1)] = 0.05
    weight_decay: Annotated[float, AT_LEAST_0] = 0.0
    max_grad_norm: Annotated[float, ABOVE_0] = 1.0
    epochs: Annotated[int, AT_LEAST_1] = 3
    groups_per_step: Annotated[int, AT_LEAST_1] | None = None
    max_steps: Annotated[int, AT_LEAST_1] | None = None
    max_minutes: Annotated[float, ABOVE_0] | None = None
    way: Way = "auto"
    rows: Annotated[int, AT_LEAST_1] = 2
    head_chunk: Annotated[int, AT_LEAST_1] = 1024
    gradient_checkpointing: bool = True
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    max_kl: Annotated[float, ABOVE_0] = 1.0
    max_ratio: Annotated[float, Limit(above=1)] = 3.0
    max_bad_steps: Annotated[int, AT_LEAST_1] = 5
    snapshot_steps: Annotated[int, AT_LEAST_1] = 5
    logprob_tolerance: Annotated[float, ABOVE_0] = 0.1
    logprob_samples: Annotated[int, AT_LEAST_0] = 4
    validation_groups: Annotated[int, AT_LEAST_0] = 64
    sft_epochs: Annotated[int, AT_LEAST_0] = 0
    sft_from: Literal["own", "any"] = "own"
    seed: Annotated[int, AT_LEAST_0] = 0

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def imitates_pairs(self) -> bool:
        """Whether a run begins with the pairs in its folder."""
        return self.sft_epochs > 0 and self.sft_from == "any"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
