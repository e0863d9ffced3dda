"""`skill-plugin demo`: watch an agent learn."""

import json
from pathlib import Path
from typing import Annotated

import typer

from skill_plugin.settings import Settings


def demo(
    settings: Settings,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    again: Annotated[
        bool, typer.Option(hidden=True, help="The second process: begin where the last one ended.")
    ] = False,
) -> None:
    """Watch an agent learn: 72 questions, offline, with simulated models."""
    from skill_plugin.integrations.cli import demonstration  # noqa: PLC0415 - LangGraph takes most of a second

    figures = demonstration.restart(settings) if again else demonstration.run(settings)
    if json_file is not None:
        json_file.write_text(f"{json.dumps(figures, indent=2)}\n", encoding="utf-8")
