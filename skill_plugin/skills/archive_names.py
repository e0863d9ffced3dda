"""What an archive holds, judged by the names of its members: skills, the files of each, and what is not read.

A link is followed within the archive, by name.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills import skill_files
from skill_plugin.skills.skill_files import SKILL_FILE, SkillFile
from skill_plugin.skills.trees import is_ignored

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

MAX_HOPS = 40
"""Links that lead from one to the next, as an operating system limits them."""

MAX_STEPS = 1_000_000
"""Parts of names that may be looked at to follow an archive's links."""

MAX_PARTS = 64
_LINKS = ("link", "hard link")


@dataclass(frozen=True)
class Member:
    """A member by its name; a link's target is relative to its folder, a hard link's to the top."""

    name: PurePosixPath
    kind: Literal["file", "folder", "link", "hard link", "device"]
    target: str = ""


class ArchiveNames:
    """What an archive holds, judged by its members' names: skills, and which member is the source of each."""

    def __init__(self, archive: str, members: Mapping[PurePosixPath, Member]) -> None:
        self._archive = archive
        self._stem = archive
        for ending in ARCHIVES:
            self._stem = self._stem.removesuffix(ending)
        self._members = members
        self._steps = MAX_STEPS
        self.skills: dict[PurePosixPath, SkillFile] = {}
        self.sources: dict[PurePosixPath, PurePosixPath] = {}
        self.unread: dict[PurePosixPath, str] = {}
        self.beside: dict[PurePosixPath, dict[str, PurePosixPath | None]] = {}
        self.ignored: dict[PurePosixPath, list[str]] = {}
        self._folders: dict[PurePosixPath, PurePosixPath] = {}
        files = [name for name, member in members.items() if member.kind != "folder"]
        named = [name for name in files if skill_files.is_skill(name.name, self._exact(name))]
        others = [name for name in files if not skill_files.is_skill(name.name, self._exact(name))]
        # What is visible comes before its copies in hidden folders, and a file before the links to it.
        for name in sorted(named, key=lambda name: "/." in f"/{name}"):
            if members[name].kind == "file":
                self._skill(name, name)
        for name in named:
            if members[name].kind != "file":
                self._skill(name, self._target(name))
        self._follow([name for name in others if members[name].kind in _LINKS])
        self.left_out = self._note_files(others)
        if len(self.skills) > skill_files.MAX_SKILLS:
            raise InvalidSkillError(f"{archive} holds more than {skill_files.MAX_SKILLS} skills; import it in parts")

    def _exact(self, name: PurePosixPath) -> tuple[str, ...]:
        return (SKILL_FILE,) if name.name and name.with_name(SKILL_FILE) in self._members else ()

    def _skill(self, name: PurePosixPath, source: PurePosixPath | None) -> None:
        reason = skill_files.reason_unread(name.parent.parts, self._stem)
        if reason is not None:
            self.unread[name] = reason
        elif source is None or self._members[name].kind == "device":
            self._add(name, "it is a link that leads out of the archive, or a device; pack the file itself")
        elif source not in self._members or self._members[source].kind != "file":
            self._add(name, f"it is a link to {str(source)[:80]!r}, which is not a file here; pack the file itself")
        elif source == name or source not in self.skills:  # else it has been read where it lies
            self.unread.pop(source, None)
            self._add(name)
            self.sources[name] = source

    def _add(self, name: PurePosixPath, error: str | None = None) -> None:
        self.skills[name] = SkillFile(
            skill_files.shown(f"{self._archive}:{name}"), name.parent.name or self._stem, error=error
        )

    def _follow(self, links: Collection[PurePosixPath]) -> None:
        """Follows links to folders with skills that are not read where they lie."""
        below: dict[PurePosixPath, list[PurePosixPath]] = {}
        for name in self.unread:
            for folder in _folders_of(name):
                below.setdefault(folder, []).append(name)
        for link in links:
            target = self._target(link)
            for name in () if target is None else below.get(target, ()):
                via = link / name.relative_to(str(target))
                if name in self.unread and skill_files.reason_unread(via.parent.parts, self._stem) is None:
                    del self.unread[name]
                    self._add(via)
                    self.sources[via] = name
                    self._folders[via] = name.parent
            if target is None and skill_files.SKILLS_FOLDER in (link.name.lower(), link.parent.name.lower()):
                self.unread[link] = "it is a link that leads out of the archive; pack the folder itself"

    def _note_files(self, names: Collection[PurePosixPath]) -> int:
        """Notes the files of each skill, with the member that is the source of each; returns how many others there are."""
        owners: dict[PurePosixPath, list[PurePosixPath]] = {}
        for skill in self.skills:
            owners.setdefault(self._folders.get(skill, skill.parent), []).append(skill)
        others = 0
        for name in names:
            folder = next((folder for folder in _folders_of(name) if folder in owners), None)
            below = None if folder is None else name.relative_to(str(folder))
            is_taken = below is not None and not is_ignored(below.parts) and not self._leads_to_skills(name)
            others += not is_taken
            for skill in () if folder is None else owners[folder]:
                if is_taken:
                    self.beside.setdefault(skill, {})[str(below)] = self._source(name)
                else:
                    self.ignored.setdefault(skill, []).append(skill_files.shown(str(below)))
        return others

    def _source(self, name: PurePosixPath) -> PurePosixPath | None:
        """Returns the file that a member is or leads to; None if that is not one of the archive."""
        member = self._members[name]
        target = self._target(name) if member.kind in _LINKS else name
        is_file = target is not None and target in self._members and self._members[target].kind == "file"
        return target if is_file else None

    def _leads_to_skills(self, name: PurePosixPath) -> bool:
        """Returns whether a member is a link to a folder with skills, which are read where they lie."""
        target = self._target(name) if self._members[name].kind in _LINKS else None
        return target is not None and any(target in (skill.parent, skill.parent.parent) for skill in self.skills)

    def _target(self, name: PurePosixPath) -> PurePosixPath | None:
        """Returns the name that a link stands for, links on the way followed; None if that is outside the archive."""
        todo, done, hops = list(name.parts), list[str](), 0
        while todo:
            self._steps -= len(done) + 1
            part = todo.pop(0)
            if part == "..":
                if not done:
                    return None
                done.pop()
                continue
            member = self._members.get(PurePosixPath(*done, part))
            if member is None or member.kind not in _LINKS:
                done.append(part)
                continue
            hops += 1
            target = PurePosixPath(member.target.replace("\\", "/"))
            outside = target.is_absolute() or ":" in member.target.partition("/")[0]
            if outside or hops > MAX_HOPS or self._steps < 0:
                return None
            if member.kind == "hard link":
                done = []
            todo[:0] = target.parts
        return PurePosixPath(*done)


def _folders_of(name: PurePosixPath) -> Sequence[PurePosixPath]:
    """Returns the folders around a member, the nearest first; none where they are absurdly many."""
    return name.parents if len(name.parts) < MAX_PARTS else ()
