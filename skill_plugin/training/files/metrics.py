"""The numbers of each step: a file of JSON lines, and TensorBoard where it is installed."""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from skill_plugin.disk import whole_file
from skill_plugin.errors import ConfigurationError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

FILE, TENSORBOARD = "metrics.jsonl", "tensorboard"


class MetricsLog:
    """Writes `metrics.jsonl` and `tensorboard/` into a run's folder, one line a step. A context manager.

    A run that was killed may have logged steps that it does again, and half a line; both are dropped here, so that a run has
    one line a step however often it was killed.

    Args:
        folder: The run's folder.
        step: The last step that is done; lines of later ones are dropped. 0 begins anew.

    Attributes:
        non_finite: Values so far that were not a finite number; each is logged as null.
    """

    def __init__(self, folder: Path, *, step: int = 0) -> None:
        self.non_finite = 0
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        _keep(path, step)
        self._lines: TextIO = path.open("a", encoding="utf-8")
        self._board = _board(folder / TENSORBOARD, step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        numbers = {name: float(value) for name, value in values.items()}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        self.non_finite += len(numbers) - len(finite)
        line = {"step": step} | {name: finite.get(name) for name in numbers}
        self._lines.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        self._lines.flush()
        if self._board is not None:
            for name, value in finite.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._lines.close()
        if self._board is not None:
            self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Reads the lines of a `metrics.jsonl`, each with its `step`; a last one that is not whole is left out.

    Raises:
        ConfigurationError: the file does not exist, or another line is damaged.
    """
    try:
        return list(_lines(path))
    except FileNotFoundError as exc:
        raise ConfigurationError(f"there is no {path.name} in {str(path.parent)!r}; give the folder of a run") from exc


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                value = json.loads(line)
                value["step"] = int(value["step"])
            except (ValueError, TypeError, KeyError) as exc:
                raise ConfigurationError(f"line {number} of {str(path)!r} is damaged; take that line out") from exc
            yield value


def _keep(path: Path, step: int) -> None:
    """Keeps only the whole lines of the steps up to this one."""
    if not path.exists():
        return
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as kept:
        for line in _lines(path):
            if line["step"] <= step:
                kept.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def _board(folder: Path, step: int) -> "SummaryWriter | None":
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional
    except ImportError:
        logger.info("TensorBoard is not installed; the metrics are in %s alone", FILE)
        return None
    # TensorBoard shows none of an earlier run's steps from this one on.
    return SummaryWriter(str(folder), purge_step=step + 1)
