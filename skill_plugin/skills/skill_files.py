"""What is found where skills lie: SKILL.md files, the files beside them, and what looks like a skill and is not read.

A folder and an archive are read by the same rule, which looks at names alone (`reason_unread`). Whatever looks like a skill is
either a `SkillFile`, with its text or with what is wrong with it, or named in `not_read` with the reason.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from skill_plugin.skills.skill_md import MAX_BYTES

if TYPE_CHECKING:
    from skill_plugin.skills.trees import SkillTree

SKILL_FILE = "SKILL.md"
SKILLS_FOLDER = "skills"
MAX_SKILLS = 10_000
MAX_MEMBERS = 100_000
MAX_DEPTH = 10
MAX_TREES = 128 * 2**20
"""Bytes that the files of all skills of one folder or archive may have."""

IGNORED = frozenset(
    [
        ".git",
        ".hg",
        ".svn",
        ".jj",
        ".venv",
        ".tox",
        ".nox",
        ".cache",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        "node_modules",
        "__pycache__",
        "__MACOSX",
    ]
)
"""Folders of tools, which nobody puts skills of their own into."""


@dataclass(frozen=True)
class SkillFile:
    """One SKILL.md: where it was, the name of its folder (empty if it has none), and its text or what is wrong with it."""

    where: str
    folder: str
    text: str = ""
    error: str | None = None
    files: "SkillTree | None" = None
    """The files beside it; None if it came alone, and nobody has looked."""

    left_out: tuple[str, ...] = ()
    """What lies beside it and is not taken, by its path from its folder."""

    path: Path | None = None
    """The file itself, links followed; None in an archive."""


@dataclass(frozen=True)
class FolderContent:
    """The content of a folder or archive. `left_out` counts other files; `not_read` has what looks like a skill, with the reason."""

    skills: tuple[SkillFile, ...]
    left_out: int = 0
    not_read: Mapping[str, str] = field(default_factory=dict)


def is_skill(name: str, beside: Collection[str] = ()) -> bool:
    """Returns whether a file is a skill's: SKILL.md, or the same in other letters without a SKILL.md beside it."""
    return name == SKILL_FILE or (name.lower() == SKILL_FILE.lower() and SKILL_FILE not in beside)


def reason_unread(folders: Sequence[str], root: str) -> str | None:
    """Returns why a SKILL.md in this chain of folders below a root is not read; None if it is.

    A hidden folder is read if it is called `skills`, lies below one, or holds one: `.claude/skills`, `skills/.curated`.
    """
    for name in folders[:MAX_DEPTH]:
        if name in IGNORED:
            return f"it lies in {name}, which is not read; import its own folder"
    if len(folders) > MAX_DEPTH:
        return f"it is nested deeper than {MAX_DEPTH} folders; import a folder nearer to it"
    if any(name.startswith(".") for name in folders) and SKILLS_FOLDER not in (root.lower(), *map(str.lower, folders)):
        return "it lies in a hidden folder; import its own folder"
    return None


def read(where: str, folder: str, file: IO[bytes]) -> SkillFile:
    """Reads a SKILL.md, as far as a skill may go."""
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return SkillFile(where, folder, error=f"it has more than {MAX_BYTES} bytes; shorten it or split it in two")
    try:
        return SkillFile(where, folder, data.decode("utf-8"))
    except UnicodeDecodeError as exc:
        return SkillFile(where, folder, error=f"it is not UTF-8 (byte {exc.start}); save it as UTF-8")


def shown(path: str) -> str:
    """Returns a path as it is shown and kept. The name of a file may be any bytes, a text may not."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
