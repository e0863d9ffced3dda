"""The record of runs, as the store keeps it: rollouts, later outcomes, and what the generator wrote."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from skill_plugin.errors import BusyError, ConfigurationError, RunNotFoundError, StoreError, StoreUnavailableError
from skill_plugin.limits import AT_LEAST_0, check_number
from skill_plugin.records import Revision, Rollout, Task, split_ref
from skill_plugin.skills.trees import Files, make_tree
from skill_plugin.store.locks import job_owner
from skill_plugin.store.partition import Part, Partition
from skill_plugin.store.runs import forgetting, outcomes, revisions
from skill_plugin.store.runs.evolve_runs import EvolveRuns
from skill_plugin.store.runs.revisions import ParsedRevision, PromptGroup, StagedRevision
from skill_plugin.store.runs.sightings import Sightings, sightings
from skill_plugin.store.runs.spool import Spool
from skill_plugin.store.runs.training_runs import TrainingRuns
from skill_plugin.store.runs.waiting import Waiting, waiting

_LOOK_AGAIN_S = 0.5
_LEAST_TEXT = 4
_log = logging.getLogger(__name__)


class RunRollout(NamedTuple):
    """A rollout with its task and its run."""

    run_id: str
    task: Task
    rollout: Rollout


class Runs(Part):
    """The record of runs: each row is written at most once, however often it is sent.

    `evolve` and `training` hold the runs of those jobs, `spool` what could not be written yet.
    """

    def __init__(self, partition: Partition) -> None:
        super().__init__(partition)
        self.evolve = EvolveRuns(partition)
        self.training = TrainingRuns(partition)
        self.spool = Spool(is_kept=partition.database.read_only is None)

    def record(
        self,
        task: Task,
        rollouts: Sequence[Rollout],
        *,
        run_id: str,
        thread_id: str | None = None,
        chosen: Rollout | None = None,
    ) -> int:
        """Appends a run's rollouts and credits their skills, in one transaction; returns how many were new.

        Recording a run twice is recording it once.
        """
        with self._partition.write() as session:
            outcomes.insert_task(session, self._namespace, task)
            return sum(
                outcomes.record_rollout(
                    session,
                    self._namespace,
                    task,
                    rollout,
                    run_id=run_id,
                    thread_id=thread_id,
                    chosen=rollout is chosen,
                    vectors=self._partition.vectors,
                )
                for rollout in rollouts
            )

    def record_all(self, ran: Sequence[RunRollout]) -> int:
        """Appends rollouts of many runs and credits their skills, in one transaction; returns how many were new."""
        with self._partition.write() as session:
            for task in {one.task.id: one.task for one in ran}.values():
                outcomes.insert_task(session, self._namespace, task)
            return sum(
                outcomes.record_rollout(
                    session,
                    self._namespace,
                    one.task,
                    one.rollout,
                    run_id=one.run_id,
                    thread_id=None,
                    chosen=False,
                    vectors=self._partition.vectors,
                )
                for one in ran
            )

    def rollouts(self, run_id: str) -> list[Rollout]:
        """Returns the rollouts that a run recorded, in order; none for an unknown run."""
        with self._partition.read() as session:
            return list(outcomes.rollouts_of(session, self._namespace, run_id))

    def forget(
        self,
        *,
        run: str | None = None,
        source: str | None = None,
        text: str | None = None,
        older_than: float | None = None,
    ) -> dict[str, int]:
        """Forgets one thing for good, so that nothing of it is left in the database or its log; returns the number of rows by table.

        Copies elsewhere are not reached: exports, backups, the copy that a migration made. PostgreSQL gives the room of deleted rows
        away in its own time (VACUUM).

        Args:
            run: A run: its rollouts, outcomes and revisions, and the task if no other run has it.
            source: Every run that was imported from there, by the full name or its beginning up to a whole word.
            text: A text, wherever it stands, skills and items included: `[forgotten]` is in its place.
            older_than: The answers, feedback and errors of rollouts that are so many days old.

        Raises:
            ConfigurationError: not one of them is given, or the text is shorter than 4 characters.
            RunNotFoundError: no such run, or none from that source.
        """
        given = [value for value in (run, source, text, older_than) if value is not None]
        if len(given) != 1:
            raise ConfigurationError("name one thing to forget: a run, a source, a text or an age")
        if text is not None and len(text.strip()) < _LEAST_TEXT:
            raise ConfigurationError(
                f"{text!r} is too short to forget: it stands everywhere; give {_LEAST_TEXT} characters or more"
            )
        check_number("older_than", older_than or 0, AT_LEAST_0, whole=False)
        self.spool.flush()
        with self._partition.write(bulk=True, frees=True) as session:
            if text is not None:
                counts = forgetting.forget_text(session, self._namespace, text)
            elif older_than is not None:
                emptied = forgetting.forget_old_texts(session, self._namespace, older_than)
                counts = {"emptied": emptied} if emptied else {}
            else:
                runs = [str(run)] if source is None else forgetting.runs_from(session, self._namespace, source)
                counts = forgetting.forget_runs(session, self._namespace, runs)
                if not counts:
                    raise RunNotFoundError(f"there is nothing of {source or run!r} in namespace {self._namespace!r}")
        self._partition.database.vacuum()
        return counts

    def empty_old(self, days: float) -> int:
        """Empties the texts of old rollouts like `forget(older_than=)`, in passing: a store that is busy is left for the next time."""
        try:
            with self._partition.database.write(wait=False) as session:
                return forgetting.forget_old_texts(session, self._namespace, days)
        except StoreUnavailableError as exc:
            _log.info("the texts of old runs were not emptied: %s", exc)
            return 0

    def _without_secrets(self, revision: Revision) -> Revision:
        """Returns a revision whose text becomes a version: its hash is of what is kept. The rest is redacted where it is written."""
        redacted = self._partition.database.redactor.text
        files = {path: None if text is None else redacted(text) for path, text in revision.files.items()}
        text = None if revision.text is None else redacted(revision.text)
        if (text, files) == (revision.text, dict(revision.files)):
            return revision
        return replace(revision, text=text, files=files, completion=redacted(revision.completion))

    def sightings(self, name: str) -> Sightings:
        """Returns in how many of its runs a model saw a skill's text; with `name@2` those under that version."""
        with self._partition.read() as session:
            return sightings(session, self._namespace, name)

    def stage(
        self,
        task: Task,
        proposed: Sequence[Revision],
        *,
        run_id: str,
        group_id: str,
        generation: int,
        parent: str | None,
        also: Sequence[Task] = (),
        first: int = 0,
        files: Files | None = None,
    ) -> list[StagedRevision]:
        """Appends what the generator wrote from one prompt; each well-formed text becomes a staged version.

        A text that the scanner refuses counts as malformed; one that it holds is stored for a person, and counts as refused, too.

        A group may be written in parts: `first` says how many candidates of it there were, and the part is numbered from
        there. A part that exists is returned as it is, so sending it twice is sending it once.

        Args:
            task: The task it was written for.
            proposed: The candidates, in order.
            run_id: The run that asked.
            group_id: Names the prompt.
            generation: The step g of the lineage, from 1.
            parent: `skill_id@version` that was revised; None for a first skill.
            also: Further tasks whose failures the prompt showed. A text is never credited on a task that it was written from.
            first: The number of the first of `proposed` within the group, from 0.
            files: The files that each has before its own changes; by default those of the version that was revised.

        Returns:
            The candidates from number `first` on, in order.

        Raises:
            StoreError: the group has fewer candidates than `first`.
            InvalidSkillError: `files` may not be those of a skill.
        """
        tree = None if files is None else make_tree(files, self._partition.limits)
        revised = split_ref(parent) if parent else (None, None)
        group = PromptGroup(self._namespace, group_id, task, run_id, generation, revised, also, first)
        candidates = [ParsedRevision.of(self._without_secrets(revision)) for revision in proposed]
        self._embed_ahead(group, candidates)
        with self._partition.write() as session, session.no_autoflush:
            known = revisions.find_group(session, self._namespace, group_id)
            if len(known) < first:
                raise StoreError(
                    f"the group {group_id!r} has {len(known)} candidates and cannot go on from number {first}; "
                    "give first=len(store.runs.staged(group_id))"
                )
            return known[first:] or revisions.write_group(
                session,
                group,
                candidates,
                embed=self._partition.vectors,
                screen=self._partition.screen,
                signature=self._partition.claim_signature(session),
                limits=self._partition.limits,
                files=tree,
            )

    def staged(self, group_id: str) -> list[StagedRevision]:
        """Returns the candidates of a group that were written already; none for an unknown group."""
        with self._partition.read() as session:
            return revisions.find_group(session, self._namespace, group_id)

    @contextmanager
    def alone(self, job: str, *, wait: bool = False) -> Iterator[None]:
        """Holds the namespace's lock on a job, on every machine that uses the database; let go of when the process ends.

        Args:
            job: Its name, such as `evolve`.
            wait: Wait for another process to end the same job, however long; else that is an error.

        Raises:
            BusyError: another process holds it.
        """
        owner = job_owner(self._partition.database, self._namespace, job)
        while not owner.take():
            if not wait:
                raise BusyError(
                    f"another {job} is running on namespace {self._namespace!r} of {self._partition.database.where}; "
                    "wait for its end (--wait), or use another namespace"
                )
            time.sleep(_LOOK_AGAIN_S)
        try:
            yield
        finally:
            owner.release()

    def is_running(self, job: str) -> bool:
        """Returns whether a process holds a job's lock; see `alone`. To look it takes a free one for a moment."""
        owner = job_owner(self._partition.database, self._namespace, job)
        taken = owner.take()
        owner.release()
        return not taken

    def waiting(self, since: datetime | None = None) -> Waiting:
        """Returns what waits for somebody: staged versions, runs without a reward, and what was recorded since a moment."""
        with self._partition.read() as session:
            return waiting(session, self._namespace, since)

    def _embed_ahead(self, group: PromptGroup, candidates: Sequence[ParsedRevision]) -> None:
        """Embeds and scans the texts under the names that they are about to get, so that no writer waits for it meanwhile."""
        with self._partition.read() as session:
            named = revisions.named(session, group, candidates)
        for candidate in named:
            for text in (candidate.revision.text, *candidate.revision.files.values()):
                if text is not None:
                    self._partition.screen(text)
            if candidate.document is not None:
                self._partition.vectors(candidate.document.embedded_text)
