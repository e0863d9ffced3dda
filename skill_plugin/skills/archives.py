"""SKILL.md files in archives: reading them within limits.

An archive comes from anywhere, so limits come before parsing: nothing is unpacked to disk, no name leaves its folder, and what
is read is counted as it is read, because declared sizes lie. Links that lead out and devices are not read.
"""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Protocol, Self

from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills import skill_files
from skill_plugin.skills.archive_names import ArchiveNames, Member
from skill_plugin.skills.skill_files import FolderContent, SkillFile
from skill_plugin.skills.tree_limits import DEFAULT_LIMITS, TreeLimits
from skill_plugin.skills.trees import FoundFile, read_tree

MAX_UNPACKED = 512 * 2**20
"""Bytes that an archive may unfold into while it is looked through."""

MAX_NAME = 4096

MAX_TAR_NAMES = 32 * 2**20
"""Bytes of long names and other attributes in a .tar, which the reader takes in whole."""

_TAR_NAMES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class MemberContent(NamedTuple):
    """The beginning of a member's content, and whether it may be executed; or what is wrong with it."""

    data: bytes
    is_executable: bool = False
    problem: str = ""


class _Archive(Protocol):
    def members(self) -> Iterator[Member]: ...

    def read(self, names: Collection[PurePosixPath]) -> Iterator[tuple[PurePosixPath, SkillFile]]:
        """Yields the text of each of these members, or what is wrong with it."""
        ...

    def contents(self, names: Collection[PurePosixPath], size: int) -> Iterator[tuple[PurePosixPath, MemberContent]]:
        """Yields the content of each of these members, up to a size."""
        ...


def read_archive(path: Path, limits: TreeLimits = DEFAULT_LIMITS) -> FolderContent:
    """Reads every SKILL.md in an archive, with the files beside it.

    Raises:
        InvalidSkillError: the archive is hostile; then nothing of it is used.
    """
    archive: _Archive = _Zip(path) if path.name.endswith(".zip") else _Tar(path)
    members = {member.name: member for member in _few(archive.members(), path)}
    found = ArchiveNames(path.name, members)
    texts = dict(archive.read(set(found.sources.values())))
    skills = {
        name: replace(
            skill,
            text=texts[source].text if (source := found.sources.get(name)) else "",
            error=texts[source].error if source else skill.error,
            left_out=tuple(found.ignored.get(name, ())),
        )
        for name, skill in found.skills.items()
    }
    sound = {name: found.beside.get(name, {}) for name, skill in skills.items() if skill.error is None}
    wanted = {
        one for files in sound.values() if len(files) <= limits.files for one in files.values() if one is not None
    }
    contents = dict(_little(archive.contents(wanted, limits.bytes + 1), path))
    for name, files in sound.items():
        beside = [_file(path, one, contents) for path, one in files.items()]
        try:
            skills[name] = replace(skills[name], files=read_tree(beside, limits))
        except InvalidSkillError as exc:
            skills[name] = replace(skills[name], error=str(exc))
    not_read = {skill_files.shown(f"{path.name}:{name}"): reason for name, reason in found.unread.items()}
    return FolderContent(tuple(skills.values()), found.left_out, not_read)


def _file(path: str, source: PurePosixPath | None, contents: Mapping[PurePosixPath, MemberContent]) -> FoundFile:
    """Returns a file beside a SKILL.md, read from the member that is its source."""
    if source is None:
        problem = "is a link that does not lead to a file of the archive, or a device; pack the file itself"
        return FoundFile(path, lambda _: b"", problem=problem)
    found = contents.get(source, MemberContent(b""))
    return FoundFile(path, lambda size: found.data[:size], found.is_executable, found.problem)


def _little(
    contents: Iterable[tuple[PurePosixPath, MemberContent]], path: Path
) -> Iterator[tuple[PurePosixPath, MemberContent]]:
    room = skill_files.MAX_TREES
    for name, content in contents:
        room -= len(content.data)
        if room < 0:
            raise InvalidSkillError(
                f"the skills in {path.name} have more than {skill_files.MAX_TREES} bytes of files; import it in parts"
            )
        yield name, content


class _Zip:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._infos: dict[PurePosixPath, zipfile.ZipInfo] = {}

    def members(self) -> Iterator[Member]:
        with zipfile.ZipFile(self._path) as archive:
            for info in archive.infolist():
                name = _safe(info.filename, self._path)
                if not info.is_dir() and name in self._infos:
                    raise InvalidSkillError(f"{self._path.name} holds {str(name)[:80]!a} twice; pack it once")
                self._infos[name] = info
                mode = stat.S_IFMT(info.external_attr >> 16)
                if info.is_dir():
                    yield Member(name, "folder")
                elif mode in (0, stat.S_IFREG):
                    yield Member(name, "file")
                elif mode == stat.S_IFLNK and _problem(info) is None:
                    with archive.open(info) as file:
                        yield Member(name, "link", file.read(MAX_NAME).decode("utf-8", "replace"))
                else:
                    yield Member(name, "device")

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

    def contents(self, names: Collection[PurePosixPath], size: int) -> Iterator[tuple[PurePosixPath, MemberContent]]:
        with zipfile.ZipFile(self._path) as archive:
            for name in sorted(names):
                info = self._infos[name]
                if problem := _problem(info):
                    yield name, MemberContent(b"", problem=problem.replace("it is", "is", 1))
                    continue
                with archive.open(info) as file:
                    yield name, MemberContent(file.read(size), bool(info.external_attr >> 16 & stat.S_IXUSR))


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

    def members(self) -> Iterator[Member]:
        for member, name, archive in self._all():
            if member.isdir():
                yield Member(name, "folder")
            elif member.isfile():
                if skill_files.is_skill(name.name):
                    self._read(member, name, archive)
                yield Member(name, "file")
            elif member.issym() or member.islnk():
                yield Member(name, "link" if member.issym() else "hard link", member.linkname[:MAX_NAME])
            else:
                yield Member(name, "device")

    def read(self, names: Collection[PurePosixPath]) -> Iterator[tuple[PurePosixPath, SkillFile]]:
        others = {name for name in names if name not in self._texts}  # links lead to them
        for member, name, archive in self._all() if others else ():
            if name in others and member.isfile():
                self._read(member, name, archive)
        return ((name, self._texts[name]) for name in names)

    def contents(self, names: Collection[PurePosixPath], size: int) -> Iterator[tuple[PurePosixPath, MemberContent]]:
        for member, name, archive in self._all() if names else ():
            if name in names and member.isfile() and (file := archive.extractfile(member)) is not None:
                yield name, MemberContent(file.read(size), bool(member.mode & stat.S_IXUSR))

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

    class Counted(tarfile.TarInfo):
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

    return Counted


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


def _few(members: Iterable[Member], path: Path) -> Iterator[Member]:
    for number, member in enumerate(members):
        if number >= skill_files.MAX_MEMBERS:
            raise InvalidSkillError(
                f"{path.name!r} holds more than {skill_files.MAX_MEMBERS} files; import it in parts"
            )
        yield member


def _too_much(path: Path) -> InvalidSkillError:
    return InvalidSkillError(f"{path.name} unfolds into more than {MAX_UNPACKED} bytes; it is not read further")
