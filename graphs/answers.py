"""The answer of an agent: one way to find it, whatever the agent is."""

import json
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from pydantic_core import to_json

from skill_plugin.errors import ModelError
from skill_plugin.graphs.state import messages_of
from skill_plugin.models import chat_models

NO_ANSWER = "the agent ended without an answer: no message with text since the last request"


class Answer(NamedTuple):
    """An answer's text, and why it does not count as one: what the model did not finish has no reward, and never one of 0."""

    text: str
    error: str | None = None


def answer_in(state: Mapping[str, Any]) -> Answer | None:
    """Returns the answer in an agent's state or output; None where neither a structured response nor messages are in it.

    The structured response as JSON, if there is one; else the last text since the last human message, of the model or of a tool
    that answers directly. A last message of the model that was cut off, or that is empty, is an error.
    """
    if (structured := state.get("structured_response")) is not None:
        return Answer(to_json(structured, fallback=str).decode())
    if not isinstance(state.get("messages"), Sequence) or not state["messages"]:
        return None
    turn = list(takewhile(lambda message: not isinstance(message, HumanMessage), reversed(messages_of(state))))
    said = [message for message in turn if isinstance(message, AIMessage | ToolMessage)]
    text = next((str(message.text) for message in said if str(message.text).strip()), "")
    if said and (error := failed_call(said[0])) is not None:
        return Answer(str(said[0].text), error)
    return Answer(text) if text else Answer("", NO_ANSWER)


def answer_text(output: Any) -> str:
    """Returns the text of an agent's answer, from any of the usual shapes of what it returns; empty without an answer.

    Raises:
        ModelError: the model did not finish it; see `chat_models.reply_text`.
    """
    if isinstance(output, str):
        return output
    if isinstance(output, BaseMessage):
        return chat_models.reply_text(output)
    if isinstance(output, Mapping):
        if (found := answer_in(output)) is not None:
            if found.error not in (None, NO_ANSWER):
                raise ModelError(found.error)
            return found.text
        for key in ("answer", "output"):
            if isinstance(output.get(key), str):
                return str(output[key])
    return json.dumps(output, ensure_ascii=False, default=str)


def failed_call(message: BaseMessage | None) -> str | None:
    """Returns why a model's message is not an answer; None if it is one."""
    try:
        if message is not None:
            chat_models.reply_text(message)
    except ModelError as exc:
        return str(exc)
    return None
