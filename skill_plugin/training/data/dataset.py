"""Recorded histories become candidate groups: one group in memory at a time, however many rollouts there are."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from skill_plugin.disk import whole_file
from skill_plugin.errors import ConfigurationError, SkillPluginError
from skill_plugin.histories.eligibility import (
    BASE,
    MAX_AGE,
    NEGLIGIBLE,
    Example,
    Reason,
    group_temperature,
    refusal,
)
from skill_plugin.histories.worth import CandidateRewards, Worths, worths_of
from skill_plugin.limits import Limit, check_number
from skill_plugin.training.data.advantages import advantages_C_K, credited_C, parts
from skill_plugin.training.data.groups import Candidate, Group, Groups, GroupWriter
from skill_plugin.training.data.imitated import Imitable
from skill_plugin.training.data.pairs import FILE as PAIRS
from skill_plugin.training.data.pairs import PairWriter, pairs_sha256
from skill_plugin.training.data.revised import RecordedRevision, revisions
from skill_plugin.training.settings import AdvantageSettings

TRAIN, VALIDATION, REPORT = "train", "validation", "report.json"

VALIDATION_SHARE = 0.2
"""Share of tasks that are held back."""

HIGHEST_LOGPROB = 1e-3
"""A log-prob is at most 0, and rounding makes it a little more."""

_SALT = b"skill-plugin validation "
"""The same hash decides what is held out for the gate; without a salt one split would decide the other."""


@dataclass(frozen=True, kw_only=True)
class GroupReport:
    """Numbers of the groups that were built, and of the revisions they come from.

    Args:
        read: Revisions in the rows; each is either among `candidates` or among `refused`.
        groups: Groups to learn from, with those of validation.
        validation_groups: Groups of tasks that are held back.
        groups_by_siblings: Groups whose texts are compared on sibling tasks.
        groups_by_own_task: Groups whose texts are compared only on the task that they were written from.
        candidates: Revisions to learn from.
        rollouts: Rollouts with a reward under those revisions, on their own task.
        tokens: Tokens of their completions.
        refused: Number of refused revisions by reason, see `eligibility.refusal`.
        groups_without_signal: Groups that were left out because all advantages are 0.
        reward_mean: Mean reward of `rollouts`; None without any.
        reward_sd: Sample standard deviation of their rewards; None for fewer than two.
        share_malformed: Share of the read revisions that are malformed; None without any.
        base_texts: Texts of the base model with token ids.
        base_skills: Those among them that are skills.
        imitable: Accepted texts of any generator, see `imitated.Imitable`; they are learned from if they are asked for.
        not_imitated: Number of the other revisions by reason.
        checkpoints: Number of candidates that each checkpoint wrote; `base model` is the one without an adapter.
        since: Time when the first revision that was read was written, ISO 8601 in UTC.
        until: Time when the last one was written.
        train_sha256: Hash of the file of training groups.
        validation_sha256: Hash of the file of validation groups.
        pairs_sha256: Hash of the file of texts to imitate; None if they were not asked for.
    """

    read: int
    groups: int
    validation_groups: int
    groups_by_siblings: int
    groups_by_own_task: int
    candidates: int
    rollouts: int
    tokens: int
    refused: dict[str, int]
    groups_without_signal: int
    reward_mean: float | None
    reward_sd: float | None
    share_malformed: float | None
    base_texts: int
    base_skills: int
    imitable: int
    not_imitated: dict[str, int]
    checkpoints: dict[str, int]
    since: str | None
    until: str | None
    train_sha256: str
    validation_sha256: str
    pairs_sha256: str | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def build_groups(
    rows: Iterable[Mapping[str, Any]],
    folder: Path,
    *,
    base_model: str | None,
    ages: Mapping[str | None, int] | None,
    max_age: int | None = MAX_AGE,
    advantage: AdvantageSettings,
    validation_share: float = VALIDATION_SHARE,
    max_tokens: int | None = None,
    imitate: bool = False,
) -> GroupReport:
    """Writes `train/`, `validation/` and, when they are whole, `report.json`; and the texts to imitate, if they are wanted.

    Args:
        rows: Rows from `store.histories.rows` or `read_rows`, the candidates of a group one after the other.
        folder: The folder to write to; older groups in it are replaced.
        base_model: The model that is to be trained; None does not ask.
        ages: How many checkpoints each is behind the live one, None being the base model, see `eligibility.ages`; None does not
            ask.
        max_age: The most checkpoints that a revision may be behind.
        advantage: Settings by which rewards become advantages.
        validation_share: Share of tasks that are held back, whole: a hash of a task's content decides.
        max_tokens: The model's context; a longer prompt and completion are refused.
        imitate: Write the accepted texts of any generator too; their rows need the columns `export_file.IMITATED`.

    Raises:
        ConfigurationError: the share is not in [0, 1), or the folder cannot be written.
        InvalidHistoryError: a row is not ours, or damaged.
    """
    check_number("validation_share", validation_share, Limit(least=0, below=1), whole=False)
    rules = Rules(base_model, ages, None if ages is None else max_age, advantage, max_tokens)
    counts = _Counts()
    try:
        for name in (REPORT, PAIRS):
            (folder / name).unlink(missing_ok=True)
        with (
            GroupWriter(folder / TRAIN) as train,
            GroupWriter(folder / VALIDATION) as validation,
            PairWriter(folder) if imitate else nullcontext() as pairs,
        ):
            for _, found in groupby(revisions(rows), key=lambda one: one.group_id):
                candidates = list(found)
                group, reasons, worths, _ = decide_group(candidates, rules)
                counts.add(candidates, reasons, base_model)
                held_back = is_held_back(candidates[0].task, validation_share)
                for one, worth in zip(candidates, worths.candidates, strict=True):
                    pair = counts.imitable.take(one, worth, held_back=held_back)
                    if pair is not None and pairs is not None:
                        pairs.add(pair)
                if group is not None:
                    (validation if held_back else train).add(group)
                    counts.groups += 1
                    counts.groups_by_siblings += bool(group.siblings)
                    counts.validation_groups += held_back
        train_sha256, validation_sha256 = (Groups(folder / name).sha256 for name in (TRAIN, VALIDATION))
        report = counts.report(train_sha256, validation_sha256, pairs_sha256(folder))
        with whole_file(folder / REPORT) as unfinished:
            unfinished.write_text(json.dumps(report.to_json(), indent=2), encoding="utf-8")
    except SkillPluginError:
        raise
    except OSError as exc:
        raise ConfigurationError(
            f"{str(folder)!r} cannot be written: {exc.strerror or exc}; make room, or choose another place"
        ) from exc
    return report


class Rules(NamedTuple):
    """Rules that decide whether a revision is learned from; see `eligibility.refusal`."""

    base_model: str | None = None
    ages: Mapping[str | None, int] | None = None
    max_age: int | None = None
    advantage: AdvantageSettings = AdvantageSettings()
    max_tokens: int | None = None


class GroupDecision(NamedTuple):
    """The part of a group that is learned from; None is nothing.

    `reasons` say of each candidate why it is not learned from, None if it is; `worths` and `rewards` are those that
    each was judged by.
    """

    group: Group | None
    reasons: list[Reason | None]
    worths: Worths
    rewards: list[CandidateRewards]


def decide_group(revised: Sequence[RecordedRevision], rules: Rules) -> GroupDecision:
    """Splits the candidates of one prompt into those to train on and the reason each other one is refused."""
    first = revised[0]
    settings = rules.advantage
    dropped_C = [one.cut_off and settings.cut_off == "drop" for one in revised]
    rewards_of_malformed = [None if dropped else settings.malformed_reward for dropped in dropped_C]
    judged_C = [_judged(one, reward) for one, reward in zip(revised, rewards_of_malformed, strict=True)]
    worths = worths_of(judged_C, first.previous, settings.weights)
    rewards_C_K = [one.own if one.fixed is None else (one.fixed,) for one in judged_C]
    advantages = (
        [[one] for one in credited_C(worths.candidates, settings, generation=first.generation)]
        if worths.siblings
        else advantages_C_K(rewards_C_K, first.previous, settings, generation=first.generation)
    )
    signal = any(abs(one) > NEGLIGIBLE for row in advantages for one in row)
    temperature = group_temperature(one.temperature for one in revised)
    prompt: tuple[int, ...] | None = None
    candidates: list[Candidate] = []
    reasons: list[Reason | None] = []
    for one, dropped, rewards_K, worth, advantages_K in zip(
        revised, dropped_C, rewards_C_K, worths.candidates, advantages, strict=True
    ):
        example = Example(
            split=one.split,
            malformed=one.malformed,
            cut_off=dropped,
            imported=one.imported,
            prompt_tokens=len(one.prompt_token_ids),
            completion_tokens=len(one.completion_token_ids),
            logprobs=len(one.logprobs),
            base_model=one.base_model,
            age=None if rules.ages is None else rules.ages.get(one.checkpoint),
            rewards=worth.rollouts,
            signal=signal,
            other_tasks=worth.reward is None and bool(rewards_K) and bool(worths.siblings),
            other_distribution=one.temperature is None or one.temperature != temperature,
            wrong_logprobs=not all(map(math.isfinite, one.logprobs)) or max(one.logprobs, default=0) > HIGHEST_LOGPROB,
            other_prompt=prompt is not None and one.prompt_token_ids != prompt,
            too_long=rules.max_tokens is not None
            and len(one.prompt_token_ids) + len(one.completion_token_ids) > rules.max_tokens,
        )
        reason = refusal(
            example, base_model=rules.base_model, max_age=rules.max_age, malformed_reward=settings.malformed_reward
        )
        reasons.append(reason)
        if reason is None:
            prompt = one.prompt_token_ids
            pull, push = parts(advantages_K)
            candidates.append(
                Candidate(
                    number=one.candidate,
                    completion_token_ids=one.completion_token_ids,
                    logprobs=one.logprobs,
                    rewards=tuple(rewards_K),
                    pull=pull,
                    push=push,
                    checkpoint=one.checkpoint,
                    well_formed=not one.malformed,
                    reward=worth.reward,
                    gain=worth.gain,
                )
            )
    if prompt is None or temperature is None:
        return GroupDecision(None, reasons, worths, judged_C)
    group = Group(
        id=first.group_id,
        task=first.task,
        family=first.family,
        generation=first.generation,
        prompt_token_ids=prompt,
        temperature=temperature,
        candidates=tuple(candidates),
        previous_rewards=first.previous,
        siblings=worths.siblings,
    )
    return GroupDecision(group, reasons, worths, judged_C)


def _judged(one: RecordedRevision, malformed_reward: float | None) -> CandidateRewards:
    """Returns a revision's rewards; a fixed one for a malformed text with tokens, as a trained generator writes it."""
    if not (one.malformed and one.completion_token_ids):
        return CandidateRewards(one.rewards, one.later)
    return CandidateRewards((), fixed=malformed_reward)


def is_held_back(task: str, share: float = VALIDATION_SHARE) -> bool:
    """Returns whether a task is held back for validation, by its content hash."""
    return int.from_bytes(sha256(_SALT + task.encode()).digest()[:8]) < share * 2**64


@dataclass
class _Counts:
    groups: int = 0
    validation_groups: int = 0
    groups_by_siblings: int = 0
    groups_without_signal: int = 0
    read: int = 0
    malformed: int = 0
    base_texts: int = 0
    base_skills: int = 0
    candidates: int = 0
    tokens: int = 0
    rollouts: int = 0
    rewards: float = 0.0
    squares: float = 0.0
    refused: Counter[Reason] = field(default_factory=Counter)
    imitable: Imitable = field(default_factory=Imitable)
    checkpoints: Counter[str] = field(default_factory=Counter)
    since: datetime | None = None
    until: datetime | None = None

    def add(
        self, revised: Sequence[RecordedRevision], reasons: Sequence[Reason | None], base_model: str | None
    ) -> None:
        self.groups_without_signal += "no signal" in reasons
        judged: dict[str | None, tuple[float, ...]] = {}  # two candidates with one text share its rollouts
        for one, reason in zip(revised, reasons, strict=True):
            self.read += 1
            self.malformed += one.malformed
            of_base = one.is_of(base_model)
            self.base_texts += of_base
            self.base_skills += of_base and not one.malformed
            self.since = min(self.since or one.created_at, one.created_at)
            self.until = max(self.until or one.created_at, one.created_at)
            if reason is not None:
                self.refused[reason] += 1
                continue
            self.candidates += 1
            self.tokens += len(one.completion_token_ids)
            self.checkpoints[one.checkpoint or BASE] += 1
            if not one.malformed:
                judged[one.skill] = one.rewards
        for rewards in judged.values():
            self.rollouts += len(rewards)
            self.rewards += sum(rewards)
            self.squares += sum(reward * reward for reward in rewards)

    def report(self, train_sha256: str, validation_sha256: str, pairs_sha256: str | None) -> GroupReport:
        n = self.rollouts
        mean = self.rewards / n if n else None
        spread = None if mean is None or n < 2 else math.sqrt(max(0.0, self.squares - n * mean * mean) / (n - 1))
        return GroupReport(
            read=self.read,
            groups=self.groups,
            validation_groups=self.validation_groups,
            groups_by_siblings=self.groups_by_siblings,
            groups_by_own_task=self.groups - self.groups_by_siblings,
            candidates=self.candidates,
            rollouts=n,
            tokens=self.tokens,
            refused=dict(self.refused.most_common()),
            groups_without_signal=self.groups_without_signal,
            reward_mean=mean,
            reward_sd=spread,
            share_malformed=self.malformed / self.read if self.read else None,
            base_texts=self.base_texts,
            base_skills=self.base_skills,
            imitable=self.imitable.count,
            not_imitated=dict(self.imitable.refused.most_common()),
            checkpoints=dict(self.checkpoints.most_common()),
            since=_iso(self.since),
            until=_iso(self.until),
            train_sha256=train_sha256,
            validation_sha256=validation_sha256,
            pairs_sha256=pairs_sha256,
        )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
