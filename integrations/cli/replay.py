"""`skill-plugin replay`: what a night of evolve would have repaired, from an agent's own traces."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.text import Text

from skill_plugin import histories, verifiers
from skill_plugin.disk import whole_file
from skill_plugin.errors import ConfigurationError
from skill_plugin.integrations.cli.terminal.console import err, out, print_json, print_table
from skill_plugin.integrations.cli.terminal.options import (
    Agent,
    BaseUrl,
    Json,
    Model,
    SystemPrompt,
    Writer,
    with_errors,
)
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from skill_plugin.integrations.replay.job import ReplayProgress
    from skill_plugin.integrations.replay.report import ReplayReport
    from skill_plugin.protocols import Verifier

JUDGE = "llm_judge"


def replay(
    traces: Annotated[
        Path,
        typer.Argument(
            help="Recorded runs: a .jsonl, .json or .parquet file, plain or .gz, or a folder.", show_default=False
        ),
    ],
    model: Model = None,
    agent: Agent = None,
    generator: Writer = None,
    base_url: BaseUrl = None,
    verifier: Annotated[
        str | None,
        typer.Option(
            help="Judges new answers: a verifier's name, package.module:function, or llm_judge for the task LLM itself "
            "\\[default: equal to the recorded reference]."
        ),
    ] = None,
    system_prompt: SystemPrompt = None,
    format: Annotated[  # noqa: A002 - its name on the command line
        str, typer.Option(help=f"The traces' format: {', '.join(histories.FORMATS)}, or {histories.AUTO}.")
    ] = histories.AUTO,
    family: Annotated[str | None, typer.Option(help="The family of tasks that name none.")] = None,
    max_calls: Annotated[int, typer.Option(help="The most model calls: of the agent, the writer and a judge.")] = 200,
    concurrency: Annotated[int, typer.Option(help="Calls at once.")] = 8,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("replay.html"),
    force: Annotated[bool, typer.Option("--force", help="Write over a page that exists.")] = False,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the store with the skills in this new folder, to export them from.")
    ] = None,
    embedder: Annotated[str | None, typer.Option(help="minilm, minilm:FOLDER or hashing \\[default: minilm].")] = None,
    as_json: Json = False,
) -> None:
    """See what skills would have repaired: your agent's recorded failures through a capped evolve, and one HTML page.

    Nothing of yours is touched: the skills are written in a store that is thrown away, and your home folder is not opened.
    """

    def run() -> None:
        _check_output(output, force=force)
        with _scratch(keep) as home:
            given = {"model": model, "generator": generator, "base_url": base_url, "embedder": embedder}
            # The environment may name a database and an index, which are the user's own.
            settings = Settings.load(home=home, verifier=verifier, **given).model_copy(
                update={"database": None, "chroma": None, "namespace": "default"}
            )
            report = _replayed(
                settings,
                traces,
                agent=agent,
                format=format,
                family=family,
                system_prompt=system_prompt,
                max_calls=max_calls,
                concurrency=concurrency,
            )
            _write(report, output)
        if as_json:
            print_json({**report.to_json(), "page": str(output)})
        else:
            _report(report, output, keep)

    with_errors(run, home=keep or Path(tempfile.gettempdir()) / "none")


def _replayed(
    settings: Settings,
    path: Path,
    *,
    agent: str | None,
    format: str,  # noqa: A002 - its name on the command line
    family: str | None,
    system_prompt: str | None,
    max_calls: int,
    concurrency: int,
) -> "ReplayReport":
    from skill_plugin import generators  # noqa: PLC0415 - LangGraph and the store take a second to import
    from skill_plugin.integrations import wiring  # noqa: PLC0415
    from skill_plugin.integrations.replay import job  # noqa: PLC0415
    from skill_plugin.integrations.replay.traces import Traces  # noqa: PLC0415
    from skill_plugin.tasks.files import read_text  # noqa: PLC0415

    plan = job.ReplaySettings(max_calls=max_calls, concurrency=concurrency)
    recorded = Traces.read(path, format, family=family)
    judge = _judge(settings)
    if judge is None and not any(one.task.verifier for one in recorded.tasks):
        recorded.check()  # before a model is asked for
    llm = wiring.task_llm(settings, agent)
    if settings.generator is None and settings.model is None:
        raise ConfigurationError("no generator is given; pass --generator openai:gpt-5-mini, or --model for both")
    progress = job.ReplayProgress()
    try:
        with wiring.open_store(settings, create=True, index=False) as store, _watching(progress, max_calls):
            writer = generators.from_settings(settings, store.checkpoints.live)
            return job.replay(
                recorded,
                store=store,
                llm=llm,
                generator=writer,
                verifier=judge,
                settings=plan,
                system_prompt=read_text(system_prompt),
                progress=progress,
            )
    except KeyboardInterrupt:
        err.print(Text("stopped; no page was written"))
        raise typer.Exit(130) from None


def _judge(settings: Settings) -> "Verifier | None":
    from skill_plugin.integrations import wiring  # noqa: PLC0415
    from skill_plugin.models import chat_models  # noqa: PLC0415

    if settings.verifier != JUDGE:
        return wiring.judge(settings)
    if settings.model is None:
        raise ConfigurationError(
            "--verifier llm_judge asks the task LLM, and none is given; pass --model openai:gpt-5-mini"
        )
    return verifiers.llm_judge(chat_models.from_settings(settings))


def _check_output(output: Path, *, force: bool) -> None:
    """Checks the page's place before anything is paid for.

    Raises:
        ConfigurationError: it cannot be written there.
    """
    if output.is_dir():
        raise ConfigurationError(f"{str(output)!r} is a folder; name a file, such as --output {output / 'replay.html'}")
    if not output.absolute().parent.is_dir():
        raise ConfigurationError(
            f"the folder {str(output.parent)!r} does not exist; make it, or choose another --output"
        )
    if output.exists() and not force:
        raise ConfigurationError(f"{str(output)!r} exists; choose another --output, or write over it with --force")


@contextmanager
def _scratch(keep: Path | None) -> Iterator[Path]:
    """Yields the folder of the replay's store: a temporary one, or one to keep.

    Raises:
        ConfigurationError: the folder to keep holds something, or cannot be made.
    """
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="skill-plugin-replay-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConfigurationError(f"{str(keep)!r} is not an empty folder; choose a new one for --keep")
    is_new = not keep.exists()
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigurationError(
            f"the folder {str(keep)!r} cannot be made: {exc.strerror}; choose another --keep"
        ) from exc
    try:
        yield keep
    except BaseException:
        if is_new and not any(keep.iterdir()):
            shutil.rmtree(keep)  # nothing was begun
        raise


def _write(report: "ReplayReport", output: Path) -> None:
    from skill_plugin.integrations.replay.page import page  # noqa: PLC0415

    try:
        with whole_file(output, parents=False) as file:
            file.write_text(page(report), encoding="utf-8", errors="xmlcharrefreplace")
    except OSError as exc:
        raise ConfigurationError(f"{str(output)!r} cannot be written: {exc.strerror}; choose another --output") from exc


def _watching(progress: "ReplayProgress", max_calls: int) -> AbstractContextManager[Any]:
    """Shows a line that follows the replay, on a terminal only."""

    def line() -> Text:
        done = f"{progress.evolving.done} of {progress.evolving.tasks} written for, " if progress.evolving.tasks else ""
        failures = f"{progress.failures} failures, {done}" if progress.failures else ""
        return Text(f"{progress.doing}: {failures}{progress.calls()} of at most {max_calls} model calls")

    live = Live(get_renderable=line, console=err, refresh_per_second=2, transient=True)
    return live if err.is_terminal else nullcontext()


def _report(report: "ReplayReport", output: Path, keep: Path | None) -> None:
    from skill_plugin.integrations.replay.report import many  # noqa: PLC0415

    out.print(Text(report.headline, style="bold"))
    if report.proof:
        out.print(Text(report.proof))
    for said in report.caveats:
        out.print(Text(said, style="yellow"))
    if report.skills:
        rows = [
            {
                "skill": one.name,
                "live": "yes" if one.accepted else "no",
                "solved": f"{one.solved} ({one.solved_unseen} unseen)",
                "why": one.reason or "no held-out task could judge it",
            }
            for one in report.skills
        ]
        print_table(
            "skills", rows, {"skill": "skill", "live": "would be live", "solved": "failures solved", "why": "why"}
        )
    price = report.price
    tokens = price.input_tokens + price.output_tokens
    out.print(
        Text(
            f"{price.calls} of at most {price.cap} model calls ({many(price.runs, 'run')}, {many(price.texts, 'text')}, {price.judge_calls} by a judge), "
            f"{f'{tokens} tokens' if tokens else 'tokens not reported'}, {price.seconds:.0f} s"
        )
    )
    out.print(Text(f"the page: {output}"), soft_wrap=True)
    if keep is not None:
        out.print(Text(f"take the skills: skill-plugin skills export FOLDER --home {keep}"), soft_wrap=True)
