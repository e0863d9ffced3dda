"""A watch on whether a run's skills reach the model: the model calls inside a host are watched for the tags of their fences."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage

from skill_plugin.prompts import mark_of

_log = logging.getLogger(__name__)

REMEMBERED = 1000
"""Runs that are under way; a run that another process resumes is not known, and counts as seen."""


class SkillWatch:
    """Notes what the model calls of runs have seen. Safe for threads.

    Args:
        where: What is watched, for the warning.
        advice: What to do where nothing is seen, for the warning.
    """

    def __init__(self, where: str, advice: str) -> None:
        self._where, self._advice = where, advice
        self._lock = threading.Lock()
        self._calls: OrderedDict[str, int] = OrderedDict()
        self._seen: dict[str, set[str]] = {}
        self._warned = self._told_of_two = False

    def handler(self, run_id: str, refs: Sequence[str]) -> BaseCallbackHandler:
        """Returns a callback that looks into every prompt for the skills of a run."""
        return _Handler(self, run_id, refs)

    def note(self, run_id: str, seen: Iterable[str]) -> None:
        """Counts a model call of a run, and what it saw."""
        with self._lock:
            self._calls[run_id] = self._calls.pop(run_id, 0) + 1
            self._seen.setdefault(run_id, set()).update(seen)
            if len(self._calls) > REMEMBERED:
                oldest, _ = self._calls.popitem(last=False)
                self._seen.pop(oldest, None)

    def note_systems(self, count: int) -> None:
        """Tells once that a model is sent several system messages, which the templates of some families refuse."""
        if count > 1 and not self._told_of_two:
            self._told_of_two = True
            _log.warning(
                "a model call in %s has %d system messages, the host's and the skill's; several open models refuse that, and "
                'show_in="human" leaves it at one',
                self._where,
                count,
            )

    def unseen(self, run_id: str, refs: Sequence[str]) -> list[str] | None:
        """Returns which of a run's skills no model call has seen; None where no call was watched. Forgets the run.

        A model that is not called through LangChain cannot be watched.
        """
        with self._lock:
            calls, seen = self._calls.pop(run_id, 0), self._seen.pop(run_id, set())
            missed = [ref for ref in refs if ref not in seen]
            warn, self._warned = bool(calls and missed and not self._warned), self._warned or bool(calls and missed)
        if warn:
            _log.warning(
                "none of %d model calls in %s saw the skill %s, so it is not credited: %s",
                calls,
                self._where,
                missed[0],
                self._advice,
            )
        return missed if calls else None


class _Handler(BaseCallbackHandler):
    run_inline = True

    def __init__(self, watch: SkillWatch, run_id: str, refs: Sequence[str]) -> None:
        self._watch, self._run_id = watch, run_id
        self._marks = {ref: mark_of(ref) for ref in refs}

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **_: Any
    ) -> None:
        del serialized, run_id
        self._look(str(message.content) for batch in messages for message in batch)
        self._watch.note_systems(max((sum(one.type == "system" for one in batch) for batch in messages), default=0))

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **_: Any) -> None:
        del serialized, run_id
        self._look(prompts)

    def _look(self, texts: Iterable[str]) -> None:
        said = "\n".join(texts).replace('\\"', '"')
        self._watch.note(self._run_id, [ref for ref, mark in self._marks.items() if mark.search(said)])
