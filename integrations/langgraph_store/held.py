"""Items that the scanner holds: kept aside, where no `get` and no `search` finds them, until a person releases them.

An agent's memory is read by a model as a skill is, and what stands in it may come from a web page.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.scanning.findings import of, sentence
from skill_plugin.store import SkillStore, scan_text
from skill_plugin.store.items.items import Change
from skill_plugin.store.items.reading import HELD, Labels

_MOST = 1000


class HeldItem(NamedTuple):
    """An item that waits for a person.

    Args:
        namespace: Its labels.
        key: Its name there.
        value: What was put.
        reason: What the scanner found.
        since: When it was put.
    """

    namespace: tuple[str, ...]
    key: str
    value: dict[str, Any]
    reason: str
    since: datetime


class HeldItems:
    """Sorts what is put: written, held, or refused."""

    def __init__(self, store: SkillStore) -> None:
        self._store = store

    def sorted(self, change: Change) -> list[Change]:
        """Returns what is to be written for a change. A value that replaces or deletes an item also replaces what was held of it.

        Raises:
            InvalidSkillError: the value has what the scanner refuses, such as a message in characters that cannot be seen.
        """
        aside = (HELD, *change.labels)
        if change.value is None:
            return [change, Change(aside, change.key, None)]
        # Secrets are put out of sight when an item is written; that is not the scanner's to hold.
        found = [one for one in scan_text(self._store, "\n".join(_texts(change.value))) if one.kind != "secret"]
        if blocked := of("block", found):
            raise InvalidSkillError(
                f"item {change.key!r:.80} in {change.labels!r:.80} is refused by the scanner: {sentence(blocked, words=False)}; "
                "leave that out"
            )
        if held := of("hold", found):
            value = {"value": dict(change.value), "texts": [*change.texts], "reason": sentence(held), "ttl": change.ttl}
            return [Change(aside, change.key, value, ttl=change.ttl)]
        return [change, Change(aside, change.key, None)]

    def list(self) -> list[HeldItem]:
        """Returns the items that wait, the newest first, at most 1,000."""
        with self._store.items.reading() as reading:
            return [
                HeldItem(one.labels[1:], one.key, one.value["value"], one.value["reason"], one.updated_at)
                for one in reading.search((HELD,), limit=_MOST, refresh=False)
            ]

    def release(self, labels: Labels, key: str) -> None:
        """Writes a held item where it was put.

        Raises:
            ConfigurationError: no such item is held.
        """
        aside = (HELD, *labels)
        with self._store.items.reading() as reading:
            found = reading.get(aside, key, refresh=False)
        if found is None:
            raise ConfigurationError(f"no item {key!r:.80} in {labels!r:.80} is held; held() names those that are")
        kept = found.value
        change = Change(labels, key, kept["value"], kept["texts"], kept["ttl"])
        self._store.items.write([change, Change(aside, key, None)])


def is_held(labels: Labels) -> bool:
    """Returns whether labels are those of a held item."""
    return labels[:1] == (HELD,)


def _texts(value: object) -> Iterator[str]:
    """Yields the texts in a JSON value; of one that is nested too deep for JSON those that can be reached."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
