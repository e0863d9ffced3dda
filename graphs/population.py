"""The loop with a population: each generation tries C candidates K times each, side by side."""

from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.types import Send

from skill_plugin import protocols
from skill_plugin.errors import ModelError
from skill_plugin.generators import as_generator
from skill_plugin.generators.prompt import SAME_TEXT
from skill_plugin.graphs.evolution.rollout import Trial, TrialResult, collected, generation_of, rollout_node
from skill_plugin.graphs.evolution.selection import reward
from skill_plugin.graphs.nodes.node import SkillNode, Step
from skill_plugin.graphs.nodes.revise import staged_revisions
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.state import PinnedSkill, SkillState, history, run_of
from skill_plugin.records import Generation
from skill_plugin.store import SkillStore
from skill_plugin.store.guard import OnStoreError, StoreGuard

Next = Literal["propose", "record"]
Builder = TypeVar("Builder", bound=StateGraph[Any, Any, Any, Any])

INPUTS = ("skillp_tried", "skillp_candidates")
"""What one run's state must not hand down to the next one on a thread."""


class PopulationState(SkillState, total=False):
    """The state of `create_skill_graph` with more than one candidate or rollout. Never part of a host's, so it may have a reducer."""

    skillp_tried: Annotated[list[TrialResult], collected]
    skillp_candidates: list[PinnedSkill] | None


def add_population(
    builder: Builder,
    *,
    execute: SkillNode,
    verify: SkillNode,
    store: SkillStore,
    generator: protocols.Generator | BaseChatModel | None,
    candidates: int,
    rollouts: int,
    max_generations: int,
    on_store_error: OnStoreError,
) -> Builder:
    """Wires C candidates with K rollouts each between `retrieve` and `record` (Skill-R1, arXiv:2605.09359).

    Generation 0 runs K rollouts under the skill that retrieval found, or under none. While not all of the best candidate's
    rollouts pass, the generator writes C candidates from one prompt, and each runs K rollouts. The candidate with the
    highest mean reward is the next parent.
    """
    builder.add_node("rollout", rollout_node(execute, verify))
    builder.add_node("select", _select_node())
    fan_out, route = _fan_out(rollouts), _router(max_generations)
    builder.add_conditional_edges("retrieve", fan_out, ["rollout"])
    builder.add_edge("rollout", "select")
    if generator is None or max_generations == 0:
        builder.add_edge("select", "record")
        return builder
    builder.add_node("propose", _propose_node(store, generator, candidates, StoreGuard(store, on_store_error)))
    builder.add_conditional_edges("select", route, ["propose", "record"])
    builder.add_conditional_edges("propose", _after_propose(fan_out, route), ["rollout", "propose", "record"])
    return builder


def _fan_out(rollouts: int) -> Callable[[PopulationState], list[Send]]:
    def fan_out(state: PopulationState) -> list[Send]:
        shown = state.get("skillp_candidates") or state.get("skillp_skills", [])[:1]
        skills: list[PinnedSkill | None] = [*shown] or [None]
        trials = [skill for skill in skills for _ in range(rollouts)]
        run, generation = run_of(state), _next_number(state)
        return [
            Send("rollout", Trial(run=dict(run), skill=skill, generation=generation, k=k))
            for k, skill in enumerate(trials)
        ]

    return fan_out


def _router(max_generations: int) -> Callable[[PopulationState], Next]:
    def route(state: PopulationState) -> Next:
        run, best = run_of(state), history(state)[-1]
        judged = [rollout for rollout in best.rollouts if rollout.reward is not None]
        may_learn = run["arm"] == "skill" and run["task"]["split"] == "train" and _next_number(state) <= max_generations
        return "propose" if may_learn and judged and not all(rollout.passed for rollout in judged) else "record"

    return route


def _after_propose(
    fan_out: Callable[[PopulationState], list[Send]], route: Callable[[PopulationState], Next]
) -> Callable[[PopulationState], list[Send] | Next]:
    def after(state: PopulationState) -> list[Send] | Next:
        return fan_out(state) if state.get("skillp_candidates") else route(state)

    return after


def _select_node() -> SkillNode:
    """Puts the generation's candidates into the history, the best of the whole run last: the next parent."""

    def body(state: Mapping[str, Any], _: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
        yield from ()
        number, run = _next_number(state), run_of(state)
        tried = sorted((one for one in state["skillp_tried"] if one["generation"] == number), key=lambda one: one["k"])
        errors = [one["error"] for one in tried if one["error"]]
        if len(errors) == len(tried):
            raise ModelError(f"all {len(tried)} rollouts of generation {number} failed: {errors[0]}; see to the agent")
        groups: defaultdict[str | None, list[TrialResult]] = defaultdict(list)
        for one in tried:
            groups[one["skill"] and one["skill"]["ref"]].append(one)
        everything = [*history(state), *(generation_of(number, group) for group in groups.values())]
        best = max(everything, key=reward)
        pinned = [one["skill"] for one in state["skillp_tried"] if one["skill"] and one["skill"]["ref"] == best.skill]
        said: dict[str, Any] = {
            "run_id": run["run_id"],
            "generation": number,
            "skill": best.skill,
            "reward": reward(best),
        }
        emit("selected", said, **said)
        return {
            "skillp_run": {**run, "verifier": next((one["verifier"] for one in tried if one["verifier"]), None)},
            "skillp_history": _best_last(everything, best),
            "skillp_skills": pinned[:1],
            "skillp_candidates": None,
        }

    return SkillNode("select", body, PopulationState)


def _propose_node(
    store: SkillStore, generator: protocols.Generator | BaseChatModel, candidates: int, guard: StoreGuard
) -> SkillNode:
    """Samples candidates from one prompt and stages them."""
    writer = as_generator(generator)

    def body(state: Mapping[str, Any], _: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
        run, past, number = run_of(state), history(state), _next_number(state)
        parent = past[-1]
        staged = yield from staged_revisions(store, writer, state, guard, generation=number, n=candidates)
        pinned = {
            skill.ref: PinnedSkill(
                ref=skill.ref, name=skill.name, text=skill.text, score=None, why={"revision": number}
            )
            for _, skill in staged
            if skill is not None and skill.ref != parent.skill
        }
        errors = [revision.error for revision, _ in staged if revision.error]
        said: dict[str, Any] = {"run_id": run["run_id"], "generation": number, "skills": list(pinned)}
        emit("proposed", {**said, "malformed": len(errors)}, **said, errors=errors)
        if pinned:
            return {"skillp_candidates": list(pinned.values())}
        why = errors[0] if errors else SAME_TEXT
        failed = Generation(number=number, text=None, skill=parent.skill, error=why)
        return {"skillp_history": _best_last([*past, failed], parent)}

    return SkillNode("propose", body, PopulationState)


def _next_number(state: Mapping[str, Any]) -> int:
    return max((generation.number for generation in history(state)), default=-1) + 1


def _best_last(generations: Sequence[Generation], best: Generation) -> list[dict[str, Any]]:
    return [one.to_json() for one in (*(one for one in generations if one is not best), best)]
