"""What the address asks for: filters, an order, a place in a list. What cannot be is one clear line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args
from urllib.parse import urlencode

from skill_plugin.errors import ConfigurationError
from skill_plugin.store.skills.query import OrderBy

PER_PAGE = 25
LONGEST_QUERY = 4000
"""Characters of a search; the address of a longer one would be cut on its way."""

_MOST = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryAddress:
    """The filters of the library, as the address says them; an empty text is none.

    Args:
        q: A task to search skills for, as the agent does.
        text: Words in name, description or text.
        status: `live`, `staged`, `retired` or `quarantined`.
        family: A family of tasks.
        author: Who wrote the version that is seen.
        tier: The least trust tier.
        pinned: `yes` or `no`.
        order: What the table is ordered by.
        down: The highest first.
        page: The page of the table, from 1.
    """

    q: str = ""
    text: str = ""
    status: str = ""
    family: str = ""
    author: str = ""
    tier: str = ""
    pinned: str = ""
    order: OrderBy = "utility"
    down: bool = True
    page: int = 1

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "LibraryAddress":
        """Reads the filters.

        Raises:
            ConfigurationError: the order, the direction, the page or `pinned` is not what it can be.
        """
        words = {
            name: given.get(name, "").strip() for name in ("q", "text", "status", "family", "author", "tier", "pinned")
        }
        if len(words["q"]) > LONGEST_QUERY:
            raise ConfigurationError(f"the search has {len(words['q']):,} characters; give {LONGEST_QUERY:,} at most")
        order = given.get("order") or "utility"
        if order not in get_args(OrderBy):
            raise ConfigurationError(f"cannot order by {order[:40]!r}; use one of {', '.join(get_args(OrderBy))}")
        if words["pinned"] not in ("", "yes", "no"):
            raise ConfigurationError(f"pinned is {words['pinned'][:40]!r}; use yes or no, or leave it out")
        down = given.get("down") or ("0" if order == "name" else "1")
        if down not in ("0", "1"):
            raise ConfigurationError(f"down is {down[:40]!r}; use 1 for the highest first, or 0")
        return cls(**words, order=order, down=down == "1", page=whole(given, "page", 1))  # type: ignore[arg-type] # checked above

    def query(self) -> dict[str, Any]:
        """Returns the arguments of `SkillStore.query`."""
        return {
            "text": self.text or None,
            "status": self.status or None,
            "family": self.family or None,
            "author": self.author or None,
            "min_tier": self.tier or None,
            "pinned": {"yes": True, "no": False}.get(self.pinned),
            "order_by": self.order,
            "descending": self.down,
            "limit": PER_PAGE,
            "offset": (self.page - 1) * PER_PAGE,
        }

    def to(self, **changes: object) -> str:
        """Returns the address with some filters changed; another filter begins at the first page."""
        said: dict[str, object] = {
            "q": self.q, "text": self.text, "status": self.status, "family": self.family, "author": self.author, "tier": self.tier,
            "pinned": self.pinned, "order": self.order, "down": int(self.down), "page": self.page,
        }  # fmt: skip
        said |= {"page": 1} | changes
        ordinary = {"order": "utility", "down": 0 if said["order"] == "name" else 1, "page": 1}
        kept = {name: value for name, value in said.items() if value != "" and ordinary.get(name) != value}
        return f"/?{urlencode(kept)}" if kept else "/"

    def sort(self, order: OrderBy) -> str:
        """Returns the address of the table by this column, and the other way round if it is by this one already."""
        down = not self.down if order == self.order else order != "name"
        return self.to(order=order, down=int(down))


def whole(given: Mapping[str, str], name: str, default: int) -> int:
    """Returns a whole number from 1.

    Raises:
        ConfigurationError: it is not one.
    """
    said = given.get(name, "")
    if not said:
        return default
    if not (said.isascii() and said.isdigit() and 1 <= int(said[:8]) <= _MOST and len(said) <= 7):
        raise ConfigurationError(f"{name} is {said[:40]!r}; give a whole number from 1")
    return int(said)
