"""Models wrap code and JSON in Markdown fences, with a sentence around; verifiers want what is inside."""

import json
import re
from typing import Any

from skill_plugin.models.replies import without_thinking

_FENCE = re.compile(r"```(?P<language>[\w+-]*)[ \t]*\n(?P<inside>.*?)\n?```", re.DOTALL)

_MAX_LOOKED = 20_000_000
"""How many characters are read again, all together, to find where a value begins: 36,000 brackets that nothing closes take minutes."""


def unfence(text: str, *languages: str) -> str:
    """Returns the content of the last fenced block, or the whole text without one.

    Args:
        text: A model's answer; thinking in front of it is left out.
        languages: Where blocks are marked as one of these, the last of them is taken: an example of output may follow.
    """
    text = without_thinking(text)
    blocks = [(found["language"].lower(), found["inside"]) for found in _FENCE.finditer(text)]
    marked = [inside for language, inside in blocks if language in languages]
    return ([*(inside for _, inside in blocks), *marked][-1] if blocks else text).strip()


def json_in(text: str) -> Any:
    """Returns the JSON value that an answer is, or the last object or list that stands in it.

    Raises:
        ValueError: it holds none.
    """
    inside = unfence(text, "json")
    try:
        return json.loads(inside)
    except ValueError as exc:
        decoder, found, at, looked = json.JSONDecoder(), [], 0, 0
        while looked < _MAX_LOOKED and (begin := re.compile(r"[\[{]").search(inside, at)) is not None:
            try:
                value, at = decoder.raw_decode(inside, begin.start())
                found.append(value)
            except json.JSONDecodeError as other:
                at = begin.end()
                looked += other.pos
        if not found:
            raise exc from None
        return found[-1]
