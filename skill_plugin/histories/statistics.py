"""What a store's histories hold, in numbers: gathered lineage by lineage, in memory that does not grow with them."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, get_args

from skill_plugin.credit import DEFAULT_CREDIT, Credit
from skill_plugin.histories.eligibility import (
    BASE,
    MALFORMED_REWARD,
    MAX_AGE,
    Example,
    Reason,
    group_temperature,
    refusal,
)
from skill_plugin.histories.worth import CandidateRewards, Later, has_signal, last_tried, worths_of
from skill_plugin.records import Purpose

OWN, IMPORTED = "own", "imported"


class CountedRevision(NamedTuple):
    """A revision as far as it is counted; token ids and log-probs by their number. `skill` is (id, version) or None.

    `temperature` is that of `eligibility.temperature_of`, `later` are its rewards on sibling tasks.
    """

    generation: int
    group_id: str
    skill: tuple[str, int] | None
    error: str | None
    source: str | None
    model: str | None
    checkpoint: str | None
    prompt_tokens: int
    completion_tokens: int
    logprobs: int
    temperature: float | None
    later: Sequence[Later] = ()

    @property
    def malformed(self) -> bool:
        return self.skill is None or self.error is not None


class CountedRollout(NamedTuple):
    """A rollout as far as it is counted."""

    generation: int
    skill: tuple[str, int] | None
    arm: str
    reward: float | None
    passed: bool | None
    source: str | None
    purpose: str = "run"


class CountedLineage(NamedTuple):
    """The generations of one run on one task. Revisions are in the order of their groups.

    Rollouts on siblings, of the gate and of replays have run ids of their own: they come as lineages, and are counted as none.
    """

    split: str
    revisions: Sequence[CountedRevision]
    rollouts: Sequence[CountedRollout]


class CheckpointAges(NamedTuple):
    """Ages in checkpoints, see `eligibility.ages`, and the base model of each checkpoint."""

    ages: Mapping[str | None, int]
    base_models: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class HistoryStats:
    """What `histories stats` says.

    `by_source` and `by_purpose` count all rollouts, everything else those of lineages alone: not those on siblings, of the gate and
    of replays. `reward_by_generation` is of rollouts under a skill or none, not of the control arm; our own and imported ones
    apart. `groups_by_siblings` are the groups whose texts are compared on sibling tasks, the others go by their own task. The
    `inter_term` is R(g,c) less that of what c revises, on the same tasks: `measured_sd` is its spread over all candidates,
    `noise_sd` what chance alone makes of it for rewards of mean p and K rollouts a candidate: sqrt(2 p (1 - p) / K). Only
    what is above the noise can be learned from.
    """

    tasks: dict[str, int]
    lineages: int
    generations: int
    groups: int
    candidates: int
    rollouts: int
    by_source: dict[str, int]
    by_purpose: list[dict[str, Any]]
    reward_by_generation: list[dict[str, Any]]
    groups_by_siblings: int
    groups_with_signal: int
    share_with_signal: float | None
    inter_term: dict[str, Any]
    checkpoints: list[dict[str, Any]]
    retrain: dict[str, Any]


@dataclass
class Rewards:
    """The mean of a stream, and how many passed."""

    count: int = 0
    total: float = 0.0
    passed: int = 0

    def add(self, reward: float, passed: bool) -> None:
        self.count += 1
        self.total += reward
        self.passed += passed

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    @property
    def share(self) -> float | None:
        return self.passed / self.count if self.count else None


@dataclass
class Spread:
    """Mean and sample standard deviation of a stream (Welford, 1962)."""

    count: int = 0
    _mean: float = 0.0
    _squares: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        before = value - self._mean
        self._mean += before / self.count
        self._squares += before * (value - self._mean)

    @property
    def mean(self) -> float | None:
        return self._mean if self.count else None

    @property
    def sd(self) -> float | None:
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else None


@dataclass
class Gatherer:
    """Takes lineages one by one.

    Args:
        checkpoints: What is known of checkpoints.
        base_model: See `eligibility.refusal`.
        max_age: See `eligibility.refusal`.
        checkpoint: Count only what this checkpoint wrote, in lineages in which it wrote something; `base model` is not one.
    """

    checkpoints: CheckpointAges
    base_model: str | None = None
    max_age: int = MAX_AGE
    checkpoint: str | None = None
    lineages: int = 0
    generations: int = 0
    groups: int = 0
    groups_by_siblings: int = 0
    groups_with_signal: int = 0
    usable: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    refused: Counter[Reason] = field(default_factory=Counter)
    written_by: Counter[str | None] = field(default_factory=Counter)
    rolled: Counter[str] = field(default_factory=Counter)
    by_purpose: dict[str, Rewards] = field(default_factory=lambda: defaultdict(Rewards))
    by_generation: dict[tuple[int, str], Rewards] = field(default_factory=lambda: defaultdict(Rewards))
    inter: Spread = field(default_factory=Spread)
    compared: Rewards = field(default_factory=Rewards)
    rewards_a_candidate: Spread = field(default_factory=Spread)

    def add(self, lineage: CountedLineage) -> None:
        wanted = None if self.checkpoint == BASE else self.checkpoint
        revisions = [one for one in lineage.revisions if self.checkpoint is None or one.checkpoint == wanted]
        if self.checkpoint is not None and not revisions:
            return
        own = [one for one in lineage.rollouts if one.purpose == "run"]
        numbers = {one.generation for one in own} | {one.generation for one in lineage.revisions}
        self.lineages += bool(numbers)
        self.generations += len(numbers)
        for one in lineage.rollouts:
            self.sources[OWN if one.source is None else IMPORTED] += 1
            self.rolled[one.purpose] += 1
            if one.reward is not None and one.arm == "skill":
                self.by_purpose[one.purpose].add(one.reward, bool(one.passed))
        rewards: defaultdict[int, list[float]] = defaultdict(list)
        by_skill: defaultdict[tuple[str, int] | None, dict[int, list[float]]] = defaultdict(dict)
        for one in own:
            if one.reward is not None and one.arm == "skill":
                rewards[one.generation].append(one.reward)
                by_skill[one.skill].setdefault(one.generation, []).append(one.reward)
                source = OWN if one.source is None else IMPORTED
                self.by_generation[one.generation, source].add(one.reward, bool(one.passed))
        for _, found in groupby(revisions, key=lambda one: one.group_id):
            group = list(found)
            # A malformed text without tokens is not one of a generator that is trained: a reflection of another system, say.
            candidates = [
                CandidateRewards((), fixed=MALFORMED_REWARD)
                if one.malformed and one.completion_tokens > 0
                else CandidateRewards(last_tried(by_skill[one.skill], one.generation) if one.skill else (), one.later)
                for one in group
            ]
            self._group(lineage.split, group, candidates, rewards.get(group[0].generation - 1, []))

    def _group(
        self,
        split: str,
        group: Sequence[CountedRevision],
        candidates: Sequence[CandidateRewards],
        previous: Sequence[float],
    ) -> None:
        worths = worths_of(candidates, previous, Credit.of(DEFAULT_CREDIT))
        signal = has_signal(worths.candidates)
        temperature = group_temperature(one.temperature for one in group)
        self.groups += 1
        self.groups_by_siblings += bool(worths.siblings)
        self.groups_with_signal += signal
        for revision, judged, worth in zip(group, candidates, worths.candidates, strict=True):
            self.written_by[revision.checkpoint] += 1
            elsewhere = worth.reward is None and bool(judged.own) and bool(worths.siblings)
            reason = self._refusal(
                split, revision, worth.rollouts, signal=signal, elsewhere=elsewhere, temperature=temperature
            )
            if reason is None:
                self.usable += 1
            else:
                self.refused[reason] += 1
            if worth.reward is not None and judged.fixed is None:
                self.rewards_a_candidate.add(worth.rollouts)
                for reward in _compared(judged, worths.siblings):
                    self.compared.add(reward, passed=False)
                if worth.gain is not None:
                    self.inter.add(worth.gain)

    def _refusal(
        self,
        split: str,
        revision: CountedRevision,
        rewards: int,
        *,
        signal: bool,
        elsewhere: bool,
        temperature: float | None,
    ) -> Reason | None:
        known = self.checkpoints.base_models.get(revision.checkpoint) if revision.checkpoint else None
        example = Example(
            split=split,
            malformed=revision.malformed,
            imported=revision.source is not None,
            prompt_tokens=revision.prompt_tokens,
            completion_tokens=revision.completion_tokens,
            logprobs=revision.logprobs,
            base_model=known or revision.model,
            age=self.checkpoints.ages.get(revision.checkpoint),
            rewards=rewards,
            signal=signal,
            other_tasks=elsewhere,
            other_distribution=revision.temperature is None or revision.temperature != temperature,
        )
        return refusal(example, base_model=self.base_model, max_age=self.max_age)

    def result(self, tasks: Mapping[str, int]) -> HistoryStats:
        """What was gathered, with the number of tasks by split."""
        candidates = self.written_by.total()
        k, p = self.rewards_a_candidate.mean, self.compared.mean
        return HistoryStats(
            tasks=dict(tasks),
            lineages=self.lineages,
            generations=self.generations,
            groups=self.groups,
            candidates=candidates,
            rollouts=self.sources.total(),
            by_source={name: self.sources[name] for name in (OWN, IMPORTED)},
            by_purpose=[
                {
                    "purpose": purpose,
                    "rollouts": self.rolled[purpose],
                    "mean": self.by_purpose[purpose].mean,
                    "passed": self.by_purpose[purpose].share,
                }
                for purpose in get_args(Purpose)
                if self.rolled[purpose]
            ],
            reward_by_generation=[
                {
                    "generation": number,
                    "source": source,
                    "rollouts": one.count,
                    "mean": one.mean,
                    "passed": one.share,
                }
                for (number, source), one in sorted(self.by_generation.items())
            ],
            groups_by_siblings=self.groups_by_siblings,
            groups_with_signal=self.groups_with_signal,
            share_with_signal=self.groups_with_signal / self.groups if self.groups else None,
            inter_term={
                "candidates": self.inter.count,
                "rollouts_a_candidate": k,
                "mean_reward": p,
                "noise_sd": None if k is None or p is None else inter_noise(p, k),
                "measured_sd": self.inter.sd,
            },
            checkpoints=[
                {
                    "checkpoint": name or BASE,
                    "revisions": count,
                    "share": count / candidates,
                    "age": self.checkpoints.ages.get(name),
                }
                for name, count in self.written_by.most_common()
            ],
            retrain={"usable": self.usable, "refused": dict(self.refused.most_common())},
        )


def _compared(judged: CandidateRewards, siblings: Sequence[str]) -> Iterable[float]:
    """The rewards that a candidate's worth is made of."""
    if not siblings:
        return judged.own
    return [reward for later in judged.later if later.task in siblings for reward in later.rewards]


def inter_noise(p: float, k: float) -> float:
    """Standard deviation of the difference of two means of k rewards that are 1 with probability p: sqrt(2 p (1 - p) / k)."""
    return math.sqrt(2 * p * (1 - p) / k)
