"""What a skill's text points to beside it: paths below the folders of the format, and targets of links."""

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from skill_plugin.skills.trees import SkillTree

_FOLDERS = ("scripts", "references", "reference", "assets", "templates", "examples")

_PATH = re.compile(
    rf"(?<![\w./@:-])(?:\./|\{{baseDir\}}/|\$\{{?CLAUDE_SKILL_DIR\}}?/)?(?P<path>(?:{'|'.join(_FOLDERS)})/[\w./-]*\w\.\w+)(?![\w/*<{{-]|\.\w)"
)
_LINK = re.compile(r"\]\((?:\./)?(?P<path>[\w./-]+\.\w+)(?:#[^)\s]*)?\)")


def missing_files(body: str, tree: SkillTree) -> list[str]:
    """Returns the files that a text points to and that are not beside it, in the order of their naming.

    A text may mean files of the project that it is used in, so this is a note and not an error.
    """
    return missing_paths(body, [file.path for file in tree])


def missing_paths(body: str, has: Collection[str]) -> list[str]:
    """Does the same as `missing_files` for the paths that there are."""
    named = sorted((found.start(), found["path"]) for pattern in (_PATH, _LINK) for found in pattern.finditer(body))
    paths = dict.fromkeys(str(PurePosixPath(path)) for _, path in named)
    return [path for path in paths if path not in has and ".." not in path]
