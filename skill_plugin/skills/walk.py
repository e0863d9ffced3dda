"""A walk through a folder for skills: what is visible first, then hidden folders, then what links lead to.

Links are followed as far as they stay below the root, each real place once. What cannot be read costs itself, not the walk.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills import skill_files
from skill_plugin.skills.skill_files import SKILL_FILE, SKILLS_FOLDER, FolderContent, SkillFile
from skill_plugin.skills.tree_limits import DEFAULT_LIMITS, TreeLimits
from skill_plugin.skills.trees import FoundFile, is_ignored, read_tree

MAX_PEEKED = 1000
"""Entries that are looked at in a folder outside, to see whether it has skills."""


@dataclass(frozen=True)
class _Folder:
    """A folder on the way: its path as it is shown and as it is, its names below the root, and the skill that it belongs to."""

    path: str
    real: str
    names: tuple[str, ...] = ()
    skill: int | None = None
    below: tuple[str, ...] = ()
    is_linked: bool = False

    def child(self, name: str, real: str | None = None) -> "_Folder":
        """Returns a folder in this one; `real` is where it is, if it is a link."""
        return _Folder(
            os.path.join(self.path, name),  # noqa: PTH118 - a hundred thousand of them
            real or os.path.join(self.real, name),  # noqa: PTH118
            (*self.names, name),
            self.skill,
            (*self.below, name),
            self.is_linked or real is not None,
        )


class Walk:
    """A walk through the folder `root`, which exists."""

    def __init__(self, root: Path, limits: TreeLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._root = _Folder(str(root), os.path.realpath(root))
        self._name = Path(self._root.real).name
        self._visible, self._hidden, self._linked = [self._root], list[_Folder](), list[_Folder]()
        self._read: set[str] = set()
        self._unread: dict[str, tuple[str, str]] = {}
        self._skills: list[SkillFile] = []
        self._beside: list[list[FoundFile]] = []
        self._ignored: list[list[str]] = []
        self._room = skill_files.MAX_TREES
        self._left_out = self._members = self._looked = 0

    def content(self) -> FolderContent:
        """Walks, and returns what was found.

        Raises:
            InvalidSkillError: there are too many files or skills.
            OSError: the root cannot be read.
        """
        while todo := self._visible or self._hidden or self._linked:
            self._enter(todo.pop())
        skills = tuple(map(self._with_files, self._skills, self._beside, self._ignored))
        not_read = {where: reason for real, (where, reason) in self._unread.items() if real not in self._read}
        return FolderContent(skills, self._left_out, not_read)

    def _with_files(self, skill: SkillFile, beside: Sequence[FoundFile], ignored: Sequence[str]) -> SkillFile:
        if skill.error is not None:
            return skill
        try:
            files = read_tree(beside, self._limits)
        except InvalidSkillError as exc:
            return replace(skill, error=str(exc))
        except OSError as exc:
            name = skill_files.shown(str(exc.filename))
            return replace(skill, error=f"its file {name!r} cannot be read: {exc.strerror}; allow reading it")
        self._room -= sum(len(file.data) for file in files)
        if self._room < 0:
            raise InvalidSkillError(
                f"the skills in {self._root.path!r} have more than {skill_files.MAX_TREES} bytes of files; import it in parts"
            )
        return replace(skill, files=files, left_out=tuple(ignored))

    def _enter(self, folder: _Folder) -> None:
        reason = skill_files.reason_unread(folder.names, self._name)
        if folder.real in self._read or (reason and self._looked > skill_files.MAX_MEMBERS):
            return
        try:
            with os.scandir(folder.path) as entries:
                here = sorted(entries, key=lambda entry: entry.name)
        except OSError as exc:
            if folder is self._root:
                raise
            if reason is None:
                self._note(folder.path, folder.real, f"it cannot be read: {exc.strerror}; allow reading it")
            return
        inside = [entry.name for entry in reversed(here) if entry.is_dir(follow_symlinks=False)]
        files = [entry for entry in here if not entry.is_dir(follow_symlinks=False)]
        if reason is None:
            folder = self._take(folder, files)
        else:
            self._look(folder, files, reason)
        for child in map(folder.child, inside):
            is_hidden = reason is not None or child.names[-1].startswith(".")
            queue = self._linked if child.is_linked else self._hidden if is_hidden else self._visible
            queue.append(child)

    def _look(self, folder: _Folder, files: Sequence[os.DirEntry[str]], reason: str) -> None:
        names = [entry.name for entry in files]
        for entry in files:
            if skill_files.is_skill(entry.name, names):
                self._note(entry.path, f"{folder.real}{os.sep}{entry.name}", reason)
            elif folder.skill is not None and not is_ignored((*folder.below, entry.name)):  # it is too deep
                self._beside[folder.skill].append(self._file("/".join((*folder.below, entry.name)), entry))
        self._looked += len(files)
        if self._looked > skill_files.MAX_MEMBERS:
            self._note(
                folder.path, folder.real, "there are too many files in folders that are not read to look further"
            )

    def _take(self, folder: _Folder, files: Sequence[os.DirEntry[str]]) -> _Folder:
        """Takes the skill of a folder and notes its other files; returns the folder, as part of its skill."""
        self._read.add(folder.real)
        self._members += len(files)
        if self._members > skill_files.MAX_MEMBERS:
            raise InvalidSkillError(
                f"{self._root.path!r} holds more than {skill_files.MAX_MEMBERS} files; import it in parts"
            )
        names = [entry.name for entry in files]
        own = next((entry for entry in files if skill_files.is_skill(entry.name, names)), None)
        skill = None if own is None else self._skill(folder, own)
        if skill is not None:
            self._skills.append(skill)
            self._beside.append([])
            self._ignored.append([])
            folder = replace(folder, skill=len(self._skills) - 1, below=())
        if len(self._skills) > skill_files.MAX_SKILLS:
            raise InvalidSkillError(
                f"{self._root.path!r} holds more than {skill_files.MAX_SKILLS} skills; import it in parts"
            )
        for entry in files:
            if entry is own or (entry.is_symlink() and self._follow(folder, entry)):
                continue
            parts = (*folder.below, entry.name)
            if folder.skill is not None and not is_ignored(parts):
                self._beside[folder.skill].append(self._file("/".join(parts), entry))
                continue
            self._left_out += 1
            if folder.skill is not None:
                self._ignored[folder.skill].append(skill_files.shown("/".join(parts)))
        return folder

    def _file(self, path: str, entry: os.DirEntry[str]) -> FoundFile:
        """Returns a file beside a SKILL.md; a link is followed to a file below the root."""
        real = os.path.realpath(entry.path)
        problem, mode = "", 0
        try:
            mode = os.stat(real).st_mode  # noqa: PTH116
        except OSError as exc:
            problem = f"cannot be read: {exc.strerror}; allow reading it"
        if entry.is_symlink() and not self._is_inside(real):
            problem = f"is a link that leads out of {self._root.path!r}; put the file itself there"
        elif entry.is_symlink() and not mode:
            problem = "is a link to what does not exist; put the file itself there"
        elif stat.S_ISDIR(mode):
            problem = "is a link to a folder; put the files themselves there"
        elif mode and not stat.S_ISREG(mode):
            problem = "is not a file but a device or a pipe; remove it"
        return FoundFile(path, partial(_content, real), bool(mode & stat.S_IXUSR), problem)

    def _skill(self, folder: _Folder, entry: os.DirEntry[str]) -> SkillFile | None:
        """Reads a SKILL.md; None if it was read before, under its own name or another."""
        name = Path(folder.path).absolute().name
        real = os.path.realpath(entry.path) if entry.is_symlink() else f"{folder.real}{os.sep}{entry.name}"
        if real in self._read:
            return None
        where, error = skill_files.shown(entry.path), None
        try:
            if not self._is_inside(real):
                error = f"it is a link that leads out of {self._root.path!r}; import {real!r} itself"
            elif not stat.S_ISREG(os.stat(real).st_mode):  # noqa: PTH116
                error = "it is not a file but a device or a pipe; save it as a file"
            else:
                self._read.add(real)
                with Path(real).open("rb") as file:
                    return replace(skill_files.read(where, name, file), path=Path(real))
        except OSError as exc:
            is_broken = entry.is_symlink() and isinstance(exc, FileNotFoundError)
            error = (
                f"it is a link to {real!r}, which does not exist; put the file there"
                if is_broken
                else f"it cannot be read: {exc.strerror}; allow reading it"
            )
        return SkillFile(where, name, error=skill_files.shown(error), path=Path(entry.path))

    def _follow(self, folder: _Folder, link: os.DirEntry[str]) -> bool:
        """Notes where a link leads to; returns False if that is a file, or what has nothing to do with skills."""
        real = os.path.realpath(link.path)
        if os.path.isdir(real) and self._is_inside(real):  # noqa: PTH112
            self._linked.append(replace(folder.child(link.name, real), skill=None))
            return folder.skill is None or is_ignored((*folder.below, link.name)) or _has_skills(real)
        if os.path.isdir(real) and _has_skills(real):  # noqa: PTH112
            reason = f"it is a link that leads out of {self._root.path!r}; import {real!r} itself"
            self._note(link.path, link.path, reason)
            return True
        is_named = SKILLS_FOLDER in (link.name.lower(), Path(folder.real).name.lower())
        if is_named and not os.path.exists(real):  # noqa: PTH110
            self._note(link.path, link.path, f"it is a link to {real!r}, which does not exist; put the skill there")
            return True
        return False

    def _is_inside(self, real: str) -> bool:
        return Path(real).is_relative_to(self._root.real)

    def _note(self, path: str, real: str, reason: str) -> None:
        self._unread[real] = (skill_files.shown(path), skill_files.shown(reason))


def _content(real: str, size: int) -> bytes:
    with Path(real).open("rb") as file:
        return file.read(size)


def _has_skills(folder: str) -> bool:
    """Returns whether a folder is a skill, or has some right below it."""
    try:
        with os.scandir(folder) as entries:
            places = [folder, *(entry.path for entry in islice(entries, MAX_PEEKED))]
    except OSError:
        return False
    return any(os.path.lexists(os.path.join(place, SKILL_FILE)) for place in places)  # noqa: PTH118
