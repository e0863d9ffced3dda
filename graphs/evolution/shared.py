"""The parts that all lineages of one `evolve` share."""

from collections.abc import Callable
from dataclasses import dataclass

from skill_plugin import protocols
from skill_plugin.graphs.evolution.gatekeeper import Gatekeeper
from skill_plugin.graphs.evolution.replays import Replays
from skill_plugin.graphs.evolution.settings import EvolveSettings
from skill_plugin.graphs.evolution.trials import Trials
from skill_plugin.graphs.finder import Finder
from skill_plugin.records import Task
from skill_plugin.store import SkillStore


@dataclass(frozen=True)
class Shared:
    """The parts that all lineages of one `evolve` share.

    Args:
        store: The library.
        writer: The generator.
        trials: Runs rollouts.
        replays: Remembers those on siblings and judges.
        gate: Decides what goes live.
        finder: Says what a run is shown.
        siblings: Chooses the tasks that judge a text beside its own.
        settings: How many of what.
        by: The name of this `evolve` in a skill's history.
        resumed: Whether an earlier start was interrupted; if not, nothing is looked up.
    """

    store: SkillStore
    writer: protocols.Generator
    trials: Trials
    replays: Replays
    gate: Gatekeeper
    finder: Finder
    siblings: Callable[[Task], list[Task]]
    settings: EvolveSettings
    by: str
    resumed: bool
