"""`skill-plugin demo`: watch an agent learn."""

import json
from pathlib import Path
from typing import Annotated

import typer

from skill_plugin.settings import Settings


def demo(
    settings: Settings,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="With simulated models: half a minute, and no PyTorch.")
    ] = False,
    again: Annotated[
        bool, typer.Option(hidden=True, help="The second process: begin where the last one ended.")
    ] = False,
) -> None:
    """Watch an agent learn, offline: a real small language model on this machine, its skills, and a short night of training."""
    if simulated:  # LangGraph takes most of a second to import, PyTorch several
        from skill_plugin.integrations.cli.demonstration import simulated as played  # noqa: PLC0415
    else:
        from skill_plugin.integrations.cli.demonstration import real as played  # type: ignore[no-redef] # noqa: PLC0415

    figures = played.restart(settings) if again else played.run(settings)
    if json_file is not None:
        json_file.write_text(f"{json.dumps(figures, indent=2)}\n", encoding="utf-8")
