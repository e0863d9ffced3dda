"""A cache of what the last searches found, for as long as the library has not changed.

An agent that calls its model five times, a thread that is resumed, tasks that come back every night: they ask the same again.
The candidates of a query depend on the live skills alone, so they hold until the namespace's epoch moves on; utility and uses
change with every run, and are read anew.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from skill_plugin.store.search.ranking import RankedSkill

REMEMBERED = 256
"""Searches; each holds up to 60 vectors of 384 floats, so all of them 20 MiB."""


class UseCounts(NamedTuple):
    """The counts of a skill, which may have changed since."""

    utility: float | None
    uses: int


class ShownText(NamedTuple):
    """The text of a live version, and its trust tier."""

    text: str
    tier: str


@dataclass(frozen=True, slots=True)
class CachedCandidates:
    """The candidates of one query, mixed but not ranked. `texts` holds those that were shown, by skill id.

    `held_back` were found too, and are of a tier that is not shown.
    """

    candidates: Sequence[RankedSkill]
    engine: str
    texts: dict[str, ShownText] = field(default_factory=dict)
    held_back: Sequence[RankedSkill] = ()

    def again(self, uses: Mapping[str, UseCounts] | None = None) -> "CachedCandidates":
        """Returns the same with uses as they are now, in new candidates, because ranking writes into them."""
        given = self.candidates if uses is None else [one for one in self.candidates if one.skill_id in uses]
        candidates = [replace(one, copies=[], **(uses[one.skill_id]._asdict() if uses else {})) for one in given]
        return CachedCandidates(candidates, self.engine, self.texts, self.held_back)


class RecentSearches:
    """The last searches of one namespace. Safe for threads."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._state: Hashable = None
        self._found: OrderedDict[Hashable, CachedCandidates] = OrderedDict()

    def get(self, state: Hashable, request: Hashable) -> CachedCandidates | None:
        """Returns what the request found in this state of the library, if it was asked lately."""
        with self._lock:
            if state != self._state:
                self._found.clear()
                self._state = state
            found = self._found.get(request)
            if found is not None:
                self._found.move_to_end(request)
            return found

    def keep(self, state: Hashable, request: Hashable, found: CachedCandidates) -> None:
        with self._lock:
            if state != self._state:
                return
            self._found[request] = found
            if len(self._found) > self._size:
                self._found.popitem(last=False)
