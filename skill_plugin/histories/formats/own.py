"""`skill-plugin`: the format that `histories export` writes, as JSON lines or Parquet; `columns` describes a row."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import NoneType
from typing import Any, get_args

from skill_plugin.errors import InvalidHistoryError
from skill_plugin.histories import columns, fields
from skill_plugin.histories.records import Episode, EpisodeRevision, EpisodeRollout, Refusal, Row
from skill_plugin.histories.worth import Later
from skill_plugin.records import Purpose, Revision, Rollout, Task, split_ref

NOT_OURS = "not a row that histories export wrote"
START = "the starting skill of an imported lineage"
"""The name of a revision of generation 0: nobody's revision, but the text that the others began from."""

_ROW = {**dict.fromkeys(columns.TEXTS, "text"), **dict.fromkeys(columns.WHOLE, "int")}
_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "time": (str, datetime), "json": (Mapping,)
}  # fmt: skip
_GATE = re.compile("ev_[^:]*:gate:")
"""The beginning of the run id of a gate's rollout, which is all that the first format says of its purpose."""

_TASK = ("family", "reference", "verifier", "split", "chain", "position")
_MAY_RAISE = (KeyError, TypeError, ValueError)  # our own errors are ValueErrors too
_KEPT = tuple(key for key in columns.ROLLOUT if key in Rollout.__dataclass_fields__)


class Own:
    """Reads the rows back without loss; a row of our own store gets the file's name as its source."""

    @staticmethod
    def claims(value: Mapping[str, Any]) -> bool:
        return value.get("format") in columns.FORMATS

    def read(self, row: Row) -> Iterator[Episode | Refusal]:
        rollouts = row.value.get("rollouts")
        try:
            value = _checked({**_older(row.value), **row.value, **_unfolded(row)}, _ROW)
            generation = _number(value["generation"])
            task = Task(value["input"], **{key: value[key] for key in _TASK})
            if not isinstance(rollouts, list) or value["run_id"] is None:
                raise InvalidHistoryError(NOT_OURS)
            written = _revision(value, generation, row.stem) if value["kind"] == "revision" else _start(value, row.stem)
        except _MAY_RAISE:
            yield Refusal(reason=NOT_OURS, where=row.where, rollouts=len(rollouts) if isinstance(rollouts, list) else 1)
            return
        attempts = []
        for number, one in enumerate(rollouts):
            try:
                attempts.append(_attempt(_unfolded_rollout(one, row), generation, row.stem))
            except _MAY_RAISE as exc:
                reason = str(exc) if isinstance(exc, InvalidHistoryError) else NOT_OURS
                yield Refusal(reason=reason, where=f"{row.where}, rollout {number}")
        yield Episode(
            task=task,
            run=value["source"] or row.stem,
            run_id=value["run_id"],
            where=row.where,
            rollouts=tuple(attempts),
            revisions=tuple(written),
        )


def _unfolded(row: Row) -> dict[str, Any]:
    """Returns the columns that are JSON texts in Parquet, as JSON."""
    if not row.is_parquet:
        return {}
    return {key: json.loads(row.value[key]) if row.value[key] is not None else None for key in columns.AS_JSON}


def _older(value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the columns that a row of the first format does not have."""
    return {"chain": None, "position": None, "prompt_tasks": None} if value.get("format") == columns.FIRST else {}


def _unfolded_rollout(one: Mapping[str, Any], row: Row) -> Mapping[str, Any]:
    """Returns a rollout with its `also` as JSON; one of the first format with the purpose that its run id says."""
    one = {"seen": None, "tools": None, **one}  # earlier releases did not know
    if row.value.get("format") == columns.FIRST:
        return {**one, "also": {}, "purpose": "gate" if _GATE.match(row.value["run_id"]) else "run"}
    return {**one, "also": json.loads(one["also"])} if row.is_parquet and one["also"] is not None else one


def _checked(value: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Returns the columns that are read, if each is of its kind."""
    for name, kind in kinds.items():
        if not isinstance(value[name], (*_KINDS[kind], NoneType)) or isinstance(value[name], bool) != (
            kind == "bool" and value[name] is not None
        ):
            raise InvalidHistoryError(NOT_OURS)
    return dict(value)


def _revision(value: Mapping[str, Any], generation: int, stem: str) -> list[EpisodeRevision]:
    if generation < 1 or value["group_id"] is None or value["completion"] is None:
        raise InvalidHistoryError(NOT_OURS)
    revision = Revision(
        completion=value["completion"],
        prompt=tuple(dict(message) for message in value["prompt"] or ()),
        text=value["text"],
        error=value["error"],
        model=value["model"],
        sampling=dict(value["sampling"] or {}),
        prompt_token_ids=_tuple(value["prompt_token_ids"], int),
        completion_token_ids=_tuple(value["completion_token_ids"], int),
        logprobs=_tuple(value["logprobs"], float),
        checkpoint=value["checkpoint"],
        input_tokens=fields.whole(value["input_tokens"]),
        output_tokens=fields.whole(value["output_tokens"]),
        source=value["source"] or stem,
    )
    return [
        EpisodeRevision(
            revision=revision,
            generation=generation,
            group_id=value["group_id"],
            candidate=_number(value["candidate"]),
            parent=_ref(value["parent"]),
            skill=_ref(value["skill"]),
            prompt_tasks=_tuple(value["prompt_tasks"], str) or (),
            later=tuple(map(_later, value.get("later") or ())),
            created_at=fields.moment(value["created_at"]),
        )
    ]


def _later(value: Any) -> Later:
    checked = _checked(value, {"task": "text", "used": "float"})
    rewards = {key: _tuple(checked[key], float) or () for key in ("rewards", "before", "none")}
    if checked["task"] is None or not all(0 <= one <= 1 for found in rewards.values() for one in found):
        raise InvalidHistoryError(NOT_OURS)
    return Later(task=checked["task"], used=checked["used"], **rewards)


def _start(value: Mapping[str, Any], stem: str) -> list[EpisodeRevision]:
    """Returns the text of a skill that no revision of the file has, so that it is not lost."""
    skill, text = _ref(value["skill"]), value["text"]
    if skill is None or not isinstance(text, str):
        return []
    revision = Revision(completion=text, text=text, error=START, source=value["source"] or stem)
    group_id = f"{value['run_id']}/start/{skill}"
    return [EpisodeRevision(revision=revision, generation=0, group_id=group_id, skill=skill)]


def _attempt(value: Any, generation: int, stem: str) -> EpisodeRollout:
    checked = _checked(value, columns.ROLLOUT)
    kept = {key: checked[key] for key in _KEPT}
    if kept["reward"] is not None:
        kept["reward"] = fields.reward_of({"reward": kept["reward"]})
    if kept["arm"] not in ("skill", "control") or kept["answer"] is None or kept["feedback"] is None:
        raise InvalidHistoryError(NOT_OURS)
    if kept["purpose"] not in get_args(Purpose):
        raise InvalidHistoryError(NOT_OURS)
    kept |= {"k": _number(kept["k"]), "skill": _ref(kept["skill"]), "withheld": _ref(kept["withheld"])}
    kept["also"] = {_ref(ref): _share(share) for ref, share in (kept["also"] or {}).items()}
    kept["tools"] = tuple((kept["tools"] or "").split())
    rollout = Rollout(generation=generation, **(kept | {"source": kept["source"] or stem}))
    return EpisodeRollout(
        rollout=rollout,
        thread_id=value["thread_id"],
        chosen=bool(value["chosen"]),
        created_at=fields.moment(value["created_at"]),
    )


def _ref(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or split_ref(value)[1] is None):
        raise InvalidHistoryError(NOT_OURS)
    return value


def _share(value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1):
        raise InvalidHistoryError(NOT_OURS)
    return value


def _number(value: Any) -> int:
    number = fields.whole(value)
    if number is None:
        raise InvalidHistoryError(NOT_OURS)
    return number


def _tuple(values: Any, kind: type) -> Any:
    return None if values is None else tuple(kind(value) for value in values)
