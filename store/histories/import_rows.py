"""Taking recorded runs in: many rows at once, each at most once. Within the caller's transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlmodel import Session, col, select

from skill_plugin.histories.records import Episode, EpisodeRevision, EpisodeRollout, made_id
from skill_plugin.records import Rollout, split_ref
from skill_plugin.store.histories.later import TRIED, as_evidence
from skill_plugin.store.runs.outcomes import task_values
from skill_plugin.store.sql.database import insert_all_if_absent
from skill_plugin.store.stored_texts import storable
from skill_plugin.store.tables import (
    EventRow,
    RevisionRow,
    RevisionTaskRow,
    RolloutRow,
    SharedUseRow,
    SkillVersionRow,
    TaskRow,
    utc_now,
)

OTHER_CONTENT = "an id that exists, with other content"

_ASKED = 400
"""Keys that one statement asks for."""

_SAME_IN_ROW = [key for key in Rollout.__dataclass_fields__ if key not in ("skill", "withheld", "also", "tools")]

Key = tuple[str, int, int]
"""Run, generation and k."""


@dataclass
class ImportCounts:
    """Counts of rollouts (new, known, refused) and of new revisions; run and reward of what is in the store now."""

    imported: int = 0
    already_there: int = 0
    refused: int = 0
    revisions: int = 0
    rewards: list[tuple[str, float]] = field(default_factory=list)


def take(session: Session, namespace: str, episodes: Sequence[Episode]) -> ImportCounts:
    """Writes what the store does not have yet of these episodes."""
    taken = ImportCounts()
    tasks = {episode.task.id: episode.task for episode in episodes}
    insert_all_if_absent(session, TaskRow, [task_values(namespace, task) for task in tasks.values()])
    known = _known_rollouts(session, namespace, {storable(episode.run_id) for episode in episodes})
    recorded_here = {run_id for (run_id, _, _), (_, _, source) in known.items() if source is None}
    new: list[dict[str, Any]] = []
    shared: list[dict[str, Any]] = []
    for episode in episodes:
        for attempt in episode.rollouts:
            rollout = attempt.rollout
            key = (storable(episode.run_id), rollout.generation, rollout.k)
            same = (rollout.reward, session.info["redactor"].text(storable(rollout.answer)))
            if episode.is_ours and key[0] in recorded_here:
                taken.already_there += 1
            elif key not in known:
                known[key] = (*same, rollout.source)
                new.append(_rollout_values(namespace, episode, attempt))
                shared += _shared_values(namespace, episode, rollout)
                taken.imported += 1
            elif known[key][:2] == same:
                taken.already_there += 1
            else:
                taken.refused += 1
                continue
            if rollout.reward is not None:
                taken.rewards.append((rollout.source or episode.run, rollout.reward))
    insert_all_if_absent(session, RolloutRow, new)
    insert_all_if_absent(session, SharedUseRow, shared)
    taken.revisions = _take_revisions(session, namespace, episodes)
    return taken


def _known_rollouts(
    session: Session, namespace: str, run_ids: Iterable[str]
) -> dict[Key, tuple[float | None, str, str | None]]:
    columns = (
        RolloutRow.run_id,
        RolloutRow.generation,
        RolloutRow.k,
        RolloutRow.reward,
        RolloutRow.answer,
        RolloutRow.source,
    )
    statement = select(*map(col, columns)).where(col(RolloutRow.namespace) == namespace)
    known: dict[Key, tuple[float | None, str, str | None]] = {}
    for some in _chunks(run_ids):
        rows = session.connection().execute(statement.where(col(RolloutRow.run_id).in_(some)))
        known.update({(row.run_id, row.generation, row.k): (row.reward, row.answer, row.source) for row in rows})
    return known


def _rollout_values(namespace: str, episode: Episode, attempt: EpisodeRollout) -> dict[str, Any]:
    rollout = attempt.rollout
    skill_id, version = split_ref(rollout.skill) if rollout.skill else (None, None)
    withheld_skill_id, withheld_version = split_ref(rollout.withheld) if rollout.withheld else (None, None)
    return {
        **{key: getattr(rollout, key) for key in _SAME_IN_ROW},
        "tools": " ".join(rollout.tools),
        "namespace": namespace,
        "task_id": episode.task.id,
        "skill_id": skill_id,
        "version": version,
        "withheld_skill_id": withheld_skill_id,
        "withheld_version": withheld_version,
        "run_id": episode.run_id,
        "thread_id": attempt.thread_id,
        "chosen": attempt.chosen,
        "credited": False,
        "created_at": attempt.created_at or utc_now(),
    }


def _shared_values(namespace: str, episode: Episode, rollout: Rollout) -> list[dict[str, Any]]:
    """Returns the further skills of a rollout as rows."""
    values = []
    for ref, adherence in rollout.also.items():
        skill_id, version = split_ref(ref)
        values.append(
            {
                "namespace": namespace,
                "run_id": episode.run_id,
                "generation": rollout.generation,
                "k": rollout.k,
                "skill_id": skill_id,
                "version": version,
                "adherence": adherence,
                "credited": False,
            }
        )
    return values


def _take_revisions(session: Session, namespace: str, episodes: Sequence[Episode]) -> int:
    """Writes the revisions that are new; returns how many, starting skills not counted."""
    found = {
        (storable(one.group_id), one.candidate): (episode, one) for episode in episodes for one in episode.revisions
    }
    shown = {(one.group_id, task) for _, one in found.values() for task in one.prompt_tasks}
    insert_all_if_absent(
        session,
        RevisionTaskRow,
        [{"namespace": namespace, "group_id": group_id, "content_hash": task} for group_id, task in sorted(shown)],
    )
    for some in _chunks({group_id for group_id, _ in found}):
        statement = select(RevisionRow.group_id, RevisionRow.candidate).where(
            RevisionRow.namespace == namespace, col(RevisionRow.group_id).in_(some)
        )
        for key in session.exec(statement).all():
            found.pop(key, None)
    kept = _texts_that_are_kept(session, namespace, [one for _, one in found.values() if one.generation == 0])
    new: list[dict[str, Any]] = []
    count = 0
    for episode, one in found.values():
        if one.generation == 0:
            if one.skill in kept:
                continue
            kept.add(one.skill)
        count += one.generation > 0
        new.append(_revision_values(namespace, episode, one))
        if one.later and one.skill:
            session.add(_noted(namespace, episode, one))
    insert_all_if_absent(session, RevisionRow, new)
    return count


def _noted(namespace: str, episode: Episode, one: EpisodeRevision) -> EventRow:
    """Returns the event with what an imported text earned on siblings, where `later_of` looks for it."""
    skill_id, version = split_ref(one.skill or "")
    return EventRow(
        namespace=namespace,
        skill_id=skill_id,
        version=version,
        kind=TRIED,
        by=f"evolve {episode.run_id.rpartition(':')[0]}",
        reason="imported",
        evidence=as_evidence(episode.task.content_hash, one.later),
    )


def _texts_that_are_kept(session: Session, namespace: str, starts: Sequence[EpisodeRevision]) -> set[str | None]:
    """Returns the starting skills whose text the store has, as a version or as a revision."""
    kept: set[str | None] = set()
    for some in _chunks({split_ref(one.skill)[0] for one in starts if one.skill}):
        versions = select(SkillVersionRow.namespace, SkillVersionRow.skill_id, SkillVersionRow.number)
        # Without its namespace in the question, which SQLite would go through as a whole.
        revisions = select(RevisionRow.namespace, RevisionRow.skill_id, RevisionRow.version)
        for found in (
            session.exec(versions.where(col(SkillVersionRow.skill_id).in_(some))).all(),
            session.exec(revisions.where(col(RevisionRow.skill_id).in_(some))).all(),
        ):
            kept.update(f"{skill_id}@{number}" for space, skill_id, number in found if space == namespace)
    return kept


def _revision_values(namespace: str, episode: Episode, one: EpisodeRevision) -> dict[str, Any]:
    revision = one.revision
    parent_id, parent_version = split_ref(one.parent) if one.parent else (None, None)
    skill_id, version = split_ref(one.skill) if one.skill else (None, None)
    return {
        # Ids are of the whole database, and the same file may be imported into two namespaces of it.
        "id": made_id("rev", namespace, one.group_id, one.candidate),
        "namespace": namespace,
        "task_id": episode.task.id,
        "run_id": episode.run_id,
        "group_id": one.group_id,
        "candidate": one.candidate,
        "generation": one.generation,
        "parent_skill_id": parent_id,
        "parent_version": parent_version,
        "skill_id": skill_id,
        "version": version,
        "prompt": [dict(message) for message in revision.prompt],
        "completion": revision.completion,
        "error": revision.error,
        "prompt_token_ids": revision.prompt_token_ids,
        "completion_token_ids": revision.completion_token_ids,
        "logprobs": revision.logprobs,
        "sampling": dict(revision.sampling),
        "model": revision.model,
        "checkpoint_id": revision.checkpoint,
        "input_tokens": revision.input_tokens,
        "output_tokens": revision.output_tokens,
        "source": revision.source,
        "created_at": one.created_at or utc_now(),
    }


def _chunks(values: Iterable[str]) -> Iterable[list[str]]:
    rest = iter(values)
    while some := list(islice(rest, _ASKED)):
        yield some
