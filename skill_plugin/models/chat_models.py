"""LangChain chat models by name, and the texts of their replies. The only file that knows `init_chat_model`."""

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from skill_plugin.errors import ConfigurationError, MissingExtraError, ModelError, SkillPluginError
from skill_plugin.records import CUT_OFF
from skill_plugin.settings import MODEL_RETRIES, MODEL_TIMEOUT_S, Settings

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

_LOCAL = "local:"

_EXAMPLES = "openai:gpt-5-mini or ollama:qwen3, or a model's name together with a base URL"

_OTHER_NAMES: dict[str, tuple[str, ...]] = {"max_tokens": ("max_output_tokens", "num_predict")}
"""Providers' names for a setting of ours."""

_WHY_IT_ENDED = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_CUT = frozenset(("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"))
"""Providers' names for the end of a reply that reached its token limit, in lower case."""


def load(
    model: str,
    *,
    base_url: str | None = None,
    timeout: float = MODEL_TIMEOUT_S,
    max_retries: int = MODEL_RETRIES,
    **options: Any,
) -> "BaseChatModel":
    """Returns the chat model that a string such as `openai:gpt-5-mini` names.

    With `base_url` the name is taken as it stands and asked from that OpenAI-compatible server; servers that need no
    key get a placeholder unless `OPENAI_API_KEY` is set. `local:NAME` is a model in this process, with or without it; see
    `LocalChat` for its options.

    Args:
        model: The model's name.
        base_url: An OpenAI-compatible server.
        timeout: Seconds that the server may be silent before a call has failed. Not every provider's class takes this;
            one that does not keeps its own.
        max_retries: How often the provider's library tries a failed call again; not every class takes this.
        options: Further arguments of the provider's class.

    Raises:
        MissingExtraError: the `langchain` extra is not installed.
        ConfigurationError: the string does not resolve.
    """
    if not isinstance(model, str) or not model.strip():
        raise ConfigurationError(f"a model is named by a string, got {model!r}; use {_EXAMPLES}")
    if model.startswith(_LOCAL):
        return _local(model.removeprefix(_LOCAL), options)
    limits = {"timeout": timeout, "max_retries": max_retries}
    try:
        if base_url is not None:
            return _openai_compatible(model, base_url, limits, options)
        from langchain.chat_models import init_chat_model  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise MissingExtraError(f"the model string {model!r}", "langchain") from exc
    try:
        chat: BaseChatModel = init_chat_model(model, **options)
        if taken := _taken(limits, type(chat), options):  # only the class itself knows what it takes
            chat = init_chat_model(model, **taken, **options)
    except Exception as exc:  # every provider fails in its own way: an unknown name, a missing package, a missing key
        if ":" not in model:  # what its provider lacks would blame a key for a name that a person did not mean so
            raise ConfigurationError(
                f"the model {model!r} names no provider; write it as PROVIDER:MODEL, such as {_EXAMPLES}"
            ) from exc
        reason = " ".join(str(exc).split())[:300]
        raise ConfigurationError(f"the model {model!r} does not resolve: {reason}; use {_EXAMPLES}") from exc
    return chat


def from_settings(
    settings: Settings, model: str | None = None, *, generator: Mapping[str, Any] | None = None
) -> "BaseChatModel":
    """Returns the task LLM that is set, or another model by name from the same server and under the same limits.

    Args:
        settings: The settings.
        model: The other model.
        generator: How it samples where it is the generator, as the settings that begin with `generator_` say.

    Raises:
        MissingExtraError: the `langchain` extra is not installed.
        ConfigurationError: the name does not resolve.
    """
    name = model or settings.model or ""
    limits: dict[str, Any] = {"timeout": settings.model_timeout, "max_retries": settings.model_retries}
    options: dict[str, Any] = {"home": settings.home} if name.startswith(_LOCAL) else {}
    role, given = "generator", dict(generator or {})
    if model is None:
        role, given = "task", {"max_tokens": settings.task_max_tokens, "temperature": settings.task_temperature}
    for key, value in given.items():
        if value is not None:
            kind = type(load(name, base_url=settings.base_url, **limits, **options))
            options[_spelt(key, kind, role)] = value
    return load(name, base_url=settings.base_url, **limits, **options)


def interrupt() -> None:
    """Ends the calls of models in this process at their next token, and refuses further ones."""
    if engine := sys.modules.get("skill_plugin.models.local_engine"):  # else no such model was loaded
        engine.interrupt_all()


def _spelt(setting: str, kind: "type[BaseChatModel]", role: str) -> str:
    """Returns what a class of models calls a setting.

    Raises:
        ConfigurationError: it has no such setting.
    """
    names = {name for key, one in kind.model_fields.items() for name in (key, one.alias)}
    for name in (setting, *_OTHER_NAMES.get(setting, ())):
        if name in names:
            return name
    raise ConfigurationError(f"{kind.__name__} takes no {setting}; leave {role}_{setting} out of the settings")


def _local(name: str, options: dict[str, Any]) -> "BaseChatModel":
    from skill_plugin.models.local_chat import LocalChat  # noqa: PLC0415 - LangChain's core takes half a second

    if not name:
        raise ConfigurationError("'local:' names no model; use local:FOLDER, or a name of: skill-plugin models list")
    return LocalChat(model=name, **options)


def _taken(limits: dict[str, Any], kind: "type[BaseChatModel]", given: Collection[str]) -> dict[str, Any]:
    """Returns the limits that a class of models takes, less those that the caller gave under the field's other name."""
    names = [{name, field.alias} for name, field in kind.model_fields.items()]
    return {key: value for key, value in limits.items() if any(key in both and not both & set(given) for both in names)}


def _openai_compatible(model: str, base_url: str, limits: dict[str, Any], options: dict[str, Any]) -> "BaseChatModel":
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 - an extra
    from pydantic import SecretStr  # noqa: PLC0415

    name = model.removeprefix("openai:")
    key = SecretStr(os.environ.get("OPENAI_API_KEY") or "not-needed")
    taken = _taken(limits, ChatOpenAI, options)
    return ChatOpenAI(model=name, base_url=base_url, api_key=key, **taken, **options)


@contextmanager
def readable() -> Iterator[None]:
    """Turns a reply that LangChain cannot read into one clear error; put it around a call of a chat model.

    A server that answers with something else than the provider's protocol ends in whatever Python says of it, such as
    `IndexError: list index out of range` for an empty list of choices. What the provider's library raises on purpose (a
    refused key, a time-out, a rate limit) is left as it is.

    Raises:
        ModelError: the reply is unreadable.
    """
    try:
        yield
    except SkillPluginError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as exc:
        raise ModelError(
            f"the model's reply cannot be read ({type(exc).__name__}: {exc}); check its base URL, and that the server "
            "there speaks the provider's protocol"
        ) from exc


def reply_text(message: "BaseMessage") -> str:
    """Returns the text of a model's whole reply; empty if it calls tools instead.

    Raises:
        ModelError: there is neither, or the token limit cut the reply off, so that a judge's score or a skill's end may be missing.
    """
    from langchain_core.messages import AIMessage  # noqa: PLC0415 - loaded by now, but not by `import chat_models`

    text = str(message.text)
    if not isinstance(message, AIMessage):
        return text
    if (note := cut_note(message)) is not None:
        raise ModelError(f"{note}, after {text[-60:]!r}; raise its max_tokens")
    why = _why_it_ended(message.response_metadata)
    said = f" (finish_reason {why!r})" if why else ""
    if not text.strip() and not message.tool_calls:
        refusal = message.additional_kwargs.get("refusal")
        because = f": it refused, {refusal!r}" if refusal else ""
        raise ModelError(f"the model returned no text{said}{because}; ask it again, or look at its prompt and filters")
    return text


def cut_note(message: "BaseMessage") -> str | None:
    """Returns a line that says that the token limit cut a reply off; None if it did not."""
    if finish_reason(message) != "length":
        return None
    return f"{CUT_OFF} (finish_reason {_why_it_ended(message.response_metadata)!r})"


def finish_reason(message: "BaseMessage") -> Literal["stop", "length"] | None:
    """Returns why a model stopped: `length` at its token limit, `stop` for any other reason that its provider names."""
    why = _why_it_ended(message.response_metadata)
    return None if why is None else "length" if why.lower() in _CUT else "stop"


def _why_it_ended(metadata: dict[str, Any]) -> str | None:
    details = metadata.get("incomplete_details")  # OpenAI's Responses API
    given = [metadata.get(key) for key in _WHY_IT_ENDED]
    given.append(details.get("reason") if isinstance(details, dict) else None)
    return next((value for value in given if isinstance(value, str) and value), None)


def name_of(model: Any) -> str:
    """Returns the name to log a model under: its own if it has one, else its class."""
    for key in ("model_name", "model", "name"):
        if isinstance(value := getattr(model, key, None), str) and value:
            return value
    return type(model).__name__
