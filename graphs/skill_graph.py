"""The whole loop as one graph: retrieve -> execute -> verify -> (pass: record | fail: revise -> execute)."""

from collections.abc import Callable, Mapping
from typing import Any

from langgraph.graph import END, START, StateGraph

from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs.nodes.approve import approve_node
from skill_plugin.graphs.nodes.execute import FromOutput, ToInput, execute_node
from skill_plugin.graphs.nodes.record import record_node
from skill_plugin.graphs.nodes.retrieve import retrieve_node
from skill_plugin.graphs.nodes.revise import revise_node, skill_router
from skill_plugin.graphs.nodes.verify import verify_node
from skill_plugin.graphs.state import SkillInput, SkillOutput, SkillState
from skill_plugin.protocols import Verifier
from skill_plugin.records import DEFAULT_FAMILY, Task
from skill_plugin.store import DEFAULT_EXPERIENCE, DEFAULT_MIN_SCORE, SkillStore
from skill_plugin.verifiers.adherence import Adherence

FORGET = ("reference", "family", "verifier", "split", "pin", "arm")
"""What one run's input says must not be taken for the next one's, on a thread that is used again."""


def create_skill_graph(
    *,
    store: SkillStore,
    llm: Any,
    verifier: Verifier | Callable[[Task, str], Any] | None = None,
    generator: Any = None,
    max_generations: int = 3,
    approve: bool = False,
    k: int = 1,
    min_score: float = DEFAULT_MIN_SCORE,
    experience: float = DEFAULT_EXPERIENCE,
    strategy: str = "hybrid",
    control_share: float = 0.0,
    adherence: Adherence | None = None,
    system_prompt: str | None = None,
    to_input: ToInput | None = None,
    from_output: FromOutput | None = None,
    verifier_timeout: float = 30.0,
    input_schema: type[Any] = SkillInput,
) -> StateGraph[SkillState, None, SkillInput, SkillOutput]:
    """The loop as an uncompiled graph; compile it with your own checkpointer, store and cache.

    Use it on its own, as a subgraph, or as the wrapper of an agent that exists:

        graph = create_skill_graph(store=store, llm=agent, verifier=verifier, generator=generator).compile()
        graph.invoke({"task": "...", "reference": "..."})

    Args:
        store: The library.
        llm: The frozen task LLM: a chat model, a Runnable, a compiled graph or a function; see `execute_node`.
        verifier: Judges answers; a task may bring its own. Without one, outcomes come later.
        generator: Writes skills; without one, nothing is revised.
        max_generations: How many revisions a task may cost; 0 revises nothing.
        approve: Ask a person before a revision is tried; see `approve_node`. Needs a checkpointer.
        k: How many skills to show.
        min_score: The floor; see `SkillStore.search`.
        experience: How much the tasks that a skill has passed count in search, from 0 to 1; likewise.
        strategy: How to search; see `SkillStore.search`.
        control_share: Share of the runs that withhold the skill, to measure its lift; see `retrieve_node`.
        adherence: Says how far the skill was followed; see `verify_node`.
        system_prompt: Stands before the skill's text.
        to_input: See `execute_node`.
        from_output: See `execute_node`.
        verifier_timeout: Seconds until a verifier counts as hung.
        input_schema: A TypedDict with some of the keys of `SkillInput`, for a server: other keys that a client sends
            are ignored.

    Raises:
        ConfigurationError: an argument is not what it should be.
    """
    if not isinstance(max_generations, int) or max_generations < 0:
        raise ConfigurationError(f"max_generations is {max_generations!r}; give a whole number from 0")
    builder: StateGraph[SkillState, None, SkillInput, SkillOutput] = StateGraph(
        SkillState, input_schema=input_schema, output_schema=SkillOutput
    )
    builder.add_node(
        "retrieve",
        retrieve_node(
            store,
            k=k,
            min_score=min_score,
            experience=experience,
            strategy=strategy,
            control_share=control_share,
            task_from=task_from_input,
            state_schema=SkillInput,
            forget=FORGET,
        ),
    )
    builder.add_node(
        "execute", execute_node(llm, system_prompt=system_prompt, to_input=to_input, from_output=from_output)
    )
    builder.add_node("verify", verify_node(verifier, adherence=adherence, timeout=verifier_timeout))
    builder.add_node("record", record_node(store, publish=True))
    builder.add_edge(START, "retrieve")
    builder.add_edge("retrieve", "execute")
    builder.add_edge("execute", "verify")
    builder.add_edge("record", END)
    if generator is None or max_generations == 0:
        builder.add_edge("verify", "record")
        return builder
    route = skill_router(max_generations)
    builder.add_node("revise", revise_node(store, generator))
    builder.add_conditional_edges("verify", route, ["revise", "record"])
    if not approve:
        builder.add_conditional_edges("revise", route, ["execute", "revise", "record"])
        return builder
    builder.add_node("approve", approve_node(store))
    builder.add_conditional_edges("revise", route, {"execute": "approve", "revise": "revise", "record": "record"})
    builder.add_conditional_edges("approve", route, ["execute", "revise", "record"])
    return builder


def task_from_input(state: Mapping[str, Any]) -> Task:
    """The task in a `SkillInput`."""
    return Task(
        state.get("task", ""),
        family=state.get("family") or DEFAULT_FAMILY,
        reference=state.get("reference"),
        verifier=state.get("verifier"),
        # A hash decides the split of a tasks file; a single task that somebody asks is there to learn from.
        split=state.get("split") or "train",
    )
