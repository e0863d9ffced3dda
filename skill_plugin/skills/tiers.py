"""Trust tiers of skill versions: what a version may do, by how much stands behind its text.

| tier | what stands behind it |
|---|---|
| `unvetted` | nobody: generated, proposed by a client, imported, out of a dump; or something was found against it |
| `tested` | it passed the gate on held-out tasks, or a person wrote it, promoted it or released it |
| `vetted` | a person promoted or released it, and said why |
| `certified` | an operator certified it, and said why |
"""

from typing import Literal, get_args

from skill_plugin.errors import ConfigurationError
from skill_plugin.records import Author, Tier

TIERS: tuple[Tier, ...] = get_args(Tier)
"""From the lowest to the highest."""

LOWEST: Tier = "unvetted"

Act = Literal["trial", "live", "export"]

LEAST: dict[Act, Tier] = {"trial": LOWEST, "live": LOWEST, "export": LOWEST}
"""The tier that an act needs: to be tried on tasks, to be shown to users, to be exported under the store's signature.

What the scanner or a person holds does none of them, whatever its tier. A store may ask for more for `live` (`min_tier`).
"""


def may(tier: Tier, act: Act, least: Tier | None = None) -> bool:
    """Returns whether a version of this tier may do something; `least` asks for more than `LEAST` does."""
    return rank(tier) >= max(rank(LEAST[act]), rank(least or LOWEST))


def rank(tier: str) -> int:
    """Returns a tier's place, from 0.

    Raises:
        ConfigurationError: it is not a tier.
    """
    if tier not in TIERS:
        raise ConfigurationError(f"{tier!r:.80} is not a tier; use one of {', '.join(TIERS)}")
    return TIERS.index(tier)


def first_tier(author: Author) -> Tier:
    """Returns the tier of a version when it is written."""
    return "tested" if author == "human" else LOWEST


def granted_tier(*, by_person: bool, reason: str) -> Tier:
    """Returns the tier of a version that was let through, by a person or by the gate."""
    return "vetted" if by_person and reason.strip() else "tested"
