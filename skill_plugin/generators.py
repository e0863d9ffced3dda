"""Generators: what writes and revises skills."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from skill_plugin import chat_models
from skill_plugin.errors import ConfigurationError, InvalidSkillError, ModelError
from skill_plugin.prompts import PROMPT_VERSION, read_revision, revise_prompt
from skill_plugin.protocols import Generator
from skill_plugin.records import Generation, Revision, Task

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage

_SAMPLING_KEYS = ("temperature", "top_p", "max_tokens", "seed")


class ChatGenerator:
    """Writes revisions with any LangChain chat model, prompted and untrained.

    A completion that is no SKILL.md, that changes nothing, or that the token limit cut off, becomes a `Revision` with an
    `error`: a recorded failure that the next prompt shows. A model that cannot be reached raises its own error.
    """

    def __init__(self, model: "BaseChatModel") -> None:
        self.model = model

    def propose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        prompt = revise_prompt(task, history)
        replies = [self.model.invoke(list(prompt)) for _ in range(n)]
        return [self._revision(prompt, reply, history) for reply in replies]

    async def apropose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        prompt = revise_prompt(task, history)
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
        except ModelError as exc:  # what was cut off may still parse, and would be staged without its end
            error = str(exc)
        written = Revision(
            completion=str(reply.text),
            error=error,
            prompt=tuple(prompt),
            model=chat_models.name_of(self.model),
            sampling={**sampling, "prompt_version": PROMPT_VERSION},
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
        )
        return read(written, history)


def read(revision: Revision, history: Sequence[Generation]) -> Revision:
    """The revision with the SKILL.md text that its completion holds, or with the error that there is none."""
    if revision.text is not None or revision.error is not None:
        return revision
    try:
        return replace(revision, text=read_revision(revision.completion, current=current_text(history)))
    except InvalidSkillError as exc:
        return replace(revision, error=str(exc))


def current_text(history: Sequence[Generation]) -> str | None:
    """The SKILL.md text that the next revision starts from: the last one tried; None if there was none."""
    return next((generation.text for generation in reversed(history) if generation.text is not None), None)


chat = ChatGenerator


def as_generator(generator: object) -> Generator:
    """The generator itself; a chat model becomes a `ChatGenerator`.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(generator, Generator):
        return generator
    if hasattr(generator, "invoke") and hasattr(generator, "_llm_type"):
        return ChatGenerator(generator)  # type: ignore[arg-type]
    raise ConfigurationError(
        f"{type(generator).__name__} is no generator; pass generators.chat(model) or an object with "
        "propose(task, history, *, n)"
    )
