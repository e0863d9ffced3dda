"""Names of generated skills: the one that a text gets if it was not revised from a skill of the name that it bears.

Small models copy names, and large ones choose the obvious one, so texts of many families come with one name. A text joins a
namesake only where that is of its own family; else the families would take each other's skills away. Within the caller's
transaction.
"""

from collections.abc import Iterator, Sequence
from itertools import count, islice

from sqlmodel import Session, col, select

from skill_plugin.skills import skill_md
from skill_plugin.store.skills import versions
from skill_plugin.store.tables import RevisionRow, SkillRow, SkillVersionRow, TaskRow

_LONGEST_ENDING = len("-99999")


def own_name(session: Session, namespace: str, name: str, *, parent_id: str | None, family: str) -> str:
    """Returns the name of the skill that a generated text becomes a version of: one that exists, or a free name.

    It keeps the name of its parent, and joins a namesake only if a generator wrote every version of it, for tasks of the same
    family. Otherwise it gets `NAME-2`, `NAME-3` and so on: the first that is of the family, else the first that is free.

    Args:
        session: The caller's session.
        namespace: The tenant's partition.
        name: What the text calls itself.
        parent_id: The skill that it was revised from; None for a first text.
        family: The family of the task that it was written for.
    """
    if parent_id is not None and versions.find_skill(session, namespace, parent_id).name == name:
        return name
    taken = _taken(session, namespace, name)
    names = list(islice(_numbered(name), len(taken) + 1))  # one more than are taken, so that one of them is free
    foreign = _foreign(session, [taken[one] for one in names if one in taken], family)
    of_family = (one for one in names if one in taken and taken[one] not in foreign)
    return next(of_family, None) or next(one for one in names if one not in taken)


def _numbered(name: str) -> Iterator[str]:
    """Yields the name, and then the same with a number, within the length that a name may have."""
    yield name
    for number in count(2):
        ending = f"-{number}"
        yield name[: skill_md.MAX_NAME - len(ending)].rstrip("-") + ending


def _taken(session: Session, namespace: str, name: str) -> dict[str, str]:
    """Returns skills by name: the one with this name, if it exists, and then all that begin like it with a number."""
    by_name = select(SkillRow.name, SkillRow.id).where(SkillRow.namespace == namespace)
    own = session.exec(by_name.where(SkillRow.name == name)).all()
    if not own:
        return {}
    beginning = name[: skill_md.MAX_NAME - _LONGEST_ENDING].rstrip("-")
    return dict([*own, *session.exec(by_name.where(col(SkillRow.name).startswith(beginning))).all()])


def _foreign(session: Session, skill_ids: Sequence[str], family: str) -> set[str]:
    """Returns the skills with a version that is not known to be a generator's, for a task of the family."""
    if not skill_ids:
        return set()
    written = (
        select(SkillVersionRow.skill_id, SkillVersionRow.author, TaskRow.family)
        .join(RevisionRow, col(RevisionRow.id) == col(SkillVersionRow.revision_id), isouter=True)
        .join(
            TaskRow,
            (col(TaskRow.namespace) == col(RevisionRow.namespace)) & (col(TaskRow.id) == col(RevisionRow.task_id)),
            isouter=True,
        )
        .where(col(SkillVersionRow.skill_id).in_(skill_ids))
        .distinct()
    )
    rows = session.exec(written).all()
    return {skill_id for skill_id, author, of in rows if author != "generator" or of != family}
