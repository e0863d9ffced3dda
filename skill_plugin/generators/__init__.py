"""Generators: the models that write and revise skills.

    chat     any LangChain chat model, prompted and untrained
    vllm     a vLLM server: n candidates in one call, with token ids, log-probabilities and LoRA adapters by name
    local    a model in this process, by transformers and PEFT, with the same records
    live     either of the two, with the checkpoint that is live

The last three log what training needs.
"""

from typing import TYPE_CHECKING

from skill_plugin.checkpoints import LIVE
from skill_plugin.errors import ConfigurationError
from skill_plugin.generators.backends import BACKENDS, GeneratorName, no_dtype
from skill_plugin.generators.chat import ChatGenerator
from skill_plugin.generators.digest import current_text
from skill_plugin.generators.live import LiveGenerator
from skill_plugin.generators.local import LocalGenerator
from skill_plugin.generators.reading import read
from skill_plugin.generators.vllm import VllmGenerator
from skill_plugin.models import chat_models
from skill_plugin.protocols import Generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from skill_plugin.checkpoints import Checkpoint
    from skill_plugin.settings import Settings

# Bound after the modules of the same names were imported, so these names are the classes here.
chat = ChatGenerator
live = LiveGenerator
vllm = VllmGenerator
local = LocalGenerator

__all__ = [
    "BACKENDS",
    "ChatGenerator",
    "GeneratorName",
    "LiveGenerator",
    "LocalGenerator",
    "VllmGenerator",
    "as_generator",
    "chat",
    "current_text",
    "from_settings",
    "live",
    "local",
    "read",
    "vllm",
]


def as_generator(generator: object) -> Generator:
    """Returns the generator itself, or a chat model as a `ChatGenerator`.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(generator, Generator):
        return generator
    if hasattr(generator, "invoke") and hasattr(generator, "_llm_type"):
        return ChatGenerator(generator)  # type: ignore[arg-type]
    raise ConfigurationError(
        f"{type(generator).__name__} is not a generator; pass generators.chat(model) or an object with "
        "propose(task, history, *, n)"
    )


def from_settings(
    settings: "Settings", live_checkpoint: "Callable[[], Checkpoint | None] | None" = None
) -> Generator | None:
    """Returns the generator that is set, by default the task LLM's model; None without a model.

    `vllm:MODEL` is a vLLM server's base model, `vllm:MODEL@NAME` a LoRA adapter that it serves under a name, `local:PATH`
    a model in this process, `local:PATH@ADAPTER` the same with the adapter in a folder (`@starter`: the one that comes with it);
    anything else is a chat model.
    `vllm:MODEL@live` and `local:PATH@live` have the adapter of the checkpoint that is live, under its id, and follow
    promotions and rollbacks. A name that begins with a further entry of `BACKENDS` is made by that.

    Args:
        settings: The settings that name it.
        live_checkpoint: Asked before every prompt where the name ends in `@live`; if it returns None, the base model is
            used.

    Raises:
        ConfigurationError: the string does not resolve, or the live checkpoint's files are not what they were.
        MissingExtraError: what it needs is not installed.
    """
    name = settings.generator or settings.model
    if name is None:
        return None
    parsed = GeneratorName.parse(name)
    if parsed is None:
        if settings.generator_dtype is not None:
            raise ConfigurationError(no_dtype(name, "leave it out of the settings"))
        chat_model = chat_models.from_settings(
            settings.override(base_url=settings.generator_url or settings.base_url),
            name,
            generator=settings.of_generator("max_tokens", "temperature", "top_p"),
        )
        return ChatGenerator(chat_model, max_change=settings.max_change)
    backend = BACKENDS[parsed.backend](parsed, settings)
    if parsed.adapter != LIVE:
        return backend.make(None)
    if live_checkpoint is None:
        raise ConfigurationError(
            f"the generator {name!r} needs a store that knows what is live; name an adapter instead"
        )
    return LiveGenerator(parsed.model, live_checkpoint, backend.make)
