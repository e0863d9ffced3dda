"""A skill's record inside its SKILL.md: lineage and utility as strings under `metadata`, as the Agent Skills format allows.

They are put in and taken out as lines, never by writing the front matter anew, so that a text comes back to the letter;
`skill-plugin-sha256` says whether it did. A front matter whose `metadata` is not in block form is left without a record.

Anybody can write such lines. `skill-plugin-signature` is an HMAC of the others by the key of the store that wrote them, so that a
store knows its own records.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from skill_plugin.errors import InvalidSkillError
from skill_plugin.records import Skill, Tier, canonical_json, sha256
from skill_plugin.skills import skill_md
from skill_plugin.skills.front_matter import is_yaml
from skill_plugin.skills.tiers import LOWEST, TIERS

PREFIX = "skill-plugin-"
OWN_BLOCK = f"{PREFIX}block"

_HEAD = re.compile(r"\A(---[ \t]*\n)(.*?)(^---[ \t]*(?:\n|\Z))", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^metadata:[ \t]*\n(?P<indent>[ ]+)(?=\S)", re.MULTILINE)
_ANY_METADATA = re.compile(r"^[\"']?metadata[\"']?[ \t]*:", re.MULTILINE)
_LINE = re.compile(rf'^[ ]+{PREFIX}(?P<key>[a-z0-9-]+): "(?P<value>[^"\n]*)"\n', re.MULTILINE)


@dataclass(frozen=True)
class SkillRecord:
    """A store's facts about a skill when it was exported. `is_ours` says that the store that reads them wrote them.

    `tree` is the hash of its text with the files beside it; empty if it had none.
    """

    skill_id: str
    version: int
    generation: int
    parent: int | None
    utility: float | None
    uses: int
    wins: int
    tier: Tier = LOWEST
    tree: str = ""
    is_ours: bool = False


def with_record(skill: Skill, key: bytes | None = None) -> str:
    """Returns the skill's text with its record in the front matter, signed by `key`; the bare text if it has no place for one.

    The result is read back first: if a record would spoil the text, the record is left out.
    """
    values = {
        "id": skill.id,
        "version": str(skill.version),
        "generation": str(skill.generation),
        "parent": "" if skill.parent is None else str(skill.parent),
        "author": skill.author,
        "utility": "" if skill.utility is None else repr(skill.utility),
        "uses": str(skill.uses),
        "wins": str(skill.wins),
        "tier": skill.tier,
        "sha256": sha256(skill.text),
    }
    if skill.tree_sha256:
        values["tree"] = skill.tree_sha256
    if key is not None:
        values["signature"] = _signature(values, key)
    head = _HEAD.match(skill.text)
    if head is None or "\r" in skill.text:
        return skill.text
    front = head[2]
    block = _BLOCK.search(front)
    if block is not None:
        at = block.start("indent")
        front = front[:at] + _lines(values, block["indent"]) + front[at:]
    elif _ANY_METADATA.search(front) is None:
        ending = "" if front.endswith("\n") else "\n"
        front = f"{front}{ending}metadata:\n{_lines({'block': 'own', **values}, '  ')}"
    else:
        return skill.text
    made = head[1] + front + head[3] + skill.text[head.end() :]
    spoilt = is_yaml(head[2]) and not is_yaml(front)  # for readers that are stricter than ours
    return made if not spoilt and _reads_back(made, skill.text, values) else skill.text


def without_record(text: str, key: bytes | None = None) -> tuple[str, SkillRecord | None]:
    """Returns the text before `with_record`, and the record; None without one, or if the text was changed since.

    A record is ours if `key` signed it.
    """
    head = _HEAD.match(text)
    if head is None:
        return text, None
    values = {found["key"]: found["value"] for found in _LINE.finditer(head[2])}
    if "sha256" not in values:
        return text, None
    front = _LINE.sub("", head[2])
    if values.get("block") == "own":
        front = re.sub(r"^metadata:[ \t]*\n\Z", "", front, flags=re.MULTILINE)
    bare = head[1] + front + head[3] + text[head.end() :]
    return bare, _record(values, key) if sha256(bare) == values.get("sha256") else None


def _reads_back(made: str, text: str, values: Mapping[str, str]) -> bool:
    try:
        metadata = skill_md.parse(made).extra.get("metadata")
    except InvalidSkillError:
        return False
    kept = isinstance(metadata, dict) and all(metadata.get(PREFIX + key) == value for key, value in values.items())
    return kept and without_record(made) == (text, _record(values, None))


def _lines(values: Mapping[str, str], indent: str) -> str:
    return "".join(f'{indent}{PREFIX}{key}: "{value}"\n' for key, value in values.items())


def _signature(values: Mapping[str, str], key: bytes) -> str:
    signed = canonical_json({name: value for name, value in values.items() if name not in ("block", "signature")})
    return hmac.new(key, b"skill-plugin record\0" + signed.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _record(values: Mapping[str, str], key: bytes | None) -> SkillRecord | None:
    try:
        utility = float(values["utility"]) if values["utility"] else None
        record = SkillRecord(
            skill_id=values["id"],
            version=int(values["version"]),
            generation=int(values["generation"]),
            parent=int(values["parent"]) if values["parent"] else None,
            utility=utility,
            uses=int(values["uses"]),
            wins=int(values["wins"]),
            tier=next((tier for tier in TIERS if tier == values.get("tier")), LOWEST),
            tree=values.get("tree", ""),
            is_ours=key is not None
            and hmac.compare_digest(
                values.get("signature", "").encode("utf-8", "surrogatepass"), _signature(values, key).encode()
            ),
        )
    except (KeyError, ValueError):
        return None
    sound = (utility is None or 0 <= utility <= 1) and 0 <= record.wins <= record.uses < 2**31
    numbered = 0 < record.version < 2**31 and 0 <= record.generation < 2**31 and 0 < (record.parent or 1) < 2**31
    named = re.fullmatch(r"sk_[0-9a-f]{12}", record.skill_id) is not None
    return record if sound and numbered and named else None
