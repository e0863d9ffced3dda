"""From a model's name to a LangChain chat model. The only file that knows `init_chat_model`."""

import os
from typing import TYPE_CHECKING, Any

from skill_plugin.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_EXAMPLES = "openai:gpt-5-mini or ollama:qwen3, or a model's name together with a base URL"


def load(model: str, *, base_url: str | None = None, **options: Any) -> "BaseChatModel":
    """The chat model that a string such as `openai:gpt-5-mini` names.

    With `base_url` the name is taken as it stands and asked from that OpenAI-compatible server; servers that need no
    key get a placeholder unless `OPENAI_API_KEY` is set.

    Raises:
        MissingExtraError: the `langchain` extra is not installed.
        ConfigurationError: the string does not resolve.
    """
    if not isinstance(model, str) or not model.strip():
        raise ConfigurationError(f"a model is named by a string, got {model!r}; use {_EXAMPLES}")
    try:
        if base_url is not None:
            return _openai_compatible(model, base_url, options)
        from langchain.chat_models import init_chat_model  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise MissingExtraError(f"the model string {model!r}", "langchain") from exc
    try:
        chat: BaseChatModel = init_chat_model(model, **options)
    except Exception as exc:  # every provider fails in its own way: an unknown name, a missing package, a missing key
        reason = " ".join(str(exc).split())[:300]
        raise ConfigurationError(f"the model {model!r} does not resolve: {reason}; use {_EXAMPLES}") from exc
    return chat


def _openai_compatible(model: str, base_url: str, options: dict[str, Any]) -> "BaseChatModel":
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 - an extra
    from pydantic import SecretStr  # noqa: PLC0415

    name = model.removeprefix("openai:")
    key = SecretStr(os.environ.get("OPENAI_API_KEY") or "not-needed")
    return ChatOpenAI(model=name, base_url=base_url, api_key=key, **options)


def name_of(model: Any) -> str:
    """What to log a model as: its own name if it has one, else its class."""
    for key in ("model_name", "model", "name"):
        if isinstance(value := getattr(model, key, None), str) and value:
            return value
    return type(model).__name__
