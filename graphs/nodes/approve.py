"""The node in which a person allows a revision to be tried, or refuses it."""

import difflib
from collections.abc import Generator, Mapping
from typing import Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict, ValidationError

from skill_plugin.errors import InvalidTaskError
from skill_plugin.graphs.nodes.node import SkillNode, Step
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.state import HostKeys, PinnedSkill, history, run_of
from skill_plugin.records import Generation
from skill_plugin.skills.skill_md import parse
from skill_plugin.store import SkillStore


class Approval(BaseModel):
    """The answer to an `ApprovalRequest`: `Command(resume={"approve": True})`. The generator reads the note of a refusal."""

    model_config = ConfigDict(extra="forbid", strict=True)

    approve: bool
    note: str = ""


class ApprovalRequest(TypedDict):
    """A question to a person, as the value of the interrupt.

    `skill` is the staged version that waits; `diff` is unified, from the text that was tried before. `answer` is the JSON
    schema of an `Approval`; `error` says what was wrong with the answer before.
    """

    type: str
    run_id: str
    task: str
    skill: str
    name: str
    text: str
    diff: str
    feedback: str
    answer: dict[str, Any]
    error: str | None


def approve_node(store: SkillStore) -> SkillNode:
    """Asks a person, by `interrupt`, whether the version that `revise` staged may be tried; needs a checkpointer.

    Resume with `Command(resume={"approve": True})` or `{"approve": False, "note": "..."}`. An answer of another form is asked
    for again. A refused version stays staged, the store notes who refused it and why, and the next revision sees the note.
    The node does nothing before the answer is there, because LangGraph runs it again from its beginning.
    """

    def body(state: Mapping[str, Any], _: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
        past, skills = history(state), state.get("skillp_skills") or []
        if not past or not skills or skills[0]["ref"] == past[-1].skill:
            raise InvalidTaskError("there is no revision to approve; put revise_node before this node")
        proposed = skills[0]
        before = next((one for one in reversed(past) if one.text is not None and one.skill == past[-1].skill), None)
        approval = _ask(_request(state, proposed, before, past))
        emit("approved" if approval.approve else "refused", run_id=run_of(state)["run_id"], skill=proposed["ref"])
        if approval.approve:
            return {}
        reason = approval.note or "a person refused it"
        yield Step(lambda: store.refuse(proposed["ref"], by="human", reason=reason))
        failed = Generation(number=past[-1].number + 1, text=None, skill=past[-1].skill, error=f"refused: {reason}")
        back = [] if before is None else [_pinned(before)]
        return {
            "skillp_skills": [*back, *skills[1:]],
            "skillp_history": [*state["skillp_history"], failed.to_json()],
        }

    return SkillNode("approve", body, HostKeys)


def _ask(request: ApprovalRequest) -> Approval:
    """Interrupts until the answer has the form that was asked for."""
    while True:
        answer = interrupt(request)
        if isinstance(answer, Approval):
            return answer
        try:
            return Approval.model_validate(answer)
        except ValidationError:
            request = {
                **request,
                "error": f"the answer was {answer!r:.200}; give {{'approve': True}} or False, and a 'note'",
            }


def _request(
    state: Mapping[str, Any], proposed: PinnedSkill, before: Generation | None, past: list[Generation]
) -> ApprovalRequest:
    run = run_of(state)
    old = "" if before is None or before.text is None else before.text
    names = (before.skill if before and before.skill else "no skill", proposed["ref"])
    diff = difflib.unified_diff(old.splitlines(), proposed["text"].splitlines(), *names, lineterm="")
    judged = [rollout for generation in past for rollout in generation.rollouts]
    return ApprovalRequest(
        type="skill_plugin.approval",
        run_id=run["run_id"],
        task=run["task"]["input"],
        skill=proposed["ref"],
        name=proposed["name"],
        text=proposed["text"],
        diff="\n".join(diff),
        feedback=judged[-1].feedback if judged else "",
        answer=Approval.model_json_schema(),
        error=None,
    )


def _pinned(generation: Generation) -> PinnedSkill:
    text = generation.text or ""
    return PinnedSkill(ref=str(generation.skill), name=parse(text).name, text=text, score=None, why={"kept": True})
