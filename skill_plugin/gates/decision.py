"""A gate's decision on a version: a rule returns it, and the store keeps it as evidence."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The gate's decision on a version, with its reason and evidence.

    Args:
        promote: Whether the version goes live.
        reason: The reason, in one line that the generator reads too.
        tasks: Held-out tasks that were compared.
        repairs: Tasks on which the reward rises.
        regressions: Tasks on which it falls.
        before: Mean reward over the tasks with what is live now, in [0, 1].
        after: Mean reward over the same tasks as if the version were live.
        replay: Score over hard and easy tasks, by which the best of several versions is chosen; see `replay_score`.
        found: Judges of its kind for which search would show the version; None if search was not asked.
        of_kind: Judges of its kind.
        shown_elsewhere: Tasks of other families for which search would show the version first.
        train_repairs: Failing train tasks of the family that it repairs, less those that it breaks.
        easy: Judges that are solved today and were not run, because none of the others was repaired.
        judges: Content hashes of the held-out tasks that were drawn.
        task: Content hash of the task that the version was written from, where there is one.
    """

    promote: bool
    reason: str
    tasks: int
    repairs: int
    regressions: int
    before: float
    after: float
    replay: float = 0.0
    found: int | None = None
    of_kind: int = 0
    shown_elsewhere: int = 0
    train_repairs: int = 0
    easy: int = 0
    judges: tuple[str, ...] = ()
    task: str = ""

    @property
    def unseen(self) -> bool:
        """True if no judge fails today, so that none could show a repair."""
        return not self.promote and self.tasks == 0

    def refused(self, reason: str) -> Self:
        """Returns the same evidence with a no; the reason is added, and the generator reads it."""
        return replace(self, promote=False, reason=f"{self.reason}, {reason}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"judges": list(self.judges)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(**{**value, "judges": tuple(value.get("judges", ()))})
