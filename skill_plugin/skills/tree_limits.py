"""How much a skill may have beside its SKILL.md. Settings import this, so it needs nothing."""

from dataclasses import dataclass

MAX_FILES = 20
MAX_TREE_BYTES = 256 * 1024


@dataclass(frozen=True)
class TreeLimits:
    """How many files a version may have beside its SKILL.md, and how many bytes they may have in all."""

    files: int = MAX_FILES
    bytes: int = MAX_TREE_BYTES


DEFAULT_LIMITS = TreeLimits()
