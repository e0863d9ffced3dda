"""Records that a reader of recorded runs yields: episodes, refusals, and notes. Nothing here knows of a store."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from skill_plugin.histories.worth import Later
from skill_plugin.records import Revision, Rollout, Task, canonical_json, sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRollout:
    """One rollout of an episode, with what the store keeps beside it."""

    rollout: Rollout
    thread_id: str | None = None
    chosen: bool = False
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRevision:
    """One revision of an episode. `parent` and `skill` are `skill_id@version`, before and after; None without one.

    `prompt_tasks` are content hashes of the further tasks that its prompt showed; `later` holds the text's rewards on
    siblings.
    """

    revision: Revision
    generation: int
    group_id: str
    candidate: int = 0
    parent: str | None = None
    skill: str | None = None
    prompt_tasks: tuple[str, ...] = ()
    later: tuple[Later, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """The attempts on one task that one row tells of.

    `run` names the other system's run: rewards are averaged by it, and it is the `source` of what is imported. `run_id`
    is ours, the same whenever the same row is read. `where` is `file:line`. `notes` name what is odd about it, but not
    a reason to refuse it. `is_ours` says that `run_id` is that of a run of skill-plugin, which the store may have
    recorded itself.
    """

    task: Task
    run: str
    run_id: str
    where: str
    rollouts: tuple[EpisodeRollout, ...] = ()
    revisions: tuple[EpisodeRevision, ...] = ()
    notes: tuple[str, ...] = ()
    is_ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A row, or a part of one, that is not taken in. `rollouts` counts the rollouts that are lost with it.

    A row that is well-formed but empty keeps its `run` and the `reward` that was booked for it, so that the mean of the run is
    still the file's own.
    """

    reason: str
    where: str
    rollouts: int = 1
    run: str | None = None
    reward: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A row that does not claim to be an episode, such as a header."""

    what: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One JSON object of a file: the `stem` of its file and its `folder` give the names that it lacks itself.

    `judged` says that it must have a reward.
    """

    value: Mapping[str, Any]
    where: str
    stem: str
    folder: str = ""
    family: str | None = None
    is_first: bool = False
    is_parquet: bool = False
    judged: bool = True


def made_id(prefix: str, *parts: str | float | None) -> str:
    """Returns the same id for the same parts, whenever and wherever they are read."""
    return f"{prefix}_{sha256(canonical_json(parts))[:20]}"
