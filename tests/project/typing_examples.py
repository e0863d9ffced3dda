"""What a type checker of a user must know about us; checked by mypy and pyright, never run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, assert_type

from langchain_core.language_models import BaseChatModel
from langgraph.graph import MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from skill_plugin import Event, Generation, Revision, Rollout, Skill, SkillHit, Task, Verdict, generators, verifiers
from skill_plugin.checkpoints import Checkpoint
from skill_plugin.gates.decision import GateDecision
from skill_plugin.graphs import (
    EvolveReport,
    EvolveSettings,
    SkillInput,
    SkillOutput,
    SkillState,
    add_skills,
    create_skill_graph,
    evolve,
    gate_version,
)
from skill_plugin.integrations.middleware import SkillMiddleware
from skill_plugin.protocols import Lookup, Match
from skill_plugin.store import Retrieval, SkillStore


def right(task: Task, answer: str) -> float:
    return float(answer == task.reference)


class Writer:
    def propose(self, task: Task, history: Sequence[Generation], *, n: int) -> list[Revision]:
        return [Revision(completion=task.input)] * n


class Nearest:
    def rank(self, lookup: Lookup) -> Sequence[Match]:
        return lookup.skills(lookup.nearest(3))


class Once:
    def decide(self, before: Sequence[float], after: Sequence[float]) -> GateDecision:
        return GateDecision(sum(after) > sum(before), "", 0, 0, 0, 0.0, 0.0)


def library(store: SkillStore) -> None:
    assert_type(SkillStore.open("skills", namespace="a", embedder="hashing"), SkillStore)
    assert_type(store.add(name="a", description="b", body="c"), Skill)
    assert_type(store.promote("a@2").utility, float | None)
    hits = store.search("a", k=3, strategy=Nearest())
    assert_type(hits[0], SkillHit)
    assert_type(hits.reason, str)
    assert_type(hits[0].why, Mapping[str, Any])
    assert_type(store.get("a").version, int)
    assert_type(store.list(status="live"), list[Skill])
    assert_type(store.history("a"), list[Event])
    assert_type(store.record_outcome("run", reward=1.0, feedback=""), bool)
    assert_type(store.runs.rollouts("run"), list[Rollout])
    assert_type(store.runs.record(Task("a"), [], run_id="run"), int)
    assert_type(store.checkpoints.live(), Checkpoint | None)
    assert_type(store.checkpoints.list(), list[Checkpoint])
    assert_type(store.histories.rows(), Iterator[dict[str, Any]])
    assert_type(store.histories.import_from("log.jsonl").imported, int)
    assert_type(store.tasks.is_held_out(Task("a")), bool)
    assert_type(store.lift("a").sentence, str)


def graphs(store: SkillStore, model: BaseChatModel, builder: StateGraph[MessagesState]) -> None:
    uncompiled = create_skill_graph(store=store, llm=model, verifier=right, generator=Writer(), k=2, strategy="dense")
    assert_type(uncompiled, StateGraph[SkillState, None, SkillInput, SkillOutput])
    graph = uncompiled.compile()
    assert_type(graph.invoke({"task": "a"})["answer"], Any)
    assert_type(gate_version(store, graph, "a@2", [Task("a")], rule=Once()), GateDecision)
    wired = add_skills(builder, store=store, before="agent", retrieval=Retrieval(k=2), control_share=0.1)
    assert_type(wired, StateGraph[MessagesState])
    compiled: CompiledStateGraph[Any, Any, Any, Any] = wired.compile()
    SkillMiddleware[None, Any](store, verifier=lambda task, answer: Verdict(1.0), min_score=0.3)
    create_skill_graph(store=store, llm=compiled, generator=generators.chat(model), candidates=2, rollouts=2)


def learning(store: SkillStore, model: BaseChatModel) -> None:
    assert_type(generators.chat(model), generators.ChatGenerator)
    assert_type(verifiers.exact_match().verify(Task("a"), "b"), Verdict)
    assert_type(Verdict(1.0).reward, float)
    assert_type(EvolveSettings().generations, int)
    settings = EvolveSettings(generations=2, strategy=Nearest(), rule=Once())
    result = evolve(
        [Task("a")], store=store, llm=model, generator=model, verifier=verifiers.exact_match(), settings=settings
    )
    assert_type(result, EvolveReport)
    assert_type(result.solved_after, int)
