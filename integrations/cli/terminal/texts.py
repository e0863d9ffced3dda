"""Texts that commands read: from a file, from standard input (`-`), from the user's editor."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skill_plugin.errors import ConfigurationError, InvalidSkillError, SkillPluginError
from skill_plugin.integrations.cli.terminal.console import fail
from skill_plugin.skills import folders, skill_md
from skill_plugin.skills.tree_limits import TreeLimits
from skill_plugin.skills.trees import SkillTree

STDIN = Path("-")

_GZIP = b"\x1f\x8b"


def read_skill(path: Path) -> str:
    """Reads the text of a SKILL.md file or folder, or of standard input; never more than a skill may have."""
    file = path / "SKILL.md" if path.is_dir() else path
    try:
        if path == STDIN:
            content = sys.stdin.buffer.read(skill_md.MAX_BYTES + 1)
        else:
            with file.open("rb") as opened:
                content = opened.read(skill_md.MAX_BYTES + 1)
        # A text that is too long may be cut inside a character; its length is what is wrong with it.
        return content.decode("utf-8", "replace" if len(content) > skill_md.MAX_BYTES else "strict")
    except OSError as exc:
        raise InvalidSkillError(f"{str(file)!r} cannot be read: {exc.strerror}; give a SKILL.md or its folder") from exc
    except UnicodeDecodeError as exc:
        raise InvalidSkillError(f"{str(file)!r} is not UTF-8 (byte {exc.start}); save it as UTF-8") from exc


def read_folder(path: Path, limits: TreeLimits) -> tuple[str, SkillTree | None]:
    """Reads a skill's text and, of a folder, the files beside it; of a file or standard input None, as nobody looked for any."""
    if not path.is_dir():
        return read_skill(path), None
    text, here = read_skill(path), path.resolve()
    found = folders.look_into(path, limits).skills
    skill = next((one for one in found if one.path is not None and one.path.parent == here), None)
    if skill is not None and skill.error is not None:
        raise InvalidSkillError(f"{str(path)!r}: {skill.error}")
    return text, () if skill is None else skill.files


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """Gives a file that may be read more than once; for standard input one that holds what it said, as JSON lines."""
    if path != STDIN:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="skill-plugin-") as folder:
        start = sys.stdin.buffer.read(len(_GZIP))
        copy = Path(folder) / f"standard-input.jsonl{'.gz' if start == _GZIP else ''}"
        with copy.open("wb") as file:
            file.write(start)
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield copy
        except SkillPluginError as exc:  # a path that nobody has named, and that is gone by then
            fail(str(exc).replace(repr(str(copy)), "standard input").replace(str(copy), "standard input"))


def edited(text: str, name: str) -> tuple[str, Path]:
    """Opens a text in the user's editor ($VISUAL, else $EDITOR, else the system's); returns it, and the file that holds it.

    Raises:
        ConfigurationError: no editor is set, or it failed.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        if not sys.stdin.isatty():
            raise ConfigurationError("no editor is set; set VISUAL or EDITOR, such as EDITOR=nano")
        editor = "notepad" if os.name == "nt" else "vi"
    file = Path(tempfile.mkdtemp(prefix="skill-plugin-")) / f"{name}.md"
    file.write_text(text, encoding="utf-8", newline="")
    try:
        status = subprocess.run([*shlex.split(editor), str(file)], check=False).returncode  # noqa: S603 - the user's editor
    except (OSError, ValueError) as exc:
        remove(file)
        raise ConfigurationError(f"the editor {editor!r} cannot be started: {exc}; set VISUAL or EDITOR") from exc
    if status:
        remove(file)
        raise ConfigurationError(f"the editor {editor!r} ended with status {status}; nothing was changed")
    return read_skill(file), file


def remove(file: Path) -> None:
    """Removes a file that `edited` returned, with its folder."""
    shutil.rmtree(file.parent, ignore_errors=True)
