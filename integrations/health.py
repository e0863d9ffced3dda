"""Checks the health of a store: one word, and for each problem a line with what to do. Cheap, and never waits long."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from skill_plugin.errors import SkillPluginError, StoreUnavailableError
from skill_plugin.integrations.status import JobRun, last_ended
from skill_plugin.store import SkillStore
from skill_plugin.store.guard import bounded
from skill_plugin.store.health import StoreHealth, check_writable, store_health
from skill_plugin.store.runs.training_runs import SUCCEEDED
from skill_plugin.store.runs.waiting import versions_waiting
from skill_plugin.store.sql import reserve

SECONDS = 10.0
"""How long a check takes at most, unless it is told otherwise."""

T = TypeVar("T")

State = Literal["healthy", "degraded", "down"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, and what to do about it."""

    what: str
    todo: str

    def __str__(self) -> str:
        return f"{self.what}; {self.todo}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The health of a store.

    Args:
        status: `healthy`; `degraded` where agents are served and something needs a person; `down` where nothing can be read.
        problems: What is wrong.
        store: The facts about the store; None if it is down.
        staged: Versions that wait for a gate or a person. That is ordinary, and not a problem.
        last_night: The last night that ended.
        last_night_s: The seconds since then.
        last_evolve: The last `evolve` that ended.
    """

    status: State
    problems: list[Problem] = field(default_factory=list)
    store: StoreHealth | None = None
    staged: list[str] = field(default_factory=list)
    last_night: JobRun | None = None
    last_night_s: float | None = None
    last_evolve: JobRun | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def health(
    open_store: Callable[[], SkillStore],
    home: Path,
    *,
    timeout: float = SECONDS,
    write: bool = True,
    night_within: float | None = None,
) -> Health:
    """Checks a store within a time; never raises what the store raises.

    Args:
        open_store: Returns the store; it is not closed.
        home: The home folder, where training runs have their folders.
        timeout: Seconds that the whole check may take.
        write: Try a write, which changes nothing that anybody sees. Off for a library that is only read.
        night_within: Hours after which a night that ended is a problem; None asks for none.
    """
    deadline = time.monotonic() + timeout

    def within(call: Callable[[], T]) -> T:
        left = max(0.1, deadline - time.monotonic())
        try:
            return bounded(call, lambda: [left])
        except StoreUnavailableError as exc:
            if time.monotonic() < deadline:
                raise
            raise StoreUnavailableError(
                f"the store did not answer within {timeout:g} s; look for who holds a lock, or whether its server stands still"
            ) from exc

    def look() -> tuple[SkillStore, StoreHealth, dict[str, JobRun], list[str]]:
        store = open_store()
        return store, store_health(store, watch=timeout / 4), last_ended(store, home), versions_waiting(store)

    try:
        store, facts, ended, staged = within(look)
    except SkillPluginError as exc:
        return Health(status="down", problems=[_problem(exc)])
    except OSError as exc:
        return Health(status="down", problems=[Problem(f"the store cannot be read: {exc}", "see skill-plugin doctor")])
    night = ended.get("retrain")
    problems = _problems(facts, night, night_within=night_within, write=write)
    if write and facts.read_only is None:
        try:
            within(lambda: check_writable(store))
        except SkillPluginError as exc:
            told = _problem(exc)
            problems.insert(0, Problem(f"the store takes no writes: {told.what}", told.todo))
    return Health(
        status="degraded" if problems else "healthy",
        problems=problems,
        store=facts,
        staged=staged,
        last_night=night,
        last_night_s=_age(night) if night else None,
        last_evolve=ended.get("evolve"),
    )


def _problems(facts: StoreHealth, night: JobRun | None, *, night_within: float | None, write: bool) -> list[Problem]:
    problems = []
    if facts.read_only is not None and write:
        problems.append(
            Problem(
                f"the store can only be read: {facts.read_only}",
                "let it be written, or if that is how it should be, check with --no-write",
            )
        )
    if facts.free_bytes is not None and facts.free_bytes < reserve.SPARE:
        problems.append(
            Problem(
                f"the disk of the database has {facts.free_bytes // 2**20} MiB free",
                "free some; skill-plugin skills prune, forget and erase make room, with what is kept in reserve",
            )
        )
    if facts.index_problem is not None:
        problems.append(
            Problem(f"the index is not in use: {facts.index_problem}", "search uses SQL; see skill-plugin doctor")
        )
    elif facts.index_is_stuck:
        problems.append(
            Problem(
                f"{facts.backlog} changes wait for the index, the oldest since {facts.oldest_change_s:.0f} s, and it does not follow",
                "search uses SQL; see skill-plugin doctor, and start the process that has the index again",
            )
        )
    if facts.held:
        problems.append(
            Problem(
                f"the scanner holds {len(facts.held)} versions: {_named(facts.held)}",
                "look (skill-plugin skills show NAME@NUMBER), then release (skills promote NAME@NUMBER) or retire (skills retire NAME)",
            )
        )
    if night and not night.said.startswith(SUCCEEDED):
        problems.append(Problem(f"the last night failed: {night.said}", "run skill-plugin retrain by hand"))
    if night_within is not None and (night is None or _age(night) > night_within * 3600):
        ended = f"ended {_age(night) / 3600:.0f} hours ago" if night else "has not been yet"
        problems.append(Problem(f"the last night {ended}", "see whether skill-plugin retrain is still started"))
    return problems


def _problem(exc: Exception) -> Problem:
    """Splits one of our errors, which end with what to do."""
    what, _, todo = " ".join(str(exc).split()).rpartition("; ")
    return Problem(what or todo, todo if what else "see skill-plugin doctor")


def _age(run: JobRun) -> float:
    return max(0.0, (datetime.now(UTC) - (run.at or run.began)).total_seconds())


def _named(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
