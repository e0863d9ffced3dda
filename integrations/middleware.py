"""Skills for agents made by LangChain's `create_agent` and by deepagents: one middleware."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import takewhile
from typing import Annotated, Any, NotRequired, Self, Unpack

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, SystemMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException, tool
from typing_extensions import TypedDict

from skill_plugin import prompts
from skill_plugin.errors import ConfigurationError, MissingExtraError, SkillNotFoundError
from skill_plugin.functions import FunctionLimits, Runner
from skill_plugin.graphs.answers import NO_ANSWER, Answer, answer_in
from skill_plugin.graphs.functions.function_tool import set_runner
from skill_plugin.graphs.nodes.record import record_node
from skill_plugin.graphs.nodes.retrieve import TaskFrom, retrieve_node
from skill_plugin.graphs.nodes.verify import verify_node
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.state import PendingAnswer, PinnedSkill, Run, SkillOutput, request_in, skill_guidance
from skill_plugin.integrations.agent_functions import OFFERED, AgentFunctions, ModelTools, serving
from skill_plugin.models import chat_models
from skill_plugin.protocols import Verifier
from skill_plugin.records import Task
from skill_plugin.store import Retrieval, RetrievalOptions, SkillStore
from skill_plugin.store.guard import OnStoreError, StoreGuard
from skill_plugin.store.skills.tiers import is_shown
from skill_plugin.verifiers.adherence import Adherence

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
    from langchain.agents.middleware.types import ContextT, ExtendedModelResponse, PrivateStateAttr, ResponseT
    from langchain.tools import ToolRuntime
    from langgraph.runtime import Runtime
    from langgraph.types import Command
except ImportError as exc:
    raise MissingExtraError("SkillMiddleware", "langchain") from exc

LOAD_SKILL = "load_skill"


class ModelCalls(TypedDict):
    """Counts of the model calls of one run so far. `latency_s` is the seconds spent in them.

    `steps` counts the calls, `tool_calls` the tools they asked for, `tool_errors` the tools' answers that were errors;
    tokens are None where the model reports none. `loaded` holds what `load_skill` returned, in order.
    """

    steps: int
    tool_calls: int
    tool_errors: int
    input_tokens: int | None
    output_tokens: int | None
    latency_s: float
    model: str
    loaded: list[PinnedSkill]


# Annotations that resolve at run time: deepagents reads them to keep private keys from subagents.
class SkillAgentState(AgentState[Any]):
    """The agent's state with our keys, which are in no input and no output."""

    skillp_run: NotRequired[Annotated[Run | None, PrivateStateAttr]]
    skillp_skills: NotRequired[Annotated[list[PinnedSkill], PrivateStateAttr]]
    skillp_attempt: NotRequired[Annotated[PendingAnswer | None, PrivateStateAttr]]
    skillp_history: NotRequired[Annotated[list[dict[str, Any]], PrivateStateAttr]]
    skillp_result: NotRequired[Annotated[SkillOutput | None, PrivateStateAttr]]
    skillp_calls: NotRequired[Annotated[ModelCalls | None, PrivateStateAttr]]
    skillp_offered: NotRequired[Annotated[list[dict[str, str]], PrivateStateAttr]]
    skillp_bound: NotRequired[Annotated[list[str], PrivateStateAttr]]


class SkillMiddleware(AgentMiddleware[SkillAgentState, ContextT, ResponseT]):
    """Retrieves skills for every run of an agent, shows them to its model, and records the result.

        agent = create_agent(model, tools, middleware=[SkillMiddleware(store)])

    The skill stands at the end of the system message in a block of its own; the conversation and the blocks before it stay
    as they are. A run keeps its skill and its run id through interrupts, kills and replays; the next run retrieves anew.
    A run that fails records nothing.

    Args:
        store: The library.
        verifier: Judges the final answer; see `verify_node`. Without one, outcomes come later with
            `store.record_outcome`.
        adherence: Says how far the skill was followed; see `verify_node`.
        verifier_timeout: Seconds until a verifier counts as hung.
        load_skill: Show names and descriptions only, and give the agent a tool `load_skill` that returns a skill. Then a
            skill counts as used if it was loaded, and only then.
        task_from: Finds the task in the agent's state; by default the text of the last human message. No text means no task:
            nothing is retrieved and nothing recorded.
        on_store_error: Without the store the agent goes on without skills (`skip`); or `raise`; see `retrieve_node`, `record_node`.
        functions: Offer the model the functions of the run's skills that an operator allowed, at most 8.
        runner: What runs them; by default the one that the setting `function_runner` names.
        function_limits: Limits of one call.
        function_tools: Names of the agent's tools that functions may call; by default all.
        bind_tools: Hide tools of the agent from its model until a skill of the run names them in `allowed-tools`: those of these names,
            or with True all that a live skill names.
        **options: The fields of `Retrieval`: `k`, `min_score`, `strategy`, `experience`, `control_share`.

    Raises:
        ConfigurationError: an argument is not what it should be.
    """

    state_schema = SkillAgentState

    def __new__(cls, *_: Any, functions: bool = False, bind_tools: bool | Sequence[str] = False, **__: Any) -> Self:
        made: Self = super().__new__(serving(cls) if functions or bind_tools else cls)
        return made

    def __init__(
        self,
        store: SkillStore,
        *,
        verifier: Verifier | Callable[[Task, str], Any] | None = None,
        adherence: Adherence | None = None,
        verifier_timeout: float = 30.0,
        load_skill: bool = False,
        task_from: TaskFrom | None = None,
        on_store_error: OnStoreError = "skip",
        functions: bool = False,
        runner: Runner | None = None,
        function_limits: FunctionLimits | None = None,
        function_tools: Sequence[str] | None = None,
        bind_tools: bool | Sequence[str] = False,
        **options: Unpack[RetrievalOptions],
    ) -> None:
        super().__init__()
        retrieval = Retrieval.of(options)
        self._retrieve = retrieve_node(
            store, task_from=lambda state: state["task"], retrieval=retrieval, on_store_error=on_store_error
        )
        self._verify = verify_node(verifier, adherence=adherence, timeout=verifier_timeout)
        self._record = record_node(store, reply_key=None, on_store_error=on_store_error)
        self._task_from = task_from or _last_request
        self._k = retrieval.k
        self._load_skill = load_skill
        self._guard = StoreGuard(store, on_store_error)
        self.tools = [_load_skill_tool(store, self._guard)] if load_skill else []
        self._functions = AgentFunctions(
            store,
            self._guard,
            runs=(runner or set_runner()) if functions else None,
            limits=function_limits,
            may_call=function_tools,
            bind=bind_tools,
        )
        self._adds_tools = bool(functions or bind_tools)

    @property
    def name(self) -> str:
        """The name of the nodes in the agent's graph. One agent takes one middleware of a name."""
        return "skill_plugin"

    def before_agent(self, state: SkillAgentState, runtime: Runtime[ContextT]) -> dict[str, Any]:  # noqa: ARG002 - LangChain's name for it
        given = self._asked(state)
        begun = self._guard.ask(self._functions.begun, lambda _: {}) if self._adds_tools else {}
        return (_NO_RUN if given is None else {**self._retrieve.invoke(given), "skillp_calls": _NO_CALLS}) | begun

    async def abefore_agent(self, state: SkillAgentState, runtime: Runtime[ContextT]) -> dict[str, Any]:  # noqa: ARG002
        given = self._asked(state)
        begun = await self._guard.aask(self._functions.begun, lambda _: {}) if self._adds_tools else {}
        return (
            _NO_RUN if given is None else {**await self._retrieve.ainvoke(given), "skillp_calls": _NO_CALLS}
        ) | begun

    def wrap_model_call(
        self, request: ModelRequest[ContextT], handler: Callable[[ModelRequest[ContextT]], ModelResponse[ResponseT]]
    ) -> ModelResponse[ResponseT] | ExtendedModelResponse[ResponseT]:
        shown, offered = self._shown(request), None
        if self._adds_tools:
            shown, offered = self._with_tools(shown, self._guard.ask(self._tools_of(shown), lambda _: None))
        started = time.perf_counter()
        response = handler(shown)
        return _counted(request, response, time.perf_counter() - started, offered)

    async def awrap_model_call(
        self,
        request: ModelRequest[ContextT],
        handler: Callable[[ModelRequest[ContextT]], Awaitable[ModelResponse[ResponseT]]],
    ) -> ModelResponse[ResponseT] | ExtendedModelResponse[ResponseT]:
        shown, offered = self._shown(request), None
        if self._adds_tools:
            shown, offered = self._with_tools(shown, await self._guard.aask(self._tools_of(shown), lambda _: None))
        started = time.perf_counter()
        response = await handler(shown)
        return _counted(request, response, time.perf_counter() - started, offered)

    def after_agent(self, state: SkillAgentState, runtime: Runtime[ContextT]) -> dict[str, Any] | None:  # noqa: ARG002
        finished = self._finished(state)
        if finished is None:
            return None
        finished |= self._verify.invoke(finished)
        return _ours(finished | self._record.invoke(finished))

    async def aafter_agent(self, state: SkillAgentState, runtime: Runtime[ContextT]) -> dict[str, Any] | None:  # noqa: ARG002
        finished = self._finished(state)
        if finished is None:
            return None
        finished |= await self._verify.ainvoke(finished)
        return _ours(finished | await self._record.ainvoke(finished))

    def _asked(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns what `retrieve` reads; None without a text to search with, as for a picture alone."""
        task = self._task_from(state)
        if isinstance(task, str) and not task.strip():
            emit("retrieved", run_id=None, skills=[], arm="skill", reason="the last human message has no text")
            return None
        return {"task": task}

    def _shown(self, request: ModelRequest[ContextT]) -> ModelRequest[ContextT]:
        """Returns the request with the run's skills at the end of its system message."""
        state: Mapping[str, Any] = request.state
        skills = state.get("skillp_skills") or []
        if len(skills) > self._k:
            raise ConfigurationError(
                f"the state holds {len(skills)} skills of a run that takes {self._k}: the agent's state class declares"
                " 'skillp_skills' with a reducer; remove it there"
            )
        if self._load_skill:
            block = prompts.offer([(skill["name"], skill["text"]) for skill in skills])
        else:
            block = skill_guidance(state)
        return request.override(system_message=_extended(request.system_message, block)) if block else request

    def _in_run(self, state: Mapping[str, Any]) -> list[PinnedSkill]:
        """Returns the skills that the model has read: with `load_skill` those that it has loaded."""
        calls = state.get("skillp_calls")
        if self._load_skill:
            return _with_tools_answers(calls, state["messages"])["loaded"] if calls else []
        return state.get("skillp_skills") or []

    def _tools_of(self, request: ModelRequest[ContextT]) -> Callable[[], ModelTools | None]:
        state: Mapping[str, Any] = request.state
        answers = [spec.name for spec in getattr(request.response_format, "schema_specs", ())]
        return lambda: self._functions.of_model(state, self._in_run(state), request.tools, answers)

    def _with_tools(
        self, request: ModelRequest[ContextT], found: ModelTools | None
    ) -> tuple[ModelRequest[ContextT], list[dict[str, str]]]:
        """Returns the request with its tools, and the functions among them; without the store it stays as it is."""
        if found is None:
            return request, []
        state: Mapping[str, Any] = request.state
        calls: ModelCalls | None = state.get("skillp_calls")
        if (found.offered or found.left_out) and calls is not None and not calls["steps"]:
            emit("offered", functions=[one["tool"] for one in found.offered], left_out=found.left_out)
        return request.override(tools=found.tools), found.offered

    def _finished(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns what `verify` and `record` read; None where no run reached the model, or it is recorded already."""
        run, calls = state.get("skillp_run"), state.get("skillp_calls")
        if run is None or not calls or not calls["steps"] or state.get("skillp_result") is not None:
            return None
        calls = _with_tools_answers(calls, state["messages"])
        skills = state.get("skillp_skills") or []
        answer, error, note = answer_in(state) or Answer("", NO_ANSWER)
        attempt = PendingAnswer(
            answer=answer,
            model=calls["model"],
            input_tokens=calls["input_tokens"],
            output_tokens=calls["output_tokens"],
            latency_s=calls["latency_s"],
        )
        attempt["error"], attempt["note"] = error, note
        if calls["loaded"]:
            skills = calls["loaded"]
        elif self._load_skill and skills:
            attempt["adherence"] = 0.0  # it was on offer and not read: recorded, but neither praised nor blamed
            skills = skills[:1]  # the others were not shown either
        counts: dict[str, Any] = {
            key: calls[key] for key in ("steps", "tool_calls", "tool_errors", "input_tokens", "output_tokens")
        }
        counts |= {"run_id": run["run_id"], "latency_s": attempt["latency_s"]}
        emit("executed", {**counts, "model": calls["model"]}, answer=attempt["answer"], **counts)
        return {
            "skillp_run": run,
            "skillp_skills": skills,
            "skillp_attempt": attempt,
            "skillp_history": [],
            "skillp_calls": calls,
        }


_NO_RUN: dict[str, Any] = {
    "skillp_run": None,
    "skillp_skills": [],
    "skillp_attempt": None,
    "skillp_history": [],
    "skillp_result": None,
    "skillp_calls": None,
}

_NO_CALLS = ModelCalls(
    steps=0,
    tool_calls=0,
    tool_errors=0,
    input_tokens=None,
    output_tokens=None,
    latency_s=0.0,
    model="",
    loaded=[],
)


def _last_request(state: Mapping[str, Any]) -> str:
    return request_in(state.get("messages") or [])


def _ours(update: dict[str, Any]) -> dict[str, Any]:
    """Returns what goes into the state: `skillp_skills` keeps what the run was shown, whichever of it was loaded."""
    return {key: value for key, value in update.items() if key != "skillp_skills"}


def _extended(system: SystemMessage | None, block: str) -> SystemMessage:
    """Returns the system message with one more block. Those before it stay to the letter, cache marks included."""
    if system is None or not system.content:
        return SystemMessage(block)
    if isinstance(system.content, str):  # many chat templates read a text, and drop a list of blocks without a word
        return system.model_copy(update={"content": f"{system.content}\n\n{block}"})
    return system.model_copy(update={"content": [*system.content, {"type": "text", "text": f"\n\n{block}"}]})


def _counted(
    request: ModelRequest[ContextT],
    response: ModelResponse[ResponseT],
    seconds: float,
    offered: list[dict[str, str]] | None,
) -> ModelResponse[ResponseT] | ExtendedModelResponse[ResponseT]:
    """Returns the response, and with it this call's part of the run's counts."""
    state: Mapping[str, Any] = request.state
    calls: ModelCalls | None = state.get("skillp_calls")
    if calls is None:
        return response
    calls = _with_tools_answers(calls, request.state["messages"])
    replies = [message for message in response.result if isinstance(message, AIMessage)]
    used = [reply.usage_metadata for reply in replies if reply.usage_metadata]
    named = [reply.response_metadata.get("model_name") for reply in replies]
    update = ModelCalls(
        steps=calls["steps"] + 1,
        tool_calls=calls["tool_calls"] + sum(len(reply.tool_calls) for reply in replies),
        tool_errors=calls["tool_errors"],
        input_tokens=_sum(calls["input_tokens"], [usage["input_tokens"] for usage in used]),
        output_tokens=_sum(calls["output_tokens"], [usage["output_tokens"] for usage in used]),
        latency_s=calls["latency_s"] + seconds,
        model=next((name for name in named if name), None) or chat_models.name_of(request.model),
        loaded=calls["loaded"],
    )
    more = {} if offered is None else {OFFERED: offered}
    return ExtendedModelResponse(model_response=response, command=Command(update={"skillp_calls": update, **more}))


def _sum(before: int | None, more: Sequence[int]) -> int | None:
    return (before or 0) + sum(more) if more else before


def _with_tools_answers(calls: ModelCalls, messages: Sequence[AnyMessage | BaseMessage]) -> ModelCalls:
    """Returns the counts with what the tools answered since the last model call.

    It is read from the messages, because tools run side by side, and two of them cannot write one key of the state.
    """
    answers = list(takewhile(lambda message: isinstance(message, ToolMessage), reversed(messages)))[::-1]
    failed = sum(isinstance(answer, ToolMessage) and answer.status == "error" for answer in answers)
    loaded = {skill["ref"]: skill for skill in calls["loaded"]}
    for answer in answers:
        if isinstance(answer, ToolMessage) and answer.name == LOAD_SKILL and isinstance(answer.artifact, dict):
            loaded.setdefault(answer.artifact["ref"], answer.artifact)  # type: ignore[arg-type] # what the tool put there
    return {**calls, "tool_errors": calls["tool_errors"] + failed, "loaded": list(loaded.values())}


def _load_skill_tool(store: SkillStore, guard: StoreGuard) -> BaseTool:
    @tool(LOAD_SKILL, response_format="content_and_artifact")
    def load_skill(name: str, runtime: ToolRuntime[Any, Any]) -> tuple[str, PinnedSkill]:
        """Returns the whole procedure of a skill. Call it with the name of a listed skill before you begin the work."""
        state: Mapping[str, Any] = runtime.state
        skill = next((skill for skill in state.get("skillp_skills") or [] if skill["name"] == name), None)
        withheld = (state.get("skillp_run") or {}).get("arm") == "control"
        skill = skill or (None if withheld else guard.ask(lambda: _live(store, name), lambda _: None))
        if skill is None:
            raise ToolException(f"There is no skill {name!r}. Use a name from the list, or go on without.")
        return prompts.guidance([(skill["ref"], skill["name"], skill["text"])]), skill

    load_skill.handle_tool_error = True
    return load_skill


def _live(store: SkillStore, name: str) -> PinnedSkill | None:
    try:
        skill = store.get(name)
    except SkillNotFoundError:
        return None
    if not is_shown(store, skill):
        return None
    return PinnedSkill(ref=skill.ref, name=skill.name, text=skill.text, score=None, why={"loaded": True})
