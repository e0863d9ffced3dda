"""`evolve`: generations of skills over a set of tasks, in parallel, within a budget, resumable.

The loop is that of Skill-R1 (arXiv:2605.09359) with C candidates from one prompt; its record is what `retrain` learns from.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig

from skill_plugin import chat_models, selection, verifiers
from skill_plugin.budget import Budget, Spending
from skill_plugin.errors import InvalidTaskError, ModelError
from skill_plugin.gate import GateDecision
from skill_plugin.generators import as_generator
from skill_plugin.graphs.blocking import blocking
from skill_plugin.graphs.evolve_settings import EvolveSettings
from skill_plugin.graphs.evolved import Evolved, GenerationTally
from skill_plugin.graphs.execute import FromOutput, ToInput, execute_node
from skill_plugin.graphs.gatekeeper import Gatekeeper, gate_name
from skill_plugin.graphs.lineage import Known, Plan, create_lineage_graph, pinned, solved
from skill_plugin.graphs.recorder import Recorder
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.graphs.trials import Trials
from skill_plugin.graphs.verify import verify_node
from skill_plugin.protocols import Verifier
from skill_plugin.records import Rollout, Task, canonical_json, sha256
from skill_plugin.store import SkillStore

SAVE_EVERY_S = 5.0
STEPS_A_GENERATION = 6


def evolve(tasks: Sequence[Task], **options: Any) -> Evolved:
    """As `aevolve`, from outside an event loop, and with as many threads as calls at once for what is not async.

    Raises:
        ConfigurationError: an event loop is running; and what `aevolve` raises.
    """
    concurrency = (options.get("settings") or EvolveSettings()).concurrency
    return blocking("evolve", lambda: aevolve(tasks, **options), concurrency)


async def aevolve(
    tasks: Sequence[Task],
    *,
    store: SkillStore,
    llm: Any,
    generator: Any,
    verifier: Verifier | Callable[[Task, str], Any] | None = None,
    settings: EvolveSettings | None = None,
    budget: Budget | None = None,
    system_prompt: str | None = None,
    to_input: ToInput | None = None,
    from_output: FromOutput | None = None,
    new: bool = False,
    wait: bool = False,
    config: RunnableConfig | None = None,
    progress: Evolved | None = None,
) -> Evolved:
    """Evolves skills on the `train` tasks, and lets the `heldout` ones judge what was written.

    For each task G generations: C candidates are sampled from one exact prompt (task, current skill, history), each is tried
    K times by the frozen task LLM, and everything is recorded. A candidate that beats the best so far on its own task goes
    to the gate: it is live if it repairs more held-out tasks of the family than it breaks, else a rejected edit in the next
    prompt. The same call after a stop, a kill or a spent budget goes on: what is recorded is not run or paid for again,
    but what was in the air or not yet committed then is.

    Args:
        tasks: Distinct tasks, of both splits.
        store: The library and the record.
        llm: The frozen task LLM; see `execute_node`.
        generator: Writes candidates; see `generators`.
        verifier: Judges tasks that bring no verifier of their own.
        settings: How many of what.
        budget: What may be spent, earlier starts of the same run included (minutes are of this one).
        system_prompt: Stands before the skill's text.
        to_input: See `execute_node`.
        from_output: See `execute_node`.
        new: Begin from the beginning, though a run of the same tasks and settings is there.
        wait: Wait for another `evolve` on this namespace to end.
        config: For LangGraph: callbacks, tags, metadata.
        progress: Is kept up to date, for whoever shows it.

    Raises:
        ConfigurationError: an argument cannot work.
        InvalidTaskError: the tasks cannot be evolved on; says which.
        BusyError: another `evolve` runs on this namespace, and `wait` is off.
    """
    settings = settings or EvolveSettings()
    judge = None if verifier is None else verifiers.as_verifier(verifier)
    train, judges = _split(tasks, judge, settings.gate_tasks)
    writer = as_generator(generator)
    execute = execute_node(llm, system_prompt=system_prompt, to_input=to_input, from_output=from_output)
    facts = {
        **settings.deciding(),
        "model": chat_models.name_of(llm),
        "generator": [type(writer).__name__, *_names(writer)],
        "verifier": judge and verifiers.fingerprint(judge),
        "system_prompt": system_prompt,
    }
    result = progress if progress is not None else Evolved()
    async with _alone(store, wait=wait):
        named = None if judge is None else verifiers.spec(judge)
        await asyncio.to_thread(store.claim_splits, [replace(task, verifier=task.verifier or named) for task in tasks])
        digest = sha256(canonical_json([facts, [[task.id, task.split] for task in tasks]]))
        run = await asyncio.to_thread(store.begin_evolve, digest, facts, new=new)
        result.run_id, result.tasks, result.heldout = run.id, len(train), len(tasks) - len(train)
        result.recorded_before = run.task_usage.calls
        spending = Spending(budget or Budget(), task=run.task_usage, generator=run.generator_usage)
        result.spending = spending
        async with Recorder(store) as recorder:
            trials = Trials(
                execute,
                verify_node(judge, timeout=settings.verifier_timeout),
                recorder,
                spending,
                concurrency=settings.concurrency,
                verifier=named,
            )
            work = _Work(
                store, trials, writer, settings, judges=judges, run_id=run.id, resumed=run.resumed, result=result
            )
            saving = asyncio.create_task(_saving(store, recorder, run.id, result))
            try:
                await _side_by_side(work, train, settings.concurrency, config or {})
            except BaseException:
                trials.stopped = trials.stopped or "interrupted"
                raise
            finally:
                saving.cancel()
                result.outcome = trials.stopped or ("finished" if not result.failed else "finished, with failures")
                await recorder.flush()
                await recorder.call(partial(store.save_evolve, run.id, result.to_json(), outcome=result.outcome))
        # Its own decisions are what tells that a checkpoint of the generator writes worse than the one before it.
        back = await asyncio.to_thread(store.check_live, by="evolve")
        result.rolled_back = back.id if back else None
    if trials.gone is not None and trials.stopped is not None:
        raise ModelError(
            f"evolve stopped: {trials.stopped}; what was run is kept, and the same command goes on from here"
        )
    return result


@asynccontextmanager
async def _alone(store: SkillStore, *, wait: bool) -> AsyncIterator[None]:
    """`store.alone`, without holding up the event loop while it waits."""
    lock = store.alone("evolve", wait=wait)
    await asyncio.to_thread(lock.__enter__)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _names(writer: Any) -> list[str]:
    """What tells one generator from another of its kind: its model, its folder, its adapter."""
    values = [value for key in ("model", "path", "checkpoint") if (value := getattr(writer, key, None)) is not None]
    return [str(value) if isinstance(value, str | Path) else chat_models.name_of(value) for value in values]


class _Work:
    """One lineage a task."""

    def __init__(
        self,
        store: SkillStore,
        trials: Trials,
        writer: Any,
        settings: EvolveSettings,
        *,
        judges: Mapping[str, Sequence[Task]],
        run_id: str,
        resumed: bool,
        result: Evolved,
    ) -> None:
        self._store, self._trials, self._settings = store, trials, settings
        self._run_id, self._resumed, self._result = run_id, resumed, result
        self._known: dict[str, Known] = {}
        plan = Plan(
            generations=settings.generations,
            candidates=settings.candidates,
            rollouts=settings.rollouts,
            controls=settings.controls,
            stop_when_solved=settings.stop_when_solved,
            select=selection.load(settings.selection),
        )
        trials.on_rollout, trials.on_proposed = self._heard, self._proposed
        decided = store.gate_decisions(gate_name(run_id)) if resumed else {}
        for ref, decision in decided.items():
            self._decided(ref, decision)
        gate = Gatekeeper(
            store,
            trials,
            judges,
            finds=self._finds,
            run_id=run_id,
            decided=decided,
            past=store.run if resumed else lambda _: [],
            on_decision=self._decided,
        )
        self._graph = create_lineage_graph(
            store=store,
            writer=writer,
            trials=trials,
            gate=gate,
            plan=plan,
            known=self._known.__getitem__,
            resumed=resumed,
        )

    @property
    def stopped(self) -> bool:
        return self._trials.stopped is not None

    async def lineage(self, task: Task, config: RunnableConfig) -> None:
        """Runs one task's lineage, and counts what it came to."""
        run_id = f"{self._run_id}:{task.id}"
        known = self._known[run_id] = await self._recorded(run_id)
        try:
            first = await asyncio.to_thread(self._first, task, known)
            run = self._trials.run_for(run_id, task)
            limit = 10 + STEPS_A_GENERATION * self._settings.generations
            state = await self._graph.ainvoke(
                {"skillp_run": run, "number": 0, "candidates": [first], "past": []},
                {**config, "recursion_limit": limit},
            )
        finally:
            del self._known[run_id]
        self._count(task, state)

    async def _recorded(self, run_id: str) -> Known:
        if not self._resumed:
            return Known()
        return Known(await asyncio.to_thread(self._store.run, run_id))

    def _first(self, task: Task, known: Known) -> PinnedSkill | None:
        """The skill that the lineage begins with: the one that it began with, else what retrieval finds."""
        if (began := known.first) is None:
            return self._finds(task)
        return pinned(self._store.get(began.skill)) if began.skill else None

    def _finds(self, task: Task) -> PinnedSkill | None:
        hits = self._store.search(
            task.input,
            k=1,
            min_score=self._settings.min_score,
            experience=self._settings.experience,
            strategy=self._settings.strategy,
            family=task.family,
        )
        return PinnedSkill(ref=hits[0].ref, name=hits[0].name, text=hits[0].text, score=None, why={}) if hits else None

    def _decided(self, ref: str, decision: GateDecision) -> None:
        row = {"skill": self._store.get(ref).name, "ref": ref, "reason": decision.reason}
        (self._result.accepted if decision.promote else self._result.refused).append(row)

    def _count(self, task: Task, state: Mapping[str, Any]) -> None:
        result, past = self._result, state["past"]
        if state.get("failed"):
            result.failed.append({"task": task.input, "error": state["failed"]})
        if self.stopped:
            return
        result.done += 1
        result.solved_before += solved(next((one for one in past if one.number == 0), None))
        result.solved_after += bool(state.get("solved"))

    def _proposed(self, candidates: int, malformed: int) -> None:
        self._result.candidates += candidates
        self._result.malformed += malformed

    def _heard(self, run_id: str, rollout: Rollout) -> None:
        """Counts a rollout of a lineage; those of the gate and the controls are of other kinds."""
        if rollout.arm == "skill" and rollout.reward is not None and not run_id.startswith(f"{self._run_id}:gate:"):
            tally = self._result.generations.setdefault(rollout.generation, GenerationTally())
            tally.rollouts += 1
            tally.reward += rollout.reward
            tally.passed += bool(rollout.passed)


async def _side_by_side(work: _Work, tasks: Sequence[Task], at_once: int, config: RunnableConfig) -> None:
    """Lineages in parallel. A lineage waits for its slowest rollout; while it does, the others fill the slots."""
    waiting = iter(tasks)

    async def worker() -> None:
        for task in waiting:
            if work.stopped:
                return
            await work.lineage(task, config)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(tasks))):
                group.create_task(worker())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


async def _saving(store: SkillStore, recorder: Recorder, run_id: str, result: Evolved) -> None:
    """Keeps the run's progress in the store, for whoever asks from another process."""
    while True:
        await asyncio.sleep(SAVE_EVERY_S)
        await recorder.call(partial(store.save_evolve, run_id, result.to_json()))


def _split(tasks: Sequence[Task], judge: Verifier | None, gate_tasks: int) -> tuple[list[Task], dict[str, list[Task]]]:
    """The tasks to evolve on, and by family those that judge what was written.

    Raises:
        InvalidTaskError: there are none to evolve on, one is there twice or in both splits, or one cannot be verified.
    """
    seen: dict[str, Task] = {}
    judges: defaultdict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        shown = f"the task {task.input[:60]!r}"
        if judge is None and task.verifier is None:
            raise InvalidTaskError(f"{shown} names no verifier; add one to it, or give one for all")
        if (other := seen.setdefault(task.content_hash, task)) is not task:
            both = f"is there as {other.split} and as {task.split}" if other.split != task.split else "is there twice"
            raise InvalidTaskError(f"{shown} {both}; leave one out")
        if task.split == "heldout":
            judges[task.family].append(task)
    train = [task for task in tasks if task.split == "train"]
    if not train:
        raise InvalidTaskError(f"none of the {len(tasks)} tasks is a train task; there is nothing to evolve on")
    # Always the same ones, whatever the order in the file: what they cost is shared by all candidates.
    return train, {
        family: sorted(found, key=lambda task: task.content_hash)[:gate_tasks] for family, found in judges.items()
    }
