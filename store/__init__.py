"""The store: SQL tables are the truth, Chroma is a rebuildable index."""

from skill_plugin.store.runs.evolve_runs import RecordedRollout, TextWorth
from skill_plugin.store.runs.revisions import StagedRevision
from skill_plugin.store.search.drafts import Draft
from skill_plugin.store.search.ranking import DEFAULT_EXPERIENCE
from skill_plugin.store.search.search import DEFAULT_MIN_SCORE
from skill_plugin.store.skill_store import SkillStore

__all__ = [
    "DEFAULT_EXPERIENCE",
    "DEFAULT_MIN_SCORE",
    "Draft",
    "RecordedRollout",
    "SkillStore",
    "StagedRevision",
    "TextWorth",
]
