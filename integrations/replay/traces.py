"""An agent's recorded runs, by task: which failed, and which of them a replay tries."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skill_plugin import histories, verifiers
from skill_plugin.errors import ConfigurationError, InvalidHistoryError, VerifierError
from skill_plugin.histories.fields import last_said
from skill_plugin.protocols import Verifier
from skill_plugin.records import Rollout, Task

CALLS_A_FAILURE = 8
"""Model calls that a failure costs, about: more where a skill is written from it, fewer where one that exists solves it."""

HELD_OUT = 0.25
"""Share of a family's failures that no writer of skills sees; at least one of two."""

GUARDS = 4
"""Recorded successes of a family beside its held-out failures, at most: the gate sees by them what a skill breaks."""

COMPARED = 200
"""Recorded tasks on which a verifier is compared with the recording, at most."""

LEAST_AGREEMENT = 0.5
"""Share of the recorded successes that a verifier nobody chose has to pass."""


@dataclass(frozen=True)
class RecordedTask:
    """A task with the runs that were recorded of it; `where` is the `file:line` of the first."""

    task: Task
    runs: tuple[Rollout, ...]
    where: str

    @property
    def judged(self) -> list[Rollout]:
        return [one for one in self.runs if one.reward is not None]

    @property
    def failed(self) -> bool:
        """Returns whether a run has a reward and did not pass."""
        return any(not one.passed for one in self.judged)

    @property
    def passed(self) -> bool:
        return bool(self.judged) and not self.failed

    @property
    def shown(self) -> Rollout:
        """Returns the run to show: the first that failed, else the first."""
        return next((one for one in self.judged if not one.passed), self.runs[0])


@dataclass(frozen=True)
class Traces:
    """The recorded runs of one file or folder.

    Args:
        path: The file or folder.
        tasks: By task, in the order of the file.
        refused: Rows that cannot be used, by reason.
        notes: What is odd but was taken, by what it is.
        judged_now: Runs without a reward whose recorded answer a verifier judged.
    """

    path: str
    tasks: Sequence[RecordedTask]
    refused: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    judged_now: int = 0

    @property
    def runs(self) -> int:
        return sum(len(one.runs) for one in self.tasks)

    @property
    def rewarded(self) -> int:
        """Returns how many runs have a reward."""
        return sum(len(one.judged) for one in self.tasks)

    @classmethod
    def read(cls, path: str | Path, format: str = histories.AUTO, *, family: str | None = None) -> "Traces":  # noqa: A002 - its name on the command line
        """Reads recorded runs in any format of histories.

        Raises:
            ConfigurationError: no format has this name.
            InvalidHistoryError: the file cannot be read, or holds no run.
        """
        refused, notes, found = Counter[str](), Counter[str](), dict[str, RecordedTask]()
        for one in histories.read(format, path, family=family, judged=False):
            if isinstance(one, histories.Refusal):
                refused[one.reason] += one.rollouts
            elif isinstance(one, histories.Note):
                notes[one.what] += 1
            else:
                notes.update(one.notes)
                ran = tuple(kept.rollout for kept in one.rollouts if kept.rollout.purpose == "run")
                known = found.get(one.task.content_hash) or RecordedTask(one.task, (), one.where)
                if known.runs or ran:
                    found[one.task.content_hash] = replace(known, runs=known.runs + ran)
        if not found:
            why = "; ".join(f"{count} refused: {reason}" for reason, count in refused.most_common(3))
            raise InvalidHistoryError(
                f"{str(path)!r} holds no run that can be replayed ({why or 'no row is a run'}); docs/histories.md says what a row needs"
            )
        return cls(str(path), list(found.values()), dict(refused.most_common()), dict(notes.most_common()))

    async def judged_by(self, verifier: Verifier | None, concurrency: int) -> "Traces":
        """Has a verifier judge the recorded answers of runs that have no reward; those that it cannot judge stay without."""
        slots = asyncio.Semaphore(concurrency)

        async def judged(task: Task, run: Rollout) -> Rollout:
            if run.reward is not None or (run.error is not None and not run.is_cut) or not run.answer:
                return run
            try:
                async with slots:
                    judge = verifiers.verifier_of(task.verifier, verifier) if task.verifier else verifier
                    if judge is None:
                        return run
                    verdict = await verifiers.arun(judge, task, last_said(run.answer))
            except (VerifierError, ConfigurationError):
                return run
            return replace(run, reward=verdict.reward, passed=verdict.passed, feedback=verdict.feedback)

        tasks = [
            replace(one, runs=tuple(await asyncio.gather(*(judged(one.task, run) for run in one.runs))))
            for one in self.tasks
        ]
        again = replace(self, tasks=tasks)
        return replace(again, judged_now=again.rewarded - self.rewarded)

    def check(self) -> None:
        """Says in one line why there is nothing to replay.

        Raises:
            InvalidHistoryError: no run has a reward, or none failed.
        """
        if not self.rewarded:
            raise InvalidHistoryError(
                f"none of the {self.runs} runs in {self.path!r} has a reward, so nothing says which failed; give each a reward or "
                "an evaluation (docs/histories.md says where), or have their answers judged: --verifier NAME, "
                "--verifier package.module:function, or --verifier llm_judge"
            )
        if not any(one.failed for one in self.tasks):
            raise InvalidHistoryError(
                f"none of the {self.rewarded} judged runs in {self.path!r} failed, so there is nothing to repair; "
                "give traces with failures"
            )


@dataclass(frozen=True)
class Draw:
    """The tasks of a replay, each with its verifier and its split.

    Args:
        train: Failures that skills may be written from.
        heldout: Failures that no writer sees.
        guards: Held-out tasks that passed when they were recorded.
        left_out: Failures beyond the cap.
        unjudged: Failures for which nothing says how to judge a new answer.
        agreement: Recorded runs on whose outcome the verifiers agree, and how many they judged.
        chosen: Verifiers that nobody named: they were chosen by the form of the reference.
    """

    train: Sequence[RecordedTask]
    heldout: Sequence[RecordedTask]
    guards: Sequence[RecordedTask]
    left_out: Sequence[RecordedTask]
    unjudged: Sequence[RecordedTask]
    agreement: tuple[int, int] = (0, 0)
    chosen: Sequence[str] = ()

    @property
    def failures(self) -> list[RecordedTask]:
        return [*self.train, *self.heldout]

    @property
    def tasks(self) -> list[Task]:
        return [one.task for one in (*self.train, *self.heldout, *self.guards)]


async def draw(traces: Traces, verifier: Verifier | None, max_calls: int) -> Draw:
    """Chooses as many failures as the cap is enough for, families in turn, and holds some of each family out.

    A task that a hash holds out everywhere is held out here too, so that a skill taken from a replay has seen no judge of
    the store it goes to. Only a family whose every failure is held out gives one to be written from.

    Raises:
        InvalidHistoryError: see `Traces.check`.
        ConfigurationError: nothing says how to judge a new answer, or what is chosen for it rejects the recorded successes.
    """
    traces.check()
    named = None if verifier is None else verifiers.spec(verifier)
    tasks = [(one, _with_verifier(one, named)) for one in traces.tasks]
    failing = [able for one, able in tasks if one.failed and able is not None]
    unjudged = [one for one, able in tasks if one.failed and able is None]
    if not failing:
        raise ConfigurationError(
            f"nothing says how to judge a new answer to the {len(unjudged)} failures in {traces.path!r}: they name no reference; pass "
            "--verifier NAME, --verifier package.module:function, or --verifier llm_judge"
        )
    chosen = sorted(
        {(able.task.verifier or {})["name"] for one, able in tasks if able is not None and one.task.verifier is None}
        if named is None
        else ()
    )
    agreement = await _agreement(
        [able for _, able in tasks if able is not None], verifier, traces.path, strict=bool(chosen)
    )
    judged_for_free = all(_is_free(verifiers.verifier_of(one.task.verifier or {}, verifier)) for one in failing)
    calls = CALLS_A_FAILURE if judged_for_free else 2 * CALLS_A_FAILURE
    drawn, left_out = _in_turn(failing, max(1, max_calls // calls))
    train, heldout = _split(drawn)
    return Draw(
        train=train,
        heldout=heldout,
        guards=_guards([able for one, able in tasks if one.passed and able is not None], train, heldout),
        left_out=left_out,
        unjudged=unjudged,
        agreement=agreement,
        chosen=chosen,
    )


def _with_verifier(one: RecordedTask, named: dict[str, Any] | None) -> RecordedTask | None:
    """Returns the task with the verifier of a new answer: its own, the one that is given, or one for its reference."""
    spec = one.task.verifier or named or _default(one.task.reference)
    return None if spec is None else replace(one, task=replace(one.task, verifier=spec))


def _default(reference: Any) -> dict[str, Any] | None:
    """Returns the verifier for a reference that is a number or a text; None for any other."""
    if isinstance(reference, bool) or not isinstance(reference, str | int | float) or reference == "":
        return None
    try:
        float(reference)
    except ValueError:
        return verifiers.spec(verifiers.normalized_text())
    return verifiers.spec(verifiers.numeric())


async def _agreement(
    tasks: Sequence[RecordedTask], verifier: Verifier | None, path: str, *, strict: bool
) -> tuple[int, int]:
    """Returns on how many recorded outcomes the verifiers agree, and of how many; judges that cost money are not asked.

    Raises:
        ConfigurationError: with `strict`, if they reject most of what passed.
    """
    outcomes: list[tuple[bool, bool]] = []
    for one in tasks[:COMPARED]:
        judge = verifiers.verifier_of(one.task.verifier or {}, verifier)
        if not _is_free(judge):
            continue
        for run in one.judged:
            try:
                verdict = await verifiers.arun(judge, one.task, last_said(run.answer))
            except VerifierError:
                continue
            outcomes.append((bool(run.passed), bool(verdict.passed)))
    passed = [now for before, now in outcomes if before]
    if strict and passed and sum(passed) < LEAST_AGREEMENT * len(passed):
        raise ConfigurationError(
            f"only {sum(passed)} of the {len(passed)} recorded answers in {path!r} that passed are equal to their reference, so that is not "
            "how they were judged; pass --verifier NAME, --verifier package.module:function, or --verifier llm_judge"
        )
    return sum(before == now for before, now in outcomes), len(outcomes)


def _is_free(judge: Verifier) -> bool:
    inner = getattr(judge, "inner", judge)
    return not isinstance(inner, verifiers.llm_judge | verifiers.weighted)


def _in_turn(failing: Sequence[RecordedTask], most: int) -> tuple[list[RecordedTask], list[RecordedTask]]:
    """Returns the first failures of every family, as many as there may be, and the rest."""
    families: defaultdict[str, list[RecordedTask]] = defaultdict(list)
    for one in failing:
        families[one.task.family].append(one)
    rounds = sorted(
        ((turn, at, one) for at, tasks in enumerate(families.values()) for turn, one in enumerate(tasks)),
        key=lambda place: place[:2],
    )
    return [one for _, _, one in rounds[:most]], [one for _, _, one in rounds[most:]]


def _split(drawn: Sequence[RecordedTask]) -> tuple[list[RecordedTask], list[RecordedTask]]:
    """Returns the failures to write from and those that are held out, each with its split."""
    families: defaultdict[str, list[RecordedTask]] = defaultdict(list)
    for one in drawn:
        families[one.task.family].append(one)
    train: list[RecordedTask] = []
    heldout: list[RecordedTask] = []
    for tasks in families.values():
        known = [one for one in tasks if one.task.split == "heldout"]
        others = [one for one in tasks if one.task.split == "train"]
        wanted = max(1, round(HELD_OUT * len(tasks))) if len(tasks) > 1 else 0
        if not others:
            others.append(known.pop(0))
        while len(known) < wanted and len(others) > 1:
            known.append(others.pop())
        train += [_in_split(one, "train") for one in others]
        heldout += [_in_split(one, "heldout") for one in known]
    return train, heldout


def _guards(
    passed: Sequence[RecordedTask], train: Sequence[RecordedTask], heldout: Sequence[RecordedTask]
) -> list[RecordedTask]:
    judging = Counter(one.task.family for one in heldout)
    left = {family: min(GUARDS, max(2, judging[family])) for family in {one.task.family for one in train}}
    found = []
    for one in sorted(passed, key=lambda one: one.task.content_hash):
        if left.get(one.task.family, 0) > 0:
            left[one.task.family] -= 1
            found.append(_in_split(one, "heldout"))
    return found


def _in_split(one: RecordedTask, split: Any) -> RecordedTask:
    return replace(one, task=replace(one.task, split=split, chain=None, position=None))
