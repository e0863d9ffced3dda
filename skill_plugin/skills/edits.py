"""Edits: a small change to a SKILL.md text, section by section, in a form that small models write reliably.

    === replace: ## Steps
    1. Check the ledger.
    === delete: ## Old cases
    === end

A line that begins with `=== ` is never text: it begins an edit (`replace`, `add` or `delete`, then the section) or ends
them all. A section is an ATX heading (`#` to `######`) and what stands below it, up to the next heading of its level or a
higher one; what looks like a heading inside a code fence is not one. It is named by its heading line; `top` is what stands
before the first heading, `description` the one in the front matter, and `end`, for `add` only, the end of the body.

- `replace`: the lines take the place of the section's text. Its heading stays, unless they begin with one of its level.
- `add`: the lines are put at the end of the section.
- `delete`: the section goes, with its heading; no lines.
- `file`, with a path below the skill's folder instead of a section: the lines are all that the file holds then.
- `delete file`: the file goes; no lines.

Everything is applied to the text as it was shown, so that no edit depends on another; two that touch are refused.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import yaml

from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.quoting import defused
from skill_plugin.skills.skill_md import SkillDocument, check_text, parse, render
from skill_plugin.skills.trees import check_path

MAX_CHANGE = 0.5
"""Share of the body's characters that edits may add and delete together."""

FREE_CHANGE = 300
"""Characters that edits may add and delete together in any body: a line of a short skill is a large share of it."""

_MARK = "=== "
_FILE_OPERATIONS = ("file", "delete file")
_END = "=== end"
_FORM = (
    "write '=== replace: description', '=== replace: ## Heading', '=== add: ## Heading' or '=== delete: ## Heading', and "
    f"'{_END}' last"
)
_EDIT = re.compile(r"=== (?P<operation>replace|add|delete|file|delete file): *(?P<target>\S.*)")
_BEGUN = re.compile(
    r"\A==|^=== (?:replace|add|delete|file|delete file):|^={1,6} ?(?:replace|add|delete)\b[^\n]*:",
    re.MULTILINE | re.IGNORECASE,
)
_HEADING = re.compile(r" {0,3}(?P<marks>#{1,6})(?:[ \t](?P<title>.*))?")
_WHOLE_FENCE = re.compile(r"(?P<marks>`{3,}|~{3,})[^\n]*\n(?P<inside>.*?)\n?(?P=marks)[ \t]*", re.DOTALL)
_FENCE = re.compile(r" {0,3}(?P<marks>`{3,}|~{3,})(?P<info>.*)")


@dataclass(frozen=True, slots=True)
class Edit:
    """One operation on one section, with the lines to write."""

    operation: str
    target: str
    lines: tuple[str, ...]

    @property
    def is_of_file(self) -> bool:
        """Whether it writes or deletes a file beside the text."""
        return self.operation in _FILE_OPERATIONS


@dataclass(frozen=True, slots=True)
class Section:
    """The lines `start <= line < end` of a body, without the blank ones at the end. Level 0 has no heading."""

    name: str
    level: int
    start: int
    end: int


def are_edits(text: str) -> bool:
    """Returns whether a completion is meant as edits, well-formed or not, and not as a SKILL.md."""
    return not text.startswith(("---", "\ufeff")) and _BEGUN.search(text) is not None


def apply_edits(current: str, edits: str, *, limit: float | None = MAX_CHANGE) -> str:
    """Returns the SKILL.md text that edits make of the current one.

    Front matter stays as it was written; only if the description is replaced is it written anew, with every key. Edits
    that change nothing give the current text to the letter.

    Args:
        current: The SKILL.md text.
        edits: Edits in the form that the module's docstring shows.
        limit: The share of the body's characters that may be added and deleted together, at least `FREE_CHANGE` characters;
            0 leaves the description alone to change; None means no limit.

    Raises:
        InvalidSkillError: the edits are malformed, name no section or an ambiguous one, overlap or change too much, or what
            they make is not a SKILL.md.
        ConfigurationError: the limit is not a share.
    """
    parent = parse(current)
    parsed = [edit for edit in parse_edits(edits) if not edit.is_of_file]
    ours = [edit for edit in parsed if edit.target != "description"]
    body = _spliced(parent.body.split("\n"), ours)
    if not body.strip():
        raise InvalidSkillError(
            "the edits leave no body; replace a section instead of deleting all, or write a whole SKILL.md"
        )
    text = check_text(current).rstrip("\n").removesuffix(parent.body) + f"{body}\n"
    if len(ours) < len(parsed):
        text = _rendered(replace(parent, description=_described(parsed), body=body))
    document = parse(text)
    if (document.description, document.body) == (parent.description, parent.body):
        return current
    check_change("the edits", parent.body, document.body, limit)
    return text


def file_changes(edits: str) -> dict[str, str | None]:
    """Returns what edits make of the files beside the text: new contents by path, None for a file that is deleted.

    A code fence around the whole of a file is left out, except in Markdown, where it may be the file's own.

    Raises:
        InvalidSkillError: the edits are malformed.
    """
    changes: dict[str, str | None] = {}
    for edit in parse_edits(edits):
        if edit.is_of_file:
            content = "\n".join(edit.lines).strip("\n")
            if not edit.target.endswith(".md") and (fenced := _WHOLE_FENCE.fullmatch(content)) is not None:
                content = fenced["inside"]
            changes[edit.target] = None if edit.operation == "delete file" else f"{content}\n"
    return changes


def parse_edits(text: str) -> list[Edit]:
    """Returns the edits in a text, in the order they were written.

    Raises:
        InvalidSkillError: the text has another form, or more in it than edits.
    """
    *lines, last = (line.rstrip() for line in check_text(text).strip().split("\n"))
    outside = [*lines, last][lines.index(_END) + 1 :] if _END in lines else lines[:1]
    if outside and (_END in lines or not outside[0].startswith(_MARK)):
        if _END not in lines and _BEGUN.match(outside[0]):
            raise InvalidSkillError(f"unknown operation {outside[0][:80]!r}; {_FORM}")
        raise InvalidSkillError(f"there is text outside the edits: {outside[0][:80]!r}; answer with the edits alone")
    if last != _END:
        raise InvalidSkillError(f"the edits end with {last[:80]!r}; end them with the line '{_END}'")
    begun: list[tuple[str, str, list[str]]] = []
    for line in lines:
        if not line.startswith(_MARK):
            begun[-1][2].append(line)
        elif (found := _EDIT.fullmatch(line)) is not None:
            is_file = found["operation"] in _FILE_OPERATIONS
            begun.append((found["operation"], found["target"].strip() if is_file else _named(found["target"]), []))
        else:
            raise InvalidSkillError(f"unknown operation {line[:80]!r}; {_FORM}")
    if not begun:
        raise InvalidSkillError(f"there are no edits before '{_END}'; {_FORM}")
    parsed = [_checked(Edit(operation, target, tuple(lines))) for operation, target, lines in begun]
    twice = [
        target for (target, _), times in Counter((edit.target, edit.is_of_file) for edit in parsed).items() if times > 1
    ]
    if twice:
        raise InvalidSkillError(f"the edits overlap: {len(parsed)} edits name {twice[0]!r} twice; write one for it")
    return parsed


def check_change(what: str, before: str, after: str, limit: float | None) -> None:
    """Refuses a body that differs too much from another.

    Whole lines that only one of the two has are counted, with their ends. A line that moved is not counted.

    Raises:
        InvalidSkillError: more than `limit` was added and deleted together, as a share of the characters before, and more
            than `FREE_CHANGE` characters; with a limit of 0, anything.
        ConfigurationError: the limit is not a share.
    """
    if limit is None:
        return
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 0:
        raise ConfigurationError(
            f"a limit of change is a share of the body such as {MAX_CHANGE}, or None, got {limit!r}"
        )
    old, new = Counter(before.split("\n")), Counter(after.split("\n"))
    added, deleted, whole = _size(new - old), _size(old - new), _size(old)
    most = max(limit * whole, FREE_CHANGE) if limit else 0
    if added + deleted > most:
        raise InvalidSkillError(
            f"{what} change {(added + deleted) / whole:.1%} of the body ({added} characters added and {deleted} deleted, "
            f"of {whole}), the limit is {limit:.1%}, here {most:.0f} characters; change less at a time"
        )


def sections(lines: Sequence[str]) -> list[Section]:
    """Returns the sections of a body's lines in their order, `top` first; a section holds those of a lower level."""
    starts = [*_headings(lines)]
    found = []
    if any(line.strip() for line in lines[: starts[0][0] if starts else len(lines)]):
        found.append(Section("top", 0, 0, _last(lines, 0, starts[0][0] if starts else len(lines))))
    open_ones: list[tuple[int, int, str]] = []
    for start, level, name in [*starts, (len(lines), 0, "")]:
        while open_ones and open_ones[-1][1] >= level:
            begin, depth, title = open_ones.pop()
            found.append(Section(title, depth, begin, _last(lines, begin, start)))
        open_ones.append((start, level, name))
    return sorted(found, key=lambda section: section.start)


def _headings(lines: Sequence[str]) -> list[tuple[int, int, str]]:
    """Returns line number, level and name of every heading outside code fences."""
    found, fence = [], ""
    for number, line in enumerate(lines):
        fence, before = _fence_after(fence, line), fence
        if not fence and not before and (level := _level(line)):
            found.append((number, level, _named(line)))
    return found


def _fence_after(fence: str, line: str) -> str:
    """Returns the code fence that is open after a line; empty if none is (CommonMark 0.31, 4.5)."""
    found = _FENCE.fullmatch(line)
    if found is None:
        return fence
    marks, info = found["marks"], found["info"]
    if fence:
        return "" if marks.startswith(fence) and not info.strip() else fence
    return "" if marks[0] == "`" and "`" in info else marks


def _last(lines: Sequence[str], start: int, end: int) -> int:
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    return end


def _level(line: str) -> int:
    """Returns 1 to 6 for a heading, 0 for any other line."""
    heading = _HEADING.fullmatch(line)
    return 0 if heading is None else len(heading["marks"])


def _named(target: str) -> str:
    """Returns a section's name: a heading without the white space and the closing marks that make no difference."""
    heading = _HEADING.fullmatch(target)
    if heading is None:
        return target.strip()
    title = (heading["title"] or "").strip()
    closed = title.rstrip("#")
    if closed[-1:] in ("", " ", "\t"):
        title = closed.rstrip()
    return f"{heading['marks']} {title}".rstrip()


def _checked(edit: Edit) -> Edit:
    where = f"'=== {edit.operation}: {edit.target[:80]}'"
    empty = not any(line.strip() for line in edit.lines)
    if edit.is_of_file:
        check_path(edit.target)
    elif edit.target == "description" and edit.operation != "replace":
        raise InvalidSkillError(f"{where} cannot be done; a description can only be replaced")
    if edit.target == "end" and edit.operation not in ("add", *_FILE_OPERATIONS):
        raise InvalidSkillError(f"{where} cannot be done; 'end' is where a new section is added")
    if edit.operation in ("delete", "delete file"):
        if not empty:
            raise InvalidSkillError(f"{where} is followed by text; a deletion takes none")
        return edit
    if empty:
        raise InvalidSkillError(
            f"{where} is followed by no text; write the new lines below it, or delete the {'file' if edit.is_of_file else 'section'}"
        )
    if edit.is_of_file:
        return edit
    fence = ""
    for line in edit.lines:
        fence = _fence_after(fence, line)
    if fence:
        raise InvalidSkillError(f"{where} opens a code fence {fence[:20]} and does not close it; close it")
    return edit


def _spliced(lines: list[str], edits: Sequence[Edit]) -> str:
    """Returns the body after the edits, which are applied from top to bottom."""
    there: dict[str, list[Section]] = {}
    for section in sections(lines):
        there.setdefault(defused(section.name), []).append(section)  # as the generator was shown it
    places = [(edit, _found(edit.target, there, len(lines))) for edit in edits]
    # An inner section's lines come before lines added to the one around it, and the end of the body comes last.
    places.sort(key=lambda place: (_from(*place), -place[1].level))
    _check_apart(places)
    written: list[str] = []
    at = 0
    for edit, section in places:
        written += lines[at : _from(edit, section)]
        if edit.operation == "delete":
            del written[_last(written, -1, len(written)) :]
        written += _new_lines(edit, section, lines)
        at = section.end
    return "\n".join([*written, *lines[at:]]).strip("\n")


def _found(target: str, there: Mapping[str, Sequence[Section]], length: int) -> Section:
    if target == "end":
        return Section("end", 0, length, length)
    found = there.get(defused(target), ())
    if len(found) > 1:
        raise InvalidSkillError(
            f"the section {target[:80]!r} is ambiguous: {len(found)} have this heading; edit the one around them, or write "
            "the whole SKILL.md"
        )
    if not found:
        names = ", ".join(repr(name[:80]) for name in list(there)[:12])
        raise InvalidSkillError(
            f"there is no section {target[:80]!r}; name one of {names}, 'description' or, to add one, 'end'"
        )
    return found[0]


def _from(edit: Edit, section: Section) -> int:
    return section.end if edit.operation == "add" else section.start


def _check_apart(places: Sequence[tuple[Edit, Section]]) -> None:
    taken, name = 0, ""
    for edit, section in sorted(places, key=lambda place: (place[1].start, -place[1].end)):
        if section.start < taken:
            raise InvalidSkillError(
                f"the edits overlap: {edit.target[:80]!r} is a part of {name[:80]!r}, which another edit changes; write one "
                "edit for both"
            )
        if edit.operation != "add":
            taken, name = section.end, section.name


def _new_lines(edit: Edit, section: Section, lines: Sequence[str]) -> list[str]:
    if edit.operation == "delete":
        return []
    new = "\n".join(edit.lines).rstrip().split("\n")
    if edit.operation == "add":
        own_paragraph = section.name == "end" or _level(new[0]) > 0
        return ["", *new] if own_paragraph and new[0] else new
    new = "\n".join(new).strip("\n").split("\n")
    if section.level in (0, _level(new[0])):
        return new
    follows = lines[section.start + 1 : section.end]
    return [lines[section.start], *([] if follows and follows[0].strip() else [""]), *new]


def _described(edits: Sequence[Edit]) -> str:
    """Returns the new description in one line, without the key that some write in front of it."""
    lines = [line for edit in edits if edit.target == "description" for line in edit.lines]
    return re.sub(r"\Adescription: ", "", " ".join(" ".join(lines).split()))


def _rendered(document: SkillDocument) -> str:
    try:
        return render(document)
    except InvalidSkillError:
        raise
    except (yaml.YAMLError, TypeError, ValueError) as exc:  # a number of 5,000 digits can be read and not be written
        raise InvalidSkillError(f"the front matter cannot be written anew: {exc}; write the whole SKILL.md") from exc


def _size(lines: Counter[str]) -> int:
    return sum((len(line) + 1) * times for line, times in lines.items())
