"""The gate of checkpoints, run: what two generators write for the same held-out prompts, tried by the frozen task LLM.

A held-out task is put before a generator here and nowhere else, under three rules. Nothing of it is kept: no text becomes a
skill version or a revision, no rollout is recorded or credited, so no training ever reads them. Both generators get the same
history, of the same rollouts. And what decides is the pair, so that a task's own luck is in both of its halves.

A text is worth what users would get of it: where search would not show it for the task that it is tried on, the task runs under
what search shows instead.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, TypeVar, Unpack

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig

from skill_plugin import protocols, verifiers
from skill_plugin.budget import Budget, Spending
from skill_plugin.errors import InvalidSkillError, InvalidTaskError
from skill_plugin.gates.checkpoints import CheckpointDecision, decide
from skill_plugin.gates.versions import load_rule
from skill_plugin.generators import as_generator
from skill_plugin.graphs.blocking import blocking
from skill_plugin.graphs.evolution.recorder import Recorder
from skill_plugin.graphs.evolution.rollout import Trial, generation_of
from skill_plugin.graphs.evolution.trials import Trials
from skill_plugin.graphs.finder import Finder
from skill_plugin.graphs.nodes.execute import FromOutput, TaskLLM, ToInput, execute_node
from skill_plugin.graphs.nodes.verify import verify_node
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.limits import AT_LEAST_1, check_number
from skill_plugin.protocols import GateRule, Verifier
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.skills import skill_md
from skill_plugin.store import Draft, Retrieval, RetrievalOptions, SkillStore
from skill_plugin.store.runs.runs import RunRollout

T = TypeVar("T")

CONCURRENCY = 8


@dataclass
class GeneratorGate:
    """Progress of a gate, for whoever shows it, and the texts that it looked at.

    `lost` holds the tasks that could not be compared, each with its error; `solved` counts those of which every rollout before
    a revision passed: they are left out, unless `all_solved`. Of `texts` that were tried, `unseen` were not shown by search for the
    task that they were tried on.
    """

    tasks: int = 0
    solved: int = 0
    all_solved: bool = False
    compared: int = 0
    texts: int = 0
    unseen: int = 0
    lost: list[dict[str, str]] = field(default_factory=list)
    candidate: list[Revision] = field(default_factory=list)
    live: list[Revision] = field(default_factory=list)
    spending: Spending | None = None


def gate_generator(tasks: Sequence[Task], **options: Any) -> CheckpointDecision:
    """Runs `agate_generator` from outside an event loop.

    Raises:
        ConfigurationError: an event loop is running; and what `agate_generator` raises.
    """
    return blocking(
        "gate_generator", lambda: agate_generator(tasks, **options), options.get("concurrency", CONCURRENCY)
    )


async def agate_generator(
    tasks: Sequence[Task],
    *,
    store: SkillStore,
    llm: TaskLLM,
    candidate: protocols.Generator | BaseChatModel,
    live: protocols.Generator | BaseChatModel,
    verifier: Verifier | Callable[[Task, str], Any] | None = None,
    candidates: int = 2,
    rollouts: int = 2,
    concurrency: int = CONCURRENCY,
    budget: Budget | None = None,
    system_prompt: str | None = None,
    to_input: ToInput | None = None,
    from_output: FromOutput | None = None,
    verifier_timeout: float = 30.0,
    elsewhere: bool = False,
    confident: bool = False,
    rule: str | GateRule = "paired",
    seed: int = 0,
    config: RunnableConfig | None = None,
    progress: GeneratorGate | None = None,
    **retrieval: Unpack[RetrievalOptions],
) -> CheckpointDecision:
    """Decides whether the candidate generator writes better skills than the live one, on the `heldout` tasks among `tasks`.

    Of each task: K rollouts under what retrieval finds today, or under no skill; then both generators write n texts from that
    one history, and each text is tried K times, as users would get it: search is asked as if the text were live in place of the
    skill that it revises, and where it shows another skill or none, the task runs under that. A task's reward for a generator
    is the mean over its texts, a malformed one counting 0, and so one that changes nothing; a text that both wrote is tried
    once for both. Tasks that are solved before any revision say nothing and are left out, unless all are. A task of which a
    call or a verdict failed is left out too.

    It takes at most `tasks * (K + 2n + 2nK)` calls. What the budget ends half-way promotes nothing.

    Args:
        tasks: Of any split; only held-out ones count.
        store: The library; it keeps that the tasks are held out, and nothing else.
        llm: The frozen task LLM; see `execute_node`.
        candidate: The generator that may go live; see `generators`.
        live: The one that is live today: its adapter, or the base model.
        verifier: Judges tasks that name no verifier, or one that nothing can load; see `verifiers.verifier_of`.
        candidates: n, texts of each generator for a task.
        rollouts: K, of each text.
        concurrency: Calls at once.
        budget: What may be spent.
        system_prompt: Stands before the skill's text.
        to_input: See `execute_node`.
        from_output: See `execute_node`.
        verifier_timeout: Seconds until a verifier counts as hung.
        elsewhere: Try each text on the next held-out task of its family, and not on the one that it was written from: a text
            that only holds its own task's answer earns nothing there. For a task that is alone in its family here, one of the
            library's held-out tasks is taken; a task that is alone there too stays with its own.
        confident: See `gates.checkpoints.decide`.
        rule: What is asked of the pairs: a name in `gates.versions.GATES`, or an object with `decide(before, after)`.
        seed: Of the interval.
        config: For LangGraph: callbacks, tags, metadata.
        progress: Is kept up to date; holds the texts and what was spent.
        **retrieval: The options of `Retrieval`.

    Raises:
        ConfigurationError: an argument cannot work, or a task's verifier cannot be loaded.
        InvalidTaskError: a held-out task names no verifier, is there twice, or was trained on in this library.
    """
    for name, number in (("candidates", candidates), ("rollouts", rollouts), ("concurrency", concurrency)):
        check_number(name, number, AT_LEAST_1)
    finder = Finder(store, Retrieval.of(retrieval))
    load_rule(rule)  # now, and not at the end
    judge = None if verifier is None else verifiers.as_verifier(verifier)
    named = None if judge is None else verifiers.spec(judge)
    judges = _heldout(tasks)
    known = await asyncio.to_thread(store.tasks.list, split="heldout") if elsewhere else []
    tried_on = _next_of_family(judges, known) if elsewhere else {}
    otherwise = verifiers.check_verifiers([*judges, *tried_on.values()], judge)
    writers = (as_generator(candidate), as_generator(live))
    execute = execute_node(llm, system_prompt=system_prompt, to_input=to_input, from_output=from_output)
    done = progress if progress is not None else GeneratorGate()
    done.tasks, done.spending = len(judges), Spending(budget or Budget())
    await asyncio.to_thread(
        store.tasks.claim_splits, [replace(task, verifier=task.verifier or named) for task in judges]
    )

    async with _Unrecorded(store) as recorder:
        trials = Trials(
            execute,
            verify_node(judge, timeout=verifier_timeout),
            recorder,
            done.spending,
            concurrency=concurrency,
            verifier=named,
        )
        compare = _Comparison(
            trials,
            writers,
            finder,
            tried_on=tried_on,
            candidates=candidates,
            rollouts=rollouts,
            config=config or {},
            done=done,
        )
        pairs = await compare(judges)
    hold, note = None, "; ".join(filter(None, (otherwise, _note(done))))
    if trials.stopped is not None:
        hold = f"stopped after {done.compared} of {done.tasks} held-out tasks: {trials.stopped}"
    decision = decide(
        before=[before for before, _ in pairs],
        after=[after for _, after in pairs],
        candidate=done.candidate,
        live=done.live,
        hold=hold,
        note=note,
        confident=confident,
        rule=rule,
        seed=seed,
    )
    decision = replace(decision, judges=tuple(task.content_hash for task in judges))
    if pairs or not judges:
        return decision
    first = done.lost[0]["error"] if done.lost else "nothing was run"
    return replace(decision, reason=hold or f"none of {done.tasks} held-out tasks could be compared: {first}")


class _LostError(Exception):
    """A task cannot be compared; says why. `stopped`: it was not run, because the whole gate has stopped."""

    def __init__(self, message: str, *, stopped: bool = False) -> None:
        super().__init__(message)
        self.stopped = stopped


class _Unrecorded(Recorder):
    """Keeps no rollout: these are of texts that are not skill versions, on tasks that nothing may be learned from."""

    def add(self, ran: RunRollout) -> None:
        pass


class _Comparison:
    """The pairs of one gate: each task's reward by generator."""

    def __init__(
        self,
        trials: Trials,
        writers: Sequence[protocols.Generator],
        finder: Finder,
        *,
        tried_on: Mapping[str, Task],
        candidates: int,
        rollouts: int,
        config: RunnableConfig,
        done: GeneratorGate,
    ) -> None:
        self._trials, self._writers, self._finder, self._tried_on = trials, writers, finder, tried_on
        self._candidates, self._rollouts, self._config, self._done = candidates, rollouts, config, done
        self._ran: dict[tuple[str, str | None], asyncio.Task[Generation]] = {}

    async def __call__(self, tasks: Sequence[Task]) -> list[tuple[float, float]]:
        """`(live, candidate)` of the tasks that could be compared."""
        firsts = await _all(self._kept(task, self._first(task)) for task in tasks)
        began = [(task, first) for task, first in zip(tasks, firsts, strict=True) if first is not None]
        open_ = [(task, first) for task, first in began if not all(one.passed for one in first.rollouts)]
        self._done.solved, self._done.all_solved = len(began) - len(open_), not open_
        pairs = await _all(self._kept(task, self._pair(task, first)) for task, first in open_ or began)
        return [pair for pair in pairs if pair is not None]

    async def _kept(self, task: Task, work: Awaitable[T]) -> T | None:
        """Returns the result of a task's work; None if it is lost."""
        try:
            return await work
        except _LostError as exc:
            if not exc.stopped:
                self._done.lost.append({"task": task.input, "error": str(exc)})
            return None

    async def _first(self, task: Task) -> Generation:
        return await self._under(task, await asyncio.to_thread(self._finder, task))

    async def _under(self, task: Task, skill: PinnedSkill | None) -> Generation:
        """K rollouts of a task under what search shows, run once for all who ask."""
        key = (task.id, skill["ref"] if skill else None)
        if key not in self._ran:
            self._ran[key] = asyncio.create_task(self._tried(task, skill, 0))
        return await self._ran[key]

    async def _pair(self, task: Task, first: Generation) -> tuple[float, float]:
        # `revise_prompt` refuses held-out tasks, which is right everywhere but here (see above).
        shown = replace(task, split="train")
        of_candidate, of_live = await _all(self._written(which, shown, first) for which in range(2))
        prompts = {repr(revision.prompt) for revision in (*of_candidate, *of_live) if revision.prompt}
        if len(prompts) > 1:
            raise _LostError("the two generators made different prompts of it, so their texts cannot be compared")
        texts = [text for revision in (*of_candidate, *of_live) if (text := _text(revision)) is not None]
        once, on = list(dict.fromkeys(texts)), self._tried_on.get(task.id, task)
        rewards = dict(zip(once, await _all(self._worth(on, text, first) for text in once), strict=True))
        after, before = (
            fmean(0.0 if (text := _text(revision)) is None else rewards[text] for revision in revisions)
            for revisions in (of_candidate, of_live)
        )
        self._done.compared += 1
        return before, after

    async def _written(self, which: int, task: Task, first: Generation) -> list[Revision]:
        of = ("candidate generator", "live generator")[which]
        try:
            written = await self._trials.written(self._writers[which], task, [first], self._candidates)
        except Exception as exc:  # one call that failed must not cost the others
            error = " ".join(f"{type(exc).__name__}: {exc}".split())[:500]
            self._trials.heard(error, of)
            raise _LostError(f"the {of} failed: {error}") from exc
        if written is None:
            raise _LostError(f"not run: {self._trials.stopped}", stopped=True)
        self._trials.heard(None, of)
        (self._done.candidate, self._done.live)[which].extend(written)
        return written

    async def _worth(self, task: Task, text: str, first: Generation) -> float:
        """Returns the mean reward of a text in place of the skill that it revises, reached through search."""
        if text == first.text:  # a copy is worth what is live
            return _mean_reward(await self._first(task))
        shown = await asyncio.to_thread(lambda: self._finder(task, instead=Draft(text, first.skill)))
        self._done.texts += 1
        if shown is not None and shown["text"] == text:
            return _mean_reward(await self._tried(task, shown, 1))
        self._done.unseen += 1
        return _mean_reward(await self._under(task, shown))

    async def _tried(self, task: Task, skill: PinnedSkill | None, generation: int) -> Generation:
        """K rollouts that all have a verdict."""
        run = dict(self._trials.run_for(f"gate:{task.id}", task))
        trials = [Trial(run=run, skill=skill, generation=generation, k=k) for k in range(self._rollouts)]
        tried = await _all(self._trials.run(trial, self._config) for trial in trials)
        for one in tried:
            error = one["error"] if one["rollout"] is None else _without_verdict(one["rollout"])
            if error is not None or one["rollout"] is None:
                raise _LostError(error or f"not run: {self._trials.stopped}", stopped=error is None)
        return generation_of(generation, tried)


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """Returns all results. An error is raised when all have ended, so that nothing is still called, or paid for, after it."""
    results = await asyncio.gather(*work, return_exceptions=True)
    ended: list[T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        ended.append(result)
    return ended


def _mean_reward(tried: Generation) -> float:
    return fmean(one.reward for one in tried.rollouts if one.reward is not None)


def _without_verdict(rollout: dict[str, Any]) -> str | None:
    return (rollout["error"] or "the verifier gave no verdict") if rollout["reward"] is None else None


def _text(revision: Revision) -> str | None:
    """Returns the skill that a revision is; None if it is not one."""
    if revision.text is None or revision.error is not None:
        return None
    try:
        skill_md.parse(revision.text)
    except InvalidSkillError:
        return None
    return revision.text


def _note(done: GeneratorGate) -> str:
    said = []
    if done.solved:
        said.append(
            f"all {done.solved} tasks were solved without a revision, so the gate saw only what revisions break"
            if done.all_solved
            else f"{done.solved} tasks were solved without a revision and left out"
        )
    if done.unseen:
        said.append(f"search would not show {done.unseen} of {done.texts} texts for the task that they were tried on")
    if done.lost:
        said.append(f"{len(done.lost)} tasks could not be compared, the first because of {done.lost[0]['error']}")
    return "; ".join(said)


def _heldout(tasks: Sequence[Task]) -> list[Task]:
    """Returns the held-out tasks, in the order of their content hashes.

    Raises:
        InvalidTaskError: one is there twice.
    """
    found: dict[str, Task] = {}
    for task in tasks:
        if task.split != "heldout":
            continue
        shown = f"the task {task.input[:60]!r}"
        if task.content_hash in found:
            raise InvalidTaskError(f"{shown} is there twice; leave one out")
        found[task.content_hash] = task
    return [found[content_hash] for content_hash in sorted(found)]


def _next_of_family(tasks: Sequence[Task], known: Sequence[Task]) -> dict[str, Task]:
    """Returns for each task, by its id, the one that follows it in its family; the first follows the last. One that is alone is followed by
    another of the family among the tasks that are `known`.
    """
    families: defaultdict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        families[task.family].append(task)
    here = {task.content_hash for task in tasks}
    spare = {task.family: task for task in known if task.content_hash not in here}
    return {
        task.id: after
        for name, family in families.items()
        for task, after in zip(
            family, [*family[1:], family[0] if family[1:] else spare.get(name, family[0])], strict=True
        )
    }
