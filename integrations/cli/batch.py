"""A whole tasks file through the graph, and the gate for the new versions."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import Runnable
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from skill_plugin.errors import ConfigurationError, ModelError, SkillPluginError
from skill_plugin.graphs import SkillInput, SkillOutput, gate_versions
from skill_plugin.integrations.cli.terminal.console import err
from skill_plugin.integrations.cli.terminal.progress import lines, watched
from skill_plugin.models import chat_models
from skill_plugin.records import CUT_OFF, Task, split_ref
from skill_plugin.store import SkillStore

GATED_PER_SKILL = 3
"""The most new versions of a skill that go to the gate, best first; each costs a run a held-out task."""

GIVE_UP_AFTER = 3
"""So many failed calls in a row and no success mean that the model is not there, not that a task is odd."""

Graph = Runnable[SkillInput, SkillOutput]


@dataclass
class Summary:
    """The result of a run over a tasks file. `solved` are shares of all tasks, `cut` the answers that the token limit cut off."""

    tasks: int
    solved: dict[str, float] = field(default_factory=dict)
    without_verdict: int = 0
    cut: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    promoted: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


def run_tasks(store: SkillStore, graph: Graph, tasks: Sequence[Task], *, concurrency: int) -> Summary:
    """Runs every task once; then the gate decides on the new versions that passed, on the held-out tasks."""
    started = time.perf_counter()
    summary = Summary(tasks=len(tasks))
    outcomes: list[tuple[Task, SkillOutput]] = []
    with _progress() as progress, lines(lambda: _done(progress)) if not watched() else nullcontext():
        bar = progress.add_task("tasks", total=len(tasks))
        for task, result in _each(graph, tasks, concurrency):
            progress.advance(bar)
            if isinstance(result, Exception):
                summary.failed.append(
                    {"task": task.input, "error": " ".join(f"{type(result).__name__}: {result}".split())}
                )
            else:
                outcomes.append((task, result))
        bar = progress.add_task("gate", total=None)
        _gate(store, graph, tasks, outcomes, summary, concurrency=concurrency, advance=lambda: progress.advance(bar))
        progress.update(bar, total=progress.tasks[bar].completed)
    passed = [result for _, result in outcomes if result["passed"]]
    summary.solved = {
        "first_attempt": sum(result["generations"] == 0 for result in passed) / len(tasks),
        "after_revision": len(passed) / len(tasks),
    }
    summary.without_verdict = sum(result["reward"] is None for _, result in outcomes)
    summary.cut = sum(CUT_OFF in (result["error"] or "") for _, result in outcomes)
    summary.seconds = round(time.perf_counter() - started, 3)
    return summary


def _each(graph: Graph, tasks: Sequence[Task], concurrency: int) -> Iterable[tuple[Task, SkillOutput | Exception]]:
    """Yields every task's output or error as it comes.

    Raises:
        ConfigurationError: the first calls all failed the same way, so the rest would too.
    """
    failed = 0
    with ThreadPoolExecutor(concurrency) as pool:
        futures = {pool.submit(graph.invoke, graph_input(task)): task for task in tasks}
        try:
            for future in as_completed(futures):
                try:
                    result: SkillOutput | Exception = future.result()
                except Exception as exc:
                    if isinstance(exc, SkillPluginError) and not isinstance(exc, ModelError):
                        raise
                    failed = -1 if failed < 0 else failed + 1
                    if failed == min(GIVE_UP_AFTER, len(tasks)):
                        reason = " ".join(f"{type(exc).__name__}: {exc}".split())[:300]
                        raise ConfigurationError(
                            f"the model cannot be used: {reason}; check its name, key and URL"
                        ) from exc
                    result = exc
                else:
                    failed = -1
                yield futures[future], result
        except KeyboardInterrupt:
            chat_models.interrupt()  # else this waits for what a model in this process writes
            raise
        finally:
            for future in futures:
                future.cancel()


def graph_input(task: Task) -> SkillInput:
    """Returns a task of a file as the graph's input."""
    return SkillInput(
        task=task.input, reference=task.reference, family=task.family, verifier=task.verifier, split=task.split
    )


def _gate(
    store: SkillStore,
    graph: Graph,
    tasks: Sequence[Task],
    outcomes: Sequence[tuple[Task, SkillOutput]],
    summary: Summary,
    *,
    concurrency: int,
    advance: Callable[[], None],
) -> None:
    """Gates the new versions that passed their task, and says in the summary what it decided on each."""
    heldout = defaultdict(list)
    for task in tasks:
        if task.split == "heldout":
            heldout[task.family].append(task)
    # By skill and version, the families that the version passed tasks of.
    skills: defaultdict[str, defaultdict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    passed: defaultdict[str, list[Task]] = defaultdict(list)
    for task, result in outcomes:
        if result["passed"] and result["generations"] and result["skill"]:
            skills[split_ref(result["skill"])[0]][result["skill"]][task.family] += 1
            passed[split_ref(result["skill"])[0]].append(task)
    for skill_id, passes in skills.items():
        candidates = [ref for ref in sorted(passes, key=_version) if store.get(ref).status == "staged"]
        candidates.sort(key=lambda ref: -passes[ref].total())
        family = sum(passes.values(), Counter()).most_common(1)[0][0]
        judges = heldout[family]
        others = [task for name, tasks in heldout.items() if name != family for task in tasks]
        for ref in candidates[GATED_PER_SKILL:] if judges else candidates:
            reason = f"{GATED_PER_SKILL} versions passed more tasks" if judges else "no held-out tasks in its family"
            summary.waiting.append(_row(store, ref, reason))
        chosen = candidates[:GATED_PER_SKILL] if judges else []
        if not chosen:
            continue
        try:
            decisions = gate_versions(
                store, graph, chosen, judges, others=others, like=passed[skill_id], max_concurrency=concurrency
            )
        except Exception as exc:  # noqa: BLE001 - the model failed; what was learned so far stays
            reason = " ".join(f"the gate could not run: {type(exc).__name__}: {exc}".split())
            summary.waiting.extend(_row(store, ref, reason) for ref in chosen)
            continue
        for ref, decision in decisions.items():
            (summary.promoted if decision.promote else summary.refused).append(_row(store, ref, decision.reason))
        advance()


def _version(ref: str) -> int:
    return split_ref(ref)[1] or 0


def _row(store: SkillStore, ref: str, reason: str) -> dict[str, Any]:
    skill = store.get(ref)
    return {"skill": skill.name, "version": skill.version, "ref": ref, "reason": reason}


def _done(progress: Progress) -> str:
    return ", ".join(f"{bar.completed:.0f} of {bar.total or '?'} {bar.description}" for bar in progress.tasks)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not watched(),
    )
