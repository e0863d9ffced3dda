"""A store and a folder of SKILL.md files, kept in step both ways: a git checkout, or an agent's `.claude/skills`.

What changed since the last sync is decided by hashes of three texts with their files: the folder's, the live one's, and those that both had
(`sync_state`). A change on one side goes to the other; a change on both is named and nothing is overwritten.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.records import Skill, canonical_json, sha256
from skill_plugin.skills import folders, skill_files, skill_md
from skill_plugin.skills.incoming import IncomingSkill, Names, check_names, incoming
from skill_plugin.skills.record import with_record
from skill_plugin.skills.skill_files import SKILL_FILE, FolderContent
from skill_plugin.skills.trees import SkillTree, TreeFile
from skill_plugin.store.crashpoints import crashpoint
from skill_plugin.store.signing import signing_key
from skill_plugin.store.skills.trees import tree_of
from skill_plugin.store.sync.sync_state import SyncedSkill, SyncState
from skill_plugin.store.tables import NamespaceRow

if TYPE_CHECKING:
    from skill_plugin.store.skill_store import SkillStore

Prefer = Literal["store", "files"]
_LINE_END = re.compile(r"\r+\n")
Action = Literal["import", "write", "retire", "remove", "conflict", "deleted", "skipped"]


@dataclass(frozen=True)
class SyncStep:
    """What a sync does with a skill, or leaves to a person (`conflict`, `deleted`, `skipped`); `result` is what it led to."""

    name: str
    action: Action
    why: str
    where: str = ""
    result: str = ""

    @property
    def has_failed(self) -> bool:
        return self.result.startswith("not ")


@dataclass
class SyncReport:
    """The plan of a sync, and what was done. `unchanged` counts skills; `refused` and `not_read` are those of an import."""

    dry_run: bool
    unchanged: int = 0
    steps: list[SyncStep] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    not_read: dict[str, str] = field(default_factory=dict)

    def names(self, *actions: Action) -> list[str]:
        """Returns the skills with one of these actions."""
        return [step.name for step in self.steps if step.action in actions]


def sync_skills(
    store: "SkillStore",
    folder: str | Path,
    *,
    dry_run: bool = False,
    prefer: Prefer | None = None,
    delete: bool = False,
    names: Names = "keep",
) -> SyncReport:
    """Brings a folder and the live skills of a store in step.

    What is new or changed in the folder is imported, as `import_skills` does: a new name is live, a new text of a known name, or
    another file, is staged. What is new or changed in the store is written, as `export_skills` does. Files that belong to no skill are
    left as they are, and so is a SKILL.md whose text nobody changed, whatever the skill's utility is now.

    Args:
        store: The library.
        folder: A folder of skill folders, made if need be. New skills are written right below it.
        dry_run: Plan, and change nothing.
        prefer: Whose text counts where both sides changed: `store` or `files`. By default neither.
        delete: Do on the other side what was deleted on one: retire the skill, or remove its files. By default it is named.
        names: What becomes of names that the format does not allow; see `import_skills`.

    Raises:
        ConfigurationError: an argument is not one of these.
        InvalidSkillError: the folder cannot be read or written, or its state is damaged.
    """
    check_names(names)
    if prefer is not None and prefer not in get_args(Prefer):
        raise ConfigurationError(f"prefer is {prefer!r}; use 'store' or 'files', or leave it out")
    root = Path(folder).expanduser()
    if (root.exists() or root.is_symlink()) and not root.is_dir():
        raise InvalidSkillError(f"{str(root)!r} is not a folder; give the folder that the skills are to be kept in")
    sync = _Sync(store, root, prefer=prefer, delete=delete, names=names)
    report = SyncReport(dry_run)
    sync.plan(report)
    if not dry_run:
        try:
            sync.run(report)
        except OSError as exc:
            raise InvalidSkillError(
                f"{str(exc.filename or root)!r} cannot be written: {exc.strerror}; allow it, and sync again"
            ) from exc
    return report


@dataclass
class _Pair:
    """A skill on both sides, and what both sides were."""

    name: str
    skill: Skill | None = None
    files: list[IncomingSkill] = field(default_factory=list)
    synced: SyncedSkill | None = None
    tree: SkillTree = ()

    @property
    def live(self) -> str | None:
        """The hash of the live text and its files."""
        return _hash(self.skill.text, self.tree) if self.skill is not None and self.skill.status == "live" else None

    @property
    def filed(self) -> str | None:
        """The hash of the text in the folder and the files beside it."""
        return _hash(self.files[0].text, self.files[0].tree) if self.files else None


class _Sync:
    def __init__(self, store: "SkillStore", root: Path, *, prefer: Prefer | None, delete: bool, names: Names) -> None:
        self._store = store
        self._root = root
        self._real = Path(os.path.realpath(root))
        self._prefer = prefer
        self._delete = delete
        self._names = names
        self._state = SyncState(root)
        self._pairs: dict[str, _Pair] = {}

    def plan(self, report: SyncReport) -> None:
        limits = self._store._partition.limits  # noqa: SLF001 - a store has as many names as one can keep in mind
        found = folders.look_into(self._root, limits) if self._root.is_dir() else FolderContent(())
        report.not_read.update(found.not_read)
        for skill in self._store.list():
            self._see(self._pair(skill.name), skill)
        for name, synced in self._state.of(self._store_id()).items():
            self._pair(name).synced = synced
        taken = self._read(found, report)
        for _, pair in sorted(self._pairs.items()):
            step = self._unsure(pair, taken, report) or self._step(pair)
            if step is not None:
                report.steps.append(step)
            elif pair.live or pair.filed:
                report.unchanged += 1

    def run(self, report: SyncReport) -> None:
        """Does what was planned. Whatever is cut short here is found done, or is done again, by the next sync."""
        state = {name: pair.synced for name, pair in self._pairs.items() if pair.synced is not None}
        planned = {step.name for step in report.steps}
        for name, pair in self._pairs.items():
            if name not in planned:
                self._note(state, pair, pair.filed, pair.live)
        imported = self._import([self._pairs[name] for name in report.names("import")])
        crashpoint("sync.imported")
        for number, step in enumerate(report.steps):
            done = report.steps[number] = replace(step, result=self._do(step, imported))
            pair = self._pairs[step.name]
            if done.action == "import" and not done.has_failed:
                if done.result == "live":
                    self._see(pair, self._store.get(step.name))
                self._note(state, pair, pair.filed, pair.filed if done.result == "live" else pair.live)
            elif done.action == "write" and not done.has_failed:
                self._note(state, pair, pair.live, pair.live)
            elif done.action in ("retire", "remove") and not done.has_failed:
                state.pop(step.name, None)
            crashpoint("sync.middle")
        if state or self._root.is_dir():
            self._state.save(self._store_id(), state)

    def _do(self, step: SyncStep, imported: dict[str, str]) -> str:
        """Does one step; returns its result, which begins with "not" if it failed."""
        if step.action == "import":
            return imported.get(step.name, "not imported: it is refused")
        if step.action == "write":
            return self._write(self._pairs[step.name])
        if step.action == "retire":
            return self._store.retire(step.name, reason=f"its file was deleted from {self._root}").status
        return self._remove(self._pairs[step.name]) if step.action == "remove" else ""

    def _pair(self, name: str) -> _Pair:
        return self._pairs.setdefault(name, _Pair(name))

    def _see(self, pair: _Pair, skill: Skill) -> None:
        pair.skill, pair.tree = skill, tree_of(self._store, skill.ref) if skill.files else ()

    def _store_id(self) -> str:
        """Returns what tells this namespace of this database from all others; empty before its first write."""
        with self._store.database.read() as session:
            row = session.get(NamespaceRow, self._store.namespace)
            return row.index_key or row.name if row is not None else ""

    def _read(self, found: FolderContent, report: SyncReport) -> set[str]:
        """Takes the folder's skills to their pairs; returns the places of files that are skills."""
        places = set()
        for file in found.skills:
            try:
                skill = incoming(file, names=self._names)
            except InvalidSkillError as exc:
                report.refused[file.where] = str(exc)
                continue
            self._pair(skill.document.name).files.append(skill)
            places.add(self._place(file.path))
        return places

    def _place(self, path: Path | None) -> str:
        return path.relative_to(self._real).as_posix() if path is not None and path.is_relative_to(self._real) else ""

    def _unsure(self, pair: _Pair, taken: set[str], report: SyncReport) -> SyncStep | None:
        """Returns a step for a skill whose files do not say what its text in the folder is."""
        where = [skill.file.where for skill in pair.files]
        if len({(_hash(skill.text, skill.tree), skill.called) for skill in pair.files}) > 1:
            why = f"it lies in {' and in '.join(map(repr, where))} with different texts or files; keep one"
            return SyncStep(pair.name, "skipped", why, where[0])
        path = pair.synced.path if pair.synced else None
        if pair.files or path is None or path in taken:
            return None
        place = str(self._root / path)
        unread = any(place == one or place.startswith(f"{one}{os.sep}") for one in (*report.refused, *report.not_read))
        if unread or os.path.lexists(place):
            return SyncStep(pair.name, "skipped", "its file cannot be read as a skill any more; correct it", place)
        return None

    def _step(self, pair: _Pair) -> SyncStep | None:
        """Returns what is to be done about a skill; None if nothing."""
        if pair.filed == pair.live:
            return None
        where = pair.files[0].file.where if pair.files else str(self._root / pair.name / SKILL_FILE)
        was_filed, was_live = (pair.synced.file, pair.synced.store) if pair.synced else (None, None)
        changed, altered = pair.filed != was_filed, pair.live != was_live  # in the folder, in the store
        if pair.synced is None and pair.skill is not None and pair.files:
            return self._first(pair, pair.skill, where)
        if changed and altered:
            action, why = self._conflict(pair)
        elif changed and pair.files:
            action, why = "import", "new in the folder" if was_filed is None else "changed in the folder"
        elif altered and pair.live:
            action, why = "write", "new in the store" if was_live is None else f"version {pair.skill.version} is live"  # type: ignore[union-attr] # what is live is a skill
        elif changed or altered:
            action, why = self._deletion(pair)
        else:
            return None
        return SyncStep(pair.name, action, why, where)

    def _first(self, pair: _Pair, skill: Skill, where: str) -> SyncStep | None:
        """Returns the step for a skill that both sides have, each with a text of its own, when they meet for the first time."""
        numbers = [
            one.number
            for one in self._store.versions(skill.name)
            if _hash(one.text, tree_of(self._store, f"{skill.id}@{one.number}") if one.files else ()) == pair.filed
        ]
        if skill.status in ("retired", "quarantined"):
            why = f"it is {skill.status} in the store; restore it there, or remove its file"
            return SyncStep(pair.name, "skipped", why, where)
        if skill.status != "live":
            return None if numbers else SyncStep(pair.name, "import", "changed in the folder", where)
        if numbers and numbers[-1] > skill.version:
            return None  # it waits in the store until it is promoted
        if numbers:
            why = f"the file has version {numbers[-1]}, version {skill.version} is live"
            return SyncStep(pair.name, "write", why, where)
        return SyncStep(pair.name, *self._conflict(pair), where)

    def _conflict(self, pair: _Pair) -> tuple[Action, str]:
        sides = {
            "store": "changed in the store" if pair.live else "retired in the store",
            "files": "changed in the folder" if pair.files else "deleted from the folder",
        }
        if self._prefer is None:
            return "conflict", f"{sides['store']} and {sides['files']}"
        if pair.live if self._prefer == "store" else pair.files:
            return ("write" if self._prefer == "store" else "import"), f"{sides[self._prefer]}, which is preferred"
        return self._deletion(pair)

    def _deletion(self, pair: _Pair) -> tuple[Action, str]:
        if pair.files:
            status = pair.skill.status if pair.skill is not None else "gone"
            return ("remove" if self._delete else "deleted"), f"{status} in the store"
        return ("retire" if self._delete else "deleted"), "deleted from the folder"

    def _note(self, state: dict[str, SyncedSkill], pair: _Pair, filed: str | None, live: str | None) -> None:
        """Notes what a skill and its file are after this sync."""
        state.pop(pair.name, None)
        if filed is None:
            return
        path = self._place(pair.files[0].file.path) if pair.files else f"{pair.name}/{SKILL_FILE}"
        version = pair.skill.version if pair.skill is not None and live == pair.live else None
        state[pair.name] = SyncedSkill(path, filed, live, version)

    def _import(self, pairs: list[_Pair]) -> dict[str, str]:
        """Imports the files of these skills; returns the result for each."""
        if not pairs:
            return {}
        content = FolderContent(tuple(pair.files[0].file for pair in pairs))
        report = self._store.import_skills(content, skip_invalid=True, names=self._names)
        results = (
            ("live", report.added),
            ("staged", report.staged),
            ("staged, for people only", report.for_people),
            ("quarantined: the scanner holds it", report.held),
            ("already there", report.already_there),
        )
        return {name: result for result, names in results for name in names}

    def _write(self, pair: _Pair) -> str:
        """Writes the live text and its files to every place of the skill, or to a new one; returns the result."""
        text = with_record(pair.skill, signing_key(self._store.database)) if pair.skill is not None else ""
        for place in self._places(pair) if pair.files else [self._real / pair.name / SKILL_FILE]:
            try:
                self._check(place, is_new=not pair.files)
                folders.write_tree(place.parent, (TreeFile(place.name, text.encode()), *pair.tree))
                folders.remove_files(place.parent, _paths(pair) - {file.path for file in pair.tree})
            except (OSError, InvalidSkillError) as exc:
                return f"not written: {getattr(exc, 'strerror', None) or exc}"
        return "written"

    def _remove(self, pair: _Pair) -> str:
        for place in self._places(pair):
            try:
                self._check(place, is_new=False)
                place.unlink(missing_ok=True)
                folders.remove_files(place.parent, _paths(pair))
            except (OSError, InvalidSkillError) as exc:
                return f"not removed: {getattr(exc, 'strerror', None) or exc}"
            if place.parent != self._real:
                with suppress(OSError):  # other files are left as they are
                    place.parent.rmdir()
        return "removed"

    @staticmethod
    def _places(pair: _Pair) -> Iterator[Path]:
        return (skill.file.path for skill in pair.files if skill.file.path is not None)

    def _check(self, place: Path, *, is_new: bool) -> None:
        """Checks that a file is in the folder, and not somebody else's."""
        if not Path(os.path.realpath(place.parent)).is_relative_to(self._real) or place.is_symlink():
            raise InvalidSkillError(f"{str(place)!r} leads out of the folder through a link; remove the link")
        if is_new and place.parent.exists() and any(skill_files.is_skill(path.name) for path in place.parent.iterdir()):
            raise InvalidSkillError(f"{str(place.parent)!r} holds a SKILL.md of something else; move that")


def _paths(pair: _Pair) -> set[str]:
    """Returns the paths of the files that the skill has in the folder."""
    return {file.path for skill in pair.files for file in skill.tree}


def _hash(text: str, tree: SkillTree = ()) -> str:
    """Returns the hash of a text and the files beside it, whatever their line ends: git may change those."""
    own = sha256(skill_md.check_text(text))
    beside = [
        (file.path, sha256(_LINE_END.sub("\n", file.text)) if file.text is not None else file.sha256) for file in tree
    ]
    return sha256(canonical_json([own, *beside])) if beside else own
