"""`evolve`: generations of skills over a set of tasks, in parallel, within a budget, resumable.

The loop is that of Skill-R1 (arXiv:2605.09359) with C candidates from one prompt; its record is what `retrain` learns from.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig

from skill_plugin import credit, protocols, verifiers
from skill_plugin.budget import Budget, Spending
from skill_plugin.errors import InvalidTaskError, ModelError
from skill_plugin.gates.decision import GateDecision
from skill_plugin.gates.versions import load_rule
from skill_plugin.generators import as_generator
from skill_plugin.graphs.blocking import blocking
from skill_plugin.graphs.evolution.families import Family
from skill_plugin.graphs.evolution.gatekeeper import Gatekeeper, gate_name
from skill_plugin.graphs.evolution.lineage import Lineage
from skill_plugin.graphs.evolution.recorder import Recorder
from skill_plugin.graphs.evolution.replays import Replays
from skill_plugin.graphs.evolution.report import EvolveReport, GenerationTally
from skill_plugin.graphs.evolution.settings import EvolveSettings
from skill_plugin.graphs.evolution.shared import Shared
from skill_plugin.graphs.evolution.trials import Trials
from skill_plugin.graphs.finder import Finder
from skill_plugin.graphs.nodes.execute import FromOutput, TaskLLM, ToInput, execute_node
from skill_plugin.graphs.nodes.verify import verify_node
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.models import chat_models
from skill_plugin.protocols import Verifier
from skill_plugin.records import Rollout, Task, canonical_json, sha256, split_ref
from skill_plugin.store import RecordedRollout, SkillStore
from skill_plugin.store.skills.lift import ENOUGH
from skill_plugin.tasks.curriculum import order_tasks

SAVE_EVERY_S = 5.0


def evolve(tasks: Sequence[Task], **options: Any) -> EvolveReport:
    """Runs `aevolve` from outside an event loop, and with as many threads as calls at once for what is not async.

    Raises:
        ConfigurationError: an event loop is running; and what `aevolve` raises.
    """
    concurrency = (options.get("settings") or EvolveSettings()).concurrency
    return blocking("evolve", lambda: aevolve(tasks, **options), concurrency)


async def aevolve(
    tasks: Sequence[Task],
    *,
    store: SkillStore,
    llm: TaskLLM,
    generator: protocols.Generator | BaseChatModel,
    verifier: Verifier | Callable[[Task, str], Any] | None = None,
    settings: EvolveSettings | None = None,
    budget: Budget | None = None,
    system_prompt: str | None = None,
    to_input: ToInput | None = None,
    from_output: FromOutput | None = None,
    new: bool = False,
    wait: bool = False,
    config: RunnableConfig | None = None,
    progress: EvolveReport | None = None,
) -> EvolveReport:
    """Evolves skills on the `train` tasks, and lets the `heldout` ones judge what was written.

    For each task up to G generations: candidates are sampled from one exact prompt (failing tasks of the family, current
    skill, history); the frozen task LLM tries each on its task and, as far as search would show it there, on sibling tasks.
    A candidate that is worth more than the best so far (see `chains`) goes to the gate: it goes live if users would get more
    from it, reached through search, than they get today; else it is a rejected edit in the next prompts of its family. The
    same call after a stop, a kill or a spent budget resumes: what is recorded is not run or paid for again, but what was
    under way or not yet committed then is.

    Args:
        tasks: Distinct tasks, of both splits.
        store: The library and the record.
        llm: The frozen task LLM; see `execute_node`.
        generator: Writes candidates; see `generators`.
        verifier: Judges tasks that bring no verifier of their own.
        settings: How many of what.
        budget: What may be spent, earlier starts of the same run included (minutes are of this one, and end calls of models in this
            process).
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
    verifiers.check_verifiers(tasks, judge)
    train, judges = _split(tasks)
    writer = as_generator(generator)
    execute = execute_node(llm, system_prompt=system_prompt, to_input=to_input, from_output=from_output)
    facts = {
        **settings.deciding(),
        "model": chat_models.name_of(llm),
        "generator": [type(writer).__name__, *_names(writer)],
        "verifier": judge and verifiers.fingerprint(judge),
        "system_prompt": system_prompt,
    }
    result = progress if progress is not None else EvolveReport()
    async with _alone(store, wait=wait):
        named = None if judge is None else verifiers.spec(judge)
        await asyncio.to_thread(
            store.tasks.claim_splits, [replace(task, verifier=task.verifier or named) for task in tasks]
        )
        digest = sha256(canonical_json([facts, [[task.id, task.split] for task in tasks]]))
        run = await asyncio.to_thread(store.runs.evolve.begin, digest, facts, new=new)
        result.run_id, result.tasks, result.heldout = run.id, len(train), len(tasks) - len(train)
        result.recorded_before, result.seconds_before = run.task_usage.calls, run.seconds
        result.candidates, result.malformed = run.generator_usage.calls, run.malformed
        if settings.order == "half-solved":
            train = order_tasks(train, await asyncio.to_thread(store.tasks.records), seed=run.id)
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
                in_process=bool(getattr(llm, "in_process", False)),
            )
            recorded = await asyncio.to_thread(store.runs.evolve.rollouts, run.id) if run.resumed else None
            work = _Work(
                store,
                trials,
                writer,
                settings,
                train=train,
                judges=judges,
                run_id=run.id,
                recorded=recorded,
                result=result,
            )
            saving = asyncio.create_task(_saving(store, recorder, run.id, result))
            try:
                await work(config or {})
            except BaseException:
                trials.stopped = trials.stopped or "interrupted"
                raise
            finally:
                saving.cancel()
                result.outcome = trials.stopped or ("finished" if not result.failed else "finished, with failures")
                await recorder.flush()
                await recorder.call(partial(store.runs.evolve.save, run.id, result.to_json(), outcome=result.outcome))
        # Its own decisions are what tells that a checkpoint of the generator writes worse than the one before it.
        back = await asyncio.to_thread(store.checkpoints.check_live, by="evolve")
        result.rolled_back = back.id if back else None
    if trials.gone is not None and trials.stopped is not None:
        raise ModelError(
            f"evolve stopped: {trials.stopped}; what was run is kept, and the same command resumes from here"
        )
    return result


@asynccontextmanager
async def _alone(store: SkillStore, *, wait: bool) -> AsyncIterator[None]:
    """`store.runs.alone`, without holding up the event loop while it waits."""
    lock = store.runs.alone("evolve", wait=wait)
    await asyncio.to_thread(lock.__enter__)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _names(writer: Any) -> list[str]:
    """Returns the names that tell one generator from another of its kind: its model, its folder, its adapter."""
    values = [value for key in ("model", "path", "checkpoint") if (value := getattr(writer, key, None)) is not None]
    return [str(value) if isinstance(value, str | Path) else chat_models.name_of(value) for value in values]


class _Work:
    """All lineages of a run, what they share, and what is counted."""

    def __init__(
        self,
        store: SkillStore,
        trials: Trials,
        writer: protocols.Generator,
        settings: EvolveSettings,
        *,
        train: Sequence[Task],
        judges: Mapping[str, Sequence[Task]],
        run_id: str,
        recorded: Sequence[RecordedRollout] | None,
        result: EvolveReport,
    ) -> None:
        self._store, self._trials, self._settings = store, trials, settings
        self._run_id, self._result = run_id, result
        self._train, self._judges = train, judges
        trials.on_rollout, trials.on_proposed = self._heard, self._proposed
        self._recorded: defaultdict[str, list[Rollout]] = defaultdict(list)
        self._controls: Counter[str] = Counter()
        for run, _, rollout in recorded or ():
            self._recorded[run].append(rollout)
            self._heard(rollout)
            if rollout.withheld is not None:
                self._controls[split_ref(rollout.withheld)[0]] += 1
        by = gate_name(run_id)
        decided = [] if recorded is None else store.runs.evolve.gate_decisions(by)
        for ref, decision in decided:
            self._decided(ref, decision)
        finder = Finder(store, settings.retrieval)
        replays = Replays(trials, run_id, recorded or ())
        gate = Gatekeeper(
            store,
            trials,
            replays,
            finder,
            judges,
            most=settings.gate_tasks,
            by=by,
            covered=store.tasks.times_judged(without=f"{run_id}:"),
            decided=decided,
            rule=load_rule(settings.rule),
            on_decision=self._decided,
        )
        self._shared = Shared(
            store=store,
            writer=writer,
            trials=trials,
            replays=replays,
            gate=gate,
            finder=finder,
            siblings=self._siblings,
            settings=settings,
            by=by,
            resumed=recorded is not None,
        )
        self._by_family: defaultdict[str, list[Task]] = defaultdict(list)
        for task in train:
            self._by_family[task.family].append(task)

    @property
    def stopped(self) -> bool:
        return self._trials.stopped is not None

    async def __call__(self, config: RunnableConfig) -> None:
        """Runs every lineage, families and their lineages side by side, then replays the tasks under what is live."""
        places = asyncio.Semaphore(self._settings.concurrency)
        try:
            async with asyncio.TaskGroup() as group:
                for name, tasks in self._by_family.items():
                    judges = self._judges.get(name, ()) if self._settings.gate_tasks else ()
                    most = min(self._settings.concurrency, len(tasks))
                    family = Family(tasks, judges, at_once=self._settings.lineages, most=most, places=places)
                    waiting = list(tasks)
                    for _ in range(most):
                        group.create_task(self._worker(family, waiting, config))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        await self._replayed(config)

    async def _worker(self, family: Family, waiting: list[Task], config: RunnableConfig) -> None:
        while waiting and not self.stopped:
            async with family.begun():
                if waiting and not self.stopped:
                    await self._lineage(family, self._next(family, waiting), config)

    def _next(self, family: Family, waiting: list[Task]) -> Task:
        """Takes the next task: one that is known to fail under what went live last, else the first."""
        failing = (at for at, task in enumerate(waiting) if self._shared.replays.fails(task, family.newest))
        return waiting.pop(next(failing, 0) if family.newest is not None else 0)

    async def _lineage(self, family: Family, task: Task, config: RunnableConfig) -> None:
        run_id = f"{self._run_id}:{task.id}"
        recorded = self._recorded.pop(run_id, [])
        lineage = Lineage(self._shared, task, run_id=run_id, family=family, recorded=recorded, config=config)
        await lineage()
        result = self._result
        if lineage.failed is not None:
            result.failed.append({"task": task.input, "error": lineage.failed})
        if not self.stopped:
            result.done += 1
            first, changed = lineage.first, {row["ref"] for row in result.accepted}
            result.solved_before += first is not None and first.solves and first.ref not in changed
            result.solved_by_text += lineage.solved

    async def _replayed(self, config: RunnableConfig) -> None:
        """Counts the tasks that pass under what search shows for them now; only those that have not run so are run."""
        shown = await asyncio.to_thread(lambda: [self._shared.finder(task) for task in self._train])
        ran = await asyncio.gather(
            *(self._last(task, skill, config) for task, skill in zip(self._train, shown, strict=True))
        )
        if self._settings.adaptive and self._settings.controls:
            await self._controlled(shown, config)
        result = self._result
        solved = [all(one.passed for one in rollouts) if rollouts else None for rollouts in ran]
        result.replayed = sum(one is not None for one in solved)
        result.solved_after = sum(one is True for one in solved)
        failing = [task for task, one in zip(self._train, solved, strict=True) if one is False]
        result.uncovered = [
            {"family": task.family, "task": task.input} for task in failing if not await self._judge_fails(task.family)
        ]

    async def _controlled(self, shown: Sequence[PinnedSkill | None], config: RunnableConfig) -> None:
        """Runs a few tasks of each skill that is shown at the end without it, until its lift can be told."""
        wanted: defaultdict[str, list[tuple[Task, str]]] = defaultdict(list)
        for task, skill in zip(self._train, shown, strict=True):
            if skill is not None:
                wanted[split_ref(skill["ref"])[0]].append((task, skill["ref"]))
        missing = [
            one for skill_id, tasks in wanted.items() for one in tasks[: max(0, ENOUGH - self._controls[skill_id])]
        ]
        await asyncio.gather(*(self._shared.replays.control(task, ref, config) for task, ref in missing))

    async def _last(self, task: Task, skill: PinnedSkill | None, config: RunnableConfig) -> list[Rollout]:
        """Returns the rollouts of a task under what is shown for it that have a verdict."""
        known = await self._shared.replays.known(task, skill)
        ran = known or await self._shared.replays.run(task, skill, "replay", config)
        return [one for one in ran if one.reward is not None]

    async def _judge_fails(self, family: str) -> bool:
        """Returns whether a held-out task of the family fails under what is live, as far as decisions have run it."""
        for judge in self._judges.get(family, ()):
            shown = await asyncio.to_thread(self._shared.finder, judge)
            if any(one.passed is False for one in await self._shared.replays.known(judge, shown)):
                return True
        return False

    def _siblings(self, task: Task) -> list[Task]:
        most = self._settings.siblings
        if not most or not self._shared.settings.weights.later_weight:
            return []
        return credit.siblings(
            task, self._by_family[task.family], lambda other: self._store.tasks.cosine(task.input, other.input), most
        )

    def _decided(self, ref: str, decision: GateDecision) -> None:
        row = {"skill": self._store.get(ref).name, "ref": ref, "reason": decision.reason}
        (self._result.accepted if decision.promote else self._result.refused).append(row)

    def _proposed(self, candidates: int, malformed: int) -> None:
        self._result.candidates += candidates
        self._result.malformed += malformed

    def _heard(self, rollout: Rollout) -> None:
        """Counts a rollout of a lineage; those on siblings and judges, and the controls, are of other kinds."""
        self._result.cut += rollout.is_cut
        if rollout.arm == "skill" and rollout.reward is not None and rollout.purpose == "run":
            tally = self._result.generations.setdefault(rollout.generation, GenerationTally())
            tally.rollouts += 1
            tally.reward += rollout.reward
            tally.passed += bool(rollout.passed)


async def _saving(store: SkillStore, recorder: Recorder, run_id: str, result: EvolveReport) -> None:
    """Keeps the run's progress in the store, for whoever asks from another process."""
    while True:
        await asyncio.sleep(SAVE_EVERY_S)
        await recorder.call(partial(store.runs.evolve.save, run_id, result.to_json()))


def _split(tasks: Sequence[Task]) -> tuple[list[Task], dict[str, list[Task]]]:
    """Returns the tasks to evolve on, and by family those that judge what was written, in the order of their hashes.

    Raises:
        InvalidTaskError: no task is a train task, or one is there twice or in both splits.
    """
    seen: dict[str, Task] = {}
    judges: defaultdict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        shown = f"the task {task.input[:60]!r}"
        if (other := seen.setdefault(task.content_hash, task)) is not task:
            both = f"is there as {other.split} and as {task.split}" if other.split != task.split else "is there twice"
            raise InvalidTaskError(f"{shown} {both}; leave one out")
        if task.split == "heldout":
            judges[task.family].append(task)
    train = [task for task in tasks if task.split == "train"]
    if not train:
        raise InvalidTaskError(f"none of the {len(tasks)} tasks is a train task; there is nothing to evolve on")
    return train, {family: sorted(found, key=lambda task: task.content_hash) for family, found in judges.items()}
