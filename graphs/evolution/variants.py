"""A text that a lineage has tried, or no skill, with everything that its rollouts said."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from skill_plugin.credit import FOLLOWED, LEAST_SIBLINGS, Credit, text_reward
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.records import Generation, Rollout, Task

NOT_FOUND = "search found it for {found} of {asked} tasks of its kind: the description does not say when to use it"


@dataclass
class Variant:
    """A text, or no skill, as one lineage has tried it.

    Args:
        skill: The text; None means no skill.
        number: The generation that it was tried in.
        own: Its rollouts on the lineage's task, controls included.
        later: Rollouts on the siblings, by `Task.id`, under what a run would be shown if the text were live.
        found: Siblings for which that is the text itself.
        called: For each sibling whether a function of the text ran to its end there; None where it has no functions.
        rejected: Why it is not to be revised further.
    """

    skill: PinnedSkill | None
    number: int
    own: Sequence[Rollout]
    later: Mapping[str, Sequence[Rollout]] = field(default_factory=dict)
    found: int = 0
    called: Mapping[str, bool] | None = None
    rejected: str | None = None

    @property
    def ref(self) -> str | None:
        return self.skill["ref"] if self.skill else None

    @property
    def solves(self) -> bool:
        """Returns whether every rollout on the task that has a verdict passed, controls left out."""
        judged = [one for one in self.own if one.reward is not None and one.arm == "skill"]
        return bool(judged) and all(one.passed for one in judged)

    def worth(self, credit: Credit) -> float:
        """Returns R(c), see `chains`; -1, below every reward, where nothing has a verdict."""
        own = [one.reward for one in self.own if one.reward is not None and one.arm == "skill"]
        used = self._used(self.later) or 0.0
        worth = text_reward(own, [rewards_of(rollouts) for rollouts in self.later.values()], credit, used=used)
        return -1.0 if worth is None else worth

    def _used(self, siblings: Iterable[str]) -> float | None:
        """Returns the share of siblings in which a function of it ran, as the calls that were recorded say.

        Without functions it is the share of rollouts under it that followed it; None where nobody judged that.
        """
        if self.called is not None:
            ran = [self.called.get(task, False) for task in siblings]
            return fmean(ran) if ran else None
        followed = [
            one.adherence >= FOLLOWED
            for task in siblings
            for one in self.later[task]
            if one.skill == self.ref and one.adherence is not None
        ]
        return fmean(followed) if followed else None

    def merit(self, credit: Credit) -> tuple[float, float]:
        """Returns by what it competes: its worth, and among equals its own task's mean reward.

        Siblings that pass already cannot show a repair of a task that differs from them; the gate can.
        """
        own = rewards_of([one for one in self.own if one.arm == "skill"])
        return self.worth(credit), fmean(own) if own else -1.0

    def helps(self, parent: "Variant", credit: Credit) -> bool:
        """Returns whether it is worth more than what it revised, or is worth the same and fails in another way."""
        worth, before = self.worth(credit), parent.worth(credit)
        return worth > before or (worth == before and self.failures != parent.failures)

    @property
    def failures(self) -> set[tuple[str, str]]:
        """Returns the feedback on the rollouts that fail, each with its task; of its own task only where too few siblings judge it."""
        judging = self.later if len(self.later) >= LEAST_SIBLINGS else {"": self.own}
        return {(task, one.feedback) for task, runs in judging.items() for one in runs if one.passed is False}

    def generation(self, credit: Credit) -> Generation:
        """Returns it as the generator's history shows it."""
        worth = self.worth(credit)
        return Generation(
            number=self.number,
            text=self.skill and self.skill["text"],
            skill=self.ref,
            rollouts=tuple(self.own),
            rejected=self.rejected,
            worth=None if worth < 0 else worth,
        )

    def evidence(self, task: Task, credit: Credit, before: "Variant", none: Mapping[str, Sequence[Rollout]]) -> Any:
        """Returns what training needs of it, as JSON.

        Args:
            task: The task that it was written from.
            credit: How it is credited.
            before: What it revised.
            none: Rollouts on the siblings under no skill, by `Task.id`.
        """
        return {
            "task": task.content_hash,
            "worth": self.worth(credit),
            "found": self.found,
            "later": [
                {
                    "task": task_id,
                    "rewards": rewards_of(rollouts),
                    "before": rewards_of(before.later.get(task_id, ())),
                    "none": rewards_of(none.get(task_id, ())),
                    "used": self._used([task_id]),
                }
                for task_id, rollouts in self.later.items()
            ],
        }

    def said(self, credit: Credit, before: "Variant") -> str:
        """Returns what it was worth, in words."""
        asked = len(self.later)
        if asked < LEAST_SIBLINGS:
            return f"worth {self.worth(credit):.2f} on its own task (before {before.worth(credit):.2f})"
        return (
            f"worth {self.worth(credit):.2f} (before {before.worth(credit):.2f}) with {asked} sibling tasks, "
            f"found by search for {self.found} of them"
        )


def rewards_of(rollouts: Sequence[Rollout]) -> list[float]:
    """Returns the rewards of those that have a verdict."""
    return [one.reward for one in rollouts if one.reward is not None]


def fails(rollouts: Sequence[Rollout]) -> bool:
    """Returns whether any of them has a verdict and did not pass."""
    return any(one.reward is not None and not one.passed for one in rollouts)
