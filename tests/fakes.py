"""Small real implementations of what can be plugged in: deterministic, and simple enough to compute by hand."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from skill_plugin import generators, verifiers
from skill_plugin.graphs import create_skill_graph
from skill_plugin.store import SkillStore

SKILL = "---\nname: {name}\ndescription: {description}\n---\n\n{body}\n"


def skill_text(name: str = "adding", description: str = "How to add numbers", body: str = "Use your fingers.") -> str:
    return SKILL.format(name=name, description=description, body=body)


class ScriptedChat(BaseChatModel):
    """A chat model that answers from a list, or with what a function makes of the messages.

    It keeps what it saw, and the names of the tools that it was bound to.
    """

    model_name: str = "scripted"
    _replies: Iterator[str] | Callable[[list[BaseMessage]], str] = PrivateAttr()
    _seen: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _bound: list[str] = PrivateAttr(default_factory=list)

    def __init__(self, replies: Iterable[str] | Callable[[list[BaseMessage]], str], **data: Any) -> None:
        super().__init__(**data)
        self._replies = replies if callable(replies) else iter(replies)

    @property
    def seen(self) -> list[list[BaseMessage]]:
        return self._seen

    @property
    def bound(self) -> list[str]:
        return self._bound

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        self._bound[:] = [tool.name for tool in tools]
        return self

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> ChatResult:
        self._seen.append(messages)
        text = self._replies(messages) if callable(self._replies) else next(self._replies)
        usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        message = AIMessage(text, usage_metadata=usage, response_metadata={"model_name": self.model_name})
        return ChatResult(generations=[ChatGeneration(message=message)])


def system_text(messages: list[BaseMessage]) -> str:
    return "\n".join(str(message.text) for message in messages if message.type == "system")


class FingersAdder(ScriptedChat):
    """Adds right if its system prompt tells it to use a machine; on its fingers it is one short."""

    def __init__(self) -> None:
        super().__init__(self._add)

    @staticmethod
    def _add(messages: list[BaseMessage]) -> str:
        numbers = [int(word) for word in str(messages[-1].text).split() if word.isdigit()]
        return str(sum(numbers) - ("machine" not in system_text(messages)))


MACHINE = skill_text(body="Use a machine.")


class TopicEmbedder:
    """One dimension a topic; a text's vector counts the topics it names. Its signature can be chosen."""

    TOPICS = ("add", "refund", "sort", "ship")

    def __init__(self, signature: str = "topics") -> None:
        self.signature = signature
        self.calls: list[list[str]] = []

    def embed(self, texts: Any) -> list[list[float]]:
        self.calls.append(list(texts))
        vectors = [[1.0 + 10 * text.lower().count(topic) for topic in self.TOPICS] for text in texts]
        return [[x / sum(y * y for y in vector) ** 0.5 for x in vector] for vector in vectors]


ASK = {"task": "add 2 and 2", "reference": "4"}


def loop(store: SkillStore, *, writer=(MACHINE,), llm=None, **options):
    options.setdefault("verifier", verifiers.exact_match())
    if writer is not None:
        writer = generators.chat(writer if isinstance(writer, ScriptedChat) else ScriptedChat(writer))
    return create_skill_graph(store=store, llm=llm or FingersAdder(), generator=writer, **options)


class AgentChat(ScriptedChat):
    """As an agent's model: a reply is a text, calls of tools `[(name, arguments), ...]`, a message, or an error to raise."""

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self._seen.append(messages)
        reply: Any = self._replies(messages) if callable(self._replies) else next(self._replies)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, AIMessage):
            return ChatResult(generations=[ChatGeneration(message=reply)])
        calls = [] if isinstance(reply, str) else list(enumerate(reply))
        message = AIMessage(
            reply if isinstance(reply, str) else "",
            tool_calls=[
                {"name": name, "args": given, "id": f"call-{len(self._seen)}-{n}"} for n, (name, given) in calls
            ],
            usage_metadata={"input_tokens": 10, "output_tokens": 2, "total_tokens": 12},
            response_metadata={"model_name": self.model_name},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def called(name: str, /, **arguments: Any) -> list[tuple[str, dict[str, Any]]]:
    """A reply that calls one tool."""
    return [(name, arguments)]
