"""The gate on held-out tasks: runs what users get today and what they would get, then promotes the best version or none."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Self, TypeVar, Unpack

from langchain_core.runnables import Runnable

from skill_plugin.errors import ConfigurationError, StoreError
from skill_plugin.gates.decision import GateDecision
from skill_plugin.gates.versions import choose, load_rule
from skill_plugin.graphs.finder import Finder
from skill_plugin.graphs.observe import span
from skill_plugin.graphs.pairs import Lapses, decide_on, found_elsewhere, keep_decision, run_pairs, tell
from skill_plugin.graphs.state import PinnedSkill, SkillInput, SkillOutput
from skill_plugin.protocols import GateRule
from skill_plugin.records import Rollout, Task, split_ref
from skill_plugin.store import Retrieval, RetrievalOptions, SkillStore

T = TypeVar("T")

_OUT_OF_USE = ("retired", "quarantined")


def gate_version(
    store: SkillStore,
    graph: Runnable[SkillInput, SkillOutput],
    ref: str,
    tasks: Sequence[Task],
    **options: Any,
) -> GateDecision:
    """Decides whether a staged version goes live, and makes it so: `store.promote` or `store.refuse`.

    Args:
        store: The library.
        graph: A compiled `create_skill_graph`.
        ref: `skill_id@version` of the candidate.
        tasks: Held-out tasks of the candidate's family; without any, the version stays staged.
        **options: Those of `gate_versions`.
    """
    return gate_versions(store, graph, [ref], tasks, **options)[ref]


def gate_versions(
    store: SkillStore,
    graph: Runnable[SkillInput, SkillOutput],
    refs: Sequence[str],
    tasks: Sequence[Task],
    *,
    others: Sequence[Task] = (),
    like: Sequence[Task] = (),
    max_concurrency: int = 8,
    rule: str | GateRule = "paired",
    **retrieval: Unpack[RetrievalOptions],
) -> dict[str, GateDecision]:
    """Decides among several versions of one skill; of those that pass, the one that replays best goes live.

    Every task is run as held out, so that nothing is revised: under what search shows today, and, where it would show something
    else if the version were live, under that. A pair in which a verifier failed is left out.

    Args:
        store: The library.
        graph: A compiled `create_skill_graph`.
        refs: `skill_id@version` of the candidates.
        tasks: Held-out tasks of their family; without any, the versions stay staged.
        others: Held-out tasks of other families; those for which search would show a candidate are run too.
        like: Tasks that the versions were written for. Search has to find a version for the held-out tasks that are like them;
            without any, for all.
        max_concurrency: How many runs at once.
        rule: What is asked of the pairs: a name in `gates.versions.GATES`, or an object with `decide(before, after)`.
        **retrieval: The graph's options of `Retrieval`.

    Raises:
        ConfigurationError: the versions are of several skills, or none is given.
        StoreError: the skill is retired or quarantined.
    """
    if len({split_ref(ref)[0] for ref in refs}) != 1:
        raise ConfigurationError(
            f"the gate chooses among versions of one skill, got {list(refs)}; call it for each skill"
        )
    status = next((status for ref in refs if (status := store.get(ref).status) in _OUT_OF_USE), None)
    if status is not None:
        raise StoreError(
            f"skill {split_ref(refs[0])[0]!r} is {status}; only a person restores it: skill-plugin skills restore"
        )
    finder, asked = Finder(store, Retrieval.of(retrieval)), load_rule(rule)
    with _GraphRuns(graph, max_concurrency) as run:

        async def judged(ref: str) -> GateDecision:
            shown = [finder.shows(task, ref) for task in tasks]
            return decide_on(
                ref,
                shown,
                await run_pairs(run, shown),
                finder=finder,
                like=like,
                elsewhere=await run_pairs(run, found_elsewhere(finder, others, ref)),
                rule=asked,
                lapses=run.lapses,
                judges=[task.content_hash for task in tasks],
            )

        async def all_judged() -> dict[str, GateDecision]:
            return {ref: await judged(ref) for ref in refs}

        decisions = choose(_in_a_loop(all_judged))
    for ref, decision in decisions.items():
        with span("gate"):
            tell(ref, decision)
            keep_decision(store, ref, decision, by="gate")
    return decisions


class _GraphRuns:
    """Runs held-out tasks through a graph, each under each skill once, in threads: a checkpointer may know no async."""

    def __init__(self, graph: Runnable[SkillInput, SkillOutput], max_concurrency: int) -> None:
        self._graph = graph
        self._pool = ThreadPoolExecutor(max_concurrency)
        self._runs: dict[tuple[str, str | None], asyncio.Future[SkillOutput]] = {}
        self.lapses = Lapses()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def __call__(self, task: Task, skill: PinnedSkill | None) -> float | None:
        key = (task.id, skill["ref"] if skill else None)
        if key not in self._runs:
            call = partial(copy_context().run, self._graph.invoke, _held_out(task, skill))
            self._runs[key] = asyncio.get_running_loop().run_in_executor(self._pool, call)
        ran = await self._runs[key]
        self.lapses.note(task, [Rollout(generation=0, answer=ran["answer"], reward=ran["reward"], error=ran["error"])])
        return ran["reward"]


def _in_a_loop(job: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine to its end in a thread of its own, so that it also works where a loop runs, as in a notebook."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, asyncio.run, job()).result()


def _held_out(task: Task, skill: PinnedSkill | None) -> SkillInput:
    """Returns the input of a run under a skill, or under none."""
    shown: SkillInput = {"task": task.input, "pin": skill["ref"]} if skill else {"task": task.input, "arm": "control"}
    return {
        **shown,
        "reference": task.reference,
        "family": task.family,
        "verifier": task.verifier,
        "split": "heldout",
    }
