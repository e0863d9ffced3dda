"""The command line's root: every command and the `--version`."""

import io
import os
import sys
import warnings
from typing import Annotated

import typer

from skill_plugin import __version__
from skill_plugin.integrations.cli import (
    checkpoints,
    demo,
    evolve,
    functions,
    health,
    histories,
    models,
    replay,
    retrain,
    run,
    serve,
    skills,
    status,
    upkeep,
)
from skill_plugin.integrations.cli.terminal import progress
from skill_plugin.integrations.cli.terminal.console import out
from skill_plugin.integrations.cli.terminal.options import Quiet, Verbose, command

app = typer.Typer(
    name="skill-plugin",
    help="A library of skills that lets any LangGraph agent get better at its work.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and end.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    context.with_resource(progress.log_lines())
    progress.choose(quiet=quiet, verbose=verbose)
    if version:
        out.print(__version__, highlight=False)
        raise typer.Exit


command(app, "demo")(demo.demo)
app.command("replay")(replay.replay)
command(app, "run")(run.run)
command(app, "evolve")(evolve.evolve)
command(app, "retrain")(retrain.retrain)
command(app, "status")(status.status)
command(app, "health", failure=2)(health.health)
command(app, "outcome")(run.outcome)
command(app, "search")(skills.search)
command(app, "serve")(serve.serve)
command(app, "ui")(serve.ui)
app.add_typer(functions.skills, name="skills")
app.add_typer(histories.histories, name="histories")
app.add_typer(checkpoints.checkpoints, name="checkpoints")
app.add_typer(models.models, name="models")
command(app, "doctor")(upkeep.doctor)
command(app, "reindex")(upkeep.reindex)
command(app, "migrate")(upkeep.migrate)
command(app, "export")(upkeep.export)
command(app, "import")(upkeep.import_store)
command(app, "forget")(upkeep.forget)
command(app, "erase")(upkeep.erase)


def main() -> None:
    """Runs the command line; the entry point `skill-plugin`."""
    for stream in (sys.stdout, sys.stderr):  # an output that is not Unicode, such as a pipe on Windows, is no error
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        warnings.simplefilter("ignore", FutureWarning)  # of libraries to each other
    if not sys.stderr.isatty():  # Hugging Face's bars would fill the log of a night
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # Threads of PyTorch that wait by spinning take the core that the others need: beside other work, minutes instead of seconds.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()
