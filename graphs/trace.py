"""The tools that an agent calls in a run, in order: as LangChain's callbacks tell, or as its messages have them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage

MOST = 100
"""Names of one run that are kept."""


class ToolTrace(BaseCallbackHandler):
    """Notes the tools that start. What a tool calls in its turn is a part of it, and not noted."""

    run_inline = True

    def __init__(self) -> None:
        self._names: list[str] = []
        self._inside: set[UUID] = set()

    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        del input_str
        is_inside = parent_run_id in self._inside
        self._inside.add(run_id)
        if not is_inside:
            self._names.append(_one_word(kwargs.get("name") or (serialized or {}).get("name") or "tool"))

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **_: Any,
    ) -> None:
        del serialized, inputs
        if parent_run_id in self._inside:  # a graph, or a chain, that a tool runs
            self._inside.add(run_id)

    def names(self, output: Any) -> tuple[str, ...]:
        """Returns the tools in the order in which they started; those of the agent's messages, where no callback told.

        Args:
            output: What the agent returned.
        """
        messages = output.get("messages") if isinstance(output, Mapping) else None
        return tuple(self._names[:MOST]) or tools_in(messages if isinstance(messages, Sequence) else ())


def tools_in(messages: Sequence[BaseMessage]) -> tuple[str, ...]:
    """Returns the tools that the model asked for since the last human message."""
    names: list[str] = []
    for message in messages:
        if getattr(message, "type", "") == "human":
            names.clear()
        elif isinstance(message, AIMessage):
            names += [_one_word(call["name"]) for call in message.tool_calls]
    return tuple(names[:MOST])


def _one_word(name: object) -> str:
    return "_".join(str(name).split())[:100] or "tool"
