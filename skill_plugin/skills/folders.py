"""SKILL.md files in folders and archives: reading them within limits, writing them.

An archive comes from anywhere, so limits come before parsing: nothing is unpacked to disk, no link is followed, no name
leaves its folder, and what is read is counted as it is read, because declared sizes lie. Files beside SKILL.md (scripts,
references) are counted and left out: a skill here is a text.
"""

import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Self

from skill_plugin.disk import whole_file
from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills.skill_md import MAX_BYTES

SKILL_FILE = "SKILL.md"
MAX_SKILLS = 10_000
MAX_MEMBERS = 100_000
MAX_DEPTH = 10
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

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")

_DAMAGED = (
    OSError,
    EOFError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors that the standard library raises over a damaged archive; it documents fewer than it raises."""


@dataclass(frozen=True)
class SkillFile:
    """One SKILL.md: where it was, the name of its folder (empty if it has none), and its text or what is wrong with it."""

    where: str
    folder: str
    text: str = ""
    error: str | None = None


@dataclass(frozen=True)
class FolderContent:
    """The content of a folder or archive."""

    skills: tuple[SkillFile, ...]
    left_out: int


def read_skills(path: str | Path) -> FolderContent:
    """Reads every SKILL.md below a folder or in an archive, or the one file itself.

    Raises:
        InvalidSkillError: there is none, it cannot be read, or the archive is hostile; then nothing of it is used.
    """
    place = Path(path).expanduser()
    try:
        if place.is_dir():
            found = _from_folder(place)
        elif place.name.endswith(".zip"):
            found = _from_zip(place)
        elif place.name.endswith(ARCHIVES):
            found = _from_tar(place)
        else:
            found = FolderContent((_file(place),), 0)
    except InvalidSkillError:
        raise
    except _DAMAGED as exc:
        reason = getattr(exc, "strerror", None) or " ".join(str(exc).split()) or type(exc).__name__
        raise InvalidSkillError(
            f"{str(place)!r} cannot be read: {reason[:200]}; give a SKILL.md, a folder or an archive"
        ) from exc
    if not found.skills:
        raise InvalidSkillError(f"there is no {SKILL_FILE} in {str(place)!r}; a skill is a folder that holds one")
    return found


def write_skills(path: str | Path, texts: Mapping[str, str], *, replace: bool = False) -> None:
    """Writes `name/SKILL.md` for each text, into a folder or, by its ending, a .zip.

    Raises:
        InvalidSkillError: it cannot be written, or, without `replace`, something of that name exists.
    """
    place = Path(path).expanduser()
    try:
        if place.suffix == ".zip":
            if place.exists() and not replace:
                raise FileExistsError(17, "a file of that name exists", str(place))
            with (
                whole_file(place, parents=False) as unfinished,
                zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive,
            ):
                for name, text in sorted(texts.items()):
                    # The same bytes for the same skills: no clock in the archive.
                    archive.writestr(zipfile.ZipInfo(f"{name}/{SKILL_FILE}", (1980, 1, 1, 0, 0, 0)), text)
            return
        for name in texts:
            if (place / name).exists() and not replace:
                raise FileExistsError(17, "a folder of that name exists", str(place / name))
        for name, text in sorted(texts.items()):
            (place / name).mkdir(parents=True, exist_ok=replace)
            with whole_file(place / name / SKILL_FILE, parents=False) as unfinished:
                unfinished.write_text(text, encoding="utf-8", newline="\n")
    except OSError as exc:
        raise InvalidSkillError(
            f"{exc.filename or str(place)!r} cannot be written: {exc.strerror}; choose another place, or replace what is there"
        ) from exc


def _from_folder(root: Path) -> FolderContent:
    skills: list[SkillFile] = []
    left_out = members = 0
    for folder, folders, files in os.walk(root, onerror=_raise, followlinks=False):
        here = Path(folder)
        depth = len(here.relative_to(root).parts)
        if depth > MAX_DEPTH:
            raise InvalidSkillError(
                f"{str(here)!r} is nested deeper than {MAX_DEPTH} folders; give a folder nearer the skills"
            )
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            members = _counted(members, str(root))
            if _is_skill(name, files) and stat.S_ISREG((here / name).lstat().st_mode):
                skills.append(_file(here / name))
            else:
                left_out += 1
        if len(skills) > MAX_SKILLS:
            raise InvalidSkillError(f"{str(root)!r} holds more than {MAX_SKILLS} skills; import it in parts")
    return FolderContent(tuple(skills), left_out)


def _is_skill(name: str, beside: Collection[str] = ()) -> bool:
    """Returns whether a file is a skill's: SKILL.md, or the same in other letters where there is no SKILL.md beside it."""
    return name == SKILL_FILE or (name.lower() == SKILL_FILE.lower() and SKILL_FILE not in beside)


def _file(path: Path) -> SkillFile:
    with path.open("rb") as file:
        return _found(str(path), path.absolute().parent.name if _is_skill(path.name) else "", file)


def _from_zip(path: Path) -> FolderContent:
    skills: list[SkillFile] = []
    left_out = members = unpacked = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            members = _counted(members, path.name)
            name = _safe(member.filename, path)
            if member.is_dir():
                continue
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
                raise _no_file(path, member.filename)
            if not _is_skill(name.name):
                left_out += 1
                continue
            if member.flag_bits & 1:
                raise InvalidSkillError(f"{path.name} is encrypted; unpack it first")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # The others are not unpacked a piece at a time, so that one small file can fill the memory.
                raise InvalidSkillError(f"{path.name} is packed by an unusual method; pack it with deflate")
            with archive.open(member) as file:
                skills.append(_found(f"{path.name}:{name}", _folder_of(name, path), file))
            unpacked += len(skills[-1].text)
            if unpacked > MAX_UNPACKED:
                raise _too_much(path)
            _few_enough(skills, path)
    return FolderContent(tuple(skills), left_out)


def _from_tar(path: Path) -> FolderContent:
    skills: list[SkillFile] = []
    left_out = members = 0
    with (
        path.open("rb") as raw,
        _Counted(_unpacked(raw, path), path) as counted,
        tarfile.open(fileobj=counted, mode="r|", tarinfo=_member_of(path)) as archive,
    ):
        for member in archive:
            members = _counted(members, path.name)
            name = _safe(member.name, path)
            if member.isdir():
                continue
            if not member.isfile():
                raise _no_file(path, member.name)
            file = archive.extractfile(member) if _is_skill(name.name) else None
            if file is None:
                left_out += 1
                continue
            skills.append(_found(f"{path.name}:{name}", _folder_of(name, path), file))
            _few_enough(skills, path)
    return FolderContent(tuple(skills), left_out)


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


def _found(where: str, folder: str, file: IO[bytes]) -> SkillFile:
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return SkillFile(where, folder, error=f"it has more than {MAX_BYTES} bytes; shorten it or split it in two")
    try:
        return SkillFile(where, folder, data.decode("utf-8"))
    except UnicodeDecodeError as exc:
        return SkillFile(where, folder, error=f"it is not UTF-8 (byte {exc.start}); save it as UTF-8")


def _safe(name: str, path: Path) -> PurePosixPath:
    """Returns the member's name, if it stays in its folder."""
    if len(name) > MAX_NAME:
        raise InvalidSkillError(f"{path.name} holds a name of {len(name)} characters ({name[:40]!r}...); shorten it")
    made = PurePosixPath(name.replace("\\", "/"))
    if made.is_absolute() or ".." in made.parts or (made.parts and ":" in made.parts[0]) or "\x00" in name:
        raise InvalidSkillError(
            f"{path.name} holds {name[:80]!r}, which leads out of its folder; the archive is not used"
        )
    if len(made.parts) > MAX_DEPTH + 1:
        raise InvalidSkillError(f"{path.name} holds {name[:80]!r}, nested deeper than {MAX_DEPTH} folders; flatten it")
    return made


def _folder_of(name: PurePosixPath, path: Path) -> str:
    stem = path.name
    for ending in ARCHIVES:
        stem = stem.removesuffix(ending)
    return name.parent.name or stem


def _counted(members: int, where: str) -> int:
    if members >= MAX_MEMBERS:
        raise InvalidSkillError(f"{where!r} holds more than {MAX_MEMBERS} files; import it in parts")
    return members + 1


def _few_enough(skills: list[SkillFile], path: Path) -> None:
    if len(skills) > MAX_SKILLS:
        raise InvalidSkillError(f"{path.name} holds more than {MAX_SKILLS} skills; import it in parts")


def _no_file(path: Path, name: str) -> InvalidSkillError:
    return InvalidSkillError(f"{path.name} holds {name[:80]!r}, which is a link or a device; pack the file itself")


def _too_much(path: Path) -> InvalidSkillError:
    return InvalidSkillError(f"{path.name} unfolds into more than {MAX_UNPACKED} bytes; it is not read further")


def _raise(error: OSError) -> None:
    raise error
