"""The gate of skill versions: decides which goes live, if any, from rewards with it and without. Runs nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from skill_plugin.errors import ConfigurationError
from skill_plugin.gates.decision import GateDecision
from skill_plugin.protocols import GateRule

LEAST_OF_KIND = 3
"""With fewer tasks of its kind, the number of them for which search finds a text says too little to refuse it."""


LEAST_SAVED = 0.25
"""Share of the tokens that functions have to save to go live for that alone, where nothing regresses."""


def paired_gate(before: Sequence[float], after: Sequence[float]) -> GateDecision:
    """Promotes only on a strict paired gain: more tasks repaired than regressed (n01 > n10, arXiv:2605.10999).

    Args:
        before: Rewards under what is live now, shape [tasks].
        after: Rewards of the same tasks under the candidate, shape [tasks].

    Raises:
        ConfigurationError: the two differ in length.
    """
    if len(before) != len(after):
        raise ConfigurationError(
            f"the gate compares pairs, got {len(before)} and {len(after)} rewards; run both on all tasks"
        )
    tasks = len(before)
    if tasks == 0:
        return GateDecision(False, "no held-out tasks to judge it by", 0, 0, 0, 0.0, 0.0)
    repairs = sum(b < a for b, a in zip(before, after, strict=True))
    regressions = sum(b > a for b, a in zip(before, after, strict=True))
    promote = repairs > regressions
    sign = ">" if promote else "<" if repairs < regressions else "="
    reason = f"{repairs} repaired {sign} {regressions} regressed of {tasks} held-out tasks"
    means = (sum(before) / tasks, sum(after) / tasks)
    return GateDecision(promote, reason, tasks, repairs, regressions, *means, replay_score(before, after))


class PairedGain:
    """Promotes on a strict paired gain; see `paired_gate`."""

    name = "paired"

    def decide(self, before: Sequence[float], after: Sequence[float]) -> GateDecision:
        return paired_gate(before, after)


class NoRegression:
    """Promotes where something is repaired and nothing regresses: for agents on which much depends."""

    name = "no-regression"

    def decide(self, before: Sequence[float], after: Sequence[float]) -> GateDecision:
        counted = paired_gate(before, after)
        if counted.promote and counted.regressions:
            return counted.refused("and none may regress")
        return counted


PAIRED = PairedGain()

GATES: dict[str, GateRule] = {rule.name: rule for rule in (PAIRED, NoRegression())}
"""Rules of the gate by name; add one of your own."""


def load_rule(rule: str | GateRule) -> GateRule:
    """Returns the rule of a name, or the object itself.

    Raises:
        ConfigurationError: no rule has this name, or the object has no `decide`.
    """
    found = GATES.get(rule) if isinstance(rule, str) else rule
    if not isinstance(found, GateRule):
        raise ConfigurationError(
            f"{rule!r:.80} is not a rule of the gate; use one of {', '.join(GATES)}, or an object with decide(before, after)"
        )
    return found


def judge_version(
    before: Sequence[float],
    after: Sequence[float],
    *,
    found: int,
    of_kind: int,
    elsewhere: Sequence[tuple[float, float]] = (),
    train_repairs: int = 0,
    saved: float = 0.0,
    easy: int = 0,
    judges: Sequence[str] = (),
    task: str = "",
    rule: GateRule | None = None,
) -> GateDecision:
    """Decides on a version by what users would get if it were live, reached through search.

    It goes live on a strict paired gain over held-out tasks; if those show neither a gain nor a loss, failing train
    tasks that it repairs count. It is refused in spite of a gain if search finds it for less than half of the tasks of
    its kind, or if it takes tasks of other families and breaks more of them than it repairs.

    Args:
        before: Rewards of the family's held-out tasks with what is live now, shape [tasks].
        after: Rewards of the same tasks as if the version were live, shape [tasks].
        found: Judges of its kind for which search would show it.
        of_kind: Judges of its kind.
        elsewhere: Rewards before and after of tasks of other families that it would take, shape [tasks][2].
        train_repairs: Failing train tasks that it repairs, less those that it breaks.
        saved: Share of the tokens of the held-out tasks that it saves; of a version without functions 0.
        easy: Judges that are solved today and were not run, because none of the others was repaired.
        judges: Content hashes of the judges.
        task: Content hash of the task that it was written from.
        rule: Decides on the pairs; by default a strict paired gain.

    Raises:
        ConfigurationError: `before` and `after` differ in length.
    """
    paired_gate(before, after)  # refuses what is not paired
    counted = (rule or PAIRED).decide([*before, *(b for b, _ in elsewhere)], [*after, *(a for _, a in elsewhere)])
    promote, reasons = counted.promote, [counted.reason]
    if easy:
        failing = (
            f"of {len(before)} held-out tasks that fail today" if before else "because no held-out task fails today"
        )
        reasons = [f"0 repaired {failing}, {easy} are solved without it"]
    if not promote and counted.tasks and not counted.regressions and train_repairs > 0:
        promote = True
        reasons.append(f"{train_repairs} failing train tasks repaired and nothing held out regressed")
    if not promote and counted.tasks >= LEAST_OF_KIND and not counted.regressions and saved >= LEAST_SAVED:
        promote = True
        reasons.append(f"its functions save {saved:.0%} of the tokens and nothing held out regressed")
    if found < of_kind:
        missed = f"search found it for {found} of {of_kind} tasks of its kind"
        if 2 * found < of_kind:
            missed += ": the description does not say when to use it"
            promote = promote and of_kind < LEAST_OF_KIND
        reasons.append(missed)
    if elsewhere:
        broken = sum(a < b for b, a in elsewhere)
        reasons.append(
            f"search would show it for {len(elsewhere)} tasks of other families, of which {broken} regressed"
        )
        if broken > sum(a > b for b, a in elsewhere):
            promote = False
            reasons[-1] += ": the description says too much"
    return replace(
        counted,
        promote=promote,
        reason="; ".join(reasons),
        found=found,
        of_kind=of_kind,
        shown_elsewhere=len(elsewhere),
        train_repairs=train_repairs,
        easy=easy,
        judges=tuple(judges),
        task=task,
    )


def replay_score(before: Sequence[float], after: Sequence[float]) -> float:
    """Returns `rho_hard * rho_easy` with `rho = (solved + 1) / (tasks + 1)` (Ctx2Skill, arXiv:2604.27660).

    Hard tasks are those that the live skills do not solve. The product, unlike a mean, prefers no version that buys
    hard tasks with easy ones; graded rewards count as parts of a solution.

    Args:
        before: Rewards under what is live now, shape [tasks].
        after: Rewards of the same tasks under the candidate, shape [tasks].
    """
    hard = [a for b, a in zip(before, after, strict=True) if b < 1]
    easy = [a for b, a in zip(before, after, strict=True) if b >= 1]
    return (sum(hard) + 1) / (len(hard) + 1) * (sum(easy) + 1) / (len(easy) + 1)


def choose(decisions: Mapping[str, GateDecision]) -> dict[str, GateDecision]:
    """Promotes only the candidate that replays best of those that passed; a tie goes to the one named first.

    The newest has no advantage: last rounds are worse than the best one as often as not (Ctx2Skill, arXiv:2604.27660).
    """
    passed = {ref: decision for ref, decision in decisions.items() if decision.promote}
    if len(passed) < 2:
        return dict(decisions)
    best = max(passed, key=lambda ref: passed[ref].replay)
    made = dict(decisions)
    for ref, decision in passed.items():
        if ref != best:
            reason = (
                f"{decision.reason}, but {best} replays better ({passed[best].replay:.2f} to {decision.replay:.2f})"
            )
            made[ref] = replace(decision, promote=False, reason=reason)
    return made
