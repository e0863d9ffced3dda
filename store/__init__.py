"""The store: SQL tables are the truth, Chroma is a rebuildable index."""

from skill_plugin.store.runs.calls import CallCount, FunctionCall, calls_of, count_calls, record_calls
from skill_plugin.store.runs.evolve_runs import RecordedRollout, TextWorth
from skill_plugin.store.runs.revisions import StagedRevision
from skill_plugin.store.search.drafts import Draft
from skill_plugin.store.search.retrieval import DEFAULT_EXPERIENCE, DEFAULT_MIN_SCORE, Retrieval, RetrievalOptions
from skill_plugin.store.search.strategies import STRATEGIES
from skill_plugin.store.skill_store import SkillStore
from skill_plugin.store.skills.differences import diff_versions
from skill_plugin.store.skills.permissions import (
    allow_functions,
    checks_of,
    forbid_functions,
    keep_checks,
    keep_tools,
    may_run,
    why_not_run,
)
from skill_plugin.store.skills.reverting import revert_source
from skill_plugin.store.skills.screening import scan_text
from skill_plugin.store.skills.trees import files_of, tree_of
from skill_plugin.store.skills.vetting import certify_skill, rescan_skills
from skill_plugin.store.sync.sync import sync_skills

__all__ = [
    "DEFAULT_EXPERIENCE",
    "DEFAULT_MIN_SCORE",
    "STRATEGIES",
    "CallCount",
    "Draft",
    "FunctionCall",
    "RecordedRollout",
    "Retrieval",
    "RetrievalOptions",
    "SkillStore",
    "StagedRevision",
    "TextWorth",
    "allow_functions",
    "calls_of",
    "certify_skill",
    "checks_of",
    "count_calls",
    "diff_versions",
    "files_of",
    "forbid_functions",
    "keep_checks",
    "keep_tools",
    "may_run",
    "record_calls",
    "rescan_skills",
    "revert_source",
    "scan_text",
    "sync_skills",
    "tree_of",
    "why_not_run",
]
