"""SKILL.md files in folders and archives: reading them within limits, writing them.

In a folder, links are followed as far as they stay in it. Files beside SKILL.md (scripts, references) are named and left out: a
skill here is a text.
"""

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from skill_plugin.disk import whole_file
from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills import skill_files
from skill_plugin.skills.archives import ARCHIVES, read_archive
from skill_plugin.skills.skill_files import SKILL_FILE, FolderContent
from skill_plugin.skills.skill_md import check_name
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


def read_skills(path: str | Path) -> FolderContent:
    """Reads every SKILL.md below a folder or in an archive, or the one file itself.

    Raises:
        InvalidSkillError: no skill is found, it cannot be read, or the archive is hostile; then nothing of it is used.
    """
    place = Path(path).expanduser()
    found = look_into(place)
    if not found.skills:
        seen = next((f"; {where}: {reason}" for where, reason in found.not_read.items()), "")
        more = f" (and {len(found.not_read) - 1} more)" if len(found.not_read) > 1 else ""
        raise InvalidSkillError(
            f"there is no {SKILL_FILE} in {str(place)!r}{seen}{more or '; a skill is a folder that holds one' * (not seen)}"
        )
    return found


def look_into(place: Path) -> FolderContent:
    """Reads like `read_skills`; a place without skills has none."""
    try:
        if place.is_dir():
            return Walk(place).content()
        if place.name.endswith(ARCHIVES):
            return read_archive(place)
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


def write_skills(path: str | Path, texts: Mapping[str, str], *, replace: bool = False) -> None:
    """Writes `name/SKILL.md` for each text, into a folder or, by its ending, a .zip.

    Raises:
        InvalidSkillError: it cannot be written, a name breaks the rules, or, without `replace`, something of that name exists.
    """
    place = Path(path).expanduser()
    for name in texts:  # wherever they come from: a name becomes a path here
        check_name(name)
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
            if not (place / name).resolve().is_relative_to(place.resolve()):
                raise FileExistsError(17, "a link that leads out of the folder has that name", str(place / name))
        for name, text in sorted(texts.items()):
            (place / name).mkdir(parents=True, exist_ok=replace)
            with whole_file(place / name / SKILL_FILE, parents=False) as unfinished:
                unfinished.write_text(text, encoding="utf-8", newline="\n")
    except OSError as exc:
        raise InvalidSkillError(
            f"{exc.filename or str(place)!r} cannot be written: {exc.strerror}; choose another place, or replace what is there"
        ) from exc
