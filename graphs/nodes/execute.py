"""The node that lets the frozen task LLM work under the retrieved skill."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypedDict, cast

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableLambda,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import merge_configs
from langgraph.pregel import Pregel

from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs.answers import NO_ANSWER, Answer, answer_of
from skill_plugin.graphs.nodes.node import SkillNode, Step
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.state import HostKeys, PendingAnswer, reply_id_of, run_of, skill_guidance
from skill_plugin.graphs.trace import ToolTrace
from skill_plugin.graphs.watch import SkillWatch
from skill_plugin.models import chat_models


class AgentInput(TypedDict):
    """An agent's input: the task's text, the skill's block for the system prompt, and both as messages."""

    task: str
    guidance: str
    messages: list[BaseMessage]


ToInput = Callable[[AgentInput], Any]
FromOutput = Callable[[Any], str]

TaskLLM = Runnable[Any, Any] | Callable[..., Any]
"""The frozen task LLM: a chat model, a Runnable, a compiled graph or a function."""


def execute_node(
    llm: TaskLLM,
    *,
    system_prompt: str | None = None,
    to_input: ToInput | None = None,
    from_output: FromOutput | None = None,
    reply_key: str | None = "messages",
) -> SkillNode:
    """Runs the task LLM with the skill's text added to its system prompt, fenced and marked as guidance.

    Args:
        llm: A chat model, a Runnable, a compiled graph or a function. A chat model, and a graph whose input has
            `messages`, get messages; anything else gets an `AgentInput`.
        system_prompt: Stands before the guidance.
        to_input: Makes the agent's own input from an `AgentInput`.
        from_output: Finds the answer's text in what the agent returns; by default its structured response, the
            last text since the last human message, its `answer`, its `output`, or the whole as JSON. One of your own also decides
            what an empty or a cut message means.
        reply_key: Where a host with messages gets the answer as an AI message. A later attempt of the same run
            replaces it, since both have one id. None leaves the host's messages alone.

    An error of the agent is the agent's own error: it is raised, and nothing is recorded.

    Raises:
        ConfigurationError: `llm` cannot execute tasks.
        ModelError: when it runs: the last message has neither text nor calls of tools, though its token limit did not cut it off,
            or a chat model's server sent what is not a reply.
    """
    agent = _as_runnable(llm)
    make_input = to_input or _default_input(agent)
    model = chat_models.name_of(llm)
    watch = SkillWatch(
        f"the agent {model!r}", "let it put its input's messages, or `guidance`, into its prompt (to_input=)"
    )
    calling = chat_models.readable if isinstance(_bare(agent), BaseLanguageModel) else nullcontext

    def body(state: Mapping[str, Any], config: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
        run = run_of(state)
        reply_id = reply_id_of(run)
        conversation = [message for message in state.get("messages") or [] if getattr(message, "id", None) != reply_id]
        guidance = skill_guidance(state)
        given = AgentInput(
            task=run["task"]["input"],
            guidance=guidance,
            messages=prompt_messages(conversation or [HumanMessage(run["task"]["input"])], system_prompt, guidance),
        )
        usage, trace = UsageMetadataCallbackHandler(), ToolTrace()
        skills = state.get("skillp_skills") or []
        shown = {"skill_plugin_run_id": run["run_id"], "skill_plugin_skill": skills[0]["ref"] if skills else None}
        refs = [skill["ref"] for skill in skills]
        watched = merge_configs(
            config, {"callbacks": [usage, trace, watch.handler(run["run_id"], refs)], "metadata": shown}
        )
        agent_input = make_input(given)
        started = time.perf_counter()
        with calling():
            output = yield Step(lambda: agent.invoke(agent_input, watched), lambda: agent.ainvoke(agent_input, watched))
        latency_s = time.perf_counter() - started
        found = _own_answer(from_output(output), output) if from_output else answer_of(output)
        answer = found.text
        tokens = usage.usage_metadata.values()
        attempt = PendingAnswer(
            answer=answer,
            model=model,
            input_tokens=sum(used["input_tokens"] for used in tokens) or None,
            output_tokens=sum(used["output_tokens"] for used in tokens) or None,
            latency_s=latency_s,
        )
        attempt["tools"] = trace.names(output)
        attempt["unseen"] = watch.unseen(run["run_id"], refs)
        attempt["error"], attempt["note"] = found.error, found.note
        facts = {key: attempt[key] for key in ("model", "input_tokens", "output_tokens", "latency_s")}
        emit("executed", {"run_id": run["run_id"], **facts}, run_id=run["run_id"], answer=answer, latency_s=latency_s)
        update: dict[str, Any] = {"skillp_attempt": attempt}
        if reply_key is not None and state.get("messages"):
            if "reply_id" not in run and (own := _id_of_reply(output, answer)) is not None:
                reply_id = own
                update["skillp_run"] = {**run, "reply_id": own}
            update[reply_key] = [AIMessage(answer, id=reply_id)]
        return update

    return SkillNode("execute", body, HostKeys)


def _own_answer(answer: object, output: Any) -> Answer:
    """Returns what the caller's `from_output` found; nothing in a whole state is not an answer."""
    if not isinstance(answer, str):
        raise ConfigurationError(f"from_output returned {type(answer).__name__}; return the answer's text")
    return Answer(answer, None if answer.strip() or not isinstance(output, Mapping) else NO_ANSWER)


def _id_of_reply(output: Any, answer: str) -> str | None:
    """Returns the id of the model's message that is the answer; what was streamed under it need not be streamed again."""
    messages = output.get("messages") if isinstance(output, Mapping) else [output]
    found = (
        one for one in reversed(messages or []) if isinstance(one, AIMessage) and one.id and str(one.text) == answer
    )
    return next((one.id for one in found), None)


def _as_runnable(llm: Any) -> Runnable[Any, Any]:
    if isinstance(llm, Runnable):
        return llm
    if callable(llm):
        return RunnableLambda(llm)
    raise ConfigurationError(
        f"{type(llm).__name__} cannot execute tasks; pass a chat model, a Runnable, a compiled graph or a function"
    )


def _default_input(agent: Runnable[Any, Any]) -> ToInput:
    """Messages for what takes messages, everything for what may take anything."""
    first = _first(agent)
    if isinstance(first, BaseLanguageModel):
        return lambda given: given["messages"]
    if not isinstance(first, Pregel):
        return lambda given: given
    keys = sorted(first.get_input_jsonschema().get("properties", {}))
    if "messages" in keys:
        return lambda given: {"messages": given["messages"]}
    example = f"lambda given: {{{keys[0] if keys else 'task'!r}: given['task']}}"
    raise ConfigurationError(
        f"the graph {first.get_name()!r} takes {', '.join(keys) or 'no keys'}, not messages; pass to_input, such as {example}"
    )


def _first(agent: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Returns what gets the input first in a chain, a binding, or a model with fallbacks."""
    agent = _bare(agent)
    while isinstance(agent, RunnableSequence):
        agent = _bare(agent.first)
    return agent


def _bare(agent: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """Returns what is bound, or what has fallbacks."""
    while True:
        match agent:
            case RunnableBindingBase():
                agent = agent.bound
            case RunnableWithFallbacks():
                agent = agent.runnable
            case _:
                return agent


def prompt_messages(conversation: Sequence[AnyMessage], system_prompt: str | None, guidance: str) -> list[BaseMessage]:
    """Returns the conversation with our text in its system message; the messages themselves are not changed."""
    ours = "\n\n".join(text for text in (system_prompt, guidance) if text)
    if not ours:
        return list(conversation)
    first, rest = (conversation[0], conversation[1:]) if conversation else (None, [])
    if not isinstance(first, SystemMessage):
        return [SystemMessage(ours), *conversation]
    if isinstance(first.content, str):  # many chat templates read a text, and drop a list of blocks without a word
        return [first.model_copy(update={"content": f"{first.content}\n\n{ours}"}), *rest]
    # A block of its own leaves the blocks before it as they are, and so their cache marks.
    blocks = [*first.content_blocks, {"type": "text", "text": f"\n\n{ours}"}]
    return [SystemMessage(content_blocks=cast("Any", blocks)), *rest]
