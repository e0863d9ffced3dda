"""What a search found: its hits as records, and why there are none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skill_plugin.notebook import html_table, html_text
from skill_plugin.records import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillHit:
    """One search result.

    `score` orders the hits of one search; it is relevance in [0, 1] and up to 0.05 each for utility and curiosity. `why`
    holds what it was made of: `dense` (the cosine, comparable between searches), `lexical` (BM25), `relevance`, `utility`,
    `bonus`, the rank before and after re-ranking, the copies that were collapsed into it, and which engine proposed it.
    """

    skill_id: str
    version: int
    name: str
    description: str
    text: str
    score: float
    utility: float | None
    why: Mapping[str, Any]
    tier: Tier = "unvetted"

    @property
    def ref(self) -> str:
        return f"{self.skill_id}@{self.version}"

    def _repr_html_(self) -> str:
        rows = [*((key, getattr(self, key)) for key in ("name", "ref", "score", "description")), *self.why.items()]
        return html_table(rows) + html_text(self.text)


class SkillHits(list[SkillHit]):
    """The hits of a search, best first; where it found none, `reason` says why.

    `held_back` are live skills that were found and are not shown, by name, with the reason: their trust tier is under the store's
    `min_tier`.
    """

    def __init__(
        self, hits: Iterable[SkillHit] = (), reason: str = "", held_back: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(hits)
        self.reason = reason
        self.held_back = dict(held_back or {})

    def _repr_html_(self) -> str:
        if not self:
            return html_table([("no skill", self.reason)])
        keys = ("name", "ref", "score", "utility", "description")
        return html_table(([getattr(hit, key) for key in keys] for hit in self), keys)
