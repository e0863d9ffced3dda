"""A revision's row, checked: a value of a wrong kind must not become a gradient."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from skill_plugin.errors import InvalidHistoryError
from skill_plugin.histories import columns
from skill_plugin.histories.eligibility import temperature_of
from skill_plugin.histories.worth import Later
from skill_plugin.records import CUT_OFF
from skill_plugin.training.data.export_file import check_format


class RecordedRevision(NamedTuple):
    """A revision as far as it decides about learning from it.

    `task` is the task's content hash, `malformed` says that it did not become a skill, `temperature` is that of
    `eligibility.temperature_of`, `previous` holds all rewards of the generation before, `later` the rewards on sibling
    tasks. `prompt` are the messages that it was written from and `completion` is its text, where the rows have them.
    """

    group_id: str
    task: str
    family: str
    split: str
    generation: int
    candidate: int
    skill: str | None
    malformed: bool
    prompt_token_ids: tuple[int, ...]
    completion_token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    temperature: float | None
    rewards: tuple[float, ...]
    previous: tuple[float, ...]
    later: tuple[Later, ...]
    checkpoint: str | None
    base_model: str | None
    imported: bool
    created_at: datetime
    prompt: tuple[Mapping[str, str], ...] = ()
    completion: str = ""
    went_live: bool = False
    cut_off: bool = False

    def is_of(self, base_model: str | None) -> bool:
        """Returns whether a base model wrote it, with its token ids; None is any that logs them."""
        return bool(self.completion_token_ids) and base_model in (None, self.base_model)


def revisions(rows: Iterable[Mapping[str, Any]]) -> Iterator[RecordedRevision]:
    """Yields the revisions among rows of histories.

    Raises:
        InvalidHistoryError: a row is not ours, or damaged.
    """
    for number, row in enumerate(rows, start=1):
        check_format(row, f"row {number} of the histories")
        try:
            revised = _revision(row) if row["kind"] == "revision" else None
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            why = f"there is no {exc}" if isinstance(exc, KeyError) else exc
            raise InvalidHistoryError(f"row {number} of the histories is damaged: {why}; export them again") from exc
        if revised is not None:
            yield revised


def _revision(row: Mapping[str, Any]) -> RecordedRevision:
    for name in ("group_id", "content_hash", "family", "split"):
        if not isinstance(row[name], str):
            raise TypeError(f"{name} is {row[name]!r}")
    created_at = row["created_at"]
    moment = created_at if isinstance(created_at, datetime) else datetime.fromisoformat(created_at)
    return RecordedRevision(
        group_id=row["group_id"],
        task=row["content_hash"],
        family=row["family"],
        split=row["split"],
        generation=_whole(row, "generation", 1),
        candidate=_whole(row, "candidate", 0),
        skill=row["skill"],
        malformed=row["skill"] is None or row["error"] is not None,
        prompt_token_ids=_ids(row, "prompt_token_ids"),
        completion_token_ids=_ids(row, "completion_token_ids"),
        logprobs=tuple(map(float, row["logprobs"] or ())),
        temperature=temperature_of(row["sampling"]),
        rewards=_rewards(row, "rewards"),
        previous=_rewards(row, "previous_rewards"),
        later=_later(row) if row["format"] == columns.FORMAT else (),
        checkpoint=row["checkpoint"],
        base_model=row["base_model"],
        imported=row["source"] is not None,
        created_at=moment if moment.tzinfo else moment.replace(tzinfo=UTC),
        prompt=tuple(row.get("prompt") or ()),
        completion=row.get("completion") or "",
        went_live=bool(row.get("went_live")),
        cut_off=isinstance(row["error"], str) and row["error"].startswith(CUT_OFF),
    )


def _later(row: Mapping[str, Any]) -> tuple[Later, ...]:
    found = tuple(
        Later(
            task=one["task"],
            rewards=_rewards(one, "rewards"),
            before=_rewards(one, "before"),
            none=_rewards(one, "none"),
            used=None if one["used"] is None else float(one["used"]),
        )
        for one in row["later"] or ()
    )
    tasks = [one.task for one in found]
    if not all(isinstance(task, str) for task in tasks) or len(set(tasks)) < len(tasks):
        raise ValueError("the tasks of later are not different texts")
    if not all(one.used is None or 0 <= one.used <= 1 for one in found):
        raise ValueError("used is not from 0 to 1")
    return found


def _whole(row: Mapping[str, Any], name: str, least: int) -> int:
    value = row[name]
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}")
    return value


def _ids(row: Mapping[str, Any], name: str) -> tuple[int, ...]:
    ids = tuple(row[name] or ())
    if ids and (set(map(type, ids)) != {int} or min(ids) < 0):
        raise ValueError(f"{name} are not token ids")
    return ids


def _rewards(row: Mapping[str, Any], name: str) -> tuple[float, ...]:
    rewards = tuple(map(float, row[name] or ()))
    if not all(0 <= reward <= 1 for reward in rewards):  # NaN is not either
        raise ValueError(f"{name} are not from 0 to 1")
    return rewards
