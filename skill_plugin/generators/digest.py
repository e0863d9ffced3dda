"""A history in numbers: each attempt's outcome, and a digest of all of them in three lines.

The three are those of Skill-SD (arXiv:2604.10674): `success_analysis`, `mistake_analysis` and `golden_workflow`. There a
model writes them; here they are made of rewards, feedback and line differences alone, so that one history gives one digest.

A history may also hold generations of the task's family. A generation with a `task` is of another task: if rejected, it
is a text that another lineage wrote; else its rollouts are those of the current text (or of no skill) on that task. It
is never an attempt on the own task, nor the current skill.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skill_plugin.records import Generation, Rollout, mean_reward
from skill_plugin.skills.skill_md import body_of

MAX_QUOTED = 120
"""Characters of a feedback, a task or a skill's line that is quoted."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One generation of a history. `candidate` counts from 1 where several share the generation's number."""

    generation: Generation
    candidate: int | None = None
    is_current: bool = False

    @property
    def name(self) -> str:
        """The attempt's name, made of its place alone: the same history has the same names on every machine."""
        number = f"generation {self.generation.number}"
        return number if self.candidate is None else f"{number}, candidate {self.candidate}"

    @property
    def text(self) -> str | None:
        return self.generation.text

    @property
    def rollouts(self) -> list[Rollout]:
        return [rollout for rollout in self.generation.rollouts if rollout.arm != "control"]

    @property
    def judged(self) -> list[Rollout]:
        return [rollout for rollout in self.rollouts if rollout.reward is not None]

    @property
    def failing(self) -> list[Rollout]:
        return [rollout for rollout in self.judged if not rollout.passed]

    @property
    def passing(self) -> list[Rollout]:
        return [rollout for rollout in self.judged if rollout.passed]

    @property
    def mean(self) -> float | None:
        return self.generation.mean_reward

    @property
    def controls(self) -> list[Rollout]:
        """The judged rollouts that were run without the skill, to compare with."""
        return [
            rollout for rollout in self.generation.rollouts if rollout.arm == "control" and rollout.reward is not None
        ]


def attempts(history: Sequence[Generation]) -> list[Attempt]:
    """Returns the generations of the history's own task, with their places.

    The current skill is the last that was neither refused nor rejected; if that one has no text, the history has no
    current skill.
    """
    history = [one for one in history if one.task is None]
    standing = [at for at, one in enumerate(history) if one.error is None and one.rejected is None]
    current = standing[-1] if standing and history[standing[-1]].text is not None else None
    sizes, seen = Counter(generation.number for generation in history), Counter[int]()
    found = []
    for at, generation in enumerate(history):
        seen[generation.number] += 1
        candidate = seen[generation.number] if sizes[generation.number] > 1 else None
        found.append(Attempt(generation, candidate, at == current))
    return found


def current_text(history: Sequence[Generation]) -> str | None:
    """Returns the SKILL.md text that the next revision starts from; None without a current skill."""
    return next((attempt.text for attempt in attempts(history) if attempt.is_current), None)


def other_tasks(history: Sequence[Generation]) -> list[Attempt]:
    """Returns the attempts on other tasks of the family, in the history's order."""
    return [Attempt(one) for one in history if one.task is not None and one.rejected is None and one.error is None]


def refused_elsewhere(history: Sequence[Generation]) -> list[Attempt]:
    """Returns the rejected texts of the family's other lineages, in the history's order.

    Each text is returned once, with the newest reason; one that the own task's attempts hold as rejected is left out.
    """
    known = {one.text for one in history if one.task is None and one.rejected is not None}
    newest = {one.text: at for at, one in enumerate(history) if one.task is not None and one.rejected is not None}
    return [Attempt(history[at]) for at in sorted(newest.values()) if history[at].text not in known]


def feedback_counts(rollouts: Iterable[Rollout]) -> list[tuple[str, int]]:
    """Returns each distinct feedback and the number of rollouts that it was given to, the most frequent first."""
    return Counter(text for rollout in rollouts if (text := rollout.feedback.strip())).most_common()


def digest(tried: Sequence[Attempt], others: Sequence[Attempt] = (), refused: Sequence[Attempt] = ()) -> list[str]:
    """Returns the digest's three lines. The first two quote texts from outside, the third is in words of our own.

    Args:
        tried: The attempts on the own task; success is told of these alone.
        others: Attempts on other tasks of the family.
        refused: Texts that other lineages of the family wrote.
    """
    current = next((attempt for attempt in tried if attempt.is_current), None)
    scored = [attempt for attempt in tried if attempt.mean is not None and attempt.generation.rejected is None]
    # Among equals the current skill is the best, then the newest.
    best = max(reversed(scored), key=lambda attempt: (attempt.mean or 0.0, attempt.is_current), default=None)
    return [
        f"Success: {_success(best, scored)}.",
        f"Mistakes: {_mistakes(current, tried, others, refused)}.",
        f"Workflow: {_workflow(current, best, tried, others, refused)}.",
    ]


def one_line(text: str, limit: int | None = None) -> str:
    """Returns a text without line breaks, so that it cannot begin a heading."""
    line = " ".join(text.split())
    return line if limit is None or len(line) <= limit else f"{line[:limit]}..."


def _success(best: Attempt | None, scored: Sequence[Attempt]) -> str:
    if best is None:
        return "nothing has a verdict yet"
    if not best.mean:
        return "nothing has earned a reward yet"
    said = f"{_shown(best)} did best, {_score(best)}"
    worse = [one for one in scored if one.text is not None and (one.mean or 0.0) < best.mean]
    rival = max(worse, key=lambda attempt: attempt.mean or 0.0, default=None)
    lines = _only_in(best, rival) if rival is not None else ""
    return f"{said}; what it says and {_shown(rival)} does not: {lines}" if rival is not None and lines else said


def _mistakes(
    current: Attempt | None, tried: Sequence[Attempt], others: Sequence[Attempt], refused: Sequence[Attempt]
) -> str:
    said = []
    latest = current or next((attempt for attempt in reversed(tried) if attempt.rollouts), None)
    if latest is not None and (told := feedback_counts(latest.failing)):
        text, times = told[0]
        said.append(
            f'{_shown(latest)} fails most often with "{one_line(text, MAX_QUOTED)}" ({times} of {len(latest.judged)})'
        )
    if told := feedback_counts(rollout for attempt in others for rollout in attempt.failing):
        text, times = told[0]
        judged = sum(len(attempt.judged) for attempt in others)
        said.append(f'other tasks fail most often with "{one_line(text, MAX_QUOTED)}" ({times} of {judged})')
    if current is not None and current.mean is not None:
        worse = [one for one in tried if one.text is not None and one.mean is not None and one.mean < current.mean]
        worst = min(worse, key=lambda attempt: attempt.mean or 0.0, default=None)
        if worst is not None and (lines := _only_in(worst, current)):
            said.append(f"{_shown(worst)} did worse, {_score(worst)}, with {lines}")
    for what, number in (
        ("refused for its form", sum(attempt.generation.error is not None for attempt in tried)),
        ("rejected on other tasks", len(_rejected(tried)) + len(refused)),
    ):
        if number:
            said.append(f"{number} {'text was' if number == 1 else 'texts were'} {what}")
    return "; ".join(said) or "none is known"


def _workflow(
    current: Attempt | None,
    best: Attempt | None,
    tried: Sequence[Attempt],
    others: Sequence[Attempt],
    refused: Sequence[Attempt],
) -> str:
    steps, passes = [], current is not None and bool(current.judged) and not current.failing
    if current is None:
        steps.append("write the first skill, with what the feedback shows to be missing")
    elif passes and not any(attempt.failing for attempt in others):
        steps.append("keep the current skill, which passes, and change as little as you can")
    else:
        without = mean_reward(_without_skill(tried))
        if not passes and without is not None and current.mean is not None and current.mean <= without:
            steps.append(f"the current skill does no better than none ({without:.3g}): replace what misleads")
        elif current.passing:
            steps.append("keep what the passing answers followed")
        if best is not None and best.text is not None and (best.mean or 0.0) > (current.mean or 0.0):
            steps.append(f"take over what {_shown(best)} says otherwise")
        steps.append("correct or add what the most frequent feedback names")
    if others:
        steps.append("write what serves all the tasks shown")
    if _rejected(tried) or refused:
        steps.append("write no rejected text again as it stands")
    if any(attempt.generation.error is not None for attempt in tried):
        steps.append("keep to the form of the answer, to the letter")
    return "; ".join(steps)


def _rejected(tried: Sequence[Attempt]) -> list[Attempt]:
    return [attempt for attempt in tried if attempt.generation.rejected is not None]


def _without_skill(tried: Sequence[Attempt]) -> list[Rollout]:
    bare = [rollout for attempt in tried if attempt.text is None for rollout in attempt.judged]
    return bare + [rollout for attempt in tried for rollout in attempt.controls]


def _shown(attempt: Attempt) -> str:
    if attempt.is_current:
        return "the current skill"
    return attempt.name if attempt.text is not None else f"no skill ({attempt.name})"


def _score(attempt: Attempt) -> str:
    return f"mean reward {attempt.mean:.3g} over {len(attempt.judged)}"


def _only_in(one: Attempt, other: Attempt) -> str:
    """Returns the first lines of one body that the other does not have."""
    known = {line.strip() for line in body_of(other.text or "").split("\n")}
    lines = [line for line in body_of(one.text or "").split("\n") if line.strip() and line.strip() not in known]
    return ", ".join(f'"{one_line(line, MAX_QUOTED)}"' for line in lines[:2])
