"""The graph's state. What is ours has the prefix `skillp_` and is plain JSON; the host's own keys stay its own.

No key has a reducer: a plain key never clashes with a host's, and every run starts it anew at `retrieve`, also on a
thread that is used again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, Required, get_type_hints

from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage, convert_to_messages
from typing_extensions import TypedDict

from skill_plugin.errors import InvalidTaskError
from skill_plugin.prompts import guidance
from skill_plugin.records import Arm, Generation, Skill, Split, Task
from skill_plugin.store.search.questions import task_of_turns


class PinnedSkill(TypedDict):
    """A skill as one run uses it: the text itself, so that a replayed thread reads the same words."""

    ref: str
    name: str
    text: str
    score: float | None
    why: dict[str, Any]


def pinned(skill: Skill, **why: Any) -> PinnedSkill:
    """Returns a skill as a run uses it."""
    return PinnedSkill(ref=skill.ref, name=skill.name, text=skill.text, score=None, why=why)


class Run(TypedDict):
    """A run of the graph. `reason` says why no skill is shown, where that is so; `withheld` is the skill that a
    control run would have had; `verifier` is the graph's own, logged with a task that names none;
    `reply_id` is the id of the model's own first answer, under which the host's messages show each attempt's: so a stream shows it once.
    """

    run_id: str
    task: dict[str, Any]
    arm: Arm
    withheld: str | None
    reason: str
    verifier: dict[str, Any] | None
    reply_id: NotRequired[str]


def reply_id_of(run: Run) -> str:
    """Returns the id of the message that shows a run's answer among the host's messages; each attempt replaces it."""
    return run.get("reply_id") or f"skillp-{run['run_id']}"


class PendingAnswer(TypedDict):
    """An answer that waits for its verdict.

    `adherence` is there where it is known how far the skill was followed, `unseen` where the model calls were watched for the skills (those
    that none saw), `tools` the tools that the agent called, in order, `error` where the text is not an answer, `note` where it is one that the token limit cut off.
    """

    answer: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    latency_s: float
    adherence: NotRequired[float | None]
    unseen: NotRequired[list[str] | None]
    tools: NotRequired[tuple[str, ...]]
    error: NotRequired[str | None]
    note: NotRequired[str | None]


class SkillOutput(TypedDict):
    """The result of a run: the output of `create_skill_graph`, and what `record_node` leaves in `skillp_result`.

    `skill` is the `id@version` that the answer was given under, or None; `generations` counts the revisions.
    """

    answer: str
    reward: float | None
    passed: bool | None
    feedback: str
    skill: str | None
    generations: int
    run_id: str
    error: str | None


class SkillKeys(TypedDict, total=False):
    """Our keys. A host node that wants to read them declares this class in its own state."""

    skillp_run: Run
    skillp_skills: list[PinnedSkill]
    skillp_attempt: PendingAnswer | None
    skillp_history: list[dict[str, Any]]
    skillp_result: SkillOutput | None
    skillp_goto: list[Any] | None


class HostKeys(SkillKeys, total=False):
    """The keys that our nodes read of a host: its task or its messages. Types only; the host's own reducers stay."""

    task: str
    reference: Any
    messages: list[AnyMessage]


class SkillInput(TypedDict, total=False):
    """The input of `create_skill_graph`.

    `reference` is what the verifier compares with. `family`, `verifier` (`{"name": ..., "params": ...}`) and `split`
    describe the task; `pin` runs it under one `skill_id@version`, and `arm="control"` under no skill.
    """

    task: Required[str]
    reference: Any
    family: str
    verifier: dict[str, Any] | None
    split: Split | None
    pin: str | None
    arm: Arm | None


class SkillState(SkillInput, SkillOutput, SkillKeys):
    """The whole state of `create_skill_graph`."""


def reads_with(state_schema: type | None) -> type:
    """Returns the type of what a node reads: our keys and, where a callable looks into the host's state, the host's."""
    if state_schema is None:
        return HostKeys
    hints = {**get_type_hints(HostKeys, include_extras=True), **get_type_hints(state_schema, include_extras=True)}
    return TypedDict("Reads", hints, total=False)  # type: ignore[operator,no-any-return] # made at run time


def history(state: Mapping[str, Any]) -> list[Generation]:
    """Returns the run's generations so far, oldest first."""
    return [Generation.from_json(value) for value in state.get("skillp_history") or []]


def run_of(state: Mapping[str, Any]) -> Run:
    """Returns what `retrieve` noted of this run."""
    run: Run | None = state.get("skillp_run")
    if run is None:
        raise InvalidTaskError("no run has begun in this state; put retrieve_node before this node")
    return run


def task_of(state: Mapping[str, Any]) -> Task:
    """Returns the run's task as it is logged: with the verifier that judged it."""
    run = run_of(state)
    return Task.from_json({**run["task"], "verifier": run["task"]["verifier"] or run["verifier"]})


def skill_guidance(state: Mapping[str, Any]) -> str:
    """Returns the block that a host's own agent node adds to its system prompt; empty where no skill was retrieved."""
    return guidance([(skill["ref"], skill["name"], skill["text"]) for skill in state.get("skillp_skills") or []])


def task_from_state(state: Mapping[str, Any]) -> Task:
    """Returns the task in a host's state: its `task`, else its last human message (see `request_in`); its `reference` if there is one.

    Raises:
        InvalidTaskError: there is neither.
    """
    text = state.get("task") or request_in(messages_of(state))
    if not text:
        raise InvalidTaskError(
            f"no task in the state (keys: {sorted(state)}); give 'task' or 'messages', or pass task_from"
        )
    return Task(text, reference=state.get("reference"))


def last_human(messages: Sequence[Any]) -> str:
    """Returns the text of the last human message; empty without one, or with only a picture."""
    found = (message for message in reversed(messages) if isinstance(message, HumanMessage))
    return next((str(message.text) for message in found), "")


def request_in(messages: Sequence[Any]) -> str:
    """Returns the task of a conversation: the last human message, with the one that it answers where it says little itself."""
    return task_of_turns([str(message.text) for message in messages if isinstance(message, HumanMessage)])


def messages_of(state: Mapping[str, Any], key: str = "messages") -> list[BaseMessage]:
    """Returns a state's messages as message objects: some states keep them as they were given, as pairs or dictionaries."""
    given = state.get(key) or []
    if not isinstance(given, Sequence) or isinstance(given, str):
        return []
    try:
        return [one if isinstance(one, BaseMessage) else convert_to_messages([one])[0] for one in given]
    except (ValueError, TypeError, NotImplementedError):  # a list of something else
        return []
