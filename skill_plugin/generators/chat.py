"""Revisions from any chat model, prompted and untrained."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from skill_plugin.errors import ModelError
from skill_plugin.generators.prompt import PROMPT_VERSION, revise_prompt
from skill_plugin.generators.reading import read
from skill_plugin.models import chat_models
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.skills.edits import MAX_CHANGE

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage

_SAMPLING_KEYS = ("temperature", "top_p", "max_tokens", "seed")


class ChatGenerator:
    """Writes revisions with any LangChain chat model, prompted and untrained.

    A completion that is not a SKILL.md, that changes nothing, or that the token limit cut off, becomes a `Revision` with an
    `error`: a recorded failure that the next prompt shows. A model that cannot be reached raises its own error.

    Args:
        model: Any chat model.
        max_change: Share of the current body that edits may change; None means no limit.
    """

    def __init__(self, model: "BaseChatModel", *, max_change: float | None = MAX_CHANGE) -> None:
        self.model = model
        self._max_change = max_change

    def propose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        prompt = revise_prompt(task, history)
        with chat_models.readable():
            replies = [self.model.invoke(list(prompt)) for _ in range(n)]
        return [self._revision(prompt, reply, history) for reply in replies]

    async def apropose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        prompt = revise_prompt(task, history)
        with chat_models.readable():
            replies = await asyncio.gather(*(self.model.ainvoke(list(prompt)) for _ in range(n)))
        return [self._revision(prompt, reply, history) for reply in replies]

    def _revision(
        self, prompt: list[dict[str, str]], reply: "AIMessage | BaseMessage", history: Sequence[Generation]
    ) -> Revision:
        usage = getattr(reply, "usage_metadata", None) or {}
        sampling = {key: value for key in _SAMPLING_KEYS if (value := getattr(self.model, key, None)) is not None}
        try:
            chat_models.reply_text(reply)
            error = None
        except ModelError as exc:  # a text that was cut off may still parse, and would be staged without its end
            error = str(exc)
        written = Revision(
            completion=str(reply.text),
            error=error,
            finish_reason=chat_models.finish_reason(reply),
            prompt=tuple(prompt),
            model=chat_models.name_of(self.model),
            sampling={**sampling, "prompt_version": PROMPT_VERSION},
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
        )
        return read(written, history, max_change=self._max_change)
