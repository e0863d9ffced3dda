"""One rollout as a parallel task of a graph: what is to be tried, its result, and the node between."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, NotRequired

from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

from skill_plugin.graphs.nodes.node import SkillNode, Step
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.records import Generation, Purpose, Rollout


class Trial(TypedDict):
    """One rollout to run, the payload of a `Send`: number `k` of its generation, under `skill` or under none.

    `purpose` is `Rollout.purpose`; `run` where it is left out.
    """

    run: dict[str, Any]
    skill: PinnedSkill | None
    generation: int
    k: int
    purpose: NotRequired[Purpose]


class TrialResult(TypedDict):
    """The result of a `Trial`: a rollout, the error of the agent, or neither where it was not run."""

    generation: int
    skill: PinnedSkill | None
    k: int
    rollout: dict[str, Any] | None
    verifier: dict[str, Any] | None
    error: str | None


def collected(old: list[TrialResult] | None, new: list[TrialResult] | None) -> list[TrialResult]:
    """Adds rollouts to `skillp_tried`; its reducer, because rollouts come from parallel tasks. None begins anew."""
    return [] if new is None else [*(old or []), *new]


def rollout_node(execute: SkillNode, verify: SkillNode) -> SkillNode:
    """Runs one `Trial`: what `execute` and `verify` do in a row, on a state of its own."""

    def body(trial: Any, config: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
        state = begun(trial)
        try:
            state |= yield Step(lambda: execute.invoke(state, config), lambda: execute.ainvoke(state, config))
        except Exception as exc:  # noqa: BLE001 - one call that failed must not cost the others
            return {"skillp_tried": [failed(trial, exc)]}
        state |= yield Step(lambda: verify.invoke(state, config), lambda: verify.ainvoke(state, config))
        return {"skillp_tried": [ended(trial, state)]}

    return SkillNode("rollout", body, Any)


def begun(trial: Trial) -> dict[str, Any]:
    """Returns the state that `execute` starts from."""
    return {"skillp_run": trial["run"], "skillp_skills": [] if trial["skill"] is None else [trial["skill"]]}


def ended(trial: Trial, state: Mapping[str, Any]) -> TrialResult:
    """Returns what `verify` left, under the trial's own numbers."""
    numbers = {"generation": trial["generation"], "k": trial["k"], "purpose": trial.get("purpose", "run")}
    rollout = {**state["skillp_history"][0]["rollouts"][0], **numbers}
    return tried(trial, rollout=rollout, verifier=state["skillp_run"]["verifier"])


def failed(trial: Trial, exc: Exception) -> TrialResult:
    """Returns the result of a trial whose agent raised."""
    error = " ".join(f"{type(exc).__name__}: {exc}".split())[:500]
    run_id = trial["run"]["run_id"]
    emit("rollout_failed", run_id=run_id, generation=trial["generation"], k=trial["k"], error=error)
    return tried(trial, error=error)


def tried(
    trial: Trial,
    *,
    rollout: dict[str, Any] | None = None,
    verifier: dict[str, Any] | None = None,
    error: str | None = None,
) -> TrialResult:
    return TrialResult(
        generation=trial["generation"],
        skill=trial["skill"],
        k=trial["k"],
        rollout=rollout,
        verifier=verifier,
        error=error,
    )


def generation_of(number: int, trials: Sequence[TrialResult]) -> Generation:
    """Returns the generation that the rollouts of one candidate make, controls included."""
    skill = next((one["skill"] for one in trials if one["skill"]), None)
    rollouts = tuple(Rollout.from_json(one["rollout"]) for one in trials if one["rollout"])
    return Generation(number=number, text=skill and skill["text"], skill=skill and skill["ref"], rollouts=rollouts)
