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
    """An answer's text. `error` says why it does not count as one, so that it has no reward; `note` that it was cut off, and counts."""

    text: str
    error: str | None = None
    note: str | None = None


def answer_in(state: Mapping[str, Any]) -> Answer | None:
    """Returns the answer in an agent's state or output; None where neither a structured response nor messages are in it.

    The structured response as JSON, if there is one; else the last text since the last human message, of the model or of a tool
    that answers directly. A last message of the model that is empty is an error. One that the token limit cut off is the answer
    as it stands, also where nothing of it is text, as of thinking that did not end.
    """
    if (structured := state.get("structured_response")) is not None:
        return Answer(to_json(structured, fallback=str).decode())
    if not isinstance(state.get("messages"), Sequence) or not state["messages"]:
        return None
    turn = list(takewhile(lambda message: not isinstance(message, HumanMessage), reversed(messages_of(state))))
    said = [message for message in turn if isinstance(message, AIMessage | ToolMessage)]
    text = next((str(message.text) for message in said if str(message.text).strip()), "")
    if said and (last := _said(said[0])) != Answer(last.text):
        return last
    return Answer(text) if text else Answer("", NO_ANSWER)


def answer_of(output: Any) -> Answer:
    """Returns an agent's answer, from any of the usual shapes of what it returns.

    Raises:
        ModelError: the model's last message is empty.
    """
    found = _found(output)
    if found.error not in (None, NO_ANSWER):
        raise ModelError(found.error)
    return found


def _found(output: Any) -> Answer:
    if isinstance(output, str):
        return Answer(output)
    if isinstance(output, BaseMessage):
        return _said(output)
    if isinstance(output, Mapping):
        if (found := answer_in(output)) is not None:
            return found
        for key in ("answer", "output"):
            if isinstance(output.get(key), str):
                return Answer(str(output[key]), None if output[key].strip() else NO_ANSWER)
    return Answer(json.dumps(output, ensure_ascii=False, default=str))


def _said(message: BaseMessage) -> Answer:
    """Returns a message as an answer, with the note that it was cut off, or with the error why it is not one."""
    text = str(message.text)
    if (note := chat_models.cut_note(message)) is not None:
        return Answer(text, note=note)
    try:
        return Answer(chat_models.reply_text(message))
    except ModelError as exc:
        return Answer(text, str(exc))
