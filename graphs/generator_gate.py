"""The gate of checkpoints, run: what two generators write for the same held-out prompts, tried by the frozen task LLM.

A held-out task is put before a generator here and nowhere else, under three rules. Nothing of it is kept: no text becomes a
skill version or a revision, no rollout is recorded or credited, so no training ever reads them. Both generators get the same
history, of the same rollouts. And what decides is the pair, so that a task's own luck is in both of its halves.

A text is worth what users would get of it: where search would not show it for the task that it is tried on, the task runs under
what search shows instead.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Unpack

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig

from skill_plugin import protocols, verifiers
from skill_plugin.budget import Budget, Spending
from skill_plugin.errors import InvalidTaskError
from skill_plugin.gates.checkpoints import CheckpointDecision, GateLook, decide
from skill_plugin.gates.looks import Look, is_hopeless, plan_looks
from skill_plugin.gates.off_policy import MIN_TASKS
from skill_plugin.gates.versions import load_rule
from skill_plugin.generators import as_generator
from skill_plugin.graphs.blocking import blocking
from skill_plugin.graphs.comparison import Comparison, GeneratorGate
from skill_plugin.graphs.evolution.recorder import Recorder
from skill_plugin.graphs.evolution.trials import Trials
from skill_plugin.graphs.finder import Finder
from skill_plugin.graphs.nodes.execute import FromOutput, TaskLLM, ToInput, execute_node
from skill_plugin.graphs.nodes.verify import verify_node
from skill_plugin.limits import AT_LEAST_1, check_number
from skill_plugin.protocols import GateRule, Verifier
from skill_plugin.records import Task
from skill_plugin.store import Retrieval, RetrievalOptions, SkillStore
from skill_plugin.store.runs.runs import RunRollout

CONCURRENCY = 8


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
    most_candidates: int = 8,
    first_tasks: int | None = None,
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

    A confident gate looks more than once: while the gain's interval is not above 0 it draws twice as many texts, of further tasks
    while there are some and then of the same ones, up to `most_candidates` for each of the first tasks. It is asked for more at each look
    than a gate that looks once, so that it promotes by chance no more often (see `gates.looks`). It ends sooner where further texts
    would hardly help, where the candidate's are unsound or no text is new, and when the budget is spent.

    A look takes at most `tasks * (K + 2n + 2nK)` calls, counting all tasks and texts so far; none of it is run twice. What the budget
    ends half-way promotes nothing.

    Args:
        tasks: Of any split; only held-out ones count. They are begun in this order.
        store: The library; it keeps that the tasks are held out, and nothing else.
        llm: The frozen task LLM; see `execute_node`.
        candidate: The generator that may go live; see `generators`.
        live: The one that is live today: its adapter, or the base model.
        verifier: Judges tasks that name no verifier, or one that nothing can load; see `verifiers.verifier_of`.
        candidates: n, texts of each generator for a task, at the first look.
        most_candidates: The most texts of each generator for a task, if the gate is `confident`; fewer than n count as n.
        first_tasks: Tasks of the first look; those behind are begun only if a look needs more tasks that are not solved. By default all
            are of the first look.
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
    whole = {
        "candidates": candidates,
        "most_candidates": most_candidates,
        "rollouts": rollouts,
        "concurrency": concurrency,
    }
    for name, number in (whole if first_tasks is None else {**whole, "first_tasks": first_tasks}).items():
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
    done.spending = Spending(budget or Budget())
    first = len(judges) if first_tasks is None else min(first_tasks, len(judges))
    looks = plan_looks(candidates, max(candidates, most_candidates if confident else 0))
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
        compare = Comparison(
            judges,
            trials,
            writers,
            finder,
            tried_on=tried_on,
            rollouts=rollouts,
            batch=concurrency,
            config=config or {},
            done=done,
        )

        def judged(pairs: Sequence[tuple[float, float]], look: Look, hold: str | None) -> CheckpointDecision:
            return decide(
                before=[before for before, _ in pairs],
                after=[after for _, after in pairs],
                candidate=done.candidate,
                live=done.live,
                hold=hold,
                note="; ".join(filter(None, (otherwise, _note(done)))),
                confident=confident,
                rule=rule,
                tail=look.tail,
                seed=seed,
            )

        decision = await _looked(compare, looks, first, judged)
    return replace(decision, judges=tuple(task.content_hash for task in compare.begun))


async def _looked(
    compare: Comparison,
    looks: Sequence[Look],
    first: int,
    judged: Callable[[Sequence[tuple[float, float]], Look, str | None], CheckpointDecision],
) -> CheckpointDecision:
    """Looks until the candidate is promoted, or more texts cannot be had or would hardly help; returns the last whole look's decision."""
    decision, seen, done, trials = judged([], looks[0], None), list[GateLook](), compare.done, compare.trials
    for look in looks if first else ():
        known = compare.known
        pairs = await compare(first, look.texts)
        hold = None
        if trials.stopped is not None:
            if seen:
                return _told(decision, seen, f"no more texts were drawn because {trials.stopped}")
            hold = f"stopped after {done.compared} of {done.tasks} held-out tasks: {trials.stopped}"
        decision = judged(pairs, look, hold)
        if not pairs:
            lost = done.lost[0]["error"] if done.lost else "nothing was run"
            return replace(decision, reason=hold or f"none of {done.tasks} held-out tasks could be compared: {lost}")
        seen.append(GateLook(len(pairs), done.drawn, decision.gain, decision.low, decision.high))
        ended = hold is not None or decision.promote or look is looks[-1]
        why = "" if ended else _why_no_more(compare, decision, pairs, (look, looks[-1]), known)
        if ended or why:
            return _told(decision, seen, why)
    return decision


def _why_no_more(
    compare: Comparison,
    decision: CheckpointDecision,
    pairs: Sequence[tuple[float, float]],
    now_and_last: tuple[Look, Look],
    known: int,
) -> str:
    """Returns why more texts would not get the candidate promoted; empty if they may."""
    if any(not check.passed for check in decision.checks):
        return "its texts are unsound, so no more were drawn"
    if decision.tasks < MIN_TASKS and not compare.waiting:
        return "more texts of so few tasks would not help"
    if compare.known == known:
        return "the generators wrote the same texts once more, so no more were asked for"
    if is_hopeless([after - before for before, after in pairs], *now_and_last):
        return "more texts would hardly help"
    return ""


def _told(decision: CheckpointDecision, seen: Sequence[GateLook], why: str) -> CheckpointDecision:
    said = (
        f"looked {len(seen)} times, at last at {seen[-1].texts / seen[-1].tasks:.3g} texts of either generator a task"
    )
    reason = "; ".join(filter(None, (decision.reason, said if len(seen) > 1 else "", why)))
    return replace(decision, reason=reason, looks=tuple(seen))


class _Unrecorded(Recorder):
    """Keeps no rollout: these are of texts that are not skill versions, on tasks that nothing may be learned from."""

    def add(self, ran: RunRollout) -> None:
        pass


def _note(done: GeneratorGate) -> str:
    said = []
    if done.solved:
        said.append(
            f"all {done.solved} tasks were solved without a revision, so the gate saw only what revisions break"
            if done.all_solved
            else f"{done.solved} of {done.tasks} held-out tasks were solved without a revision and left out"
        )
    if done.unseen:
        said.append(f"search would not show {done.unseen} of {done.texts} texts for the task that they were tried on")
    if done.cut:
        said.append(f"the token limit cut off {done.cut} of {done.rollouts} answers")
    if done.lost:
        said.append(
            f"{len(done.lost)} of {done.tasks} held-out tasks could not be compared, the first because of {done.lost[0]['error']}"
        )
    return "; ".join(said)


def _heldout(tasks: Sequence[Task]) -> list[Task]:
    """Returns the held-out tasks, in their order.

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
    return list(found.values())


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
