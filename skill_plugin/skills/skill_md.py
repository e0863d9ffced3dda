"""SKILL.md, the Agent Skills format: front matter with a name and a description, then the procedure.

Parsing is cheap before it is clever: the size is checked first, and YAML aliases and deep nesting are refused, because a few hundred
bytes of either can unfold into gigabytes or exhaust the stack. Empty lines and a comment may stand before the front matter.
"""

import re
import unicodedata
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import yaml

from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills import front_matter as front_matters

MAX_BYTES = 64 * 1024
MAX_FRONT_MATTER = 8 * 1024
"""Reading YAML takes 10 ms a kilobyte, and an archive may hold ten thousand skills."""

MAX_NAME = 64
MAX_DESCRIPTION = 1024

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_FRONT_MATTER = re.compile(
    r"\A(?:[ \t]*\n|<!--(?:(?!-->).)*-->[ \t]*\n)*---[ \t]*\n(?P<yaml>.*?)^---[ \t]*(?:\n|\Z)(?P<body>.*)\Z",
    re.DOTALL | re.MULTILINE,
)
_NAME_LINE = re.compile(r"^(?P<key>[\"']?name[\"']?[ \t]*:)[ \t]*[^\n#]*?(?P<rest>[ \t\r]*(?:#.*)?)$", re.MULTILINE)
_FIRST_LINE = re.compile(r"^(?P<dashes>---[ \t]*(?P<end>\r*\n))", re.MULTILINE)
_OPENED = re.compile(r"---[ \t]*(?:\n|\Z)")
_ALMOST = re.compile(r"^[ \t]*(?:-{2}|-{4,}|[ \t]-{3}|[*_=+~`\u2013\u2014]{2,})[\w \t]*$", re.MULTILINE)
"""Lines that are meant to close a front matter and do not."""

_LINE_END = re.compile(r"\r+\n")  # also twice: what is read once must read the same again
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class SkillDocument:
    """One SKILL.md. `extra` holds the front matter's other keys, known to us or not."""

    name: str
    description: str
    body: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_for_people(self) -> bool:
        """Whether its author keeps it from models: `disable-model-invocation: true` says that only a person may ask for it."""
        return str(self.extra.get("disable-model-invocation", False)).strip().lower() in ("true", "yes", "on", "1")

    @property
    def embedded_text(self) -> str:
        return searchable_text(self.name, self.description)


def searchable_text(name: str, description: str) -> str:
    """Returns the text that the vector and the words for search are made of.

    The body is left out: MiniLM reads 256 tokens and gains nothing from it, and BM25 gains less than its noise.
    """
    return f"{name.replace('-', ' ')}: {description}"


def check_name(name: Any) -> str:
    """Returns the name, if it follows the rules of the format."""
    if not isinstance(name, str) or not name:
        raise InvalidSkillError(f"a skill needs a name, got {_shown(name)}; give it one like 'refund-duplicates'")
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise InvalidSkillError(
            f"the skill name {name[:80]!r} breaks the SKILL.md rules; use at most {MAX_NAME} lower-case letters, digits "
            "and single hyphens, such as 'refund-duplicates'"
        )
    return name


def legal_name(text: str) -> str:
    """Returns a name that the format allows, made of another: `acme::react-parts` is `acme-react-parts`; empty if nothing is left.

    Letters lose their accents. Letters of other scripts are not spelled out: they are left away.
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    joined = re.sub(r"[^a-z0-9]+", "-", "".join(char for char in plain if not unicodedata.combining(char)))
    return joined.strip("-")[:MAX_NAME].rstrip("-")


def check_description(description: Any) -> str:
    if not isinstance(description, str) or not description.strip():
        raise InvalidSkillError(
            f"a skill needs a description, got {_shown(description)}; say in one sentence when to use it"
        )
    if len(description) > MAX_DESCRIPTION:
        raise InvalidSkillError(
            f"the description has {len(description)} characters, the limit is {MAX_DESCRIPTION}; shorten it"
        )
    return description.strip()


def _keys(front: Mapping[Any, Any]) -> str:
    has = ", ".join(f"{_shown(key).strip(chr(39))}:" for key in list(front)[:5])
    return f"the front matter has only {has}" if has else "the front matter is empty"


def _shown(value: Any) -> str:
    """Returns a wrong value as a text for a message. A number may have too many digits to be written."""
    try:
        return repr(value)[:80]
    except ValueError:
        return type(value).__name__


def check_text(text: Any) -> str:
    if not isinstance(text, str):
        raise InvalidSkillError(f"a skill is a text, got {type(text).__name__}; pass a str")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise InvalidSkillError(f"the skill has {size} bytes, the limit is {MAX_BYTES}; shorten it or split it in two")
    if (found := _CONTROL.search(text)) is not None:
        raise InvalidSkillError(f"the skill holds the control character {found.group()!r}; remove it")
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidSkillError("the skill is not valid Unicode (it holds half of a surrogate pair); save it as UTF-8")
    return _LINE_END.sub("\n", text)


def parse(text: str) -> SkillDocument:
    """Parses a SKILL.md text.

    Raises:
        InvalidSkillError: the text breaks the format; says how in one line.
    """
    front, body = _split(text)
    if not body.strip():
        raise InvalidSkillError("the skill has no body; write the procedure below the front matter")
    for key in front_matters.TEXTS:
        if key not in front:
            raise InvalidSkillError(
                f"a skill needs a {key}, and {_keys(front)}; add a line that begins '{key}: ', in lower case"
            )
    extra = {key: value for key, value in front.items() if key not in ("name", "description")}
    return SkillDocument(check_name(front.get("name")), check_description(front.get("description")), body, extra)


def front_matter(text: str) -> dict[Any, Any]:
    """Returns the front matter as it was written: every key, the description with its white space.

    Raises:
        InvalidSkillError: the text has none, or it is not YAML.
    """
    return _split(text)[0]


def _split(text: str) -> tuple[dict[Any, Any], str]:
    text = check_text(text).removeprefix("\ufeff")
    found = _FRONT_MATTER.match(text)
    if found is None:
        raise InvalidSkillError(_no_front_matter(text))
    if len(found["yaml"]) > MAX_FRONT_MATTER:
        raise InvalidSkillError(
            f"the front matter has {len(found['yaml'])} characters, the limit is {MAX_FRONT_MATTER}; move text to the body"
        )
    return deepcopy(front_matters.read(found["yaml"])), found["body"].strip("\n")


def _no_front_matter(text: str) -> str:
    """Says what is wrong with a text that has no front matter, and what to write next."""
    wanted = "begin with '---', then 'name:' and 'description:', then '---' and the procedure"
    first, _, rest = text.lstrip().partition("\n")
    if not first:
        return f"no front matter: the text is empty; {wanted}"
    if _OPENED.match(text):
        if not rest.strip():
            return "the front matter holds nothing but its first line '---'; write 'name:' and 'description:', then '---' and the procedure"
        said = f"the front matter that begins {rest[:40].strip()!r} is not closed"
        if (wrong := _ALMOST.search(rest)) is not None:
            said += f" (the line {wrong[0].strip()[:40]!r} does not close it)"
        return f"{said}; put a line '---' below 'description:', and the procedure below that"
    if first.startswith("--"):
        return f"no front matter: the first line is {first[:40]!r} and must be '---' alone; {wanted}"
    fence = ", without a code fence" if first.startswith(("```", "~~~")) else ""
    return f"no front matter: the text begins with {text[:40]!r}; {wanted}{fence}"


def renamed(text: str, name: str) -> str:
    """Returns the same text under another name, whatever its own: only the front matter's `name` line changes.

    A front matter without a line for it (`{name: ..., ...}`) is written anew; one without a name gets that line.

    Raises:
        InvalidSkillError: the text is not a skill, or becomes too long.
    """
    front, body = _split(text)
    extra = {key: value for key, value in front.items() if key not in ("name", "description")}
    wanted = SkillDocument(check_name(name), check_description(front.get("description")), body, extra)
    for made in (
        _NAME_LINE.sub(lambda line: f"{line['key']} {name}{line['rest']}", text, count=1),
        _FIRST_LINE.sub(lambda line: f"{line['dashes']}name: {name}{line['end']}", text, count=1),
    ):
        try:
            if parse(made) == wanted:
                return made
        except InvalidSkillError:
            continue
    return render(wanted)


def body_of(text: str) -> str:
    """Returns the procedure in a text that was parsed before; does not read the front matter again."""
    found = _FRONT_MATTER.match(_LINE_END.sub("\n", text).removeprefix("\ufeff"))
    return (found["body"] if found else text).strip("\n")


def render(document: SkillDocument) -> str:
    """Returns the SKILL.md text of a document; `parse` reads it back."""
    front = {
        "name": check_name(document.name),
        "description": check_description(document.description),
        **document.extra,
    }
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=2**31)
    if not isinstance(document.body, str) or not document.body.strip():
        raise InvalidSkillError(f"a skill needs a body, got {document.body!r}; write the procedure")
    return check_text(f"---\n{head}---\n\n{document.body.strip(chr(10))}\n")
