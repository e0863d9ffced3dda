"""A chat model that calls tools as it is told, and keeps what it saw."""

from itertools import count
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from fakes import ScriptedChat

_ids = count()


def called(name: str, /, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call{next(_ids)}"}])


class ToolCaller(ScriptedChat):
    """Its turns are messages instead of texts."""

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self._seen.append(messages)
        return ChatResult(generations=[ChatGeneration(message=next(self._replies))])

    def bind_tools(self, tools: Any, **_: Any) -> "ToolCaller":
        return self
