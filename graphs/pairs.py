"""The gate's comparison: what users get today beside what they would get if a version were live, on held-out tasks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from skill_plugin.gates.decision import GateDecision
from skill_plugin.gates.versions import judge_version
from skill_plugin.graphs.finder import Finder, ShownSkills
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.protocols import GateRule
from skill_plugin.records import Rollout, Task
from skill_plugin.store import SkillStore

Pairs = list[tuple[float, float]]
Run = Callable[[Task, PinnedSkill | None], Awaitable[float | None]]
"""Returns the reward of a task under a skill, or without one; None without a verdict. It runs each once."""


class Lapses:
    """Tasks of a decision that have no verdict, under what was tried first or last, and tasks with an answer that was cut off."""

    def __init__(self) -> None:
        self._failed: set[str] = set()
        self._cut: set[str] = set()

    def note(self, task: Task, rollouts: Sequence[Rollout]) -> None:
        """Notes what a task's rollouts under one text came to; none means that every call failed."""
        if all(one.reward is None for one in rollouts):
            self._failed.add(task.id)
        if any(one.is_cut for one in rollouts):
            self._cut.add(task.id)

    def said_of(self, tasks: Sequence[Task]) -> str:
        """Returns a line about the lapses of some tasks; empty if there were none."""
        ids = {task.id for task in tasks}
        failed, cut = len(ids & self._failed), len(ids & self._cut)
        said = []
        if failed:
            said.append(f"{failed} of {len(ids)} judges left out, because the agent or the verifier failed")
        if cut:
            said.append(f"the token limit cut off answers to {cut} of {len(ids)} judges")
        return "; ".join(said)


async def run_pairs(run: Run, shown: Sequence[ShownSkills], *, hard: bool | None = None) -> Pairs:
    """Runs tasks as today and as they would be; returns both rewards of those that have a verdict both ways, shape [tasks][2].

    Args:
        run: Runs one.
        shown: The tasks, and what search shows for each.
        hard: Compare only those that are not solved today, or with False only those that are.
    """
    today = await asyncio.gather(*(run(one.task, one.today) for one in shown))
    before = [(one, reward) for one, reward in zip(shown, today, strict=True) if reward is not None]
    wanted = [(one, reward) for one, reward in before if hard is None or (reward < 1) == hard]
    then = await asyncio.gather(*(run(one.task, one.then) for one, _ in wanted))
    return [(b, a) for (_, b), a in zip(wanted, then, strict=True) if a is not None]


def decide_on(
    ref: str,
    shown: Sequence[ShownSkills],
    pairs: Pairs,
    *,
    finder: Finder,
    like: Sequence[Task],
    elsewhere: Pairs,
    rule: GateRule,
    lapses: Lapses,
    **evidence: Any,
) -> GateDecision:
    """Asks the rule about a version; see `judge_version`.

    Args:
        ref: `skill_id@version`.
        shown: The judges, and what search shows for each.
        pairs: Their rewards today and then.
        finder: Says which judges are of the version's kind.
        like: Tasks that the version was written for.
        elsewhere: Rewards today and then of tasks of other families that it would take.
        rule: Decides on the pairs.
        lapses: What the runs came to; the reason says it.
        **evidence: What else `judge_version` takes.
    """
    of_kind = [one for one in shown if finder.is_like(one.task, like)]
    decision = judge_version(
        [b for b, _ in pairs],
        [a for _, a in pairs],
        found=sum(one.finds(ref) for one in of_kind),
        of_kind=len(of_kind),
        elsewhere=elsewhere,
        rule=rule,
        **evidence,
    )
    said = lapses.said_of([one.task for one in shown])
    return replace(decision, reason=f"{decision.reason}; {said}") if said else decision


def found_elsewhere(finder: Finder, tasks: Sequence[Task], ref: str) -> list[ShownSkills]:
    """Returns those of other families' tasks for which search would show the version."""
    return [one for task in tasks if (one := finder.shows(task, ref)).finds(ref)]


def keep_decision(store: SkillStore, ref: str, decision: GateDecision, *, by: str) -> None:
    """Makes the version live, or notes why not."""
    if decision.promote:
        store.promote(ref, by=by, decision=decision)
    else:
        store.refuse(ref, by=by, decision=decision)


def tell(ref: str, decision: GateDecision) -> None:
    """Puts the decision into the stream and the trace."""
    emit("gated", {"skill": ref, **decision.to_json()}, skill=ref, **decision.to_json())
