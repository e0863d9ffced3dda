"""The whole loop as one graph: retrieve -> execute -> verify -> (pass: record | fail: revise -> execute)."""

from collections.abc import Callable, Mapping
from typing import Any, Unpack

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph

from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs.nodes.approve import approve_node
from skill_plugin.graphs.nodes.execute import FromOutput, TaskLLM, ToInput, execute_node
from skill_plugin.graphs.nodes.record import record_node
from skill_plugin.graphs.nodes.retrieve import retrieve_node
from skill_plugin.graphs.nodes.revise import revise_node, skill_router
from skill_plugin.graphs.nodes.verify import verify_node
from skill_plugin.graphs.population import INPUTS, PopulationState, add_population
from skill_plugin.graphs.state import SkillInput, SkillOutput, SkillState
from skill_plugin.limits import AT_LEAST_0, AT_LEAST_1, check_number
from skill_plugin.protocols import Generator, Verifier
from skill_plugin.records import DEFAULT_FAMILY, Task
from skill_plugin.store import Retrieval, RetrievalOptions, SkillStore
from skill_plugin.store.guard import OnStoreError
from skill_plugin.verifiers.adherence import Adherence

FORGET = ("reference", "family", "verifier", "split", "pin", "arm")
"""What one run's input says must not be taken for the next one's, on a thread that is used again."""


def create_skill_graph(
    *,
    store: SkillStore,
    llm: TaskLLM,
    verifier: Verifier | Callable[[Task, str], Any] | None = None,
    generator: Generator | BaseChatModel | None = None,
    max_generations: int = 3,
    candidates: int = 1,
    rollouts: int = 1,
    approve: bool = False,
    adherence: Adherence | None = None,
    system_prompt: str | None = None,
    to_input: ToInput | None = None,
    from_output: FromOutput | None = None,
    verifier_timeout: float = 30.0,
    input_schema: type[Any] = SkillInput,
    on_store_error: OnStoreError = "skip",
    **options: Unpack[RetrievalOptions],
) -> StateGraph[SkillState, None, SkillInput, SkillOutput]:
    """Makes the loop as an uncompiled graph; compile it with your own checkpointer, store and cache.

    Use it on its own, as a subgraph, or as the wrapper of an agent that exists:

        graph = create_skill_graph(store=store, llm=agent, verifier=verifier, generator=generator).compile()
        graph.invoke({"task": "...", "reference": "..."})

    Args:
        store: The library.
        llm: The frozen task LLM: a chat model, a Runnable, a compiled graph or a function; see `execute_node`.
        verifier: Judges answers; a task may bring its own. Without one, outcomes come later.
        generator: Writes skills; without one, nothing is revised.
        max_generations: How many revisions a task may cost; 0 revises nothing.
        candidates: C, how many texts to sample from one prompt. The one with the highest mean reward is revised next.
        rollouts: K, how often to try each text. With C or K above 1 rollouts are parallel tasks: bound them with
            `config={"max_concurrency": n}` (at least 2 when you stream: the stream takes one of them). An agent that raises
            costs its own rollout only: it is in the stream (`skill_plugin.rollout_failed`), and not in the store.
        approve: Ask a person before a revision is tried; see `approve_node`. Needs a checkpointer.
        adherence: Says how far the skill was followed; see `verify_node`.
        system_prompt: Stands before the skill's text.
        to_input: See `execute_node`.
        from_output: See `execute_node`.
        verifier_timeout: Seconds until a verifier counts as hung.
        input_schema: A TypedDict with some of the keys of `SkillInput`, for a server: other keys that a client sends
            are ignored.
        on_store_error: Without the store the agent goes on without skills (`skip`); or `raise`; see `retrieve_node`, `record_node`.
        **options: Those of `Retrieval`: `k`, `min_score`, `strategy`, `experience`, `control_share`.

    Raises:
        ConfigurationError: an argument is not what it should be.
        ModelError: when the graph runs, every rollout of a generation failed (with C or K above 1).
    """
    check_number("max_generations", max_generations, AT_LEAST_0)
    check_number("candidates", candidates, AT_LEAST_1)
    check_number("rollouts", rollouts, AT_LEAST_1)
    population = candidates > 1 or rollouts > 1
    if population and (approve or Retrieval.of(options).k > 1):
        raise ConfigurationError(
            "candidates or rollouts above 1 need approve=False and k=1: nobody is asked about C texts at once, and each "
            "rollout is shown one"
        )
    builder: StateGraph[SkillState, None, SkillInput, SkillOutput] = StateGraph(
        PopulationState if population else SkillState, input_schema=input_schema, output_schema=SkillOutput
    )
    builder.add_node(
        "retrieve",
        retrieve_node(
            store,
            task_from=task_from_input,
            state_schema=SkillInput,
            forget=(*FORGET, *INPUTS) if population else FORGET,
            on_store_error=on_store_error,
            **options,
        ),
    )
    execute = execute_node(llm, system_prompt=system_prompt, to_input=to_input, from_output=from_output)
    verify = verify_node(verifier, adherence=adherence, timeout=verifier_timeout)
    builder.add_node("record", record_node(store, publish=True, on_store_error=on_store_error))
    builder.add_edge(START, "retrieve")
    builder.add_edge("record", END)
    if population:
        return add_population(
            builder,
            execute=execute,
            verify=verify,
            store=store,
            generator=generator,
            candidates=candidates,
            rollouts=rollouts,
            max_generations=max_generations,
            on_store_error=on_store_error,
        )
    builder.add_node("execute", execute)
    builder.add_node("verify", verify)
    builder.add_edge("retrieve", "execute")
    builder.add_edge("execute", "verify")
    if generator is None or max_generations == 0:
        builder.add_edge("verify", "record")
        return builder
    route = skill_router(max_generations)
    builder.add_node("revise", revise_node(store, generator, on_store_error=on_store_error))
    builder.add_conditional_edges("verify", route, ["revise", "record"])
    if not approve:
        builder.add_conditional_edges("revise", route, ["execute", "revise", "record"])
        return builder
    builder.add_node("approve", approve_node(store))
    builder.add_conditional_edges("revise", route, {"execute": "approve", "revise": "revise", "record": "record"})
    builder.add_conditional_edges("approve", route, ["execute", "revise", "record"])
    return builder


def task_from_input(state: Mapping[str, Any]) -> Task:
    """Returns the task in a `SkillInput`."""
    return Task(
        state.get("task", ""),
        family=state.get("family") or DEFAULT_FAMILY,
        reference=state.get("reference"),
        verifier=state.get("verifier"),
        # A hash decides the split of a tasks file; a single task that somebody asks is there to learn from.
        split=state.get("split") or "train",
    )
