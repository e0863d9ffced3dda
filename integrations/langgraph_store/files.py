"""The live skills as the files of an agent's file system: `/refunds/SKILL.md` and what lies beside it, in the form that deepagents knows."""

import base64
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from langgraph.store.base import Item, SearchItem, SearchOp

from skill_plugin.errors import ConfigurationError, InvalidSkillError, SkillNotFoundError
from skill_plugin.integrations.tools import propose_skill
from skill_plugin.records import Skill
from skill_plugin.scanning.findings import of, sentence
from skill_plugin.skills import skill_md
from skill_plugin.skills.skill_files import SKILL_FILE
from skill_plugin.skills.trees import TreeFile
from skill_plugin.store import SkillStore, files_of, scan_text
from skill_plugin.store.items.reading import Keep
from skill_plugin.store.skills.tiers import is_shown, least_tier

_PAGE = 1000
_MOST_HITS = 20
_KEY = re.compile(r"/([^/]+)/SKILL\.md")
_FILE = re.compile(r"/(?P<name>[^/]+)/(?P<path>.+)")


class SkillFiles:
    """Reads live skills; writes none, or stages what is written."""

    def __init__(self, store: SkillStore, *, allow_write: bool) -> None:
        self._store = store
        self._allow_write = allow_write

    def any(self) -> bool:
        """Returns whether there is a live skill."""
        return len(self._store.query(status="live", min_tier=least_tier(self._store), limit=1)) > 0

    def get(self, labels: tuple[str, ...], key: str) -> Item | None:
        """Returns the file of a live skill."""
        found = _FILE.fullmatch(key)
        try:
            skill = self._store.get(found["name"]) if found else None
        except SkillNotFoundError:
            return None
        if found is None or skill is None or not is_shown(self._store, skill) or found["name"] != skill.name:
            return None
        path = found["path"]
        if path == SKILL_FILE:
            return Item(**_text(labels, skill))
        data = files_of(self._store, skill.ref).get(path) if path in skill.files else None
        return None if data is None else Item(**_file(labels, skill, path, data))

    def search(self, op: SearchOp, keep: Keep | None) -> list[SearchItem]:
        """Returns all files by name; with a query the texts of the skills that `SkillStore.search` finds, with its scores."""
        labels, query = op.namespace_prefix, op.query
        if op.limit == 0:
            return []
        found = self._by_meaning(labels, query) if query and query.strip() else self._by_name(labels)
        kept = (item for item in found if keep is None or keep(item.value))
        return list(islice(kept, op.offset, op.offset + op.limit))

    def check(self, labels: tuple[str, ...], key: str, value: Mapping[str, Any] | None, *, at: tuple[str, ...]) -> None:
        """Checks that a value may be put, before anything is written.

        Raises:
            ConfigurationError: nothing may be written here, or not this.
            InvalidSkillError: it is not a valid SKILL.md.
        """
        what = f"{key!r:.80} in {labels!r:.80}"
        if value is None:
            raise ConfigurationError(
                f"{what} is a skill, and agents delete none; a person retires it with store.retire(name)"
            )
        if not self._allow_write:
            raise ConfigurationError(
                f"{what} was not written: the skills under {at!r} are read only; open SkillBaseStore(..., allow_write=True) to "
                "stage what is written there, or skills=None (or other labels) to use these labels for items"
            )
        found = _KEY.fullmatch(key) if labels == at else None
        if found is None:
            raise ConfigurationError(f"{what} is not a skill's file; put it at '/<name>/SKILL.md' in {at!r}")
        name = skill_md.parse(_content(value)).name
        if blocked := of("block", scan_text(self._store, _content(value))):
            raise InvalidSkillError(
                f"{what} is refused by the scanner: {sentence(blocked, words=False)}; leave that out"
            )
        if name != found[1]:
            raise InvalidSkillError(f"{what} holds the skill {name!r}; a skill's folder has its name")

    def stage(self, key: str, value: Mapping[str, Any]) -> None:
        """Stages what `check` has passed: a new skill, or a next version. The same text twice is one version."""
        text = _content(value)
        try:
            known = self._store.versions(key.split("/")[1])
        except SkillNotFoundError:
            known = []
        if all(version.text != text for version in known):
            propose_skill(self._store, text)

    def _by_name(self, labels: tuple[str, ...]) -> Iterator[SearchItem]:
        offset: int | None = 0
        least = least_tier(self._store)
        while offset is not None:
            page = self._store.query(status="live", min_tier=least, order_by="name", limit=_PAGE, offset=offset)
            for skill in page:
                yield SearchItem(**_text(labels, skill))
                for path, data in files_of(self._store, skill.ref).items() if skill.files else ():
                    yield SearchItem(**_file(labels, skill, path, data))
            offset = page.next_offset

    def _by_meaning(self, labels: tuple[str, ...], query: str) -> Iterator[SearchItem]:
        for hit in self._store.search(query, _MOST_HITS):
            yield SearchItem(**_text(labels, self._store.get(hit.ref)), score=hit.score)


def _text(labels: tuple[str, ...], skill: Skill) -> dict[str, Any]:
    return _file(labels, skill, SKILL_FILE, skill.text.encode())


def _file(labels: tuple[str, ...], skill: Skill, path: str, data: bytes) -> dict[str, Any]:
    """Returns an item's fields. What is not text is in base64, as deepagents reads it."""
    stamp = skill.created_at.isoformat()
    text = TreeFile(path, data).text
    content, encoding = (text, "utf-8") if text is not None else (base64.b64encode(data).decode("ascii"), "base64")
    return {
        "namespace": labels,
        "key": f"/{skill.name}/{path}",
        "value": {"content": content, "encoding": encoding, "created_at": stamp, "modified_at": stamp},
        "created_at": skill.created_at,
        "updated_at": skill.created_at,
    }


def _content(value: Mapping[str, Any]) -> str:
    content = value.get("content")
    if not isinstance(content, str):
        raise InvalidSkillError(f"a skill's file holds its text as 'content', got {content!r:.80}; pass a str")
    return content
