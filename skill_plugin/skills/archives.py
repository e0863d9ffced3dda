"""SKILL.md files in archives: reading them within limits.

An archive comes from anywhere, so limits come before parsing: nothing is unpacked to disk, no name leaves its folder, and what
is read is counted as it is read, because declared sizes lie. A link is followed within the archive, by name; other links and
devices are not read, and harm nobody.
"""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Literal, Protocol, Self

from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills import skill_files
from skill_plugin.skills.skill_files import SKILL_FILE, FolderContent, SkillFile

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

MAX_UNPACKED = 512 * 2**20
"""Bytes that an archive may unfold into while it is looked through."""

MAX_NAME = 4096
MAX_HOPS = 40
"""Links that lead from one to the next, as an operating system limits them."""

MAX_TAR_NAMES = 32 * 2**20
"""Bytes of long names and other attributes in a .tar, which the reader takes in whole."""

_TAR_NAMES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

MAX_STEPS = 1_000_000
"""Parts of names that may be looked at to follow an archive's links."""

MAX_PARTS = 64
_LINKS = ("link", "hard link")


@dataclass(frozen=True)
class _Member:
    """A member by its name; a link's target is relative to its folder, a hard link's to the top."""

    name: PurePosixPath
    kind: Literal["file", "folder", "link", "hard link", "device"]
    target: str = ""


class _Archive(Protocol):
    def members(self) -> Iterator[_Member]: ...

    def read(self, names: Collection[PurePosixPath]) -> Iterator[tuple[PurePosixPath, SkillFile]]:
        """Yields the text of each of these members, or what is wrong with it."""
        ...


def read_archive(path: Path) -> FolderContent:
    """Reads every SKILL.md in an archive.

    Raises:
        InvalidSkillError: the archive is hostile; then nothing of it is used.
    """
    archive: _Archive = _Zip(path) if path.name.endswith(".zip") else _Tar(path)
    members = {member.name: member for member in _few(archive.members(), path)}
    found = _Found(path.name, members)
    texts = dict(archive.read(set(found.sources.values())))
    skills = [
        replace(
            skill,
            text=texts[source].text if (source := found.sources.get(name)) else "",
            error=texts[source].error if source else skill.error,
            beside=tuple(found.beside.get(name.parent, ())),
        )
        for name, skill in found.skills.items()
    ]
    not_read = {skill_files.shown(f"{path.name}:{name}"): reason for name, reason in found.unread.items()}
    return FolderContent(tuple(skills), found.left_out, not_read)


class _Found:
    """What an archive holds, judged by its members' names: skills, and which member is the source of each."""

    def __init__(self, archive: str, members: Mapping[PurePosixPath, _Member]) -> None:
        self._archive = archive
        self._stem = archive
        for ending in ARCHIVES:
            self._stem = self._stem.removesuffix(ending)
        self._members = members
        self._steps = MAX_STEPS
        self.skills: dict[PurePosixPath, SkillFile] = {}
        self.sources: dict[PurePosixPath, PurePosixPath] = {}
        self.unread: dict[PurePosixPath, str] = {}
        self.beside: dict[PurePosixPath, list[str]] = {}
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
        self.left_out = len(others)
        self._note_files(others)
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
            if target is None and skill_files.SKILLS_FOLDER in (link.name.lower(), link.parent.name.lower()):
                self.unread[link] = "it is a link that leads out of the archive; pack the folder itself"

    def _note_files(self, names: Collection[PurePosixPath]) -> None:
        owners = {name.parent for name in self.skills}
        for name in names:
            owner = next((folder for folder in _folders_of(name) if folder in owners), None)
            if owner is not None:
                self.beside.setdefault(owner, []).append(skill_files.shown(str(name.relative_to(owner))))

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


class _Zip:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._infos: dict[PurePosixPath, zipfile.ZipInfo] = {}

    def members(self) -> Iterator[_Member]:
        with zipfile.ZipFile(self._path) as archive:
            for info in archive.infolist():
                name = _safe(info.filename, self._path)
                self._infos[name] = info
                mode = stat.S_IFMT(info.external_attr >> 16)
                if info.is_dir():
                    yield _Member(name, "folder")
                elif mode in (0, stat.S_IFREG):
                    yield _Member(name, "file")
                elif mode == stat.S_IFLNK and _problem(info) is None:
                    with archive.open(info) as file:
                        yield _Member(name, "link", file.read(MAX_NAME).decode("utf-8", "replace"))
                else:
                    yield _Member(name, "device")

    def read(self, names: Collection[PurePosixPath]) -> Iterator[tuple[PurePosixPath, SkillFile]]:
        unpacked = 0
        with zipfile.ZipFile(self._path) as archive:
            for name in names:
                problem = _problem(self._infos[name])
                if problem is not None:
                    yield name, SkillFile("", "", error=problem)
                    continue
                with archive.open(self._infos[name]) as file:
                    made = skill_files.read("", "", file)
                unpacked += len(made.text)
                if unpacked > MAX_UNPACKED:
                    raise _too_much(self._path)
                yield name, made


def _problem(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & 1:
        return "it is encrypted; unpack the archive first"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others are not unpacked a piece at a time, so that one small file can fill the memory.
        return "it is packed by an unusual method; pack it with deflate"
    return None


class _Tar:
    """A .tar, which is read from its beginning each time: what is called SKILL.md is read in passing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._texts: dict[PurePosixPath, SkillFile] = {}

    def members(self) -> Iterator[_Member]:
        for member, name, archive in self._all():
            if member.isdir():
                yield _Member(name, "folder")
            elif member.isfile():
                if skill_files.is_skill(name.name):
                    self._read(member, name, archive)
                yield _Member(name, "file")
            elif member.issym() or member.islnk():
                yield _Member(name, "link" if member.issym() else "hard link", member.linkname[:MAX_NAME])
            else:
                yield _Member(name, "device")

    def read(self, names: Collection[PurePosixPath]) -> Iterator[tuple[PurePosixPath, SkillFile]]:
        others = {name for name in names if name not in self._texts}  # links lead to them
        for member, name, archive in self._all() if others else ():
            if name in others and member.isfile():
                self._read(member, name, archive)
        return ((name, self._texts[name]) for name in names)

    def _read(self, member: tarfile.TarInfo, name: PurePosixPath, archive: tarfile.TarFile) -> None:
        file = archive.extractfile(member)
        if file is not None:
            self._texts[name] = skill_files.read("", "", file)

    def _all(self) -> Iterator[tuple[tarfile.TarInfo, PurePosixPath, tarfile.TarFile]]:
        with self._open() as archive:
            for member in archive:
                yield member, _safe(member.name, self._path), archive

    @contextmanager
    def _open(self) -> Iterator[tarfile.TarFile]:
        with (
            self._path.open("rb") as raw,
            _Counted(_unpacked(raw, self._path), self._path) as counted,
            tarfile.open(fileobj=counted, mode="r|", tarinfo=_member_of(self._path)) as archive,
        ):
            yield archive


def _member_of(path: Path) -> type[tarfile.TarInfo]:
    """Returns the class of this archive's members, which limits the total length of their names and attributes."""
    left = MAX_TAR_NAMES

    class Member(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            nonlocal left
            made = super().frombuf(buf, encoding, errors)
            if made.type in _TAR_NAMES:
                left -= made.size
            if left < 0:
                raise InvalidSkillError(
                    f"{path.name} has more than {MAX_TAR_NAMES} bytes of file names; it is not read"
                )
            return made

    return Member


def _unpacked(raw: IO[bytes], path: Path) -> IO[bytes]:
    if path.name.endswith((".gz", ".tgz")):
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value] # it is read from, and that is all
    return raw


class _Counted(io.RawIOBase):
    """A stream that ends with an error once too much has come out of it."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream = stream
        self._path = path
        self._left = MAX_UNPACKED

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _too_much(self._path)
        return data


def _safe(name: str, path: Path) -> PurePosixPath:
    """Returns the member's name, if it stays in its folder."""
    if len(name) > MAX_NAME:
        raise InvalidSkillError(f"{path.name} holds a name of {len(name)} characters ({name[:40]!r}...); shorten it")
    made = PurePosixPath(name.replace("\\", "/"))
    if made.is_absolute() or ".." in made.parts or (made.parts and ":" in made.parts[0]) or "\x00" in name:
        raise InvalidSkillError(
            f"{path.name} holds {name[:80]!r}, which leads out of its folder; the archive is not used"
        )
    return made


def _few(members: Iterable[_Member], path: Path) -> Iterator[_Member]:
    for number, member in enumerate(members):
        if number >= skill_files.MAX_MEMBERS:
            raise InvalidSkillError(
                f"{path.name!r} holds more than {skill_files.MAX_MEMBERS} files; import it in parts"
            )
        yield member


def _too_much(path: Path) -> InvalidSkillError:
    return InvalidSkillError(f"{path.name} unfolds into more than {MAX_UNPACKED} bytes; it is not read further")
