"""One task's lineage as a graph: generations of candidates, each tried K times, the best tested on other tasks.

`try (K rollouts of each) -> select -> gate -> propose -> try ...`, until the task is solved, the generations are used up, or
everything is stopped. All effects go through `Trials`, `Gate` and the store's own keys, so that a lineage that is run again
after a kill repeats its decisions from what is recorded and pays only for what is not.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from skill_plugin import protocols
from skill_plugin.graphs.gatekeeper import Gatekeeper
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.rollout import Trial, Tried, collected, generation_of
from skill_plugin.graphs.state import PinnedSkill, Run, run_of, task_of
from skill_plugin.graphs.trials import Trials
from skill_plugin.records import Generation, Rollout, Skill
from skill_plugin.selection import Selection, reward
from skill_plugin.store import SkillStore, StagedRevision

GENERATOR = "generator"


class LineageState(TypedDict, total=False):
    """What a lineage knows. `past` is its history: oldest first, the text that is revised next last.

    `best` is the text that the lineage stands by: the best on its own task that no gate refused. `failed` says why it could
    not go on.
    """

    skillp_run: Run
    past: list[Generation]
    skillp_tried: Annotated[list[Tried], collected]
    number: int
    candidates: list[PinnedSkill | None]
    best: str | None
    challenger: str | None
    solved: bool
    failed: str | None


@dataclass(frozen=True)
class Plan:
    """How a lineage goes: G generations of C candidates, K rollouts of each, and controls without the first skill."""

    generations: int
    candidates: int
    rollouts: int
    controls: int
    stop_when_solved: bool
    select: Selection


class Known:
    """What earlier starts recorded of a lineage."""

    def __init__(self, rollouts: Sequence[Rollout] = ()) -> None:
        self._rollouts = {(one.generation, one.k): one for one in rollouts}

    def of(self, trial: Trial) -> Rollout | None:
        return self._rollouts.get((trial["generation"], trial["k"]))

    @property
    def first(self) -> Rollout | None:
        """A rollout of generation 0, which pins the skill that the lineage began with."""
        return next((one for one in self._rollouts.values() if one.generation == 0 and one.arm == "skill"), None)


def create_lineage_graph(
    *,
    store: SkillStore,
    writer: protocols.Generator,
    trials: Trials,
    gate: Gatekeeper,
    plan: Plan,
    known: Callable[[str], Known],
    resumed: bool,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph that `evolve` runs for every task; it begins with `skillp_run`, `number` 0 and its first skill in `candidates`.

    Args:
        store: The library.
        writer: The generator.
        trials: Runs rollouts.
        gate: Decides what goes live.
        plan: How many of what.
        known: What earlier starts recorded of a run, by its id.
        resumed: Whether there were any; if not, nothing is looked up.
    """
    proposing = _Proposing(store, writer, trials, plan.candidates, resumed=resumed)

    def fan_out(state: LineageState) -> list[Send] | str:
        sends = [Send("try", trial) for trial in _trials(state, plan)]
        return sends or "select"

    async def attempt(trial: Any, config: RunnableConfig) -> dict[str, Any]:  # Any: its keys are not the state's
        return {"skillp_tried": [await trials.run(trial, config, known(trial["run"]["run_id"]).of(trial))]}

    async def select(state: LineageState) -> dict[str, Any]:  # a sync node would cost a thread
        return _select(state, trials, plan)

    async def judge(state: LineageState, config: RunnableConfig) -> dict[str, Any]:
        return await _judge(state, config, gate, plan) if trials.stopped is None else {"challenger": None}

    async def propose(state: LineageState) -> dict[str, Any]:
        return await proposing(state)

    def after_select(state: LineageState) -> Literal["judge", "propose", "__end__"]:
        return "judge" if state.get("challenger") else after_judge(state)

    def after_judge(state: LineageState) -> Literal["propose", "__end__"]:
        done = state["solved"] and plan.stop_when_solved
        last = state["number"] >= plan.generations
        return "__end__" if done or last or state.get("failed") or trials.stopped else "propose"

    def after_propose(state: LineageState) -> list[Send] | str:
        return END if state.get("failed") or trials.stopped else fan_out(state)

    builder = StateGraph(LineageState)
    builder.add_node("try", attempt)  # type: ignore[call-overload] # the payload of a Send is no state
    builder.add_node("select", select)
    builder.add_node("judge", judge)
    builder.add_node("propose", propose)
    builder.add_conditional_edges(START, fan_out, ["try", "select"])
    builder.add_edge("try", "select")
    builder.add_conditional_edges("select", after_select, ["judge", "propose", END])
    builder.add_conditional_edges("judge", after_judge, ["propose", END])
    builder.add_conditional_edges("propose", after_propose, ["try", "select", END])
    return builder.compile(name="lineage")


def pinned(skill: Skill, **why: Any) -> PinnedSkill:
    return PinnedSkill(ref=skill.ref, name=skill.name, text=skill.text, score=None, why=why)


def _trials(state: LineageState, plan: Plan) -> list[Trial]:
    """K rollouts of each candidate, and at the start the controls of the first skill."""
    run, number = dict(run_of(state)), state["number"]
    shown = [skill for skill in state["candidates"] for _ in range(plan.rollouts)]
    trials = [Trial(run=run, skill=skill, generation=number, k=k) for k, skill in enumerate(shown)]
    if number == 0 and (first := state["candidates"][0]) is not None:
        control = {**run, "arm": "control", "withheld": first["ref"]}
        trials += [Trial(run=control, skill=None, generation=0, k=len(shown) + n) for n in range(plan.controls)]
    return trials


def _select(state: LineageState, trials: Trials, plan: Plan) -> dict[str, Any]:
    """Puts the generation into the history, and chooses who goes to the gate."""
    number, past = state["number"], state["past"]
    tried = sorted(
        (one for one in state.get("skillp_tried") or [] if one["generation"] == number), key=lambda one: one["k"]
    )
    errors = [one["error"] for one in tried if one["error"]]
    if trials.stopped or (errors and len(errors) == len(tried)):
        return {"failed": errors[0] if errors and not trials.stopped else None, "challenger": None, "solved": False}
    groups: defaultdict[str | None, list[Tried]] = defaultdict(list)
    for one in tried:
        # The controls of generation 0 belong to its only candidate: they are what it is compared with.
        ref = one["skill"]["ref"] if one["skill"] else None
        groups[state["candidates"][0]["ref"] if ref is None and state["candidates"][0] else ref].append(one)
    everything = [*past, *(generation_of(number, group) for group in groups.values())]
    fresh = everything[len(past) :]
    best = _named(everything, state.get("best")) if past else fresh[0] if fresh else None
    rivals = [one for one in fresh if reward(one) > reward(best)]
    rival = max(rivals, key=reward, default=None)
    update: dict[str, Any] = {"challenger": rival.skill if rival else None, "skillp_tried": None}
    update["best"] = best.skill if best else None
    update["solved"] = solved(best)
    update["past"] = _ordered(everything, plan, state)
    said: dict[str, Any] = {
        "run_id": run_of(state)["run_id"],
        "generation": number,
        "reward": max(map(reward, fresh), default=None),
    }
    emit("selected", said, **said)
    return update


async def _judge(state: LineageState, config: RunnableConfig, gate: Gatekeeper, plan: Plan) -> dict[str, Any]:
    """Tries the challenger on other tasks; what is refused stays in the history as a rejected edit."""
    ref, everything = state["challenger"], state["past"]
    assert ref is not None  # noqa: S101 - the edge leads here only then
    decision = await gate.decide(task_of(state), ref, config)
    if gate.stopped:
        return {"challenger": None}
    if decision is not None and not decision.promote:
        everything = [replace(one, rejected=decision.reason) if one.skill == ref else one for one in everything]
        return {"challenger": None, "past": _ordered(everything, plan, state)}
    return {"challenger": None, "best": ref, "solved": solved(_named(everything, ref))}


class _Proposing:
    """Has candidates written from one prompt, and staged."""

    def __init__(
        self, store: SkillStore, writer: protocols.Generator, trials: Trials, candidates: int, *, resumed: bool
    ) -> None:
        self._store = store
        self._writer = writer
        self._trials = trials
        self._candidates = candidates
        self._resumed = resumed

    async def __call__(self, state: LineageState) -> dict[str, Any]:
        run, past, number = run_of(state), state["past"], state["number"] + 1
        group_id, parent, staged = f"{run['run_id']}:{number}", past[-1], []
        if self._resumed:
            staged = await self._trials.recorder.call(lambda: self._store.staged(group_id))
        if not staged:
            task = task_of(state)
            try:
                proposed = await self._trials.written(self._writer, task, past, self._candidates)
            except Exception as exc:  # noqa: BLE001 - one lineage that cannot go on must not cost the others
                error = " ".join(f"{type(exc).__name__}: {exc}".split())[:500]
                self._trials.heard(error, GENERATOR)
                return {"failed": f"the generator failed: {error}"}
            if proposed is None:
                return {"failed": None}
            self._trials.heard(None, GENERATOR)
            staged = await self._trials.recorder.call(
                lambda: self._store.stage(
                    task, proposed, run_id=run["run_id"], group_id=group_id, generation=number, parent=parent.skill
                )
            )
        self._trials.on_proposed(len(staged), sum(revision.error is not None for revision, _ in staged))
        return self._update(run["run_id"], number, past, staged)

    def _update(
        self, run_id: str, number: int, past: list[Generation], staged: Sequence[StagedRevision]
    ) -> dict[str, Any]:
        parent = past[-1]
        new = {skill.ref: pinned(skill, revision=number) for _, skill in staged if skill is not None}
        new.pop(parent.skill or "", None)
        errors = [revision.error for revision, _ in staged if revision.error]
        if not errors and len(new) == 0:
            errors = ["the revision is the same as the current skill"]
        refused = [
            Generation(number=number, text=None, skill=parent.skill, error=error) for error in dict.fromkeys(errors)
        ]
        said: dict[str, Any] = {"run_id": run_id, "generation": number, "skills": list(new)}
        emit("proposed", {**said, "malformed": len(errors)}, **said, errors=errors)
        return {
            "number": number,
            "candidates": list(new.values()),
            "past": [*past[:-1], *refused, parent],
        }


def _ordered(everything: Sequence[Generation], plan: Plan, state: Mapping[str, Any]) -> list[Generation]:
    """The history with the text that is revised next at its end."""
    variants = [one for one in everything if one.rejected is None and one.error is None and one.mean_reward is not None]
    if not variants:
        return list(everything)
    chosen = plan.select(variants, f"{run_of(state)['run_id']}:{state['number']}")
    return [*(one for one in everything if one is not chosen), chosen]


def _named(everything: Sequence[Generation], ref: str | None) -> Generation | None:
    """The newest generation that tried a text, or no skill."""
    return next((one for one in reversed(everything) if one.skill == ref and one.error is None), None)


def solved(generation: Generation | None) -> bool:
    """Whether every rollout that has a verdict passed, controls left out."""
    judged = [one for one in generation.rollouts if one.reward is not None and one.arm == "skill"] if generation else []
    return bool(judged) and all(one.passed for one in judged)
