"""The parts that commands share: the options that make their settings, and one way to fail.

A command is a function whose first parameter is `settings`; `command` puts the shared options in its place.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from skill_plugin.errors import SkillPluginError
from skill_plugin.integrations.cli.terminal import progress
from skill_plugin.integrations.cli.terminal.console import fail
from skill_plugin.settings import ENV_PREFIX, Settings
from skill_plugin.url_passwords import masked

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the result, and errors.", rich_help_panel="Log")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also debug lines of the log.", rich_help_panel="Log")]

# The options of every command over a tasks file.
Tasks = Annotated[Path, typer.Option(help="A JSON-lines file of tasks, or - for standard input.", show_default=False)]
Model = Annotated[str | None, typer.Option(help="The task LLM, such as openai:gpt-5-mini or ollama:qwen3.")]
Agent = Annotated[str | None, typer.Option(help="Your own agent instead, as package.module:attribute.")]
Writer = Annotated[
    str | None,
    typer.Option(
        help="The writer of skills: a chat model, vllm:MODEL, local:PATH, or either with @live \\[default: the task LLM]."
    ),
]
BaseUrl = Annotated[str | None, typer.Option(help="The URL of an OpenAI-compatible server that has the models.")]
Judge = Annotated[
    str | None,
    typer.Option(help="The verifier of tasks that name none: its name, or your function as package.module:function."),
]
SystemPrompt = Annotated[
    str | None,
    typer.Option(
        help="A text before the skill in the system prompt; @FILE reads it from a file, @- from standard input."
    ),
]
Tools = Annotated[
    str | None,
    typer.Option(help="The tools that functions may call, as package.module:attribute, a list \\[default: none]."),
]
SelfCheck = Annotated[bool, typer.Option(help="First check that each verifier passes its task's reference.")]

_SHARED: dict[str, tuple[Any, str, str]] = {
    "home": (Path | None, "--home", "The home folder \\[default: SKILL_PLUGIN_HOME or ~/.skill-plugin]."),
    "database": (str | None, "--database", "A SQL URL instead of the home folder's database."),
    "chroma": (str | None, "--chroma", "The index: a folder, or the URL of a Chroma server."),
    "namespace": (str | None, "--namespace", "The tenant's partition \\[default: default]."),
    "embedder": (
        str | None,
        "--embedder",
        "minilm, minilm:MODEL, sentence-transformers:MODEL or hashing; MODEL is a folder or a name of the model hub \\[default: minilm].",
    ),
}


_OF_WRITER: dict[str, tuple[Any, str, str]] = {
    "generator_max_tokens": (
        int | None,
        "--generator-max-tokens",
        "The most tokens of one text \\[default: 1024, or its provider's limit].",
    ),
    "generator_temperature": (
        float | None,
        "--generator-temperature",
        "How freely it samples \\[default: 1, or its provider's].",
    ),
    "generator_top_p": (
        float | None,
        "--generator-top-p",
        "Its nucleus; retrain learns nothing from what is written below 1 \\[default: 1, or its provider's].",
    ),
    "generator_dtype": (
        str | None,
        "--generator-dtype",
        "The data type of a local one, such as bfloat16 \\[default: as it was saved].",
    ),
}
"""The options of every command that takes a generator."""


def command(
    app: typer.Typer, name: str, *, failure: int = 1, **options: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds `function(settings, ...)` to an app as a command, which ends with the status `failure` if it cannot be done."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function).parameters.values())[1:]
        panels = {"Generator": _OF_WRITER} if any(one.name == "generator" for one in own) else {}
        panels["Store"] = _SHARED
        of_settings = [key for settings in panels.values() for key in settings]
        shared = [
            inspect.Parameter(
                key,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[kind, typer.Option(flag, help=text, rich_help_panel=panel)],
            )
            for panel, settings in panels.items()
            for key, (kind, flag, text) in settings.items()
        ]

        shared += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
            for name, kind in (("quiet", Quiet), ("verbose", Verbose))
        ]

        @functools.wraps(function)
        def run(**given: Any) -> None:
            choices = {key: given.pop(key) for key in of_settings}
            progress.choose(quiet=given.pop("quiet"), verbose=given.pop("verbose"))
            with_errors(lambda: function(Settings.load(**choices), **given), home=choices.get("home"), failure=failure)

        keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        run.__signature__ = inspect.Signature([*keyword, *shared])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*keyword, *shared]}
        app.command(name, **options)(run)
        return function

    return add


def with_errors(call: Callable[[], None], *, home: Path | None = None, failure: int = 1) -> None:
    """Runs a command; what goes wrong becomes one line and a non-zero exit, or with `debug` in the settings a traceback."""
    try:
        call()
    except SkillPluginError as exc:
        fail(str(exc), failure)
    except (typer.Exit, typer.Abort, KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as exc:
        if _debugs(home):
            raise
        reason = masked(" ".join(f"{type(exc).__name__}: {exc}".split())[:500])
        fail(f"{reason}; for a traceback set {ENV_PREFIX}DEBUG=1", failure)


def _debugs(home: Path | None) -> bool:
    """Returns the setting `debug`; settings that cannot be read do not ask for tracebacks."""
    try:
        return Settings.load(home=home).debug
    except SkillPluginError:
        return False
