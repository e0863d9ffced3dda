"""A skill as it comes in from a file: its text, under a name that the library can have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.records import canonical_json, sha256
from skill_plugin.skills import skill_md
from skill_plugin.skills.record import SkillRecord, without_record
from skill_plugin.skills.skill_files import SkillFile
from skill_plugin.skills.skill_md import SkillDocument
from skill_plugin.skills.trees import SkillTree, tree_sha256

Names = Literal["keep", "adapt"]
"""What becomes of a name that the format does not allow: the skill is refused, or a legal name is made of it."""


@dataclass(frozen=True)
class IncomingSkill:
    """A skill that may come in. `called` is its name before it was adapted, `note` what a person should know of its name."""

    file: SkillFile
    text: str
    document: SkillDocument
    record: SkillRecord | None = None
    called: str = ""
    note: str = ""

    @property
    def content(self) -> str:
        """The skill's content as a hash: two skills of one content are one skill, whatever they are called."""
        return content_hash(self.document, [(file.path, file.sha256) for file in self.tree])

    @property
    def tree(self) -> SkillTree:
        """The files beside its text."""
        return self.file.files or ()


def content_hash(document: SkillDocument, files: Sequence[tuple[str, str]]) -> str:
    """Returns the hash of a skill's content but for its name; `files` are the paths and hashes of its files, in order."""
    beside = f"\0{canonical_json(files)}" if files else ""
    return sha256(f"{document.description}\0{document.body.strip()}{beside}")


def incoming(file: SkillFile, *, names: Names = "keep", key: bytes | None = None) -> IncomingSkill:
    """Returns the skill of a SKILL.md that was found. Its own name counts, and its folder's if it has none.

    A record in it is ours if `key` signed it.

    Raises:
        InvalidSkillError: the file cannot be read, or breaks the format; `names="adapt"` does without a legal name.
    """
    if file.error is not None:
        raise InvalidSkillError(file.error)
    text, record = without_record(file.text, key)
    given = skill_md.front_matter(text).get("name")
    called = given or file.folder
    name = _legal(called, file.folder, names) if called else given
    if name != given and isinstance(name, str):
        text = skill_md.renamed(text, name)
    note = _note(given, name, file.folder)
    if record is not None and record.tree != tree_sha256(text, file.files or ()):
        record = None  # it is of other files
    return IncomingSkill(file, text, skill_md.parse(text), record, str(called), note)


def check_names(names: Any) -> None:
    if names not in get_args(Names):
        raise ConfigurationError(f"names is {names!r}; use 'keep' or 'adapt'")


def _legal(called: Any, folder: str, names: Names) -> Any:
    try:
        return skill_md.check_name(called)
    except InvalidSkillError as exc:
        if not isinstance(called, str):
            raise
        made = skill_md.legal_name(called) or skill_md.legal_name(folder) or f"skill-{sha256(called)[:8]}"
        if names == "adapt":
            return made
        raise InvalidSkillError(f"{exc}, or let the import call it {made!r}: names='adapt', or --names adapt") from exc


def _note(given: Any, name: Any, folder: str) -> str:
    if given and name != given:
        return f"its name {given!r} is {name!r} here"
    if not given:
        return f"it has no name and is called {name!r}, after its folder"
    return f"it is named {name!r}, its folder {folder!r}; its own name counts" if folder not in ("", name) else ""
