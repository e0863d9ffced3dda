"""What the generator wrote: revisions, and the staged versions that became of them. Within the caller's transaction."""

import secrets
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from sqlmodel import Session, col, select

from skill_plugin.records import Revision, Skill, Task, split_ref
from skill_plugin.skill_md import SkillDocument
from skill_plugin.store import versions
from skill_plugin.store.database import insert_if_absent
from skill_plugin.store.outcomes import insert_task
from skill_plugin.store.tables import RevisionRow, RevisionTaskRow, SkillRow, SkillVersionRow
from skill_plugin.store.vectors import Vector

T = TypeVar("T")


class StagedRevision(NamedTuple):
    """A revision and the staged version it became; `skill` is None if the text was refused (`revision.error`)."""

    revision: Revision
    skill: Skill | None


class Candidate(NamedTuple):
    """A revision ready to be written: parsed and embedded, or neither if it is malformed."""

    revision: Revision
    document: SkillDocument | None
    vector: Vector | None


def find_group(session: Session, namespace: str, group_id: str) -> list[StagedRevision]:
    """The candidates of a group that were written already, in order."""
    statement = select(RevisionRow).where(RevisionRow.namespace == namespace, RevisionRow.group_id == group_id)
    rows = session.exec(statement.order_by(col(RevisionRow.candidate))).all()
    return [StagedRevision(*_read(session, row)) for row in rows]


def write_group(
    session: Session,
    namespace: str,
    task: Task,
    candidates: Sequence[Candidate],
    *,
    also: Sequence[Task],
    first: int,
    run_id: str,
    group_id: str,
    generation: int,
    parent: str | None,
    signature: str,
) -> list[StagedRevision]:
    """Appends the candidates of one prompt, numbered from `first`; each well-formed one becomes a staged version."""
    insert_task(session, namespace, task)
    for other in also:
        insert_task(session, namespace, other)
        shown = {"namespace": namespace, "group_id": group_id, "content_hash": other.content_hash}
        insert_if_absent(session, RevisionTaskRow, shown)
    parent_id, parent_number = split_ref(parent) if parent else (None, None)
    # Candidates of one prompt are mostly of one skill: it and its newest number are looked up once, and their rows are
    # written together at the end.
    skills: dict[str, SkillRow] = {}
    newest: dict[str, int] = {}
    texts: dict[tuple[str, str], SkillVersionRow] = {}
    vectors: list[tuple[SkillVersionRow, Vector]] = []
    staged = []
    for number, candidate in enumerate(candidates, first):
        revision_id = f"rev_{secrets.token_hex(8)}"
        version, skill, is_new = None, None, False
        if candidate.document is not None and candidate.vector is not None and candidate.revision.text is not None:
            name = candidate.document.name
            skill = skills[name] = skills.get(name) or _skill_for(session, namespace, candidate.document, parent_id)
            text = candidate.revision.text
            version = texts.get((skill.id, text)) or versions.version_with_text(session, skill, text)
            if is_new := version is None:
                newest[skill.id] = 1 + (newest.get(skill.id) or versions.newest_version(session, skill.id))
                version = versions.append_version(
                    session,
                    skill,
                    candidate.document,
                    text,
                    author="generator",
                    generation=generation,
                    parent=parent_number if skill.id == parent_id else skill.live_version,
                    revision_id=revision_id,
                    number=newest[skill.id],
                )
                texts[skill.id, text] = version
                vectors.append((version, candidate.vector))
                kind = "staged" if version.number == 1 else "revised"
                versions.log_event(session, skill, kind, by="generator", version=version.number)
        session.add(
            RevisionRow(
                id=revision_id,
                namespace=namespace,
                task_id=task.id,
                run_id=run_id,
                group_id=group_id,
                candidate=number,
                generation=generation,
                parent_skill_id=parent_id,
                parent_version=parent_number,
                skill_id=version.skill_id if version else None,
                version=version.number if version else None,
                prompt=[dict(message) for message in candidate.revision.prompt],
                completion=candidate.revision.completion,
                error=candidate.revision.error,
                prompt_token_ids=_list(candidate.revision.prompt_token_ids),
                completion_token_ids=_list(candidate.revision.completion_token_ids),
                logprobs=_list(candidate.revision.logprobs),
                sampling=dict(candidate.revision.sampling),
                model=candidate.revision.model,
                checkpoint_id=candidate.revision.checkpoint,
                input_tokens=candidate.revision.input_tokens,
                output_tokens=candidate.revision.output_tokens,
                source=candidate.revision.source,
            )
        )
        seen = versions.view(session, skill, version, is_new=is_new) if skill and version else None
        staged.append(StagedRevision(candidate.revision, seen))
    session.flush()
    for version, vector in vectors:
        versions.add_vector(session, version, vector, signature)
    return staged


def _skill_for(session: Session, namespace: str, document: SkillDocument, parent_id: str | None) -> SkillRow:
    """The skill that a text is a version of: its parent if it kept the name, else its namesake, else a new one.

    A namesake is taken rather than a second skill made: a library of near copies is what retrieval dies of, and a
    staged version has to pass the gate like any other.
    """
    if parent_id is not None:
        parent = versions.find_skill(session, namespace, parent_id, lock=True)
        if parent.name == document.name:
            return parent
    statement = select(SkillRow).where(SkillRow.namespace == namespace, SkillRow.name == document.name)
    found = session.exec(statement.with_for_update()).first()
    return found or versions.new_skill(session, namespace, document, author="generator")


def _read(session: Session, row: RevisionRow) -> tuple[Revision, Skill | None]:
    version = session.get(SkillVersionRow, (row.skill_id, row.version)) if row.skill_id else None
    skill = session.get(SkillRow, row.skill_id) if row.skill_id else None
    revision = Revision(
        completion=row.completion,
        prompt=tuple(row.prompt),
        text=version.text if version else None,
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
    return revision, versions.view(session, skill, version) if skill and version else None


def _list(values: tuple[T, ...] | None) -> list[T] | None:
    return None if values is None else list(values)


def _tuple(values: list[T] | None) -> tuple[T, ...] | None:
    return None if values is None else tuple(values)
