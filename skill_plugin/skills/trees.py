"""The files of a skill beside its SKILL.md: what may be one, and the hash of them all.

Whatever passes here can be written below a folder on any system and read back as the same files. A file is text (UTF-8), or binary
and declared so: it lies in `assets/`, or its ending names a picture, a document, a font or a recording.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import PurePosixPath

from skill_plugin.errors import InvalidSkillError
from skill_plugin.records import canonical_json
from skill_plugin.skills.skill_files import IGNORED, SKILL_FILE
from skill_plugin.skills.tree_limits import DEFAULT_LIMITS, TreeLimits

MAX_PATH = 200
"""Bytes of a path: with a folder in front of it any system takes it."""
MAX_PARTS = 8

ASSETS = "assets"
BINARY = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".webp",
        ".bmp",
        ".ico",
        ".tif",
        ".tiff",
        ".pdf",
        ".docx",
        ".xlsx",
        ".pptx",
        ".odt",
        ".ods",
        ".odp",
        ".dotx",
        ".xltx",
        ".potx",
        ".ttf",
        ".otf",
        ".woff",
        ".woff2",
        ".mp3",
        ".wav",
        ".ogg",
        ".flac",
        ".mp4",
        ".webm",
        ".mov",
    ]
)
"""Endings of files that are binary by their kind."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that are devices on Windows, with any ending."""
_FORBIDDEN = re.compile(r"[\\:*?\"<>|]")


@dataclass(frozen=True)
class TreeFile:
    """One file of a skill: its path from the skill's folder, with `/`, and its content."""

    path: str
    data: bytes
    is_executable: bool = False

    @cached_property
    def sha256(self) -> str:
        return sha256(self.data).hexdigest()

    @cached_property
    def text(self) -> str | None:
        """The content as text; None if it is binary."""
        try:
            text = self.data.decode("utf-8")
        except UnicodeDecodeError:
            return None
        return None if _CONTROL.search(text) else text


@dataclass(frozen=True)
class FoundFile:
    """A file beside a SKILL.md that was found: its path, what is wrong with it, and what reads so many bytes of it."""

    path: str
    read: Callable[[int], bytes]
    is_executable: bool = False
    problem: str = ""


SkillTree = tuple[TreeFile, ...]
"""The files of one version in the order of their paths, without its SKILL.md."""

Files = Mapping[str, bytes | str] | SkillTree
"""Files as a caller gives them: contents by path, or a tree."""


def make_tree(files: Files, limits: TreeLimits = DEFAULT_LIMITS, *, like: SkillTree = ()) -> SkillTree:
    """Returns files as a tree, if they may be one.

    Args:
        files: Contents by path; or a tree.
        limits: How many files, and how many bytes.
        like: The tree before: a file that is given by its path alone is executable if it was one there.

    Raises:
        InvalidSkillError: a path leads out of its folder or cannot be a file's everywhere, two differ in case only, a binary file
            is not declared, or there is too much.
    """
    executable = {file.path for file in like if file.is_executable}
    given = files if isinstance(files, tuple) else tuple(_file(path, data, executable) for path, data in files.items())
    tree = tuple(sorted(given, key=lambda file: file.path))
    check_paths((file.path for file in tree), limits)
    _left(limits, *(file.data for file in tree))
    for file in tree:
        if file.text is None and not is_declared(file.path):
            raise InvalidSkillError(
                f"the file {file.path!r} is neither UTF-8 text nor of a known binary type; save it as UTF-8, "
                f"or put it into {ASSETS}/"
            )
    return tree


def changed_tree(tree: SkillTree, changes: Mapping[str, str | None], limits: TreeLimits = DEFAULT_LIMITS) -> SkillTree:
    """Returns a tree with changes: new contents by path, None for a file that is deleted.

    Raises:
        InvalidSkillError: a file to delete does not exist, or the result may not be a tree.
    """
    if not changes:
        return tree
    files: dict[str, bytes | str] = {file.path: file.data for file in tree}
    for path, content in changes.items():
        if content is None and files.pop(path, None) is None:
            raise InvalidSkillError(f"there is no file {path[:80]!a} to delete; {_has(files)}")
        if content is not None:
            files[path] = content
    return make_tree(files, limits, like=tree)


def _has(files: Iterable[str]) -> str:
    known = sorted(files)
    return f"the skill has {', '.join(map(repr, known[:5]))}" if known else "the skill has none"


def read_tree(found: Sequence[FoundFile], limits: TreeLimits = DEFAULT_LIMITS) -> SkillTree:
    """Reads files that were found, as far as a skill may go.

    Raises:
        InvalidSkillError: they may not be those of a skill; see `make_tree`.
        OSError: one cannot be read.
    """
    check_paths((one.path for one in found), limits)
    made: list[TreeFile] = []
    left = limits.bytes
    for one in found:
        if one.problem:
            raise InvalidSkillError(f"its file {one.path[:80]!a} {one.problem}")
        data = one.read(left + 1)
        left = _left(limits, *(file.data for file in made), data)
        made.append(TreeFile(one.path, data, one.is_executable))
    return make_tree(tuple(made), limits)


def _left(limits: TreeLimits, *contents: bytes) -> int:
    """Returns how many bytes there is room for beside these."""
    left = limits.bytes - sum(map(len, contents))
    if left < 0:
        raise InvalidSkillError(
            f"its files have more than {limits.bytes} bytes in all; make them smaller, or set max_skill_bytes higher"
        )
    return left


def check_paths(paths: Iterable[str], limits: TreeLimits | None = None) -> None:
    """Checks the paths of one skill's files: each of them, how many, and that no two are one file where case does not count.

    Raises:
        InvalidSkillError: one cannot be a file's of a skill, or there are too many.
    """
    paths = list(paths)
    if limits is not None and len(paths) > limits.files:
        raise InvalidSkillError(
            f"it has {len(paths)} files beside its {SKILL_FILE}, the limit is {limits.files}; "
            "remove some, or set max_skill_files higher"
        )
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        key = _folded(check_path(path))
        if (other := files.setdefault(key, path)) != path:
            raise InvalidSkillError(
                f"the files {other!r} and {path!r} differ in case only, which is one file on many systems; rename one"
            )
        for folder in map(str, PurePosixPath(path).parents):
            folders[_folded(folder)] = path
    for key, inside in folders.items():
        if key in files:
            raise InvalidSkillError(f"{files[key]!r} is a file and, for {inside!r}, a folder; rename one")


def check_path(path: object) -> str:
    """Returns a path, if a file of a skill may have it on every system.

    Raises:
        InvalidSkillError: it leads out of the skill's folder, or cannot be a file's.
    """
    if not isinstance(path, str) or not path:
        raise InvalidSkillError(f"a file of a skill needs a path, got {path!r:.80}; give one like 'scripts/totals.py'")
    shown = f"the file name {path[:80]!a}"
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError as exc:
        raise InvalidSkillError(f"{shown} is not UTF-8; rename the file") from exc
    parts = path.split("/")
    if path.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", path):
        raise InvalidSkillError(f"{shown} leads out of the skill's folder; give the path from there")
    if size > MAX_PATH or len(parts) > MAX_PARTS:
        raise InvalidSkillError(f"{shown} is longer than {MAX_PATH} bytes or {MAX_PARTS} folders; shorten it")
    is_odd = any(part in ("", ".") or part != part.rstrip(" .") or part != part.lstrip() for part in parts)
    if is_odd or not path.isprintable() or (found := _FORBIDDEN.search(path)) is not None:
        what = (
            repr(found[0]) if not is_odd and path.isprintable() and found else "a part that is empty or cannot be seen"
        )
        raise InvalidSkillError(f"{shown} holds {what}, which not every system allows; rename the file")
    if device := next(filter(_DEVICE.fullmatch, parts), ""):
        raise InvalidSkillError(f"{shown} holds {device!r}, which is a device on Windows; rename the file")
    if parts[-1].lower() == SKILL_FILE.lower():
        why = (
            f"differs from {SKILL_FILE} in case only" if len(parts) == 1 and path != SKILL_FILE else "is a skill's text"
        )
        raise InvalidSkillError(
            f"{shown} {why}, not a file of this skill; give the text as the text, or rename the file"
        )
    if is_ignored(parts):
        raise InvalidSkillError(f"{shown} is one that imports leave out; rename the file or its folder")
    return path


def is_ignored(parts: Iterable[str]) -> bool:
    """Returns whether a file is left out: what systems and tools leave behind, and whatever lies in a hidden folder."""
    *folders, name = parts
    is_left = (
        name in ("Thumbs.db", "desktop.ini", ".DS_Store") or name.startswith("._") or name.endswith((".pyc", ".pyo"))
    )
    return is_left or any(folder.startswith(".") or folder in IGNORED for folder in folders)


def is_declared(path: str) -> bool:
    """Returns whether a file may be binary, by its path."""
    place = PurePosixPath(path)
    return ASSETS in place.parts[:-1] or place.suffix.lower() in BINARY


def tree_sha256(text: str, tree: SkillTree) -> str:
    """Returns the hash of a SKILL.md text and the files beside it: of their sorted paths, hashes and whether they may be executed; empty
    without files.
    """
    if not tree:
        return ""
    own = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    rows = sorted([(SKILL_FILE, own, False), *((file.path, file.sha256, file.is_executable) for file in tree)])
    return sha256(canonical_json(rows).encode()).hexdigest()


def _file(path: str, data: object, executable: set[str]) -> TreeFile:
    made = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if not isinstance(made, bytes):
        raise InvalidSkillError(f"the file {path!r:.80} holds {type(data).__name__}; give bytes or str")
    return TreeFile(path, made, path in executable)


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
