"""The loop with a population: each generation tries C candidates K times each, side by side."""

from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Annotated, Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from skill_plugin.errors import ConfigurationError, ModelError
from skill_plugin.generators import as_generator
from skill_plugin.generators.prompt import SAME_TEXT
from skill_plugin.graphs.evolution.rollout import Trial, TrialResult, collected, generation_of, rollout_node
from skill_plugin.graphs.evolution.selection import reward
from skill_plugin.graphs.nodes.execute import FromOutput, ToInput, execute_node
from skill_plugin.graphs.nodes.node import SkillNode, Step
from skill_plugin.graphs.nodes.record import record_node
from skill_plugin.graphs.nodes.retrieve import retrieve_node
from skill_plugin.graphs.nodes.revise import staged_revisions
from skill_plugin.graphs.nodes.verify import verify_node
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.skill_graph import FORGET, task_from_input
from skill_plugin.graphs.state import PinnedSkill, SkillInput, SkillOutput, SkillState, history, run_of
from skill_plugin.protocols import Verifier
from skill_plugin.records import Generation, Task
from skill_plugin.store import DEFAULT_EXPERIENCE, DEFAULT_MIN_SCORE, SkillStore

Next = Literal["propose", "record"]


class PopulationState(SkillState, total=False):
    """The state of `create_population_graph`. Never part of a host's, so it may have a reducer."""

    skillp_tried: Annotated[list[TrialResult], collected]
    skillp_candidates: list[PinnedSkill] | None


def create_population_graph(
    *,
    store: SkillStore,
    llm: Any,
    generator: Any,
    verifier: Verifier | Callable[[Task, str], Any] | None = None,
    candidates: int = 4,
    rollouts: int = 4,
    max_generations: int = 1,
    min_score: float = DEFAULT_MIN_SCORE,
    experience: float = DEFAULT_EXPERIENCE,
    strategy: str = "hybrid",
    system_prompt: str | None = None,
    to_input: ToInput | None = None,
    from_output: FromOutput | None = None,
    verifier_timeout: float = 30.0,
) -> StateGraph[PopulationState, None, SkillInput, SkillOutput]:
    """`create_skill_graph` with a population (Skill-R1, arXiv:2605.09359), for work that can pay for it.

    Generation 0 runs K rollouts under the skill that retrieval found, or under none. While not all of the best candidate's
    rollouts pass, the generator writes C candidates from one prompt, and each runs K rollouts. The candidate with the
    highest mean reward is the next parent. Rollouts are parallel tasks: bound them with
    `config={"max_concurrency": n}` (at least 2 when you stream: the stream takes one of them); with a checkpointer a
    run that was killed resumes with the ones that had not ended. An agent that raises costs its own rollout only: it is
    in the stream (`skill_plugin.rollout_failed`) and not in the store, and has no reward.

    Args:
        store: The library; every rollout is recorded.
        llm: The frozen task LLM; see `execute_node`.
        generator: Writes candidates; see `revise_node`.
        verifier: Judges answers; a task may bring its own. One of the two there must be.
        candidates: C, how many texts to sample from one prompt.
        rollouts: K, how often to try each.
        max_generations: How many times to sample candidates.
        min_score: The floor; see `SkillStore.search`.
        experience: How much the tasks that a skill has passed count in search, from 0 to 1; likewise.
        strategy: How to search; see `SkillStore.search`.
        system_prompt: Stands before the skill's text.
        to_input: See `execute_node`.
        from_output: See `execute_node`.
        verifier_timeout: Seconds until a verifier counts as hung.

    Raises:
        ConfigurationError: an argument is not what it should be.
        ModelError: when the graph runs, every rollout of a generation failed.
    """
    for name, number in (("candidates", candidates), ("rollouts", rollouts), ("max_generations", max_generations)):
        if not isinstance(number, int) or number < 1:
            raise ConfigurationError(f"{name} is {number!r}; give a whole number from 1")
    execute = execute_node(llm, system_prompt=system_prompt, to_input=to_input, from_output=from_output)
    builder = StateGraph(PopulationState, input_schema=SkillInput, output_schema=SkillOutput)
    builder.add_node(
        "retrieve",
        retrieve_node(
            store,
            min_score=min_score,
            experience=experience,
            strategy=strategy,
            task_from=task_from_input,
            state_schema=SkillInput,
            forget=(*FORGET, "skillp_tried", "skillp_candidates"),
        ),
    )
    builder.add_node("rollout", rollout_node(execute, verify_node(verifier, timeout=verifier_timeout)))
    builder.add_node("select", _select_node())
    builder.add_node("propose", _propose_node(store, generator, candidates))
    builder.add_node("record", record_node(store, publish=True))
    fan_out, route = _fan_out(rollouts), _router(max_generations)
    builder.add_edge(START, "retrieve")
    builder.add_conditional_edges("retrieve", fan_out, ["rollout"])
    builder.add_edge("rollout", "select")
    builder.add_conditional_edges("select", route, ["propose", "record"])
    builder.add_conditional_edges("propose", _after_propose(fan_out, route), ["rollout", "propose", "record"])
    builder.add_edge("record", END)
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


def _propose_node(store: SkillStore, generator: Any, candidates: int) -> SkillNode:
    """Samples candidates from one prompt and stages them."""
    writer = as_generator(generator)

    def body(state: Mapping[str, Any], _: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
        run, past, number = run_of(state), history(state), _next_number(state)
        parent = past[-1]
        staged = yield from staged_revisions(store, writer, state, generation=number, n=candidates)
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
