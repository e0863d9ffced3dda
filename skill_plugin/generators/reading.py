"""What a completion is to the loop: a SKILL.md text, or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import replace

from skill_plugin.errors import InvalidSkillError
from skill_plugin.prompts import read_revision
from skill_plugin.records import Generation, Revision


def read(revision: Revision, history: Sequence[Generation]) -> Revision:
    """The revision with the SKILL.md text that its completion holds, or with the error that there is none."""
    if revision.text is not None or revision.error is not None:
        return revision
    try:
        return replace(revision, text=read_revision(revision.completion, current=current_text(history)))
    except InvalidSkillError as exc:
        return replace(revision, error=str(exc))


def current_text(history: Sequence[Generation]) -> str | None:
    """The SKILL.md text that the next revision starts from: the last one tried; None if there was none."""
    return next((generation.text for generation in reversed(history) if generation.text is not None), None)
