"""`python -m skill_plugin.training`: trains from a file that `histories export` wrote, or resumes a run's folder.

Alone, or on many GPUs with `accelerate launch -m skill_plugin.training ...`.
"""

import argparse
import logging
import math
import os
import sys
import threading
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import transformers

from skill_plugin.errors import ConfigurationError, InvalidHistoryError, SkillPluginError
from skill_plugin.training import options
from skill_plugin.training.data.dataset import build_groups
from skill_plugin.training.data.export_file import IMITATED, NEEDED, read_rows
from skill_plugin.training.data.imitated import cold_start
from skill_plugin.training.files.manifest import read_json, write_json
from skill_plugin.training.job import alone, processes, run
from skill_plugin.training.model import base_model
from skill_plugin.training.plan import PLAN, TrainPlan
from skill_plugin.training.trainer import TrainingResult

WATCHED = "SKILL_PLUGIN_WATCH_PARENT"
"""Set by a process that holds our standard input open while it lives; when it ends, this process ends too."""

SETTINGS = [one.name for kind in options.PARTS.values() for one in fields(kind)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0 if the run made an adapter, 1 for an error, 3 if it made none."""
    if os.environ.get(WATCHED):
        threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("huggingface_hub").propagate = False  # it has a handler of its own
    warnings.simplefilter("ignore", FutureWarning)  # of libraries to each other
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    given = _parser().parse_args(arguments)
    here = processes()
    try:
        if given.histories is not None and here.is_main_process:
            with alone(given.folder):
                begin(given)
        here.wait_for_everyone()
        trained = run(given.folder, on_step=_tell)
    except SkillPluginError as exc:
        print(f"error: {exc}", file=sys.stderr)  # noqa: T201 - a command line of its own
        return 1
    finally:
        sys.stdout.flush()
    here.destroy_process_group()
    if here.is_main_process:
        print(f"{trained.outcome}: {trained.step} of {trained.steps} steps, {trained.reason}; {given.folder}")  # noqa: T201
    return 0 if trained.outcome == "trained" else 3


def begin(given: argparse.Namespace) -> None:
    """Makes a run's folder from a file of histories, unless it exists."""
    chosen = options.parts({name: getattr(given, name) for name in SETTINGS if name in given})
    if (given.folder / PLAN).exists():
        _check_same(given, chosen)
        return
    if given.base_model is None:
        raise ConfigurationError("no base model is given; pass --base-model FOLDER, the model that wrote the histories")
    config = base_model.load_config(given.base_model).get_text_config()
    imitate = chosen["train"].imitates_pairs
    report = build_groups(
        read_rows(given.histories, (*NEEDED, *IMITATED)),
        given.folder / "data",
        base_model=given.logged_as or given.base_model,
        ages=None,
        advantage=chosen["advantage"],
        max_tokens=getattr(config, "max_position_embeddings", None),
        imitate=imitate,
    )
    advice = (
        None if imitate else cold_start(texts=report.base_texts, skills=report.base_skills, imitable=report.imitable)
    )
    if report.groups == report.validation_groups and not (imitate and report.imitable):
        refused = ", ".join(f"{count} {why}" for why, count in report.refused.items()) or "nothing was refused"
        raise InvalidHistoryError(
            f"{str(given.histories)!r} has no group to learn from: of {report.read} revisions {refused}, and "
            f"{report.validation_groups} groups are held back for validation" + (f"; {advice}" if advice else "")
        )
    pairs = f" and {report.imitable} pairs" if imitate else ""
    print(f"{report.groups} groups of {report.candidates} candidates{pairs}; refused: {report.refused or 'none'}")  # noqa: T201
    if advice:
        print(advice)  # noqa: T201
    plan = TrainPlan(
        base_model=given.base_model,
        parent=given.parent,
        parent_checkpoint=given.parent_checkpoint or (Path(given.parent).name if given.parent else None),
        data={"histories": str(given.histories)},
        **chosen,
    )
    write_json(given.folder / PLAN, plan.to_json())


def _check_same(given: argparse.Namespace, chosen: dict[str, Any]) -> None:
    """Refuses options that differ from those that an existing run was begun with: it resumes with its own."""
    plan = TrainPlan.from_json(read_json(given.folder / PLAN))
    wanted = {name: value for part in chosen.values() for name, value in asdict(part).items() if name in given}
    wanted |= {name: value for name in ("base_model", "parent") if (value := getattr(given, name)) is not None}
    was = {**asdict(plan), **asdict(plan.train), **asdict(plan.loss), **asdict(plan.advantage)}
    if other := [f"{name} {was[name]!r}" for name, value in wanted.items() if was[name] != value]:
        raise ConfigurationError(
            f"the run in {str(given.folder)!r} was begun with {', '.join(other)}; use a new folder, or leave these out"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m skill_plugin.training", description=__doc__)
    parser.add_argument("folder", type=Path, help="the run's folder; one that exists is resumed")
    parser.add_argument("--histories", type=Path, help="a .parquet, .jsonl or .jsonl.gz that histories export wrote")
    parser.add_argument("--base-model", help="a folder, or a name on the Hugging Face Hub")
    parser.add_argument("--logged-as", help="the base model's name in the histories [default: the same]")
    parser.add_argument("--parent", help="the folder of an adapter to train further")
    parser.add_argument("--parent-checkpoint", help="that adapter's name in the histories [default: its folder's name]")
    for kind in options.PARTS.values():
        group = parser.add_argument_group(kind.__name__, "see its docstring")
        for one in fields(kind):
            flag = f"--{one.name.replace('_', '-')}"
            group.add_argument(flag, default=argparse.SUPPRESS, help=f"[default: {one.default}]")
    return parser


def _end_with_parent() -> None:
    while os.read(0, 1 << 10):  # not through a buffer, whose lock would be held when this process ends by itself
        pass
    os._exit(130)


def _tell(done: TrainingResult) -> None:
    last = defaultdict(lambda: math.nan, done.last)
    print(  # noqa: T201
        f"step {done.step} of {done.steps}: loss {last['loss']:.4f}, KL {last['kl']:.4f}, ratio {last['ratio']:.3f}, "
        f"gradient {last['grad_norm']:.3g}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
