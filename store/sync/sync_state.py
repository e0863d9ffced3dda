"""What a folder and its stores had in common when they were last synced: a small file in the folder."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from skill_plugin.disk import whole_file
from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills import skill_md

STATE_FILE = ".skill-plugin-sync.json"
FORMAT = "skill-plugin sync 1"
MAX_BYTES = 32 * 2**20

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SyncedSkill:
    """One skill after a sync: its file, and the hashes of the text in the file and of the live text; None if nothing was live."""

    path: str
    file: str
    store: str | None
    version: int | None


class SyncState:
    """The state of a folder, for one of the stores that it is synced with."""

    def __init__(self, root: Path) -> None:
        """Reads the folder's file.

        Raises:
            InvalidSkillError: it is not one that was written here.
        """
        self._file = root / STATE_FILE
        self._stores: dict[str, dict[str, SyncedSkill]] = {}
        try:
            if self._file.is_symlink():
                raise ValueError("it is a link")
            if not self._file.exists():
                return
            with self._file.open("rb") as file:
                self._stores = _stores(json.loads(file.read(MAX_BYTES)))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            reason = " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
            raise InvalidSkillError(
                f"{str(self._file)!r} is not what a sync wrote ({reason}); remove it, and folder and store are compared anew"
            ) from exc

    def of(self, store: str) -> dict[str, SyncedSkill]:
        """Returns the skills of one store, by name."""
        return dict(self._stores.get(store, {}))

    def save(self, store: str, skills: dict[str, SyncedSkill]) -> None:
        """Writes what one store and the folder have in common now, if that has changed."""
        if self._stores.get(store, {}) == skills:
            return
        self._stores[store] = skills
        content = {
            "format": FORMAT,
            "stores": {
                key: {name: asdict(skill) for name, skill in sorted(of.items())}
                for key, of in sorted(self._stores.items())
            },
        }
        with whole_file(self._file) as unfinished:
            unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _stores(content: Any) -> dict[str, dict[str, SyncedSkill]]:
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {str(content['format'])[:40]!r}, not {FORMAT!r}")
    return {
        str(key): {skill_md.check_name(name): _synced(facts) for name, facts in of.items()}
        for key, of in content["stores"].items()
    }


def _synced(facts: Any) -> SyncedSkill:
    skill = SyncedSkill(**facts)
    path = PurePosixPath(skill.path)
    hashes = [skill.file] if skill.store is None else [skill.file, skill.store]
    if path.is_absolute() or ".." in path.parts or not all(map(_HASH.fullmatch, hashes)):
        raise ValueError(f"{str(facts)[:80]} is not a skill's state")
    return skill
