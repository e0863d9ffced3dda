"""A model in this process as a LangChain chat model: `local:NAME` where a model is named."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import ConfigDict, PrivateAttr, ValidationError

from skill_plugin.errors import ConfigurationError
from skill_plugin.models.loaded_model import FAST
from skill_plugin.models.local_calls import LocalReply, LocalSampling
from skill_plugin.models.local_engine import LocalEngine, engine_of, replies
from skill_plugin.models.named_models import resolved

_SAMPLING = tuple(one.name for one in fields(LocalSampling))


class LocalChat(BaseChatModel):
    """Answers with a model in this process. Calls that wait at the same time run as one batch.

    A call that is cancelled (Ctrl-C, a cancelled asyncio task) ends at its next token. The weights are loaded once for all
    objects of the same model. With `logprobs` the reply's `response_metadata` has `prompt_token_ids`, `token_ids` and
    `logprobs`, as vLLM names them.

    Args:
        model: A folder, a short name of `skill-plugin models list`, or a model's name on the Hugging Face Hub.
        temperature: See `LocalSampling`, for `top_p`, `max_tokens`, `seed` and `stop` too.
        logprobs: Put token ids and log-probabilities into replies.
        home: The home folder that short names are looked up in; by default the usual one.
        device: A device as torch names it; by default `cuda` where there is one, else `cpu`.
        dtype: A data type such as `float32`; by default the fastest that this machine has.

    Raises:
        ConfigurationError: the model cannot be loaded, or an argument cannot work.
        MissingExtraError: the `local` extra is not installed.
    """

    model_config = ConfigDict(extra="forbid")

    in_process: ClassVar[bool] = True
    """Its calls can be ended; see `Trials`."""

    model: str
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    home: Path | None = None
    device: str | None = None
    dtype: str | None = FAST

    _engine: LocalEngine = PrivateAttr()

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as exc:
            first = exc.errors()[0]
            raise ConfigurationError(
                f"a local model cannot have {'.'.join(map(str, first['loc']))}={first['input']!r}: {first['msg']}"
            ) from exc
        self._sampling({})
        self._engine = engine_of(resolved(self.model, self.home), device=self.device, dtype=self.dtype)

    @property
    def _llm_type(self) -> str:
        return "skill-plugin-local"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, **{name: getattr(self, name) for name in _SAMPLING}}

    def bind_tools(
        self, tools: Sequence[Any], **_: Any
    ) -> NoReturn:  # the base class raises a bare NotImplementedError
        """Raises `ConfigurationError`: the models that run here do not call tools."""
        raise ConfigurationError(
            f"the local model {self.model!r} cannot call its {len(tools)} tools; use an agent without tools, or a model on a server"
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain passes it
        **kwargs: Any,
    ) -> ChatResult:
        future = self._engine.submit(_plain(messages), self._sampling(kwargs, stop))
        try:
            return self._result(future.result(), kwargs)
        finally:
            future.cancel()  # after Ctrl-C; a future that has its result stays as it is

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain passes it
        **kwargs: Any,
    ) -> ChatResult:
        sampling = self._sampling(kwargs, stop)
        [reply] = await replies(lambda: [self._engine.submit(_plain(messages), sampling)])
        return self._result(reply, kwargs)

    def _sampling(self, given: dict[str, Any], stop: Sequence[str] | None = None) -> LocalSampling:
        """Returns the settings of a call: those of this object, but for what the call gives itself."""
        if unknown := sorted(set(given) - {*_SAMPLING, "logprobs"}):
            raise ConfigurationError(
                f"a local model cannot be called with {unknown[0]!r}; it takes {', '.join(_SAMPLING)} and logprobs"
            )
        own = LocalSampling(**{name: getattr(self, name) for name in _SAMPLING})
        changes = {name: value for name, value in given.items() if name in _SAMPLING}
        if stop is not None:
            changes["stop"] = tuple(stop)
        return replace(own, **changes)

    def _result(self, reply: LocalReply, given: dict[str, Any]) -> ChatResult:
        metadata: dict[str, Any] = {"finish_reason": reply.finish_reason, "model_name": self.model}
        if given.get("logprobs", self.logprobs):
            metadata |= {
                "prompt_token_ids": reply.prompt_token_ids,
                "token_ids": reply.token_ids,
                "logprobs": {"content": self._engine.named(reply)},
            }
        read, written = len(reply.prompt_token_ids), len(reply.token_ids)
        message = AIMessage(
            content=reply.text,
            response_metadata=metadata,
            usage_metadata=UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def _plain(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    found = convert_to_openai_messages(list(messages), text_format="string")
    return found if isinstance(found, list) else [found]
