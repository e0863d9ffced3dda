"""`skill-plugin run | outcome`: the loop over a user's own tasks, and what is learned of a run later."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from skill_plugin.integrations.cli.terminal.console import cut_line, out, print_json, print_table
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
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from skill_plugin.integrations.cli.batch import Summary


def run(
    settings: Settings,
    tasks: Tasks,
    model: Model = None,
    agent: Agent = None,
    generator: Writer = None,
    base_url: BaseUrl = None,
    verifier: Judge = None,
    system_prompt: SystemPrompt = None,
    max_generations: Annotated[int | None, typer.Option(help="Revisions a task may cost \\[default: 3].")] = None,
    self_check: SelfCheck = True,
    concurrency: Annotated[int, typer.Option(min=1, help="Tasks at once.")] = 4,
    as_json: Json = False,
) -> None:
    """Run the loop over your own tasks: retrieve, execute, verify, revise; then gate what was written."""
    from skill_plugin import generators  # noqa: PLC0415 - this, LangGraph and the store take a second to import
    from skill_plugin.graphs import create_skill_graph  # noqa: PLC0415
    from skill_plugin.integrations import wiring  # noqa: PLC0415
    from skill_plugin.integrations.cli.batch import run_tasks  # noqa: PLC0415
    from skill_plugin.tasks.files import read_text  # noqa: PLC0415

    settings = settings.override(
        model=model, generator=generator, base_url=base_url, max_generations=max_generations, verifier=verifier
    )
    work, judge = wiring.tasks_and_judge(settings, tasks, self_check=self_check)
    prompt = read_text(system_prompt)
    llm = wiring.task_llm(settings, agent)
    with wiring.open_store(settings, create=True) as store:
        graph = create_skill_graph(
            store=store,
            llm=llm,
            verifier=judge,
            generator=generators.from_settings(settings, store.checkpoints.live),
            max_generations=settings.max_generations,
            system_prompt=prompt,
        ).compile()
        summary = run_tasks(store, graph, work, concurrency=concurrency)
    if as_json:
        print_json(summary)
    else:
        _report(summary)
    if summary.failed:
        raise typer.Exit(1)


def outcome(
    settings: Settings,
    run_id: Annotated[str, typer.Argument(help="The run_id that the graph returned or the stream showed.")],
    reward: Annotated[float, typer.Option(help="From 0 to 1.", show_default=False)],
    feedback: Annotated[str, typer.Option(help="Why; the generator reads it.")] = "",
    as_json: Json = False,
) -> None:
    """Tell the outcome of a run that was recorded; the same outcome twice counts once."""
    from skill_plugin.integrations import wiring  # noqa: PLC0415 - the store takes a second to import

    with wiring.open_store(settings, create=False, index=False, check_embedder=False) as store:
        recorded = store.record_outcome(run_id, reward, feedback)
    if as_json:
        print_json({"run_id": run_id, "recorded": recorded})
    else:
        out.print(Text("recorded" if recorded else "the same outcome was there already"))


def _report(summary: "Summary") -> None:
    first, final = summary.solved["first_attempt"], summary.solved["after_revision"]
    line = f"{summary.tasks} tasks in {summary.seconds:.1f} s: {first:.0%} solved at first, {final:.0%} after revision"
    if summary.without_verdict:
        line += f"; {summary.without_verdict} without a verdict, because their verifier failed"
    out.print(Text(line, style="bold"))
    if summary.cut:
        out.print(Text(cut_line(summary.cut)))
    for title, rows in (("promoted", summary.promoted), ("refused", summary.refused), ("staged", summary.waiting)):
        if rows:
            print_table(title, rows, {"skill": "skill", "version": "version", "reason": "why"})
    if summary.waiting:
        first_waiting = summary.waiting[0]
        out.print(
            Text(f"to decide yourself: skill-plugin skills promote {first_waiting['skill']}@{first_waiting['version']}")
        )
    if summary.failed:
        print_table("failed", summary.failed, {"task": "task", "error": "error"})
