"""Snapshots of a run: all that the next step needs, whole or not there, so that a killed run resumes bit for bit.

Folders named by their step. Each is written under another name, synced, and renamed; its `state.json` has the hashes of the
others. A snapshot that does not verify is passed over for the one before it.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from skill_plugin.disk import whole_folder

KEPT = 2
STATE = "state.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The tensors by part and name, and the rest of the run's state."""

    step: int
    parts: Mapping[str, Mapping[str, torch.Tensor]]
    state: Mapping[str, Any]


def needed_bytes(adapter_bytes: int) -> int:
    """Returns the bytes of `KEPT` snapshots (adapter and two moments), one being written, and the last adapter."""
    return adapter_bytes * (3 * (KEPT + 1) + 1)


class Snapshots:
    """The snapshots of a run; the newest `KEPT` stay.

    Args:
        folder: The folder that holds them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(
        self, step: int, parts: Mapping[str, Mapping[str, torch.Tensor]], state: Mapping[str, Any] | None = None
    ) -> Path:
        """Writes the snapshot of a step, and removes old ones."""
        place = self.folder / f"step-{step:08d}"
        with whole_folder(place) as folder:
            hashes = {}
            for part, tensors in parts.items():
                # Not `save_file`: a full disk is an OSError here.
                content = save({name: one.detach().contiguous().cpu() for name, one in tensors.items()})
                (folder / _file(part)).write_bytes(content)
                hashes[part] = sha256(content).hexdigest()
            said = {"step": step, "sha256": hashes, **(state or {})}
            (folder / STATE).write_text(json.dumps(said, indent=2, allow_nan=False), encoding="utf-8")
        for old in self._folders()[KEPT:]:
            shutil.rmtree(old)
        return place

    def newest(self) -> Snapshot | None:
        """Returns the newest snapshot that verifies, or None."""
        for folder in self._folders():
            try:
                state = json.loads((folder / STATE).read_text(encoding="utf-8"))
                for part, digest in state["sha256"].items():
                    if _sha256(folder / _file(part)) != digest:
                        raise ValueError(f"{_file(part)} has changed")
                parts = {part: load_file(folder / _file(part)) for part in state["sha256"]}
                return Snapshot(state["step"], parts, state)
            except (OSError, ValueError, LookupError, TypeError, SafetensorError) as exc:
                _log.warning("the snapshot %s does not verify (%s) and is passed over", folder.name, exc)
        return None

    def _folders(self) -> list[Path]:
        """Returns the folders, newest first; one that was being written when the run was killed has another name."""
        return sorted(self.folder.glob("step-" + "[0-9]" * 8), reverse=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = sha256()
        while some := file.read(1 << 20):
            digest.update(some)
    return digest.hexdigest()


def _file(part: str) -> str:
    return f"{part}.safetensors"
