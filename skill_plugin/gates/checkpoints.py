"""The gate of checkpoints: decides if a candidate generator goes live. `graphs/generator_gate.py` runs the rollouts.

Nothing is run here. Two things have to be right. The candidate's texts must be worth more than the live one's: measured
on held-out tasks (strict and paired, as for skills; see `gates.versions`), or without a task LLM estimated from logs
(see `gates.off_policy`). And its texts must be sound: as often a skill as the live one's, not bloated, not cut off, no
loops, and nothing in them that does not belong in a skill (see `skills.scan`).
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from statistics import median
from typing import Any, Literal, NamedTuple

import numpy as np

from skill_plugin.gates.bootstrap import TAIL, interval
from skill_plugin.gates.off_policy import MIN_ESS, MIN_TASKS, OffPolicyEstimate, verdict
from skill_plugin.gates.versions import load_rule
from skill_plugin.generators.prompt import estimated_tokens
from skill_plugin.protocols import GateRule
from skill_plugin.records import Revision
from skill_plugin.skills.scan import new_findings

Kind = Literal["paired", "off-policy", "none"]

TOLERANCE = 0.1
"""A share may be this much worse than the live generator's; a difference of one text never counts."""

LONGER = 2
"""The median text may be this many times as long as the live generator's,"""
SHORT = 512
"""or this many tokens, whatever the live one's are,"""
LONGEST = 4096
"""but never more than this many."""

LOOP = 0.15
"""A text whose last thousand bytes are compressed to less than this share says the same over and over."""

NO_TASKS = "no held-out tasks to judge it by"


class GateLook(NamedTuple):
    """One look at the pairs: how many tasks and texts of either generator there were by then, and the gain with its interval."""

    tasks: int
    texts: int
    gain: float
    low: float
    high: float


class GateCheck(NamedTuple):
    """One check of a candidate's texts; `said` holds the numbers."""

    name: str
    passed: bool
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointDecision:
    """The gate's decision on a candidate checkpoint, with its reason.

    Args:
        promote: Whether it goes live; if not, the live one stays.
        reason: The reason in words, with the numbers.
        kind: The evidence that it was judged by; `none` if there was nothing.
        tasks: Held-out tasks that were compared, or that the logs are of.
        repairs: Tasks on which the candidate's texts earned more; 0 for an estimate.
        regressions: Tasks on which they earned less; 0 for an estimate.
        before: Mean reward of the live generator's texts, in [0, 1]; for an estimate, mean reward above the logged
            texts'.
        after: Mean reward of the candidate's texts, in the same units.
        gain: after - before.
        low: Lower end of the gain's interval over tasks. It is of 95 %, wider where the gate looks more than once; see
            `gates.looks`.
        high: Upper end of that interval.
        checks: The checks of the candidate's texts.
        judges: The held-out tasks that were drawn, by content hash; the next draws prefer others.
        looks: The looks at the pairs, in their order.
        estimate: The estimate from the logs, if they were asked.
    """

    promote: bool
    reason: str
    kind: Kind = "none"
    tasks: int = 0
    repairs: int = 0
    regressions: int = 0
    before: float = 0.0
    after: float = 0.0
    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0
    checks: tuple[GateCheck, ...] = ()
    judges: tuple[str, ...] = ()
    looks: tuple[GateLook, ...] = ()
    estimate: OffPolicyEstimate | None = None

    @property
    def smallest(self) -> float:
        """The smallest gain that the gate could have seen: half the width of the interval."""
        return (self.high - self.low) / 2

    def to_json(self) -> dict[str, Any]:
        named = {"checks": [one._asdict() for one in self.checks], "looks": [one._asdict() for one in self.looks]}
        return asdict(self) | named


def decide(
    *,
    before: Sequence[float] = (),
    after: Sequence[float] = (),
    estimate: OffPolicyEstimate | None = None,
    candidate: Sequence[Revision] = (),
    live: Sequence[Revision] = (),
    hold: str | None = None,
    note: str = "",
    confident: bool = False,
    rule: str | GateRule = "paired",
    min_ess: float = MIN_ESS,
    min_tasks: int = MIN_TASKS,
    tail: float = TAIL,
    seed: int = 0,
) -> CheckpointDecision:
    """Decides on a candidate. Rewards of held-out tasks go before an estimate; without either the live generator stays.

    Args:
        before: Mean reward of the live generator's texts on each held-out task, shape [tasks].
        after: Mean reward of the candidate's texts on the same tasks, shape [tasks].
        estimate: The estimate from the logs.
        candidate: Texts that it wrote just now, each with its prompt. Without any it is not promoted: nothing of it was
            checked.
        live: Texts that the live generator wrote, at best from the same prompts.
        hold: The reason why the measurement may not promote, such as a comparison that was stopped half-way.
        note: Text that is added to the reason.
        confident: Also ask of the paired comparison that the gain's whole interval is above 0, over `min_tasks` or more. More
            repairs than regressions also come by chance: of candidates that are not better about one in three passes
            without this, and one in forty with it. A small gain then takes more tasks to be seen.
        rule: Decides on the pairs: a name in `gates.versions.GATES`, or an object with `decide(before, after)`. A mean gain is
            demanded too.
        min_ess: See `off_policy.verdict`.
        min_tasks: Fewest tasks for a confident decision.
        tail: The chance that the gain lies below the interval of the paired comparison; half of what that leaves out.
        seed: Seed of the bootstrap.

    Raises:
        ConfigurationError: the rewards are not pairs, or no rule has this name.
    """
    if before or after:
        measured = _paired(
            before, after, load_rule(rule), sure_of=min_tasks if confident else None, tail=tail, seed=seed
        )
    elif estimate is not None:
        measured = _estimated(estimate, *verdict(estimate, min_ess=min_ess, min_tasks=min_tasks))
    else:
        measured = CheckpointDecision(promote=False, reason=NO_TASKS)
    looked = tuple(checks(candidate, live))
    failed = [f"{check.name}: {check.said}" for check in looked if not check.passed and measured.kind != "none"]
    reasons = [*([hold] if hold else []), *failed, measured.reason, *([note] if note else [])]
    promote = measured.promote and not failed and hold is None
    return replace(measured, promote=promote, reason="; ".join(reasons), checks=looked)


def _paired(
    before: Sequence[float], after: Sequence[float], rule: GateRule, *, sure_of: int | None, tail: float, seed: int
) -> CheckpointDecision:
    counted = rule.decide(before, after)
    differences = [[a - b, 1.0] for b, a in zip(before, after, strict=True)]
    gain = counted.after - counted.before
    low, high = interval(np.array(differences), lambda sums_2: float(sums_2[0] / sums_2[1]), tail=tail, seed=seed)
    reason = f"{counted.reason}, mean gain {gain:+.3f} [{low:+.3f}, {high:+.3f}]"
    if sure_of is not None:
        enough = counted.tasks >= sure_of  # the interval of one pair has no width, and would claim to see everything
        could = f"the smallest gain that it could have seen is {(high - low) / 2:.3f}"
        reason += f" ({could if enough else f'it takes {sure_of} tasks to be sure of any gain'})"
    doubt = None
    if counted.promote and gain <= 0:
        doubt = "which is not above 0"
    elif counted.promote and sure_of is not None and counted.tasks < sure_of:
        doubt = f"over fewer than {sure_of} tasks"
    elif counted.promote and sure_of is not None and low <= 0:
        doubt = "whose interval is not above 0"
    promote, reason = counted.promote and doubt is None, f"{reason}, {doubt}" if doubt else reason
    return CheckpointDecision(
        promote=promote,
        reason=reason,
        kind="paired",
        tasks=counted.tasks,
        repairs=counted.repairs,
        regressions=counted.regressions,
        before=counted.before,
        after=counted.after,
        gain=gain,
        low=low,
        high=high,
    )


def _estimated(found: OffPolicyEstimate, promote: bool, reason: str) -> CheckpointDecision:
    return CheckpointDecision(
        promote=promote,
        reason=reason,
        kind="off-policy" if found.revisions else "none",
        tasks=found.tasks,
        before=found.live,
        after=found.candidate,
        gain=found.gain,
        low=found.low,
        high=found.high,
        estimate=found,
    )


def checks(candidate: Sequence[Revision], live: Sequence[Revision]) -> Iterable[GateCheck]:
    """Yields the checks of a candidate's texts beside the live generator's."""
    if not candidate:
        yield GateCheck("texts", False, "the candidate has written none to look at")
        return
    wrote, today = _share(candidate, _well_formed), _share(live, _well_formed) if live else 0.5
    worst = max(today - max(TOLERANCE, 1 / len(candidate)), 0.0)
    beside = f", the live one's {today:.0%}" if live else ""
    said = f"{wrote:.0%} of {len(candidate)} texts are skills{beside}"
    enough = wrote > 0 and wrote >= worst
    yield GateCheck("well-formed", enough, said if enough else f"{said}; it takes {worst:.0%} and more than none")
    yield _length(candidate, live)
    for name, bad, what in (("cut-off", _cut_off, "were cut off"), ("loops", _loops, "end in a loop")):
        wrote, today = _share(candidate, bad), _share(live, bad) if live else 0.0
        most = today + max(TOLERANCE, 1 / len(candidate) if len(candidate) > 1 else 0.0)
        said = f"{wrote:.0%} of {len(candidate)} texts {what}" + (f", the live one's {today:.0%}" if live else "")
        yield GateCheck(name, wrote <= most, said if wrote <= most else f"{said}; at most {most:.0%} may")
    yield _content(candidate)


def _length(candidate: Sequence[Revision], live: Sequence[Revision]) -> GateCheck:
    tokens = median(map(_tokens, candidate))
    said, most = f"the median text has {tokens:g} tokens", LONGEST
    if live:
        today = median(map(_tokens, live))
        said, most = f"{said}, the live one's {today:g}", min(LONGEST, max(SHORT, int(LONGER * today)))
    return GateCheck("length", tokens <= most, said if tokens <= most else f"{said}; at most {most} are allowed")


def _content(candidate: Sequence[Revision]) -> GateCheck:
    found = [
        new_findings(revision.completion, "\n".join(message["content"] for message in revision.prompt))
        for revision in candidate
    ]
    if not any(found):
        return GateCheck("content", True, f"nothing forbidden in {len(candidate)} texts")
    first = list(dict.fromkeys(chain.from_iterable(found)))[:3]
    shown = ", ".join(f"{kind} {excerpt!r}" for kind, excerpt, *_ in first)
    return GateCheck(
        "content", False, f"{sum(map(bool, found))} of {len(candidate)} texts hold what is forbidden: {shown}"
    )


def _share(revisions: Sequence[Revision], is_one: Callable[[Revision], bool]) -> float:
    return sum(map(is_one, revisions)) / len(revisions)


def _well_formed(revision: Revision) -> bool:
    return revision.text is not None and revision.error is None


def _tokens(revision: Revision) -> int:
    if revision.completion_token_ids is not None:
        return len(revision.completion_token_ids)
    return estimated_tokens(revision.completion) if revision.output_tokens is None else revision.output_tokens


def _cut_off(revision: Revision) -> bool:
    return revision.finish_reason == "length"


def _loops(revision: Revision) -> bool:
    end = revision.completion.encode("utf-8", "surrogatepass")[-1000:]
    return len(end) >= 300 and len(zlib.compress(end)) < LOOP * len(end)
