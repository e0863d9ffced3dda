"""Search as if another version were live: what a gate asks before one is."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from skill_plugin.errors import ConfigurationError, StoreError
from skill_plugin.records import Tier, split_ref
from skill_plugin.skills import skill_md
from skill_plugin.skills.skill_md import searchable_text
from skill_plugin.skills.tiers import granted_tier, rank
from skill_plugin.store.search.lexical import Lexicon
from skill_plugin.store.search.ranking import RankedSkill
from skill_plugin.store.skills import screening, versions
from skill_plugin.store.sql.database import fetch
from skill_plugin.store.tables import EmbeddingRow, SkillRow
from skill_plugin.store.vectors import Vector, from_bytes, is_unit

NEW_SKILL = "draft"
"""The id of a hit whose text would be a skill of its own; ids in a store begin with `sk_`."""

GATED: Tier = granted_tier(by_person=False, reason="")
"""The tier that a version has at least once a gate has made it live, which is what a search with a stand-in looks ahead to."""

_KEPT = 8


@dataclass(frozen=True, slots=True)
class Draft:
    """A SKILL.md text that is not in the store, to search as if it were live: `store.search(query, instead=Draft(text))`.

    Its hit has version 0, and the id of the skill that it stands for.

    Args:
        text: The whole SKILL.md.
        skill: The skill whose live version it would replace, by name, id or `skill_id@version` (the version does not
            matter); None for a new skill, whose hit has the id `draft`.
    """

    text: str
    skill: str | None = None


@dataclass(frozen=True, slots=True)
class StandIn:
    """One version with all that a search must know of it."""

    skill_id: str
    version: int
    name: str
    description: str
    text: str
    vector: Vector
    utility: float | None = None
    uses: int = 0
    tier: str = GATED

    def candidate(self) -> RankedSkill:
        return RankedSkill(
            self.skill_id, self.version, self.name, self.description, self.utility, self.uses, self.vector
        )


_VECTOR = select(col(EmbeddingRow.vector)).where(
    col(EmbeddingRow.skill_id) == bindparam("skill_id"),
    col(EmbeddingRow.number) == bindparam("number"),
    col(EmbeddingRow.signature) == bindparam("signature"),
)


def from_text(draft: Draft, embed: Callable[[str], Vector]) -> StandIn:
    """Makes a stand-in of a text for a new skill.

    Raises:
        InvalidSkillError: it breaks the rules of SKILL.md.
    """
    document = skill_md.parse(draft.text)
    vector = embed(document.embedded_text)
    return StandIn(NEW_SKILL, 0, document.name, document.description, draft.text, vector)


def replacing(session: Session, namespace: str, made: StandIn, ref: str) -> StandIn:
    """Makes the stand-in one for a skill that exists, with its name and numbers.

    Raises:
        SkillNotFoundError: the skill does not exist.
        StoreError: it is retired or quarantined.
    """
    skill = _usable(versions.find_skill(session, namespace, split_ref(ref)[0]))
    return replace(made, skill_id=skill.id, name=skill.name, utility=skill.utility, uses=skill.uses)


def from_store(session: Session, namespace: str, ref: str, *, signature: str) -> StandIn:
    """Makes a stand-in of a version that is in the store.

    Raises:
        ConfigurationError: `ref` names no version.
        SkillNotFoundError: the skill or the version does not exist.
        StoreError: the skill is retired or quarantined, or the version has no vector.
    """
    if not isinstance(ref, str) or split_ref(ref)[1] is None:
        raise ConfigurationError(
            f"instead is {ref!r:.80}, which does not name a version; give 'name@2', or Draft(text) for a text "
            "that is not in the store"
        )
    skill, version = versions.resolve(session, namespace, ref)
    _usable(skill)
    screening.check_open(session, skill, version.number)
    blob = fetch(session, _VECTOR, skill_id=skill.id, number=version.number, signature=signature)
    if not blob or not is_unit(blob[0][0]):
        raise StoreError(f"{ref} has no sound vector of this store's embedder; run: skill-plugin doctor --fix")
    return StandIn(
        skill_id=skill.id,
        version=version.number,
        name=skill.name,
        description=version.description,
        text=version.text,
        vector=from_bytes(blob[0][0]),
        utility=skill.utility,
        uses=skill.uses,
        tier=max(version.tier, GATED, key=rank),
    )


def _usable(skill: SkillRow) -> SkillRow:
    if skill.status in ("retired", "quarantined"):
        raise StoreError(
            f"skill {skill.name!r} is {skill.status}, so no version of it can count as live; restore it first: "
            f"skill-plugin skills restore {skill.name}"
        )
    return skill


class DraftWords:
    """The live skills' words with those of one version in place of its skill's own. Safe for threads.

    A gate asks for one version with every held-out task, so the last few are kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[str, str], tuple[Lexicon, Lexicon]] = OrderedDict()

    def lexicon(self, live: Lexicon, stand_in: StandIn) -> Lexicon:
        """Returns a lexicon that says what `live` would if the version were live."""
        words = searchable_text(stand_in.name, stand_in.description)
        key = (stand_in.skill_id, words)
        with self._lock:
            known = self._made.get(key)
            if known is None or known[0] is not live:
                known = (live, live if live.has(*key) else live.changed({stand_in.skill_id: words}))
                self._made[key] = known
                if len(self._made) > _KEPT:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return known[1]
