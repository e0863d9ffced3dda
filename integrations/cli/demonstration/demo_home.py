"""A demonstration's own home folder, and the second process that has only what is in it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from skill_plugin.errors import StoreUnavailableError
from skill_plugin.integrations.cli.terminal.progress import told
from skill_plugin.settings import Settings

FOLDER = "demo"
TASKS = "tasks.jsonl"


def own_home(settings: Settings) -> Settings:
    """Returns the settings of the demonstration's own store, in a folder of the home."""
    return settings.model_copy(update={"home": settings.home / FOLDER, "database": None})


MARK = "demonstration.txt"
_MARKS = (MARK, "business.db")  # the second of earlier releases


def empty(folder: Path) -> None:
    """Makes the folder, or removes what an earlier demonstration left in it, of either kind.

    Raises:
        StoreUnavailableError: the folder is somebody else's, or cannot be written.
    """
    try:
        is_ours = not folder.exists() or any((folder / mark).is_file() for mark in _MARKS)
        if is_ours:
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
            (folder / MARK).write_text("made by skill-plugin demo, which empties it\n", encoding="utf-8")
    except OSError as exc:
        raise StoreUnavailableError(f"{folder} cannot be written: {exc.strerror}; choose another --home") from exc
    if not is_ours:
        raise StoreUnavailableError(f"{folder} is there but no demonstration made it; choose another --home")


def in_new_process(settings: Settings, folder: Path, *words: str) -> dict[str, Any]:
    """Runs the second part of a demonstration in a process of its own; returns its figures."""
    report = folder / "restart.json"
    command = [sys.executable, "-m", "skill_plugin.integrations.cli", "demo", "--again", "--json", str(report), *words]
    command += [] if told() else ["--quiet"]
    shared = ["--home", str(settings.home), "--namespace", settings.namespace, "--embedder", settings.embedder]
    subprocess.run([*command, *shared], check=True)  # noqa: S603 - our own command
    figures: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return figures
