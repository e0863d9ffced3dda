"""The store: SQL tables are the truth, Chroma is a rebuildable index."""

from skill_plugin.store.evolving import RecordedRollout, TextWorth
from skill_plugin.store.ranking import DEFAULT_EXPERIENCE
from skill_plugin.store.revisions import StagedRevision
from skill_plugin.store.search import DEFAULT_MIN_SCORE
from skill_plugin.store.skill_store import SkillStore
from skill_plugin.store.supposed import Supposed

__all__ = [
    "DEFAULT_EXPERIENCE",
    "DEFAULT_MIN_SCORE",
    "RecordedRollout",
    "SkillStore",
    "StagedRevision",
    "Supposed",
    "TextWorth",
]
