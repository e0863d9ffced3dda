"""The trials of a replay by task and text, read from its store, and what follows from them for each failure and each text."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skill_plugin.gates.decision import GateDecision
from skill_plugin.graphs import EvolveReport
from skill_plugin.integrations.replay.report import Outcome, PassedTrials, ReplayedFailure, ReplayedSkill
from skill_plugin.integrations.replay.traces import Draw, RecordedTask
from skill_plugin.records import Task, split_ref
from skill_plugin.store import SkillStore

Key = tuple[str, str | None]
"""A task's id, and the `skill_id@version` that it was run under."""

NOT_REACHED = "the cap was reached before it"


@dataclass(frozen=True)
class _Trial:
    passed: bool
    answer: str
    feedback: str


@dataclass
class Results:
    """Trials that have a verdict.

    Args:
        store: The replay's store.
        shown: The `skill_id@version` that search shows for a task at the end, by its id.
        errors: What went wrong in the last look at a task, by its id.
    """

    store: SkillStore
    shown: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    _trials: defaultdict[Key, list[_Trial]] = field(default_factory=lambda: defaultdict(list))
    _own: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _failed: dict[str, str] = field(default_factory=dict)
    _unjudged: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, store: SkillStore, ran: EvolveReport) -> "Results":
        """Reads what `evolve` has tried."""
        found = cls(store)
        for run_id, task_id, one in store.runs.evolve.rollouts(ran.run_id) if ran.run_id else ():
            if one.reward is not None:
                found._trials[task_id, one.skill].append(_Trial(bool(one.passed), one.answer, one.feedback))
                if run_id == f"{ran.run_id}:{task_id}" and one.skill is not None:
                    found._own[task_id].add(one.skill)
            elif one.error is not None:
                found._unjudged[task_id] = one.error
        found._failed = {row["task"]: row["error"] for row in ran.failed}
        return found

    def has(self, task: Task, ref: str | None) -> bool:
        return bool(self._trials.get((task.id, ref)))

    def add(self, task: Task, ran: Mapping[str, Any]) -> None:
        """Adds a run of the last look."""
        if ran["reward"] is None:
            self.errors[task.id] = ran["error"] or "it was not judged"
        else:
            trial = _Trial(bool(ran["passed"]), ran["answer"], ran["feedback"])
            self._trials[task.id, ran["skill"]].append(trial)

    def of(self, drawn: Draw, *, cut: bool) -> tuple[list[ReplayedFailure], list[ReplayedSkill], list[dict[str, str]]]:
        """Returns the failures, the texts that solved some, and further texts that the gate refused.

        Args:
            drawn: What was drawn.
            cut: Whether the replay ended early.
        """
        read_by = self._read_by()
        failures = [self._failure(one, read_by, cut=cut) for one in drawn.failures]
        accepted = [skill.ref for skill in self.store.list("live")]
        alone = sorted({one.skill for one in failures if one.outcome == "same task only" and one.skill})
        skills = [
            self._skill(ref, failures, read_by) for ref in (*accepted, *(ref for ref in alone if ref not in accepted))
        ]
        named = {skill.ref for skill in skills}
        refused = [
            {"name": skill.name, "ref": ref, "reason": event.reason}
            for skill in self.store.list()
            for event in self.store.history(skill.name)
            if event.kind == "refused" and (ref := f"{skill.id}@{event.version}") not in named
        ]
        return failures, skills, refused

    def _failure(self, one: RecordedTask, read_by: Mapping[str, set[str]], *, cut: bool) -> ReplayedFailure:
        task, recorded = one.task, one.shown
        before = self._passed(task, None)
        ref = self.shown.get(task.id)
        after = self._passed(task, ref) if ref is not None else None
        outcome, reason = self._outcome(task, before, after, ref, cut=cut)
        if outcome == "same task only":
            ref = next(own for own in sorted(self._own[task.id], key=_version) if self._solves(task, own))
            after = self._passed(task, ref)
        by = ref if outcome in ("solved", "same task only", "unsolved") else None
        return ReplayedFailure(
            task=task.input,
            family=task.family,
            where=one.where,
            recorded=recorded.answer,
            reward=recorded.reward,
            feedback=recorded.feedback,
            heldout=task.split == "heldout",
            outcome=outcome,
            skill=by,
            unseen=task.content_hash not in read_by.get(split_ref(by)[0], ()) if by and outcome != "unsolved" else None,
            before=before,
            after=after if by else None,
            reason=reason,
        )

    def _outcome(
        self, task: Task, before: PassedTrials | None, after: PassedTrials | None, ref: str | None, *, cut: bool
    ) -> tuple[Outcome, str]:
        if before is not None and before.solves:
            return "passes anyway", ""
        if before is not None and after is not None and after.solves:
            return "solved", ""
        if before is not None and any(self._solves(task, own) for own in self._own[task.id]):
            return "same task only", ""
        error = self.errors.get(task.id) or self._failed.get(task.input, "")
        if before is None or (ref is not None and after is None):
            return "not tried", error or self._unjudged.get(task.id) or NOT_REACHED
        # Without a skill that search shows, a failure that no text was tried on was only seen to fail once more.
        return ("not tried", NOT_REACHED) if cut and ref is None and not self._own[task.id] else ("unsolved", error)

    def _solves(self, task: Task, ref: str) -> bool:
        passed = self._passed(task, ref)
        return passed is not None and passed.solves

    def _passed(self, task: Task, ref: str | None) -> PassedTrials | None:
        trials = self._trials.get((task.id, ref))
        if not trials:
            return None
        shown = next((one for one in trials if not one.passed), trials[-1])
        return PassedTrials(
            passed=sum(one.passed for one in trials), trials=len(trials), answer=shown.answer, feedback=shown.feedback
        )

    def _read_by(self) -> dict[str, set[str]]:
        """Returns the content hashes of the tasks that the writer of each skill was shown, by the skill's id."""
        read: defaultdict[str, set[str]] = defaultdict(set)
        for row in self.store.histories.rows():
            if row["kind"] == "revision" and row["skill"] is not None:
                read[split_ref(row["skill"])[0]].update((row["content_hash"], *row["prompt_tasks"]))
        return dict(read)

    def _skill(self, ref: str, failures: Sequence[ReplayedFailure], read_by: Mapping[str, set[str]]) -> ReplayedSkill:
        skill_id, version = split_ref(ref)
        skill = self.store.get(ref)
        told = [event for event in self.store.history(skill_id) if event.version == version and event.evidence]
        decided = [event for event in told if event.kind in ("promoted", "refused")]
        last = (decided or told)[-1:]
        solved = [one for one in failures if one.skill == ref and one.outcome in ("solved", "same task only")]
        return ReplayedSkill(
            ref=ref,
            name=skill.name,
            text=skill.text,
            accepted=skill.status == "live",
            reason=last[0].reason if last else "",
            decision=GateDecision.from_json(decided[-1].evidence) if decided else None,
            written_from=len(read_by.get(skill_id, ())),
            solved=len(solved),
            solved_unseen=sum(bool(one.unseen) for one in solved),
        )


def _version(ref: str) -> int:
    return split_ref(ref)[1] or 0
