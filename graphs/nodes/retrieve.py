"""The node that finds the skill for a task and begins a run."""

import random
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Unpack

from langchain_core.runnables import RunnableConfig

from skill_plugin.errors import ConfigurationError, StoreError
from skill_plugin.graphs.nodes.node import SkillNode, Step, ask
from skill_plugin.graphs.observe import Fact, emit, watched
from skill_plugin.graphs.state import PinnedSkill, Run, pinned, reads_with, task_from_state
from skill_plugin.hits import SkillHits
from skill_plugin.records import Arm, Skill, Task, split_ref
from skill_plugin.store import Retrieval, RetrievalOptions, SkillStore
from skill_plugin.store.guard import OnStoreError, StoreGuard

TaskFrom = Callable[[Mapping[str, Any]], Task | str | None]
"""Finds the task in a state; with None nothing is retrieved and nothing recorded."""

NO_TASK = "there is no task: the last human message has no text"
NO_RUN: dict[str, Any] = {
    "skillp_run": None,
    "skillp_skills": [],
    "skillp_attempt": None,
    "skillp_history": [],
    "skillp_result": None,
}
"""The state of a host that goes on without a run of ours."""


def retrieve_node(
    store: SkillStore,
    *,
    task_from: TaskFrom = task_from_state,
    state_schema: type | None = None,
    forget: Sequence[str] = (),
    on_store_error: OnStoreError = "skip",
    **options: Unpack[RetrievalOptions],
) -> SkillNode:
    """Retrieves at most `k` live skills for the task, or none and says why; the run uses their text to its end.

    Args:
        store: The library.
        task_from: Finds the task in the state; by default its `task`, else its last human message.
        state_schema: The host's state class, needed if `task_from` reads other keys than `task`, `reference` and
            `messages`: LangGraph hands a node only the keys it declares.
        forget: Input keys to empty once they are read, so that the next run on the same thread does not inherit them.
        on_store_error: `skip` lets the agent go on without a skill where the store cannot answer within two seconds, with the reason in
            the stream and one warning in the log; `raise` raises.
        **options: Those of `Retrieval`: `k`, `min_score`, `strategy`, `experience`, `control_share`.

    Raises:
        ConfigurationError: the store is not one, or an option is out of its range.
    """
    if not isinstance(store, SkillStore):
        raise ConfigurationError(f"{store!r} is not a SkillStore; open one with SkillStore.open(...)")
    retrieval, guard = Retrieval.of(options), StoreGuard(store, on_store_error)

    def body(state: Mapping[str, Any], _: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
        found = task_from(state)
        if found is None:
            emit("retrieved", run_id=None, skills=[], arm="skill", reason=NO_TASK)
            return {**dict.fromkeys(forget), **NO_RUN}
        task = Task(found, split="train") if isinstance(found, str) else found
        arm: Arm = state.get("arm") or "skill"
        withheld, reason = None, ""
        if arm == "skill" and (pin := state.get("pin")):
            skill = yield Step(lambda: _shown(store, pin))
            skills = [pinned(skill, pinned=True)]
        else:
            hits = yield from ask(guard, lambda: _search(store, task, retrieval), lambda why: SkillHits(reason=why))
            skills = [
                PinnedSkill(ref=hit.ref, name=hit.name, text=hit.text, score=hit.score, why=dict(hit.why))
                for hit in hits
            ]
            reason = hits.reason
            if arm == "control" or (skills and random.random() < retrieval.control_share):  # noqa: S311 - a draw, no secret
                withheld = skills[0]["ref"] if skills else None
                arm, skills, reason = "control", [], "control arm: skills withheld"
        run = Run(
            run_id=uuid.uuid4().hex, task=task.to_json(), arm=arm, withheld=withheld, reason=reason, verifier=None
        )
        facts = {
            "run_id": run["run_id"],
            "arm": arm,
            "reason": reason or None,
            "withheld": withheld,
            **facts_of(skills),
        }
        if skills and watched():
            facts |= yield from ask(guard, lambda: _evidence(store, skills[0]["ref"]), lambda _: {})
        emit(
            "retrieved", facts, run_id=run["run_id"], skills=[skill["ref"] for skill in skills], arm=arm, reason=reason
        )
        return {
            **dict.fromkeys(forget),
            "skillp_run": run,
            "skillp_skills": skills,
            "skillp_attempt": None,
            "skillp_history": [],
            "skillp_result": None,
        }

    return SkillNode("retrieve", body, reads_with(state_schema))


def _shown(store: SkillStore, pin: str) -> Skill:
    skill = store.get(pin)
    if skill.held or skill.status == "quarantined":
        raise StoreError(
            f"skill {pin!r} is quarantined, so no model sees it; look at it and release it: skill-plugin skills restore {pin}"
        )
    return skill


def _search(store: SkillStore, task: Task, retrieval: Retrieval) -> SkillHits:
    return store.search(
        task.input,
        retrieval.k,
        min_score=retrieval.min_score,
        experience=retrieval.experience,
        strategy=retrieval.strategy,
        family=task.family,
    )


def facts_of(skills: Sequence[PinnedSkill]) -> dict[str, Fact | None]:
    """Returns what tracers show of a run's skills: the first by itself, and all with their scores."""
    if not skills:
        return {}
    first = skills[0]
    skill_id, version = split_ref(first["ref"])
    return {
        "skill": first["ref"],
        "skill_id": skill_id,
        "skill_version": version,
        "skill_name": first["name"],
        "utility": first["why"].get("utility"),
        "score": first["score"],
        "skills": [skill["ref"] for skill in skills],
        "scores": [skill["score"] for skill in skills if skill["score"] is not None],
    }


def _evidence(store: SkillStore, ref: str) -> dict[str, Fact | None]:
    """Returns why the version is live: what the gate said when it was promoted."""
    skill_id, version = split_ref(ref)
    for event in reversed(store.history(skill_id)):
        if event.kind == "promoted" and event.version == version:
            numbers = {f"gate_{key}": value for key, value in event.evidence.items()}
            return {"gate_by": event.by, "gate_reason": event.reason or None, **numbers}
    return {}
