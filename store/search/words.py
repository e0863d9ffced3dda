"""The live skills' words in memory, brought up to date when the namespace has changed."""

import threading

from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from skill_plugin.skills.skill_md import searchable_text
from skill_plugin.store.search.lexical import Lexicon
from skill_plugin.store.sql.database import fetch
from skill_plugin.store.tables import SkillRow

_VERSIONS = select(col(SkillRow.id), col(SkillRow.live_version)).where(
    col(SkillRow.namespace) == bindparam("namespace"), col(SkillRow.status) == "live"
)
_WORDS = select(col(SkillRow.id), col(SkillRow.name), col(SkillRow.description)).where(
    col(SkillRow.namespace) == bindparam("namespace"), col(SkillRow.status) == "live"
)
_FEW = 200


class LiveSkills:
    """The lexicon of one namespace. Only what changed since the last look is read again."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._lock = threading.Lock()
        self._epoch = -1
        self._versions: dict[str, int | None] = {}
        self._lexicon = Lexicon()

    def lexicon(self, session: Session, epoch: int) -> Lexicon:
        """Returns the lexicon as of `epoch` or later. After a change it is a new object, so the old one stays valid."""
        with self._lock:
            if epoch == self._epoch:
                return self._lexicon
            versions = dict(fetch(session, _VERSIONS, namespace=self._namespace))
            gone = self._versions.keys() - versions.keys()
            changed = [skill_id for skill_id, version in versions.items() if self._versions.get(skill_id, 0) != version]
            if gone or changed:
                few = _WORDS.where(col(SkillRow.id).in_(changed)) if len(changed) <= _FEW else _WORDS
                wanted = set(changed)
                texts = {
                    skill_id: searchable_text(name, description)
                    for skill_id, name, description in fetch(session, few, namespace=self._namespace)
                    if skill_id in wanted
                }
                self._lexicon = self._lexicon.changed(texts, gone)
                self._versions = versions
            self._epoch = epoch
            return self._lexicon
