"""Histories as files: taking in runs that others recorded, handing out our own to a trainer, and counting what is there."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

from sqlalchemy import func
from sqlmodel import Session, col, select

from skill_plugin import histories
from skill_plugin.errors import ConfigurationError
from skill_plugin.histories import columns
from skill_plugin.histories.eligibility import BASE, MAX_AGE, CheckpointAges
from skill_plugin.histories.records import Episode, Refusal
from skill_plugin.limits import AT_LEAST_0, check_number
from skill_plugin.records import Split
from skill_plugin.store.histories import import_rows, lineages
from skill_plugin.store.histories.export_rows import export_rows
from skill_plugin.store.histories.lineages import Window
from skill_plugin.store.partition import Part
from skill_plugin.store.skills.query import When, moment
from skill_plugin.store.tables import RevisionRow, RolloutRow, TaskRow
from skill_plugin.training.data.dataset import Rules
from skill_plugin.training.data.statistics import HistoryCounts, HistoryStats
from skill_plugin.training.settings import AdvantageSettings

BATCH = 500
"""Episodes that are written in one transaction."""

Progress = Callable[[int, int], None]
"""Is told how many bytes of the files were read, and how many rollouts."""


@dataclass
class ImportReport:
    """The result of an import, in rollouts: `read` is `imported`, `already_there` and all that was `refused` together.

    `mean_reward` is each run's, over everything with a reward that is in the store now or was refused because nothing
    was done: so it is the file's own mean. `notes` counts what is odd but was taken in.
    """

    read: int = 0
    imported: int = 0
    already_there: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    mean_reward: dict[str, float] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)


class _Rewards:
    """The mean of each run."""

    def __init__(self) -> None:
        self._sums: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0.0])

    def add(self, run: str | None, reward: float | None) -> None:
        """Adds a row's reward; skips a row without a run or a reward."""
        if run is not None and reward is not None:
            self._sums[run][0] += 1
            self._sums[run][1] += reward

    def means(self) -> dict[str, float]:
        return {run: total / count for run, (count, total) in sorted(self._sums.items())}


class Histories(Part):
    """Recorded runs in bulk."""

    def import_from(
        self,
        path: str | Path,
        format: str = histories.AUTO,  # noqa: A002 - its name on the command line
        *,
        family: str | None = None,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Takes in runs that another system recorded, or another store of ours.

        What is taken in has a `source` and moves no utility. Importing twice is importing once, also where the first was
        killed in the middle: each `BATCH` episodes are one transaction.

        Args:
            path: A file (`.jsonl`, `.json`, `.parquet`, plain or `.gz`), or a folder of them.
            format: A name in `skill_plugin.histories.FORMATS`, or `auto`.
            family: The family of tasks that name none.
            progress: Is told how far it is.

        Raises:
            ConfigurationError: no such format.
            InvalidHistoryError: no such file, an empty one, or one of another format. A row that is wrong is counted instead.
            MissingExtraError: Parquet without pyarrow.
        """
        report, refused, notes = ImportReport(), Counter[str](), Counter[str]()
        rewards = _Rewards()
        done = 0

        def tell(more: int) -> None:
            nonlocal done
            done += more

        def write(batch: list[Episode]) -> None:
            if not batch:
                return
            with self._partition.write() as session:
                taken = import_rows.take(session, self._namespace, batch)
            report.imported += taken.imported
            report.already_there += taken.already_there
            refused[import_rows.OTHER_CONTENT] += taken.refused
            notes.update({"revisions imported": taken.revisions} if taken.revisions else {})
            for run, reward in taken.rewards:
                rewards.add(run, reward)
            if progress is not None:
                progress(done, report.imported + report.already_there)

        batch: list[Episode] = []
        for one in histories.read(format, path, family=family, tell=tell):
            if isinstance(one, Episode):
                report.read += len(one.rollouts)
                notes.update(one.notes)
                batch.append(one)
                if len(batch) >= BATCH:
                    write(batch)
                    batch = []
            elif isinstance(one, Refusal):
                report.read += one.rollouts
                refused[one.reason] += one.rollouts
                rewards.add(one.run, one.reward)
            else:
                notes[one.what] += 1
        write(batch)
        report.refused = {reason: count for reason, count in refused.most_common() if count}
        report.mean_reward = rewards.means()
        report.notes = dict(notes.most_common())
        return report

    def export_to(
        self,
        path: str | Path,
        *,
        family: str | None = None,
        since: When | None = None,
        until: When | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> dict[str, int]:
        """Writes histories so that a trainer can learn from the file alone; returns the counts.

        Args:
            path: Ends in `.jsonl`, `.jsonl.gz` or `.parquet`.
            family: Only tasks of this family.
            since: Only lineages in which something was recorded at this time or later; whole, because a revision is compared
                with the generation before it.
            until: Only lineages in which something was recorded before this time.
            progress: Is told how many rows were written.

        Raises:
            ConfigurationError: a filter or the file's name is not what it should be, or it cannot be written.
            MissingExtraError: Parquet without pyarrow.
        """
        counts: Counter[str] = Counter(rows=0, revisions=0, rollouts=0)

        def counted() -> Iterator[dict[str, Any]]:
            for row in self.rows(family=family, since=since, until=until):
                counts["rows"] += 1
                counts["revisions"] += row["kind"] == "revision"
                counts["rollouts"] += len(row["rollouts"])
                if progress is not None:
                    progress(counts["rows"])
                yield row

        columns.write(path, counted())
        return dict(counts)

    def rows(
        self, *, family: str | None = None, since: When | None = None, until: When | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yields the rows that `export_histories` writes; see `skill_plugin.histories.columns`.

        Raises:
            ConfigurationError: a filter is not what it should be.
        """
        window = _window(family, since, until)
        with self._partition.read() as session:
            yield from self._rows(session, window, lineages.checkpoints(session, self._namespace))

    def checkpoint_ages(self) -> dict[str | None, int]:
        """Counts how far each checkpoint is behind the live one; None is the base model. See `eligibility.ages`."""
        with self._partition.read() as session:
            return dict(lineages.checkpoints(session, self._namespace).ages)

    def stats(
        self,
        *,
        family: str | None = None,
        since: When | None = None,
        base_model: str | None = None,
        max_age: int = MAX_AGE,
        checkpoint: str | None = None,
        max_tokens: int | None = None,
        advantage: AdvantageSettings | None = None,
    ) -> HistoryStats:
        """Returns what the histories hold, and what `retrain` would learn from: by the code that it uses, so no number differs.

        Args:
            family: Only tasks of this family.
            since: Only lineages in which something was recorded at this time or later.
            base_model: The model to be trained; a revision of another model is refused.
            max_age: Checkpoints that a revision may be behind the live one.
            checkpoint: Only what this checkpoint wrote; `base model` is the one without an adapter.
            max_tokens: The context of the model to be trained; None does not ask.
            advantage: The settings of advantages; by default those of `retrain`.

        Raises:
            ConfigurationError: an argument is not what it should be, or no checkpoint has this id.
        """
        check_number("max_age", max_age, AT_LEAST_0)
        window = _window(family, since, None)
        with self._partition.read() as session:
            known = lineages.checkpoints(session, self._namespace)
            if checkpoint not in (None, BASE, *known.base_models):
                written = select(RevisionRow.id).where(
                    RevisionRow.namespace == self._namespace, col(RevisionRow.checkpoint_id) == checkpoint
                )
                if session.exec(written.limit(1)).first() is None:
                    names = ", ".join([*[*known.base_models][-10:], BASE])
                    raise ConfigurationError(f"there is no checkpoint {checkpoint!r}; known are {names}")
            rules = Rules(base_model, known.ages, max_age, advantage or AdvantageSettings(), max_tokens)
            counts = HistoryCounts(rules, checkpoint)
            rows = self._rows(session, window, known)
            for _, lineage in groupby(rows, key=lambda row: (row["task_id"], row["run_id"])):
                counts.add(list(lineage))
            return counts.result(self._tasks_by_split(session, family))

    def _rows(self, session: Session, window: Window, known: CheckpointAges) -> Iterator[dict[str, Any]]:
        pages = lineages.lineages(
            session,
            self._namespace,
            window,
            revision_columns=lineages.other_columns(
                RevisionRow, "task_id", "run_id", "generation", "group_id", "candidate", "created_at"
            ),
            rollout_columns=lineages.other_columns(RolloutRow, "task_id", "run_id", "generation", "k", "created_at"),
            weight=lineages.WEIGHT,
        )
        for page in pages:
            yield from export_rows(session, self._namespace, page, known.base_models)

    def _tasks_by_split(self, session: Session, family: str | None) -> dict[str, int]:
        tasks = select(TaskRow.split, func.count()).where(TaskRow.namespace == self._namespace)
        if family is not None:
            tasks = tasks.where(TaskRow.family == family)
        found = dict(session.exec(tasks.group_by(TaskRow.split)).all())
        return {split: found.get(split, 0) for split in get_args(Split)}


def _window(family: str | None, since: When | None, until: When | None) -> Window:
    return Window(
        family, None if since is None else moment(since, "since"), None if until is None else moment(until, "until")
    )
