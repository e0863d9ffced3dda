"""`replay`: recorded failures through `evolve`, in a store that is thrown away, within a cap of model calls."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from langchain_core.language_models import BaseChatModel

from skill_plugin import __version__, verifiers
from skill_plugin.budget import Budget
from skill_plugin.errors import ModelError
from skill_plugin.generators import as_generator
from skill_plugin.graphs import EvolveReport, EvolveSettings, aevolve, create_skill_graph
from skill_plugin.graphs.blocking import blocking
from skill_plugin.graphs.finder import Finder
from skill_plugin.graphs.nodes.execute import TaskLLM
from skill_plugin.integrations.replay.meter import CallMeter, MeteredGenerator, MeteredVerifier
from skill_plugin.integrations.replay.report import ReplayPrice, ReplayReport
from skill_plugin.integrations.replay.results import Results
from skill_plugin.integrations.replay.traces import Draw, Traces, draw
from skill_plugin.limits import AT_LEAST_1, check_fields
from skill_plugin.models import chat_models
from skill_plugin.protocols import Generator, Verifier
from skill_plugin.records import Arm, Task
from skill_plugin.store import SkillStore

JUDGING = 4
"""Of so many calls one may be spent on judging recorded answers that have no reward."""

KEPT_BACK = 3
"""Of so many calls one is kept back, at most, for the last look at every failure."""


@dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """Settings of a replay.

    Args:
        max_calls: The most calls of models: the agent's, the generator's and the judge's together.
        generations: How often a failure's text is revised, at most.
        candidates: Texts from one prompt.
        rollouts: How often each text is tried on its own task.
        siblings: Other failures of the family that judge a text, at most.
        concurrency: Calls at once.

    Raises:
        ConfigurationError: a value is outside its range.
    """

    max_calls: Annotated[int, AT_LEAST_1] = 200
    generations: Annotated[int, AT_LEAST_1] = 3
    candidates: Annotated[int, AT_LEAST_1] = 2
    rollouts: Annotated[int, AT_LEAST_1] = 2
    siblings: Annotated[int, AT_LEAST_1] = 2
    concurrency: Annotated[int, AT_LEAST_1] = 8

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def evolving(self) -> EvolveSettings:
        # Each failure is run without a skill anyway, so no controls.
        return EvolveSettings(
            generations=self.generations,
            candidates=self.candidates,
            rollouts=self.rollouts,
            siblings=self.siblings,
            controls=0,
            concurrency=self.concurrency,
        )


class ReplayProgress:
    """How far a replay is, for whoever shows it; `evolving` is that of `evolve`."""

    def __init__(self) -> None:
        self.doing = "reading"
        self.failures = 0
        self.evolving = EvolveReport()
        self.extra_runs = 0
        self.calls: Callable[[], int] = lambda: 0

    def made(self) -> tuple[int, int]:
        """Returns how many runs of the agent and how many texts there were."""
        spent = self.evolving.spending
        return (spent.task.calls + self.extra_runs, spent.generator.calls) if spent else (self.extra_runs, 0)


def replay(traces: Traces, **options: Any) -> ReplayReport:
    """Runs `areplay` from outside an event loop."""
    concurrency = (options.get("settings") or ReplaySettings()).concurrency
    return blocking("replay", lambda: areplay(traces, **options), concurrency)


async def areplay(
    traces: Traces,
    *,
    store: SkillStore,
    llm: TaskLLM,
    generator: Generator | BaseChatModel,
    verifier: Verifier | Callable[[Task, str], Any] | None = None,
    settings: ReplaySettings | None = None,
    system_prompt: str | None = None,
    progress: ReplayProgress | None = None,
) -> ReplayReport:
    """Says which recorded failures skills would have solved: evolves on some, and tries what goes live on all of them.

    Of each family about a quarter of the failures are held out: no writer of skills sees them, and the gate accepts a text by them
    and by tasks that passed. Then every failure is run without a skill and with what search would show for it, so both sides of the
    comparison are of today's agent.

    Args:
        traces: The recorded runs.
        store: An empty store of its own: skills go live in it.
        llm: The agent; see `execute_node`.
        generator: Writes skills.
        verifier: Judges new answers of tasks that bring no verifier of their own; by default one for their reference.
        settings: How many of what, and the cap.
        system_prompt: Stands before the skill's text.
        progress: Is kept up to date.

    Raises:
        InvalidHistoryError: the traces hold no failure, or nothing says which runs failed.
        ConfigurationError: nothing says how to judge a new answer.
        ModelError: the agent's model or the generator cannot be reached.
    """
    settings, progress = settings or ReplaySettings(), progress or ReplayProgress()
    started = time.monotonic()
    meter = CallMeter(settings.max_calls, progress.made)
    progress.calls = lambda: meter.total
    job = _Job(
        store=store,
        llm=llm,
        generator=as_generator(generator),
        judge=None if verifier is None else MeteredVerifier(verifiers.as_verifier(verifier), meter),
        settings=settings,
        system_prompt=system_prompt,
        meter=meter,
        progress=progress,
    )
    with meter.watching():
        traces, drawn = await job.draw(traces)
        await job.evolve(drawn)
        results = await job.look(drawn)
    failures, skills, refused = await asyncio.to_thread(results.of, drawn, cut=job.stopped is not None)
    return ReplayReport(
        source=_source(traces),
        failures=failures,
        left_out=len(drawn.left_out),
        unjudged=len(drawn.unjudged),
        skills=skills,
        refused=refused,
        guards=len(drawn.guards),
        price=job.price(time.monotonic() - started),
        stopped=job.stopped,
        simulated=meter.simulated,
        model_alone=isinstance(llm, BaseChatModel),
        agent_seen=meter.seen("agent") or not progress.made()[0],
        agreement=drawn.agreement,
        settings=job.exact_settings(drawn),
    )


@dataclass(kw_only=True)
class _Job:
    """The steps of a replay, and what they share. `stopped` says why it ended early."""

    store: SkillStore
    llm: TaskLLM
    generator: Generator
    judge: Verifier | None
    settings: ReplaySettings
    system_prompt: str | None
    meter: CallMeter
    progress: ReplayProgress
    stopped: str | None = None

    async def draw(self, traces: Traces) -> tuple[Traces, Draw]:
        """Has recorded answers judged where nothing else says which failed, and chooses the tasks."""
        self.progress.doing = "judging what was recorded"
        self.meter.limit = max(1, self.settings.max_calls // JUDGING)
        traces = await traces.judged_by(self.judge, self.settings.concurrency)
        self.meter.refused = 0  # what was not judged counts as a run without a reward
        drawn = await draw(traces, self.judge, self.settings.max_calls)
        self.progress.failures = len(drawn.failures)
        return traces, drawn

    async def evolve(self, drawn: Draw) -> None:
        """Writes skills from the failures that are not held out.

        Raises:
            ModelError: a model cannot be reached.
        """
        self.progress.doing = "writing and trying skills"
        self.meter.limit = self.settings.max_calls - self._kept_back(drawn)
        ran = self.progress.evolving
        try:
            await aevolve(
                drawn.tasks,
                store=self.store,
                llm=self.llm,
                generator=MeteredGenerator(self.generator, self.meter),
                verifier=self.judge,
                settings=self.settings.evolving,
                budget=Budget(stop=self.meter.spent),
                system_prompt=self.system_prompt,
                progress=ran,
            )
        except ModelError as exc:
            if not self.meter.refused:
                raise ModelError(
                    f"the replay stopped: {ran.outcome}; check the model's name, its key and its URL"
                ) from exc
        if self.meter.refused:
            self.stopped = f"the cap of {self.meter.cap} model calls was reached"
        elif not ran.outcome.startswith("finished"):
            self.stopped = ran.outcome

    async def look(self, drawn: Draw) -> Results:
        """Runs each failure without a skill and with what search shows for it, as far as `evolve` has not."""
        self.progress.doing = "trying every failure with and without them"
        self.meter.limit = self.settings.max_calls
        results = await asyncio.to_thread(Results.read, self.store, self.progress.evolving)
        graph = create_skill_graph(
            store=self.store, llm=self.llm, verifier=self.judge, max_generations=0, system_prompt=self.system_prompt
        ).compile()
        find, slots = Finder(self.store), asyncio.Semaphore(self.settings.concurrency)

        async def run(task: Task, arm: Arm) -> None:
            if (spent := self.meter.spent()) is not None:
                self.stopped = self.stopped or spent
                return
            self.progress.extra_runs += 1
            given = {key: getattr(task, key) for key in ("reference", "family", "verifier", "split")}
            try:
                results.add(task, await graph.ainvoke({"task": task.input, "arm": arm, **given}))  # type: ignore[call-overload]
            except Exception as exc:  # noqa: BLE001 - one run that failed must not cost the page
                results.errors[task.id] = " ".join(f"{type(exc).__name__}: {exc}".split())[:300]

        async def look_at(task: Task) -> None:
            shown = await asyncio.to_thread(find, task)
            if shown is not None:
                results.shown[task.id] = shown["ref"]
            async with slots:
                if not results.has(task, None):
                    await run(task, "control")
                if shown is not None and not results.has(task, shown["ref"]):
                    await run(task, "skill")

        await asyncio.gather(*(look_at(one.task) for one in drawn.failures))
        return results

    def _kept_back(self, drawn: Draw) -> int:
        return min(self.settings.max_calls // KEPT_BACK, len(drawn.train) + 2 * len(drawn.heldout))

    def price(self, seconds: float) -> ReplayPrice:
        """Returns what was spent."""
        runs, texts = self.progress.made()
        return ReplayPrice(
            calls=self.meter.total,
            cap=self.settings.max_calls,
            runs=runs,
            texts=texts,
            judge_calls=self.meter.calls["judge"],
            input_tokens=self.meter.input_tokens,
            output_tokens=self.meter.output_tokens,
            seconds=round(seconds, 1),
        )

    def exact_settings(self, drawn: Draw) -> dict[str, Any]:
        """Returns everything that decides what was run."""
        return {
            "agent": chat_models.name_of(self.llm),
            "writer of skills": chat_models.name_of(getattr(self.generator, "model", self.generator)),
            "verifiers": ", ".join(sorted({(one.verifier or {}).get("name", "") for one in drawn.tasks})),
            "verifiers chosen by the form of the reference": ", ".join(drawn.chosen) or "none",
            **asdict(self.settings),
            "calls kept back for the last look": self._kept_back(drawn),
            "failures to write from": len(drawn.train),
            "failures held out": len(drawn.heldout),
            "successes held out": len(drawn.guards),
            "system prompt": self.system_prompt or "",
            "skill-plugin": __version__,
        }


def _source(traces: Traces) -> dict[str, Any]:
    return {
        "path": traces.path,
        "runs": traces.runs,
        "runs with a reward": traces.rewarded,
        "runs judged now": traces.judged_now,
        "tasks": len(traces.tasks),
        "failures": sum(one.failed for one in traces.tasks),
        "refused": dict(traces.refused),
        "notes": dict(traces.notes),
    }
