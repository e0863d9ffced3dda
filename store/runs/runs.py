"""What runs did, as the store keeps it: rollouts, later outcomes, and what the generator wrote."""

from collections.abc import Sequence
from typing import NamedTuple

from skill_plugin.errors import StoreError, VerifierError
from skill_plugin.records import Revision, Rollout, Task, Verdict, split_ref
from skill_plugin.store.base import StoreBase
from skill_plugin.store.runs import outcomes, revisions
from skill_plugin.store.runs.revisions import ParsedRevision, PromptGroup, StagedRevision


class Ran(NamedTuple):
    """A rollout and whose it is."""

    run_id: str
    task: Task
    rollout: Rollout


class Ledger(StoreBase):
    """The record of runs. Everything in it is written at most once, however often it is sent."""

    def record(
        self,
        task: Task,
        rollouts: Sequence[Rollout],
        *,
        run_id: str,
        thread_id: str | None = None,
        chosen: Rollout | None = None,
    ) -> int:
        """Appends a run's rollouts and credits their skills, in one transaction; how many were new.

        Recording a run twice is recording it once.
        """
        with self._write() as session:
            outcomes.insert_task(session, self.namespace, task)
            return sum(
                outcomes.record_rollout(
                    session,
                    self.namespace,
                    task,
                    rollout,
                    run_id=run_id,
                    thread_id=thread_id,
                    chosen=rollout is chosen,
                    vectors=self._vectors,
                )
                for rollout in rollouts
            )

    def record_all(self, ran: Sequence[Ran]) -> int:
        """As `record`, for rollouts of many runs in one transaction; how many were new."""
        with self._write() as session:
            for task in {one.task.id: one.task for one in ran}.values():
                outcomes.insert_task(session, self.namespace, task)
            return sum(
                outcomes.record_rollout(
                    session,
                    self.namespace,
                    one.task,
                    one.rollout,
                    run_id=one.run_id,
                    thread_id=None,
                    chosen=False,
                    vectors=self._vectors,
                )
                for one in ran
            )

    def record_outcome(self, run_id: str, reward: float, feedback: str = "") -> bool:
        """Takes feedback on a run that came later; False if the same feedback was there already.

        Raises:
            RunNotFoundError: no such run.
            VerifierError: the reward is not a number from 0 to 1.
        """
        verdict = Verdict(reward, feedback=feedback)
        with self._write() as session:
            return outcomes.record_outcome(session, self.namespace, run_id, verdict, vectors=self._vectors)

    def record_feedback(
        self, run_id: str, *, key: str, score: float | bool | None, value: object = None, comment: str = ""
    ) -> bool:
        """Takes feedback in the form that LangSmith and its like give it; see `record_outcome`.

        Args:
            run_id: Ours, which the run's metadata has as `skill_plugin_run_id`.
            key: What was judged, such as `correctness`; it begins the feedback's text.
            score: From 0 to 1, or a bool.
            value: What the judge chose where the score is a number of it, such as `thumbs up`.
            comment: Why; the generator reads it.

        Raises:
            RunNotFoundError: no such run.
            VerifierError: there is no score, or none from 0 to 1.
        """
        if score is None:
            raise VerifierError(f"the feedback {key!r} has no score, so it is not an outcome; give a score from 0 to 1")
        said = [str(part) for part in (value, comment) if part not in (None, "")]
        return self.record_outcome(run_id, score, ": ".join([key, *said]))

    def run(self, run_id: str) -> list[Rollout]:
        """The rollouts that a run recorded, in order; none for an unknown run."""
        with self.database.read() as session:
            return list(outcomes.rollouts_of(session, self.namespace, run_id))

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
    ) -> list[StagedRevision]:
        """Appends what the generator wrote from one prompt; each well-formed text becomes a staged version.

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

        Returns:
            The candidates from number `first` on, in order.

        Raises:
            StoreError: the group has fewer candidates than `first`.
        """
        revised = split_ref(parent) if parent else (None, None)
        group = PromptGroup(self.namespace, group_id, task, run_id, generation, revised, also, first)
        candidates = [ParsedRevision.of(revision) for revision in proposed]
        self._embed_ahead(group, candidates)
        with self._write() as session, session.no_autoflush:
            known = revisions.find_group(session, self.namespace, group_id)
            if len(known) < first:
                raise StoreError(
                    f"the group {group_id!r} has {len(known)} candidates and cannot go on from number {first}; "
                    "give first=len(store.staged(group_id))"
                )
            return known[first:] or revisions.write_group(
                session, group, candidates, embed=self._vectors, signature=self._claim_signature(session)
            )

    def staged(self, group_id: str) -> list[StagedRevision]:
        """The candidates of a group that were written already; none for an unknown group."""
        with self.database.read() as session:
            return revisions.find_group(session, self.namespace, group_id)

    def _embed_ahead(self, group: PromptGroup, candidates: Sequence[ParsedRevision]) -> None:
        """Embeds the texts under the names that they are about to get, so that no writer waits for a model meanwhile."""
        with self.database.read() as session:
            named = revisions.named(session, group, candidates)
        for candidate in named:
            if candidate.document is not None:
                self._vectors(candidate.document.embedded_text)
