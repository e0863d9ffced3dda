"""Reads a completion for the loop: a SKILL.md text, or the reason why it holds none."""

from collections.abc import Sequence
from dataclasses import replace

from skill_plugin.errors import InvalidSkillError
from skill_plugin.generators.digest import current_text
from skill_plugin.generators.prompt import read_revision
from skill_plugin.models.replies import document_in
from skill_plugin.records import Generation, Revision
from skill_plugin.skills.edits import MAX_CHANGE, are_edits, file_changes
from skill_plugin.skills.skill_md import check_text


def read(revision: Revision, history: Sequence[Generation], *, max_change: float | None = MAX_CHANGE) -> Revision:
    """Returns the revision with the SKILL.md text and the changes of files that its completion holds, or with the error why it holds none.

    Args:
        revision: A generator's revision; one that the generator has read itself is left as it is.
        history: The history that it was written from.
        max_change: Share of the current body that edits may change; None means no limit.
    """
    if revision.text is not None or revision.error is not None:
        return revision
    try:
        text = read_revision(revision.completion, current=current_text(history), max_change=max_change)
        return replace(revision, text=text, files=read_files(revision.completion, max_change=max_change))
    except InvalidSkillError as exc:
        return replace(revision, error=str(exc))


def read_files(completion: str, *, max_change: float | None = MAX_CHANGE) -> dict[str, str | None]:
    """Returns what the edits in a completion make of the skill's files; nothing for a whole SKILL.md. See `read_revision`.

    Raises:
        InvalidSkillError: the edits are malformed, or a limit of 0 lets nothing but the description change.
    """
    text = document_in(check_text(completion))
    changes = file_changes(text) if are_edits(text) else {}
    if changes and max_change == 0:
        raise InvalidSkillError(
            f"the edits change the file {next(iter(changes))!r}, and only the description may change"
        )
    return changes
