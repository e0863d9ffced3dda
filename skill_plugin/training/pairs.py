"""Supervised training on pairs of one's own: a script writes messages and answers, and gets a LoRA adapter.

    from pathlib import Path

    from skill_plugin.training.pairs import Pair, train_on_pairs

    pairs = [
        Pair(
            messages=({"role": "system", "content": "..."}, {"role": "user", "content": "..."}),
            completion="a whole SKILL.md",
        ),
        ...,
    ]
    result = train_on_pairs(Path("starter"), pairs, base_model="models/smollm2-135m", sft_epochs=3, learning_rate=3e-4)
    result.outcome  # "trained"; the adapter is in starter/adapter

The base's own tokenizer and chat template make tokens of the messages. The loss is of the answer's tokens alone, with the token
that ends it, a mean over all of a step's tokens. `groups_per_step` is the prompts of a step; texts of one prompt should follow one another, so that it is computed once. `write_run` only writes the folder;
`python -m skill_plugin.training FOLDER` then trains it, also on another machine, and resumes after a kill.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from skill_plugin.disk import whole_file
from skill_plugin.errors import ConfigurationError, InvalidHistoryError
from skill_plugin.training import options
from skill_plugin.training.data.groups import GroupWriter
from skill_plugin.training.data.pairs import FILE, Pair, pairs_sha256
from skill_plugin.training.files.manifest import read_json, write_json
from skill_plugin.training.job import run
from skill_plugin.training.plan import PLAN, TrainPlan
from skill_plugin.training.trainer import DATA, TRAIN, VALIDATION, TrainingResult

__all__ = ["Pair", "train_on_pairs", "write_run"]


def train_on_pairs(
    folder: Path,
    pairs: Iterable[Pair],
    *,
    base_model: str,
    parent: Path | None = None,
    on_step: Callable[[TrainingResult], None] | None = None,
    **settings: Any,
) -> TrainingResult:
    """Trains a LoRA adapter on pairs in this process; it is in `folder/adapter`. See `write_run`.

    Args:
        folder: The run's folder; one that was begun with the same pairs and settings is resumed.
        pairs: The pairs.
        base_model: A folder, or a name on the Hugging Face Hub.
        parent: The folder of an adapter to train further.
        on_step: Called after each step with the result so far.
        settings: See `TrainSettings`.
    """
    write_run(folder, pairs, base_model=base_model, parent=parent, **settings)
    return run(folder, on_step=on_step)


def write_run(
    folder: Path, pairs: Iterable[Pair], *, base_model: str, parent: Path | None = None, **settings: Any
) -> int:
    """Writes a run's folder whose only training is imitation of pairs; returns their number.

    Args:
        folder: The run's folder.
        pairs: The pairs.
        base_model: A folder, or a name on the Hugging Face Hub.
        parent: The folder of an adapter to train further.
        settings: See `TrainSettings`; `sft_epochs` is 2 unless it is given.

    Raises:
        ConfigurationError: a setting is unknown or out of its range, or the folder holds a run with other pairs or settings.
        InvalidHistoryError: there are no pairs.
    """
    plan = TrainPlan(
        base_model=base_model,
        parent=str(parent) if parent is not None else None,
        **options.parts({"sft_epochs": 2, **settings, "sft_from": "any"}),
    )
    if plan.train.sft_epochs == 0:
        raise ConfigurationError("sft_epochs is 0, so nothing would be learned; give at least 1")
    lines = [pair.line for pair in pairs]
    if not lines:
        raise InvalidHistoryError("there are no pairs to learn from; give at least one")
    if (folder / PLAN).exists():
        same = pairs_sha256(folder / DATA) == sha256(b"".join(lines)).hexdigest()
        if not same or TrainPlan.from_json(read_json(folder / PLAN)) != plan:
            raise ConfigurationError(
                f"the run in {str(folder)!r} was begun with other {'settings' if same else 'pairs'}; use a new folder"
            )
        return len(lines)
    for part in (TRAIN, VALIDATION):
        with GroupWriter(folder / part):
            pass
    with whole_file(folder / DATA / FILE) as unfinished:
        unfinished.write_bytes(b"".join(lines))
    write_json(folder / PLAN, plan.to_json())
    return len(lines)
