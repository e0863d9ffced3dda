"""`skill-plugin evolve`: generations of skills over a tasks file, within a budget, to be resumed at any time."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from skill_plugin.budget import Budget, Prices
from skill_plugin.errors import ConfigurationError
from skill_plugin.integrations.cli.terminal.console import cut_line, err, out, print_json, print_table, shown
from skill_plugin.integrations.cli.terminal.options import (
    Agent,
    BaseUrl,
    Json,
    Judge,
    Model,
    SelfCheck,
    SystemPrompt,
    Tasks,
    Writer,
)
from skill_plugin.integrations.cli.terminal.progress import lines, watched
from skill_plugin.models import chat_models
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from skill_plugin.graphs import EvolveReport, EvolveSettings

_COLUMNS = {"generation": "generation", "rollouts": "rollouts", "mean": "mean reward", "passed": "passed"}


def evolve(
    settings: Settings,
    tasks: Tasks,
    model: Model = None,
    agent: Agent = None,
    generator: Writer = None,
    base_url: BaseUrl = None,
    verifier: Judge = None,
    system_prompt: SystemPrompt = None,
    generations: Annotated[int, typer.Option(help="G: how often a task's skill is revised.")] = 5,
    candidates: Annotated[int, typer.Option(help="C: texts sampled from one prompt.")] = 4,
    rollouts: Annotated[int, typer.Option(help="K: how often each text is tried on its own task.")] = 4,
    controls: Annotated[int, typer.Option(help="Rollouts without a skill, to measure its lift.")] = 1,
    siblings: Annotated[int, typer.Option(help="Other train tasks of the family that judge a text, at most.")] = 4,
    credit: Annotated[
        str,
        typer.Option(
            help="The worth of a text: evolving-rl (on its siblings), skill-r1 (on its own task) or sage (both)."
        ),
    ] = "evolving-rl",
    minibatch: Annotated[int, typer.Option(help="Failing tasks that one prompt shows, up to 3.")] = 3,
    full_groups: Annotated[
        bool,
        typer.Option(
            "--full-groups", help="Always write C candidates and try each K times, also where fewer tell enough."
        ),
    ] = False,
    lineages: Annotated[int, typer.Option(help="Tasks of a family that are written for at a time.")] = 1,
    order: Annotated[str, typer.Option(help="The order of tasks: file, or half-solved.")] = "file",
    rule: Annotated[
        str, typer.Option(help="The gate's rule: paired (more repaired than regressed) or no-regression.")
    ] = "paired",
    gate_tasks: Annotated[int, typer.Option(help="Held-out tasks of a family that judge a decision, at most.")] = 8,
    selection: Annotated[str, typer.Option(help="The text to revise next: best-mean or frontier.")] = "best-mean",
    max_change: Annotated[
        float | None, typer.Option(help="Share of a skill's body that edits may change \\[default: 0.5].")
    ] = None,
    go_on_when_solved: Annotated[
        bool, typer.Option("--go-on-when-solved", help="Use up all generations, also where a task is solved.")
    ] = False,
    allow_functions: Annotated[
        bool,
        typer.Option(
            "--allow-functions",
            help="Let functions that candidates bring run while they are tried, and of what goes live.",
        ),
    ] = False,
    concurrency: Annotated[int, typer.Option(help="Calls at once.")] = 8,
    max_calls: Annotated[int | None, typer.Option(help="Budget: rollouts and candidates.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Budget: tokens in and out.")] = None,
    max_dollars: Annotated[float | None, typer.Option(help="Budget: dollars; needs --prices.")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Budget: minutes of this start; they also end what a local model is writing.")
    ] = None,
    prices: Annotated[
        str | None, typer.Option(help="The task LLM's dollars per million tokens: INPUT/OUTPUT, such as 0.25/2.")
    ] = None,
    generator_prices: Annotated[
        str | None, typer.Option(help="The generator's dollars per million tokens \\[default: --prices].")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Begin anew, even if a run of these tasks exists.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for another evolve on this store to end.")] = False,
    self_check: SelfCheck = True,
    as_json: Json = False,
) -> None:
    """Evolve skills on a tasks file: write candidates, try them, keep what helps on other tasks; log it all for retrain.

    Tasks are for training or held out, as their line or a hash of their text says; the generator never sees held-out ones,
    which judge what users would get. The same command again resumes a run that was stopped or killed, and pays for nothing twice.
    """
    from skill_plugin import generators, graphs  # noqa: PLC0415 - LangGraph and the store take a second to import
    from skill_plugin.integrations import wiring  # noqa: PLC0415
    from skill_plugin.tasks.files import read_text  # noqa: PLC0415

    budget = Budget(
        calls=max_calls,
        tokens=max_tokens,
        dollars=max_dollars,
        minutes=max_minutes,
        prices=None if prices is None else Prices.parse(prices),
        generator_prices=None if generator_prices is None else Prices.parse(generator_prices),
    )
    plan = graphs.EvolveSettings(
        generations=generations,
        candidates=candidates,
        rollouts=rollouts,
        controls=controls,
        siblings=siblings,
        credit=credit,
        minibatch=minibatch,
        adaptive=not full_groups,
        lineages=lineages,
        order=order,  # type: ignore[arg-type] # it is checked there
        rule=rule,
        gate_tasks=gate_tasks,
        selection=selection,
        stop_when_solved=not go_on_when_solved,
        allow_functions=allow_functions,
        concurrency=concurrency,
    )
    settings = settings.override(
        model=model, generator=generator, base_url=base_url, verifier=verifier, max_change=max_change
    )
    work, judge = wiring.tasks_and_judge(settings, tasks, self_check=self_check)
    llm = wiring.task_llm(settings, agent)
    if settings.generator is None and settings.model is None:
        raise ConfigurationError("no generator is given; pass --generator openai:gpt-5-mini, or --model for both")
    progress = graphs.EvolveReport()
    try:
        with wiring.open_store(settings, create=True) as store, _watching(progress, plan):
            writer = generators.from_settings(settings, store.checkpoints.live)
            graphs.evolve(
                work,
                store=store,
                llm=llm,
                generator=writer,
                verifier=judge,
                settings=plan,
                budget=budget,
                system_prompt=read_text(system_prompt),
                new=new,
                wait=wait,
                progress=progress,
            )
    except KeyboardInterrupt:
        chat_models.interrupt()  # else a model in this process may write on
        err.print(Text("stopped; what was run is kept, and the same command resumes from here"))
        raise typer.Exit(130) from None
    if as_json:
        print_json(progress.to_json())
    else:
        _report(progress)
    if progress.failed:
        raise typer.Exit(1)


def _watching(progress: "EvolveReport", plan: "EvolveSettings") -> AbstractContextManager[Any]:
    """Shows a table that follows the run; without a terminal a line every so often."""
    if not watched():
        return lines(lambda: f"{_title(progress)}; {_spent(progress, plan)}" if progress.run_id else "evolve begins")
    return Live(
        get_renderable=lambda: Group(_title(progress), _table(progress), Text(_spent(progress, plan))),
        console=err,
        refresh_per_second=2,
        transient=True,
    )


def _title(progress: "EvolveReport") -> Text:
    done = f"{progress.done} of {progress.tasks} tasks done, {progress.solved_by_text} solved"
    return Text(f"evolve {progress.run_id}: {done}", style="bold")


def _table(progress: "EvolveReport") -> Table:
    table = Table(header_style="bold")
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right")
    for number, tally in sorted(progress.generations.items()):
        table.add_row(*(shown(value) for value in (number, tally.rollouts, tally.mean, tally.share)))
    return table


def _spent(progress: "EvolveReport", plan: "EvolveSettings | None") -> str:
    spent: dict[str, Any] = progress.spending.to_json() if progress.spending else {}
    if not spent:
        return ""
    task, writer = spent["task"], spent["generator"]
    tokens = sum(used[key] for used in (task, writer) for key in ("input_tokens", "output_tokens"))
    parts = [f"{task['calls']} rollouts and {writer['calls']} candidates", f"{tokens} tokens"]
    if spent["dollars"] is not None:
        parts.append(f"{spent['dollars']:.2f} dollars")
    parts.append(f"{spent['seconds']:.0f} s")
    if progress.seconds_before:
        parts[-1] += f" of this start ({spent['seconds'] + progress.seconds_before:.0f} s of all)"
    ran = sum(tally.rollouts for tally in progress.generations.values())
    if plan and (now := ran - progress.recorded_before) > 0:
        most = progress.tasks * plan.rollouts * (1 + plan.candidates * plan.generations)
        parts.append(f"at most {spent['seconds'] * max(0, most - ran) / now:.0f} s left")
    return ", ".join(parts)


def _solved(progress: "EvolveReport") -> str:
    """Returns how many tasks are solved under what is live, and by texts that are not live."""
    of = "" if progress.replayed == progress.tasks else f" of {progress.replayed} that were run again"
    said = f"{progress.solved_after}{of} at the end under what is live"
    if progress.solved_by_text > progress.solved_after:
        said += f" ({progress.solved_by_text} under the best text of each)"
    return said


def _report(progress: "EvolveReport") -> None:
    rows = [
        {"generation": number, "rollouts": tally.rollouts, "mean": tally.mean, "passed": tally.share}
        for number, tally in sorted(progress.generations.items())
    ]
    print_table(_title(progress).plain, rows, _COLUMNS)
    out.print(Text(f"{progress.outcome}: {_spent(progress, None)}", style="bold"))
    if not progress.outcome.startswith("finished"):
        out.print(Text("the same command resumes from here"))
    out.print(
        Text(
            f"{progress.tasks} tasks: {progress.solved_before} solved at first, {_solved(progress)}; "
            f"{progress.candidates} candidates, {progress.malformed} malformed"
        )
    )
    if progress.cut:
        out.print(Text(cut_line(progress.cut)))
    for title, rows in (("live now", progress.accepted), ("refused by the gate", progress.refused)):
        if rows:
            print_table(title, rows, {"skill": "skill", "ref": "version", "reason": "why"})
    if progress.rolled_back:
        out.print(
            Text(
                f"{progress.rolled_back} was rolled back: the gate takes clearly less of what it writes than before it"
            )
        )
    if not progress.heldout:
        out.print(Text("no task is held out, so nothing went live; mark some with split heldout"))
    if progress.uncovered:
        out.print(
            Text(
                f"{len(progress.uncovered)} tasks fail where no held-out task of their family does, so no judge sees a repair"
            )
        )
        print_table("not covered by a judge", progress.uncovered, {"family": "family", "task": "task"})
    if progress.failed:
        print_table("failed", progress.failed, {"task": "task", "error": "error"})
