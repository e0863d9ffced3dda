"""The generator's revisions, and the staged versions made of them. Within the caller's transaction."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, Self, TypeVar

from sqlmodel import Session, col, select

from skill_plugin.errors import InvalidSkillError
from skill_plugin.records import Revision, Skill, Task
from skill_plugin.scanning.scanners import Screen
from skill_plugin.skills import skill_md
from skill_plugin.skills.skill_md import SkillDocument
from skill_plugin.skills.tree_limits import DEFAULT_LIMITS, TreeLimits
from skill_plugin.skills.trees import SkillTree, changed_tree, tree_sha256
from skill_plugin.store.runs.outcomes import insert_task
from skill_plugin.store.skills import versions
from skill_plugin.store.skills.names import own_name
from skill_plugin.store.skills.screening import Content, known_content, screened, settle
from skill_plugin.store.skills.tree_rows import tree_at, version_with, write_tree
from skill_plugin.store.sql.database import insert_if_absent
from skill_plugin.store.tables import RevisionRow, RevisionTaskRow, SkillRow, SkillVersionRow
from skill_plugin.store.vectors import Vector

T = TypeVar("T")


class StagedRevision(NamedTuple):
    """A revision and the staged version it became; `skill` is None if the text was refused or is held (`revision.error`)."""

    revision: Revision
    skill: Skill | None


class ParsedRevision(NamedTuple):
    """A revision ready to be written; `document` is its text, parsed, or None if it is malformed."""

    revision: Revision
    document: SkillDocument | None

    @classmethod
    def of(cls, revision: Revision) -> Self:
        return cls(revision, None if revision.text is None else skill_md.parse(revision.text))

    def named(self, name: str) -> "ParsedRevision":
        """Returns the revision under another name; it is malformed if its text becomes too long."""
        if self.document is None or self.document.name == name or self.revision.text is None:
            return self
        try:
            return ParsedRevision.of(replace(self.revision, text=skill_md.renamed(self.revision.text, name)))
        except InvalidSkillError as exc:
            return ParsedRevision(replace(self.revision, text=None, error=str(exc)), None)


class PromptGroup(NamedTuple):
    """The candidates of one prompt, or those from number `first` on. `parent` is the id and the version that was revised.

    `also` are further tasks that the prompt showed.
    """

    namespace: str
    id: str
    task: Task
    run_id: str
    generation: int
    parent: tuple[str | None, int | None] = (None, None)
    also: Sequence[Task] = ()
    first: int = 0


def find_group(session: Session, namespace: str, group_id: str) -> list[StagedRevision]:
    """Returns the candidates of a group that were written already, in order."""
    statement = select(RevisionRow).where(RevisionRow.namespace == namespace, RevisionRow.group_id == group_id)
    rows = session.exec(statement.order_by(col(RevisionRow.candidate))).all()
    return [StagedRevision(*_read(session, row)) for row in rows]


def named(session: Session, group: PromptGroup, candidates: Sequence[ParsedRevision]) -> list[ParsedRevision]:
    """Returns the candidates under the names that they get in the library."""
    names: dict[str, str] = {}
    for name in {candidate.document.name for candidate in candidates if candidate.document}:
        names[name] = own_name(session, group.namespace, name, parent_id=group.parent[0], family=group.task.family)
    return [one.named(names[one.document.name]) if one.document else one for one in candidates]


def write_group(
    session: Session,
    group: PromptGroup,
    candidates: Sequence[ParsedRevision],
    *,
    embed: Callable[[str], Vector],
    screen: Screen,
    signature: str,
    limits: TreeLimits = DEFAULT_LIMITS,
    files: SkillTree | None = None,
) -> list[StagedRevision]:
    """Appends candidates of one prompt; each well-formed one becomes a staged version.

    Each has the `files`, by default those of the version that was revised if it has its name, with its own changes.
    """
    for task in (group.task, *group.also):
        insert_task(session, group.namespace, task)
    for task in group.also:
        shown = {"namespace": group.namespace, "group_id": group.id, "content_hash": task.content_hash}
        insert_if_absent(session, RevisionTaskRow, shown)
    # Candidates of one prompt are mostly of one skill: it and its newest number are looked up once, and their rows are
    # written together at the end.
    skills: dict[str, SkillRow] = {}
    newest: dict[str, int] = {}
    texts: dict[tuple[str, str, str], SkillVersionRow] = {}
    made: list[tuple[SkillVersionRow, Vector, SkillTree]] = []
    held: dict[tuple[str, str, str], str] = {}
    known = known_content(session, *group.parent)
    inherited = tree_at(session, *group.parent) if files is None else files
    revised = session.get(SkillRow, group.parent[0]) if group.parent[0] else None
    staged = []
    for number, (given, parsed) in enumerate(named(session, group, candidates), group.first):
        version, skill, is_new = None, None, False
        revision_id = f"rev_{secrets.token_hex(8)}"
        before = inherited
        if files is None and parsed is not None and revised is not None and parsed.name != revised.name:
            before = ()  # a skill of another name has none of the files
        tree, document, stopped = _tree(given, parsed, before, limits)
        judged = screened(screen, Content(given.text or "", tree if given.text else ()), known)
        if judged.blocked:
            document, stopped = None, judged.refusal
        if document is not None and (text := given.text) is not None:
            skill = skills[document.name] = skills.get(document.name) or _skill(session, group.namespace, document)
            same = (skill.id, text, tree_sha256(text, tree))
            version = texts.get(same) or version_with(session, skill, text, tree)
            if is_new := version is None:
                newest[skill.id] = 1 + (newest.get(skill.id) or versions.newest_version(session, skill.id))
                version = versions.append_version(
                    session,
                    skill,
                    document,
                    text,
                    author="generator",
                    generation=group.generation,
                    # What the generator saw, which may be less than what is live.
                    parent=group.parent[1] if skill.id == group.parent[0] else None,
                    revision_id=revision_id,
                    number=newest[skill.id],
                    tree=tree,
                )
                version.checks = dict(given.checks)
                texts[same] = version
                made.append((version, embed(document.embedded_text), tree))
                kind = "staged" if version.number == 1 else "revised"
                versions.log_event(session, skill, kind, by="generator", version=version.number)
                settle(session, skill, version, judged.held, is_first=version.number == 1)
                stopped = judged.refusal if judged.held else ""
                held |= {same: stopped} if stopped else {}
            else:
                is_held = version.number in versions.held(session, skill)
                stopped = held.get(same) or (judged.refusal if is_held else "")
        revision = replace(given, text=None, error=stopped) if stopped else given
        session.add(_row(group, revision_id, number, revision, version))
        seen = None
        if skill and version and not stopped:
            seen = replace(
                versions.view(session, skill, version, is_new=is_new), files=tuple(file.path for file in tree)
            )
        staged.append(StagedRevision(revision, seen))
    session.flush()
    for version, vector, tree in made:
        write_tree(session, version, tree)
        versions.add_vector(session, version, vector, signature)
    return staged


def _tree(
    revision: Revision, document: SkillDocument | None, before: SkillTree, limits: TreeLimits
) -> tuple[SkillTree, SkillDocument | None, str]:
    """Returns the files that a revision leads to, and its document; or none, and what is wrong with its files."""
    try:
        return changed_tree(before, revision.files, limits), document, ""
    except InvalidSkillError as exc:
        return before, None, "" if document is None else str(exc)


def _skill(session: Session, namespace: str, document: SkillDocument) -> SkillRow:
    known = select(SkillRow).where(SkillRow.namespace == namespace, SkillRow.name == document.name)
    return session.exec(known).first() or versions.new_skill(session, namespace, document)


def _row(
    group: PromptGroup, revision_id: str, number: int, revision: Revision, version: SkillVersionRow | None
) -> RevisionRow:
    return RevisionRow(
        id=revision_id,
        namespace=group.namespace,
        task_id=group.task.id,
        run_id=group.run_id,
        group_id=group.id,
        candidate=number,
        generation=group.generation,
        parent_skill_id=group.parent[0],
        parent_version=group.parent[1],
        skill_id=version.skill_id if version else None,
        version=version.number if version else None,
        prompt=[dict(message) for message in revision.prompt],
        completion=revision.completion,
        error=revision.error,
        prompt_token_ids=_list(revision.prompt_token_ids),
        completion_token_ids=_list(revision.completion_token_ids),
        logprobs=_list(revision.logprobs),
        sampling=dict(revision.sampling),
        model=revision.model,
        checkpoint_id=revision.checkpoint,
        input_tokens=revision.input_tokens,
        output_tokens=revision.output_tokens,
        source=revision.source,
    )


def _read(session: Session, row: RevisionRow) -> tuple[Revision, Skill | None]:
    version = session.get(SkillVersionRow, (row.skill_id, row.version)) if row.skill_id else None
    skill = session.get(SkillRow, row.skill_id) if row.skill_id else None
    revision = Revision(
        completion=row.completion,
        prompt=tuple(row.prompt),
        text=version.text if version and not row.error else None,
        error=row.error,
        model=row.model,
        sampling=row.sampling,
        prompt_token_ids=_tuple(row.prompt_token_ids),
        completion_token_ids=_tuple(row.completion_token_ids),
        logprobs=_tuple(row.logprobs),
        checkpoint=row.checkpoint_id,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        source=row.source,
    )
    return revision, versions.view(session, skill, version) if skill and version and not row.error else None


def _list(values: tuple[T, ...] | None) -> list[T] | None:
    return None if values is None else list(values)


def _tuple(values: list[T] | None) -> tuple[T, ...] | None:
    return None if values is None else tuple(values)
