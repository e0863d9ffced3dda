"""Reads a completion for the loop: a SKILL.md text, or the reason why it holds none."""

from collections.abc import Sequence
from dataclasses import replace

from skill_plugin.errors import InvalidSkillError
from skill_plugin.generators.digest import current_text
from skill_plugin.generators.prompt import read_revision
from skill_plugin.records import Generation, Revision
from skill_plugin.skills.edits import MAX_CHANGE


def read(revision: Revision, history: Sequence[Generation], *, max_change: float | None = MAX_CHANGE) -> Revision:
    """Returns the revision with the SKILL.md text that its completion holds, or with the error why it holds none.

    Args:
        revision: A generator's revision; one that the generator has read itself is left as it is.
        history: The history that it was written from.
        max_change: Share of the current body that edits may change; None means no limit.
    """
    if revision.text is not None or revision.error is not None:
        return revision
    try:
        return replace(
            revision, text=read_revision(revision.completion, current=current_text(history), max_change=max_change)
        )
    except InvalidSkillError as exc:
        return replace(revision, error=str(exc))
