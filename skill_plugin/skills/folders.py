"""SKILL.md files in folders and archives: reading them within limits, writing them.

In a folder, links are followed as far as they stay in it. The files beside a SKILL.md (scripts, references, assets) come with it.
"""

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from skill_plugin.disk import whole_file
from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills import skill_files
from skill_plugin.skills.archive_names import ARCHIVES
from skill_plugin.skills.archives import read_archive
from skill_plugin.skills.skill_files import SKILL_FILE, FolderContent
from skill_plugin.skills.skill_md import check_name
from skill_plugin.skills.tree_limits import DEFAULT_LIMITS, TreeLimits
from skill_plugin.skills.trees import SkillTree, TreeFile, check_paths
from skill_plugin.skills.walk import Walk

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


def read_skills(path: str | Path, limits: TreeLimits = DEFAULT_LIMITS) -> FolderContent:
    """Reads every SKILL.md below a folder or in an archive, with the files beside it; or the one file itself.

    Raises:
        InvalidSkillError: no skill is found, it cannot be read, or the archive is hostile; then nothing of it is used.
    """
    place = Path(path).expanduser()
    found = look_into(place, limits)
    if not found.skills:
        seen = next((f"; {where}: {reason}" for where, reason in found.not_read.items()), "")
        more = f" (and {len(found.not_read) - 1} more)" if len(found.not_read) > 1 else ""
        raise InvalidSkillError(
            f"there is no {SKILL_FILE} in {str(place)!r}{seen}{more or '; a skill is a folder that holds one' * (not seen)}"
        )
    return found


def look_into(place: Path, limits: TreeLimits = DEFAULT_LIMITS) -> FolderContent:
    """Reads like `read_skills`; a place without skills has none."""
    try:
        if place.is_dir():
            return Walk(place, limits).content()
        if place.name.endswith(ARCHIVES):
            return read_archive(place, limits)
        with place.open("rb") as file:
            folder = place.absolute().parent.name if skill_files.is_skill(place.name) else ""
            return FolderContent((skill_files.read(str(place), folder, file),))
    except InvalidSkillError:
        raise
    except _DAMAGED as exc:
        reason = getattr(exc, "strerror", None) or " ".join(str(exc).split()) or type(exc).__name__
        raise InvalidSkillError(
            f"{str(place)!r} cannot be read: {reason[:200]}; give a SKILL.md, a folder or an archive"
        ) from exc


def write_skills(
    path: str | Path, texts: Mapping[str, str], *, replace: bool = False, trees: Mapping[str, SkillTree] | None = None
) -> None:
    """Writes `name/SKILL.md` for each text, with the files of the name's tree, into a folder or, by its ending, a .zip.

    Raises:
        InvalidSkillError: it cannot be written, a name breaks the rules, or, without `replace`, something of that name exists.
    """
    place = Path(path).expanduser()
    for name in texts:  # wherever they come from: a name becomes a path here
        check_name(name)
        check_paths(file.path for file in (trees or {}).get(name, ()))
    files = {
        name: (TreeFile(SKILL_FILE, text.encode()), *(trees or {}).get(name, ()))
        for name, text in sorted(texts.items())
    }
    try:
        if place.suffix == ".zip":
            _write_archive(place, files, replace=replace)
            return
        for name in texts:
            if (place / name).exists() and not replace:
                raise FileExistsError(17, "a folder of that name exists", str(place / name))
            if not (place / name).resolve().is_relative_to(place.resolve()):
                raise FileExistsError(17, "a link that leads out of the folder has that name", str(place / name))
        for name, tree in files.items():  # all of them before any is written
            for file in tree:
                _check_target(place / name, place / name / file.path)
        for name, tree in files.items():
            (place / name).mkdir(parents=True, exist_ok=replace)
            write_tree(place / name, tree)
    except OSError as exc:
        raise InvalidSkillError(
            f"{exc.filename or str(place)!r} cannot be written: {exc.strerror}; choose another place, or replace what is there"
        ) from exc


def write_tree(folder: Path, tree: SkillTree) -> None:
    """Writes files below a folder that exists, in place of those that are there.

    Raises:
        OSError: one cannot be written, or it would be behind a link.
    """
    for file in tree:
        target = folder / file.path
        _check_target(folder, target)
        with whole_file(target) as unfinished:
            unfinished.write_bytes(file.data)
            if file.is_executable:
                unfinished.chmod(unfinished.stat().st_mode | 0o111)


def _check_target(folder: Path, target: Path) -> None:
    if target.is_symlink() or not target.parent.resolve().is_relative_to(folder.resolve()):
        raise FileExistsError(17, "a link has that name", str(target))


def remove_files(folder: Path, paths: Iterable[str]) -> None:
    """Removes files below a folder, and the folders that are empty then.

    Raises:
        OSError: one cannot be removed, or it is behind a link.
    """
    for path in paths:
        target = folder / path
        if not target.parent.resolve().is_relative_to(folder.resolve()):
            raise FileExistsError(17, "a link that leads out of the folder has that name", str(target))
        target.unlink(missing_ok=True)
        for parent in (folder / one for one in PurePosixPath(path).parents[:-1]):
            with suppress(OSError):
                parent.rmdir()


def _write_archive(place: Path, files: Mapping[str, SkillTree], *, replace: bool) -> None:
    if place.exists() and not replace:
        raise FileExistsError(17, "a file of that name exists", str(place))
    with (
        whole_file(place, parents=False) as unfinished,
        zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, tree in files.items():
            for file in tree:
                # The same bytes for the same skills: no clock in the archive.
                info = zipfile.ZipInfo(f"{name}/{file.path}", (1980, 1, 1, 0, 0, 0))
                info.external_attr = (stat.S_IFREG | (0o755 if file.is_executable else 0o644)) << 16
                archive.writestr(info, file.data, zipfile.ZIP_DEFLATED)
