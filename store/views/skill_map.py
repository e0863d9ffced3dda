"""The library as a map: each live skill's vector in two dimensions, near copies, and failing tasks that find nothing.

The two dimensions are the first principal components of the skills' vectors (Pearson, 1901), so that near on the map is mostly near
in meaning; the cosines beside it are those of the whole vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlmodel import Session, col

from skill_plugin.store.partition import Part
from skill_plugin.store.search.ranking import SAME_SKILL
from skill_plugin.store.tables import EmbeddingRow, NamespaceRow, RolloutRow, SkillRow, TaskEmbeddingRow, TaskRow
from skill_plugin.store.vectors import sound
from skill_plugin.store.views.runs import newest_rollouts

MOST_COPIES = 50
LOOKED_BACK = 5000
"""Rollouts, the newest, in which failing tasks are looked for."""

MOST_GAPS = 100
_BLOCK = 500


class PlacedSkill(NamedTuple):
    """A live skill and its place, each coordinate in [-1, 1]."""

    id: str
    name: str
    utility: float | None
    uses: int
    x: float
    y: float


class NearCopy(NamedTuple):
    """Two skills that are nearly the same, with the cosine of their vectors."""

    one: str
    other: str
    cosine: float


class Gap(NamedTuple):
    """A task that failed and for which no skill was found; its place is None where it has no vector."""

    task_id: str
    family: str
    text: str
    run_id: str
    x: float | None
    y: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillMap:
    """The map of a library.

    Args:
        skills: Every live skill that has a vector, the most used first.
        copies: Pairs with a cosine of 0.95 or more, the nearest first.
        gaps: Failing tasks without a skill, the newest first.
        share: How much of the vectors' variance the two dimensions show, from 0 to 1.
    """

    skills: Sequence[PlacedSkill]
    copies: Sequence[NearCopy]
    gaps: Sequence[Gap]
    share: float


def skill_map(store: Part) -> SkillMap:
    """Places every live skill of a namespace."""
    namespace = store._namespace  # noqa: SLF001 - a store has as many names as one can keep in mind
    with store._partition.read() as session:  # noqa: SLF001
        space = session.get(NamespaceRow, namespace)
        signature = space.signature if space is not None else None
        rows = _vectors(session, namespace, signature or "")
        gaps = _gaps(session, namespace, signature or "")
    if not rows:
        return SkillMap(skills=(), copies=(), gaps=[Gap(*gap[:4], None, None) for gap in gaps], share=0.0)
    vectors = _matrix([row[4] for row in rows])
    middle, axes, share = _axes(vectors)
    places = (vectors - middle) @ axes
    scale = float(np.abs(places).max()) or 1.0
    placed = [PlacedSkill(*row[:4], float(x), float(y)) for row, (x, y) in zip(rows, places / scale, strict=True)]
    return SkillMap(
        skills=placed,
        copies=_copies([row[1] for row in rows], vectors),
        gaps=[_placed_gap(gap, middle, axes, scale, vectors.shape[1]) for gap in gaps],
        share=share,
    )


def families_of(store: Part, ids: Sequence[str]) -> dict[str, str]:
    """Returns the family of each skill's newest rollout, by the skill's id; of one that was never used none."""
    namespace = store._namespace  # noqa: SLF001
    found: dict[str, str] = {}
    with store._partition.read() as session:  # noqa: SLF001
        for begin in range(0, len(ids), _BLOCK):
            newest = (
                select(func.max(col(RolloutRow.id)))
                .where(col(RolloutRow.skill_id).in_(ids[begin : begin + _BLOCK]))
                .group_by(col(RolloutRow.skill_id))
            )
            statement = (
                select(col(RolloutRow.skill_id), col(TaskRow.family))
                .join(TaskRow, col(TaskRow.id) == col(RolloutRow.task_id))
                .where(col(RolloutRow.id).in_(newest), col(TaskRow.namespace) == namespace)
            )
            found.update((str(skill_id), family) for skill_id, family in session.connection().execute(statement))
    return found


def _vectors(session: Session, namespace: str, signature: str) -> list[tuple[str, str, float | None, int, bytes]]:
    statement = (
        select(
            col(SkillRow.id), col(SkillRow.name), col(SkillRow.utility), col(SkillRow.uses), col(EmbeddingRow.vector)
        )
        .join(
            EmbeddingRow,
            (col(EmbeddingRow.skill_id) == col(SkillRow.id)) & (col(EmbeddingRow.number) == col(SkillRow.live_version)),
        )
        .where(
            col(SkillRow.namespace) == namespace,
            col(SkillRow.status) == "live",
            col(EmbeddingRow.signature) == signature,
        )
        .order_by(col(SkillRow.uses).desc(), col(SkillRow.name))
    )
    rows = [(row[0], row[1], row[2], row[3], row[4]) for row in session.connection().execute(statement)]
    return sound(rows, 4, len(rows[0][4]) // 4) if rows else []


def _gaps(session: Session, namespace: str, signature: str) -> list[tuple[str, str, str, str, bytes | None]]:
    newest = (
        select(
            col(RolloutRow.id), col(RolloutRow.task_id), col(RolloutRow.run_id), col(RolloutRow.skill_id),
            col(RolloutRow.arm), col(RolloutRow.passed),
        )
        .where(col(RolloutRow.namespace) == namespace)
        .order_by(col(RolloutRow.id).desc())
        .limit(LOOKED_BACK)
    )  # fmt: skip
    if (recent := newest_rollouts(session, namespace)) is not None:
        newest = newest.where(col(RolloutRow.id) >= recent[-1])
    last: dict[str, str] = {}
    solved: set[str] = set()
    for _, task_id, run_id, skill_id, arm, passed in session.connection().execute(newest):
        if passed:
            solved.add(task_id)
        elif skill_id is None and arm == "skill" and passed is False and task_id not in solved:
            last.setdefault(task_id, run_id)
    wanted = list(last)[:MOST_GAPS]
    statement = (
        select(col(TaskRow.id), col(TaskRow.family), col(TaskRow.input), col(TaskEmbeddingRow.vector))
        .outerjoin(
            TaskEmbeddingRow,
            (col(TaskEmbeddingRow.namespace) == col(TaskRow.namespace))
            & (col(TaskEmbeddingRow.task_id) == col(TaskRow.id))
            & (col(TaskEmbeddingRow.signature) == signature),
        )
        .where(col(TaskRow.namespace) == namespace, col(TaskRow.id).in_(wanted))
    )
    found = {row[0]: row for row in session.connection().execute(statement)}
    return [(*found[one][:3], last[one], found[one][3]) for one in wanted if one in found]


def _matrix(blobs: Sequence[bytes]) -> NDArray[np.float32]:
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1)


def _axes(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Returns the mean, shape [D], the first two principal axes, shape [D, 2], and the share of the variance that they show."""
    middle = vectors.mean(axis=0)
    centred = (vectors - middle).astype(np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred)
    total = float(values.sum())
    two = axes[:, [-1, -2]]
    # The sign of an axis is chance; the same library is drawn the same way round.
    two = two * np.where(two[np.abs(two).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    return middle, two.astype(np.float32), float(values[-2:].sum() / total) if total > 0 else 1.0


def _copies(names: Sequence[str], vectors: NDArray[np.float32]) -> list[NearCopy]:
    found: list[NearCopy] = []
    for begin in range(0, len(names), _BLOCK):  # in blocks: all cosines of 5,000 skills are 100 MB
        cosines = vectors[begin : begin + _BLOCK] @ vectors.T
        for row, column in np.argwhere(cosines >= SAME_SKILL):
            if column > begin + row:
                found.append(NearCopy(names[begin + row], names[column], float(min(cosines[row, column], 1.0))))
    return sorted(found, key=lambda pair: -pair.cosine)[:MOST_COPIES]


def _placed_gap(
    gap: tuple[str, str, str, str, bytes | None],
    middle: NDArray[np.float32],
    axes: NDArray[np.float32],
    scale: float,
    dimension: int,
) -> Gap:
    task_id, family, text, run_id, blob = gap
    if blob is None or len(blob) != 4 * dimension:
        return Gap(task_id, family, text, run_id, None, None)
    x, y = np.clip((np.frombuffer(blob, dtype="<f4") - middle) @ axes / scale, -1.0, 1.0)
    return Gap(task_id, family, text, run_id, float(x), float(y))
