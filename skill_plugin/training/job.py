"""A training run from its folder: `plan.json` and the groups go in, the adapter and `result.json` come out."""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from filelock import FileLock, Timeout

from skill_plugin.errors import ConfigurationError
from skill_plugin.models.adapter_files import adapter_sha256
from skill_plugin.training.data.groups import Groups
from skill_plugin.training.data.pairs import pairs_sha256
from skill_plugin.training.files import curves
from skill_plugin.training.files.manifest import manifest, read_json, same_run, write_json
from skill_plugin.training.files.metrics import FILE as METRICS
from skill_plugin.training.model import base_model
from skill_plugin.training.plan import PLAN, TrainPlan
from skill_plugin.training.trainer import DATA, REFERENCES, SNAPSHOTS, TRAIN, VALIDATION, TrainingResult, train

MANIFEST, RESULT, CURVES = "manifest.json", "result.json", "curves.png"

_log = logging.getLogger(__name__)


def run(folder: Path, *, on_step: Callable[[TrainingResult], None] | None = None) -> TrainingResult:
    """Carries out the plan in a run's folder, resuming where an earlier start ended. A run that is done stays as it is.

    Args:
        folder: Holds `plan.json` and `data/`.
        on_step: See `trainer.train`.

    Raises:
        ConfigurationError: another process trains here, the run was begun with other data, settings or versions, or it cannot
            work here.
        InvalidHistoryError: no group can be learned from.
    """
    plan = TrainPlan.from_json(read_json(folder / PLAN))
    here = processes()
    if (folder / RESULT).exists():
        if here.is_main_process:
            _tidy(folder)
        return TrainingResult(**read_json(folder / RESULT))
    with alone(folder):
        revision = base_model.base_revision(plan.base_model)
        if here.is_main_process:
            _claim(folder, plan, revision)
        here.wait_for_everyone()
        trained = train(folder, plan, revision=revision, on_step=on_step)
        if here.is_main_process:
            curves.draw(folder / METRICS, folder / CURVES, title=run_title(folder, plan))
            write_json(folder / RESULT, trained.to_json())
            _tidy(folder)
    return trained


def run_title(folder: Path, plan: TrainPlan) -> str:
    """Returns the title of a run's picture: its name, when it was begun, its base model."""
    began = datetime.fromtimestamp((folder / PLAN).stat().st_mtime).astimezone()
    return f"{folder.resolve().name}, begun {began:%Y-%m-%d}, {Path(plan.base_model).name}"


def processes() -> PartialState:
    """Returns this process's state among those that `accelerate launch` or `torchrun` started, if one of them did."""
    # accelerate does not look for others on a machine without a GPU, unless it is told so.
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available())


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps other runs out of it; a full disk or GPU memory becomes an error of one line.

    May be entered again inside.

    Raises:
        ConfigurationError: another run is in the folder, it cannot be written, or memory ran out.
    """
    try:
        if processes().is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock", timeout=0, is_singleton=True):
                yield
        else:
            yield
    except Timeout as exc:
        raise ConfigurationError(f"another process trains in {str(folder)!r}; wait for its end") from exc
    except OSError as exc:
        raise ConfigurationError(
            f"the run in {str(folder)!r} cannot go on: {exc.strerror or exc}; put that right and start it again"
        ) from exc
    except torch.OutOfMemoryError as exc:
        raise ConfigurationError(
            "the memory of the GPU ran out; lower rows or head_chunk, use a smaller base, or free what another process holds "
            "(a vLLM server can be put to sleep), and start it again: it resumes"
        ) from exc


def _tidy(folder: Path) -> None:
    """Removes files that only a resumed run needs; for a model of billions of parameters that is a gigabyte a night."""
    for name in (SNAPSHOTS, REFERENCES):
        shutil.rmtree(folder / name, ignore_errors=True)


def _claim(folder: Path, plan: TrainPlan, revision: str) -> None:
    """Writes the manifest, or checks that this start would resume the same run."""
    facts = manifest(
        _said(plan),
        data={**plan.data, **_hashes(folder)},
        base_revision=revision,
        parent_sha256=adapter_sha256(plan.parent) if plan.parent else None,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    )
    if (folder / MANIFEST).exists():
        if different := same_run(facts, read_json(folder / MANIFEST)):
            raise ConfigurationError(
                f"the run in {str(folder)!r} was begun otherwise: {'; '.join(different)}; use a new folder, or what it was begun with"
            )
        return
    write_json(folder / MANIFEST, facts)


def _hashes(folder: Path) -> dict[str, str]:
    found = {part: Groups(folder / part).sha256 for part in (TRAIN, VALIDATION)}
    pairs = pairs_sha256(folder / DATA)
    return found if pairs is None else {**found, "pairs": pairs}


def _said(plan: TrainPlan) -> dict[str, Any]:
    told = plan.to_json()
    return {**told, "settings": {**told["train"], **told["loss"], **told["advantage"]}}
