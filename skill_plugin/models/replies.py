"""Replies as models write them: with their thinking in front, in a fence, with a sentence around what was asked for."""

import re

from skill_plugin.errors import InvalidSkillError

_THOUGHTS = ("think", "thinking", "reasoning", "thought")
_BEGIN = re.compile(f"<({'|'.join(_THOUGHTS)})>", re.IGNORECASE)
_END = {name: re.compile(f"</{name}>", re.IGNORECASE) for name in _THOUGHTS}
_OPEN_THOUGHT = re.compile(r"\A.*</(?:think|thinking|reasoning|thought)>", re.DOTALL | re.IGNORECASE)
"""A chat template may have written the opening tag, so that the reply begins inside."""

_FENCE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[\w+-]*[ \t]*\n(?P<inside>.*?)\n(?P=fence)[ \t]*$", re.DOTALL | re.MULTILINE
)
_WHOLE_FENCE = re.compile(r"(?P<fence>`{3,}|~{3,})[\w+-]*[ \t]*\n(?P<inside>.*?)\n(?P=fence)", re.DOTALL)
_FRONT = re.compile(r"^---[ \t]*\n(?:[ \t]*\n|#[^\n]*\n)*[A-Za-z_-]+[ \t]*:", re.MULTILINE)
"""Where a front matter begins: dashes and a key, with blank and comment lines between."""

_EDITS = re.compile(r"^=== (?:replace|add|delete|file|delete file):.*?^=== end[ \t]*$", re.DOTALL | re.MULTILINE)


def without_thinking(reply: str) -> str:
    """Returns a reply without the thinking that a reasoning model writes in front of it."""
    kept, at, endless = [], 0, set()
    # Not one pattern with a lazy middle: that looks to the end for each of 20,000 tags that nothing closes.
    for begin in _BEGIN.finditer(reply):
        name = begin[1].lower()
        if begin.start() < at or name in endless:
            continue
        end = _END[name].search(reply, begin.end())
        if end is None:
            endless.add(name)
            continue
        kept.append(reply[at : begin.start()])
        at = end.end()
    return _OPEN_THOUGHT.sub("", "".join(kept) + reply[at:]).strip()


def document_in(reply: str) -> str:
    """Returns the one SKILL.md text, or the edits, that a reply holds; text around it and a fence are left out.

    A reply in which nothing looks like either is returned as it is, for whoever reads it to say why.

    Raises:
        InvalidSkillError: it holds several.
    """
    text = without_thinking(reply)
    if (
        _FRONT.match(text) is None
        and (several := sum(_FRONT.match(one["inside"]) is not None for one in _FENCE.finditer(text))) > 1
    ):
        raise InvalidSkillError(f"the reply holds {several} skills; write one")
    if (fenced := _WHOLE_FENCE.fullmatch(text)) is not None:
        text = fenced["inside"].strip()
    if _FRONT.match(text) is not None:
        return text
    if (edits := _EDITS.search(text)) is not None:
        return _edits_in(text, edits)
    return _fenced_document(text) or _bare_document(text) or text


def _edits_in(text: str, edits: "re.Match[str]") -> str:
    rest = text[edits.end() :]
    if _EDITS.search(rest) is not None:
        raise InvalidSkillError("the reply holds several sets of edits; write one")
    return edits[0]


def _fenced_document(text: str) -> str | None:
    """Returns the document in a fence, with text around. Where the fence holds the front matter alone, the body stands behind it."""
    found = next((one for one in _FENCE.finditer(text) if _FRONT.match(one["inside"])), None)
    if found is None:
        return None
    inside, rest = found["inside"].strip(), text[found.end() :].strip()
    front_only = inside.endswith("\n---") and inside.count("\n---") == 1
    if front_only:
        return f"{inside}\n\n{rest}"
    if _opens_a_fence(inside):  # a fence of the skill's own closed it; the last line of the kind is the end
        return text[found.start("inside") : text.rfind(f"\n{found['fence']}")].strip()
    return inside


def _opens_a_fence(text: str) -> bool:
    return sum(line.lstrip().startswith("```") for line in text.split("\n")) % 2 == 1


def _bare_document(text: str) -> str | None:
    """Returns the document behind a sentence, to the end."""
    starts = [one.start() for one in _FRONT.finditer(text) if "\n---" in text[one.end() :]]
    return text[starts[0] :].strip() if starts else None
