"""Lineages as the rows of an export; `skill_plugin.histories.columns` says what is in one."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import tuple_
from sqlmodel import Session, col, select

from skill_plugin.errors import InvalidSkillError
from skill_plugin.generators.prompt import read_revision
from skill_plugin.histories import columns
from skill_plugin.histories.worth import Later, last_tried
from skill_plugin.skills import skill_md
from skill_plugin.store.histories.later import later_of, prompt_tasks
from skill_plugin.store.histories.lineages import LineageRows
from skill_plugin.store.skills.versions import HELD, WENT_LIVE
from skill_plugin.store.tables import EventRow, RevisionRow, SharedUseRow, SkillRow, SkillVersionRow

Ref = tuple[str, int]

_ASKED = 400
"""Keys that one statement asks for."""


class Text(NamedTuple):
    """A skill version's name and SKILL.md text."""

    name: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class _PageContext:
    """The context of a page's rows: their texts, and by their keys all else that is known."""

    texts: Mapping[Ref, Text]
    base_models: Mapping[str, str]
    later: Mapping[tuple[str, int], Sequence[Later]]
    prompt_tasks: Mapping[str, Sequence[str]]
    also: Mapping[tuple[str, int, int], Mapping[str, float | None]]
    went_live: Collection[Ref]


def export_rows(
    session: Session, namespace: str, page: Sequence[LineageRows], base_models: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yields the rows of some lineages."""
    beside = _PageContext(
        texts=_texts(session, namespace, page),
        base_models=base_models,
        later=later_of(session, namespace, page),
        prompt_tasks=prompt_tasks(session, namespace, page),
        also=_also(session, namespace, page),
        went_live=_went_live(session, namespace, page),
    )
    for lineage in page:
        yield from _of(lineage, beside)


def _of(lineage: LineageRows, beside: _PageContext) -> Iterator[dict[str, Any]]:
    under: defaultdict[tuple[int, str, Ref | None], list[Any]] = defaultdict(list)
    tried: defaultdict[Ref | None, dict[int, list[Any]]] = defaultdict(dict)
    population: defaultdict[int, list[float]] = defaultdict(list)
    for rollout in lineage.rollouts:
        under[rollout.generation, rollout.arm, _skill(rollout)].append(rollout)
        if rollout.arm == "skill":
            tried[_skill(rollout)].setdefault(rollout.generation, []).append(rollout)
        if rollout.purpose == "run" and rollout.arm == "skill" and rollout.reward is not None:
            population[rollout.generation].append(rollout.reward)
    written = set()
    for revision in lineage.revisions:
        skill = _skill(revision)
        key = (revision.generation, "skill", skill)
        own = last_tried(tried[skill], revision.generation) if skill is not None else []
        parent = (revision.parent_skill_id, revision.parent_version) if revision.parent_skill_id else None
        yield {
            **_common(lineage, revision.generation, own, population),
            # Two candidates with one text share its rollouts, written once; a text that is not a skill has none.
            "rollouts": [] if skill is None or key in written else [_rollout(one, beside) for one in under[key]],
            "kind": "revision",
            "group_id": revision.group_id,
            "candidate": revision.candidate,
            **_named("parent", parent, beside.texts),
            **_named("", skill, beside.texts),
            "prompt": revision.prompt,
            "completion": revision.completion,
            "prompt_token_ids": revision.prompt_token_ids,
            "completion_token_ids": revision.completion_token_ids,
            "logprobs": revision.logprobs,
            "sampling": revision.sampling,
            "model": revision.model,
            "checkpoint": revision.checkpoint_id,
            "base_model": beside.base_models.get(revision.checkpoint_id, revision.model),
            "error": revision.error,
            "went_live": skill in beside.went_live if skill is not None else None,
            "prompt_tasks": list(beside.prompt_tasks.get(revision.group_id, ())),
            "later": [_later(one) for one in beside.later.get((revision.group_id, revision.candidate), ())],
            "input_tokens": revision.input_tokens,
            "output_tokens": revision.output_tokens,
            "source": revision.source,
            "created_at": revision.created_at,
        }
        if skill is not None:
            written.add(key)
    for key, own in sorted(under.items(), key=lambda item: (item[0][0], item[1][0].k if item[1] else 0)):
        if own and key not in written:
            yield {
                **_empty(),
                **_common(lineage, key[0], own, population),
                "rollouts": [_rollout(one, beside) for one in own],
                "kind": "rollouts",
                **_named("", key[2], beside.texts),
                "source": own[0].source,
                "created_at": own[0].created_at,
            }


def _empty() -> dict[str, Any]:
    names = (*columns.TEXTS, *columns.WHOLE, *columns.LISTS, *columns.AS_JSON, *columns.FLAGS)
    return dict.fromkeys(names)


def _common(
    lineage: LineageRows, generation: int, own: Sequence[Any], population: Mapping[int, Sequence[float]]
) -> dict[str, Any]:
    judged = [one for one in own if one.reward is not None]
    task = lineage.task
    return {
        "format": columns.FORMAT,
        "task_id": task.id,
        "content_hash": task.content_hash,
        "family": task.family,
        "split": task.split,
        "input": task.input,
        "reference": task.reference,
        "verifier": task.verifier,
        "chain": task.chain,
        "position": task.position,
        "run_id": lineage.run_id,
        "generation": generation,
        "rewards": [one.reward for one in judged],
        "feedbacks": [one.feedback for one in judged],
        "previous_rewards": list(population.get(generation - 1, [])),
    }


def _named(prefix: str, skill: Ref | None, texts: Mapping[Ref, Text]) -> dict[str, Any]:
    known = texts.get(skill, Text()) if skill is not None else Text()
    names = ("parent", "parent_name", "parent_text") if prefix else ("skill", "name", "text")
    ref = f"{skill[0]}@{skill[1]}" if skill is not None else None
    return dict(zip(names, (ref, known.name, known.text), strict=True))


def _later(one: Later) -> dict[str, Any]:
    return {**one._asdict(), "rewards": [*one.rewards], "before": [*one.before], "none": [*one.none]}


def _rollout(row: Any, beside: _PageContext) -> dict[str, Any]:
    withheld = f"{row.withheld_skill_id}@{row.withheld_version}" if row.withheld_skill_id else None
    skill = f"{row.skill_id}@{row.version}" if row.skill_id else None
    return {name: getattr(row, name) for name in columns.ROLLOUT if name not in ("skill", "withheld", "also")} | {
        "skill": skill,
        "withheld": withheld,
        "also": beside.also.get((row.run_id, row.generation, row.k), {}),
    }


def _skill(row: Any) -> Ref | None:
    return (row.skill_id, row.version) if row.skill_id else None


def _went_live(session: Session, namespace: str, page: Sequence[LineageRows]) -> set[Ref]:
    """Returns the page's revised versions that the gate or a person made live, and that nobody took back."""
    wanted = {ref for lineage in page for row in lineage.revisions if (ref := _skill(row)) is not None}
    found: set[Ref] = set()
    for some in _chunks(wanted):
        decided = (
            select(EventRow.skill_id, EventRow.version, EventRow.kind)
            .join(SkillRow, col(SkillRow.id) == col(EventRow.skill_id))
            .where(EventRow.namespace == namespace, SkillRow.status != "quarantined")
            .where(*_among(col(EventRow.skill_id), col(EventRow.version), some))
            .where(col(EventRow.kind).in_([*WENT_LIVE, HELD]))
            .order_by(col(EventRow.id))
        )
        for skill_id, version, kind in session.connection().execute(decided):
            (found.discard if kind == HELD else found.add)((skill_id, version))
    return found


def _also(
    session: Session, namespace: str, page: Sequence[LineageRows]
) -> dict[tuple[str, int, int], dict[str, float | None]]:
    """Returns the further skills that the prompts of the page's rollouts showed, by run, generation and k."""
    found: defaultdict[tuple[str, int, int], dict[str, float | None]] = defaultdict(dict)
    uses = select(SharedUseRow).where(SharedUseRow.namespace == namespace)
    if session.exec(uses.limit(1)).first() is None:
        return found
    run_ids = sorted({lineage.run_id for lineage in page})
    for at in range(0, len(run_ids), _ASKED):
        here = uses.where(col(SharedUseRow.run_id).in_(run_ids[at : at + _ASKED])).order_by(col(SharedUseRow.skill_id))
        for row in session.exec(here):
            found[row.run_id, row.generation, row.k][f"{row.skill_id}@{row.version}"] = row.adherence
    return found


def _texts(session: Session, namespace: str, page: Sequence[LineageRows]) -> dict[Ref, Text]:
    """Returns the texts of all skill versions that a page names: from the library, else from the imported revision."""
    wanted = {
        ref for lineage in page for row in (*lineage.revisions, *lineage.rollouts) if (ref := _skill(row)) is not None
    }
    wanted |= {
        (row.parent_skill_id, row.parent_version)
        for lineage in page
        for row in lineage.revisions
        if row.parent_skill_id
    }
    found: dict[Ref, Text] = {}
    for some in _chunks(wanted):
        versions = (
            select(SkillVersionRow.skill_id, SkillVersionRow.number, SkillRow.name, SkillVersionRow.text)
            .join(SkillRow, col(SkillRow.id) == col(SkillVersionRow.skill_id))
            .where(SkillVersionRow.namespace == namespace)
            .where(*_among(col(SkillVersionRow.skill_id), col(SkillVersionRow.number), some))
        )
        found |= {(skill_id, number): Text(name, text) for skill_id, number, name, text in session.exec(versions)}
    for some in _chunks(wanted - found.keys()):
        wanted_columns = (RevisionRow.namespace, RevisionRow.skill_id, RevisionRow.version, RevisionRow.completion)
        # SQLite would go through the whole namespace if it were asked for.
        revisions = select(*map(col, wanted_columns)).where(
            *_among(col(RevisionRow.skill_id), col(RevisionRow.version), some)
        )
        for row in session.connection().execute(revisions):
            if row.namespace == namespace:
                found[row.skill_id, row.version] = _written(row.completion)
    return found


def _among(skill_id: Any, number: Any, refs: Sequence[Ref]) -> tuple[Any, Any]:
    """Returns conditions for rows of these versions: two, because SQLite uses no index for a list of pairs."""
    return skill_id.in_(sorted({one for one, _ in refs})), tuple_(skill_id, number).in_(refs)


def _chunks(wanted: set[Ref]) -> Iterator[list[Ref]]:
    ordered = sorted(wanted)
    for at in range(0, len(ordered), _ASKED):
        yield ordered[at : at + _ASKED]


def _written(completion: str) -> Text:
    try:
        text = read_revision(completion, current=None)
        return Text(skill_md.parse(text).name, text)
    except InvalidSkillError:
        return Text(None, completion)
