"""Numbers of a store's histories, counted lineage by lineage, in memory that does not grow with them."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, get_args

from skill_plugin.histories.eligibility import BASE, Reason
from skill_plugin.histories.worth import CandidateRewards, has_signal
from skill_plugin.records import Purpose
from skill_plugin.training.data.dataset import Rules, decide_group, is_held_back
from skill_plugin.training.data.imitated import Imitable, cold_start
from skill_plugin.training.data.revised import RecordedRevision, revisions

OWN, IMPORTED = "own", "imported"


@dataclass(frozen=True, kw_only=True)
class HistoryStats:
    """Numbers that `histories stats` prints.

    `by_source` and `by_purpose` count all rollouts, everything else only those of lineages: not those on siblings, of
    the gate or of replays. `reward_by_generation` is of rollouts under a skill or none, not of the control arm; our own
    and imported ones apart. `groups_by_siblings` are the groups whose texts are compared on sibling tasks; the others
    are compared on their own task. The `inter_term` is R(g,c) less R of the text that c revises, on the same tasks:
    `measured_sd` is its spread over all candidates, `noise_sd` the spread by chance alone for rewards of mean p and K
    rollouts a candidate: sqrt(2 p (1 - p) / K). Only a spread above the noise can be learned from. `cold_start` counts the base
    model's texts, those that are skills, and the accepted texts of any generator; its `advice` is None where none is needed.
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
    cold_start: dict[str, Any]


@dataclass
class Rewards:
    """Mean and share of passes of a stream of rewards."""

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
class HistoryCounts:
    """Counts histories lineage by lineage. As in a training, `decide_group` decides what may be learned from.

    Rollouts on siblings, of the gate and of replays have run ids of their own: they come as lineages, but are not
    counted as such.

    Args:
        rules: The rules that decide about a revision.
        checkpoint: Count only texts that this checkpoint wrote, in lineages in which it wrote one; `base model` is the
            one without an adapter.
    """

    rules: Rules
    checkpoint: str | None = None
    lineages: int = 0
    generations: int = 0
    groups: int = 0
    groups_by_siblings: int = 0
    groups_with_signal: int = 0
    usable: int = 0
    base_texts: int = 0
    base_skills: int = 0
    imitable: Imitable = field(default_factory=Imitable)
    sources: Counter[str] = field(default_factory=Counter)
    refused: Counter[Reason] = field(default_factory=Counter)
    written_by: Counter[str | None] = field(default_factory=Counter)
    purposes: Counter[str] = field(default_factory=Counter)
    by_purpose: dict[str, Rewards] = field(default_factory=lambda: defaultdict(Rewards))
    by_generation: dict[tuple[int, str], Rewards] = field(default_factory=lambda: defaultdict(Rewards))
    inter: Spread = field(default_factory=Spread)
    compared: Rewards = field(default_factory=Rewards)
    rewards_a_candidate: Spread = field(default_factory=Spread)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Counts one lineage: the generations of one run on one task.

        Args:
            rows: Rows of `store.histories.rows` with one task and one run id.

        Raises:
            InvalidHistoryError: a row is damaged.
        """
        wanted = None if self.checkpoint == BASE else self.checkpoint
        written = list(revisions(rows))
        counted = [one for one in written if self.checkpoint is None or one.checkpoint == wanted]
        if self.checkpoint is not None and not counted:
            return
        numbers = {one.generation for one in written}
        for row in rows:
            for rollout in row["rollouts"]:
                if rollout["purpose"] == "run":
                    numbers.add(row["generation"])
                self._rollout(row["generation"], rollout)
        self.lineages += bool(numbers)
        self.generations += len(numbers)
        for _, group in groupby(counted, key=lambda one: one.group_id):
            self._group(list(group))

    def _rollout(self, generation: int, rollout: Mapping[str, Any]) -> None:
        source = OWN if rollout["source"] is None else IMPORTED
        reward, passed, purpose = rollout["reward"], bool(rollout["passed"]), rollout["purpose"]
        self.sources[source] += 1
        self.purposes[purpose] += 1
        if reward is None or rollout["arm"] != "skill":
            return
        self.by_purpose[purpose].add(reward, passed)
        if purpose == "run":
            self.by_generation[generation, source].add(reward, passed)

    def _group(self, group: Sequence[RecordedRevision]) -> None:
        _, reasons, worths, rewards = decide_group(group, self.rules)
        self.groups += 1
        self.groups_by_siblings += bool(worths.siblings)
        self.groups_with_signal += has_signal(worths.candidates)
        for revision, reason, judged, worth in zip(group, reasons, rewards, worths.candidates, strict=True):
            self.written_by[revision.checkpoint] += 1
            of_base = revision.is_of(self.rules.base_model)
            self.base_texts += of_base
            self.base_skills += of_base and not revision.malformed
            self.imitable.take(revision, worth, held_back=is_held_back(revision.task))
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

    def result(self, tasks: Mapping[str, int]) -> HistoryStats:
        """Returns the counted numbers, with the number of tasks by split."""
        ages = self.rules.ages or {}
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
                    "rollouts": self.purposes[purpose],
                    "mean": self.by_purpose[purpose].mean,
                    "passed": self.by_purpose[purpose].share,
                }
                for purpose in get_args(Purpose)
                if self.purposes[purpose]
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
                    "age": ages.get(name),
                }
                for name, count in self.written_by.most_common()
            ],
            retrain={"usable": self.usable, "refused": dict(self.refused.most_common())},
            cold_start={
                **(counts := {"texts": self.base_texts, "skills": self.base_skills, "imitable": self.imitable.count}),
                "advice": cold_start(**counts) if candidates else None,
            },
        )


def _compared(judged: CandidateRewards, siblings: Sequence[str]) -> Iterable[float]:
    """Returns the rewards that a candidate's worth is made of."""
    if not siblings:
        return judged.own
    return [reward for later in judged.later if later.task in siblings for reward in later.rewards]


def inter_noise(p: float, k: float) -> float:
    """Returns sqrt(2 p (1 - p) / k), the SD of the difference of two means of k rewards, each 1 with chance p."""
    return math.sqrt(2 * p * (1 - p) / k)
