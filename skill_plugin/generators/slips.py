"""Slips of small models that would pass for a skill: words copied from the instructions, a second skill, edits behind a skill."""

import re

from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills.skill_md import MAX_DESCRIPTION, MAX_NAME

NAME = f"<words in lower case, joined by hyphens, at most {MAX_NAME} characters>"
DESCRIPTION = f"<one sentence that says for which tasks the skill is meant, at most {MAX_DESCRIPTION} characters>"
BODY = "<the procedure in Markdown>"
NEW_DESCRIPTION = "one new sentence"
NEW_LINES = "the new lines of that section, without its heading"
MORE_LINES = "lines to put at the end of that section"
"""What stands in the instructions for a model's own words; see `prompt.REVISE_SYSTEM`."""

_NAMED = re.compile(r"^[\"']?name[\"']?[ \t]*:[ \t]*[\"'<]?(?P<name>(?:words-in-)?lower-case[a-z0-9-]*)", re.MULTILINE)
_FENCED = re.compile(r"^ {0,3}(?P<marks>`{3,}|~{3,}).*?(?:^ {0,3}(?P=marks)[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_SECOND = re.compile(r"^---[ \t]*\n(?:[ \t]*\n)*name[ \t]*:[ \t]*(?P<name>[^\n]*)", re.MULTILINE)
_EDITS = re.compile(r"^=== (?:replace|add|delete|file|delete file):.*$", re.MULTILINE)


def check_copies(text: str, current: str | None) -> None:
    """Refuses words that were copied from the instructions, where a model's own should stand.

    Args:
        text: A SKILL.md text or edits, as written.
        current: The skill that was shown: what stands there is no copy of the instructions.

    Raises:
        InvalidSkillError: there are some.
    """
    shown = current or ""
    lines = {line.strip() for line in text.split("\n")} - {line.strip() for line in shown.split("\n")}
    copied = next((one for one in (NAME, DESCRIPTION, BODY) if one in text and one not in shown), None)
    copied = copied or next((one for one in (NEW_DESCRIPTION, NEW_LINES, MORE_LINES) if one in lines), None)
    if copied is None and (named := _NAMED.search(text)) is not None and named["name"] not in shown:
        copied = named["name"]
    if copied is not None:
        raise InvalidSkillError(f"{copied!r} is copied from the instructions; write words of your own in its place")


def check_one(body: str, what: str) -> None:
    """Refuses a text that goes on with another skill or with edits. In a code fence both are an example, and allowed.

    Args:
        body: The procedure, or the lines of an edit.
        what: What they are, for the message.

    Raises:
        InvalidSkillError: it does.
    """
    plain = _FENCED.sub("", body)
    if (second := _SECOND.search(plain)) is not None:
        raise InvalidSkillError(
            f"{what} goes on with a second skill, named {second['name'][:80]!r}; write one skill alone"
        )
    if (edits := _EDITS.search(plain)) is not None:
        raise InvalidSkillError(
            f"{what} goes on with edits, {edits[0][:80]!r}; answer with a whole SKILL.md or with edits, not with both"
        )
