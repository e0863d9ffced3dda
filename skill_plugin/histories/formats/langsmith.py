"""`langsmith`: runs as LangSmith exports them (`client.list_runs`, the CLI, bulk export to Parquet).

A row: `{"id": ..., "name": ..., "run_type": "chain", "inputs": {...}, "outputs": {...}, "error": null, "parent_run_id": null,
"feedback_stats": {"correctness": {"n": 1, "avg": 1.0}}, "extra": {"metadata": {...}}, ...}`, or with a list `feedback` of
`{"key": ..., "score": ..., "comment": ...}`. Only root runs are episodes. A run of ours is known by its metadata.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from statistics import fmean
from typing import Any

from skill_plugin.errors import InvalidHistoryError
from skill_plugin.histories import fields
from skill_plugin.histories.records import Episode, EpisodeRollout, Note, Refusal, Row, made_id
from skill_plugin.records import Rollout, split_ref

CHILD = "a run inside another run"
NO_SCORE = "no score, imported without a reward"
SEVERAL = "several scores and none named reward or correctness, imported without a reward"
NO_ID = "no id of the run"

PREFERRED = ("reward", "correctness", "score")


class LangSmith:
    """Reads root runs. The reward is the score named reward, correctness or score, else the only one there is.

    Remembers how many rows it saw of each run of ours: one run may execute several times.
    """

    def __init__(self) -> None:
        self._ours: Counter[str] = Counter()

    @staticmethod
    def claims(value: Mapping[str, Any]) -> bool:
        return "run_type" in value and "inputs" in value

    def read(self, row: Row) -> Iterator[Episode | Refusal | Note]:
        run = row.value
        if run.get("parent_run_id") or run.get("parent_run_ids") or run.get("is_root") is False:
            yield Note(what=CHILD, where=row.where)
            return
        run_id = fields.name_of(fields.first(run, "id", "run_id"))
        if run_id is None:
            raise InvalidHistoryError(NO_ID)
        inputs, outputs = _object(run.get("inputs")), _object(run.get("outputs"))
        extra = _object(run.get("extra"))
        metadata = _object(extra.get("metadata") or fields.first(run, "metadata", "custom_metadata"))
        used = _object(run.get("token_usage")) or run
        ours = fields.name_of(metadata.get("skill_plugin_run_id"))
        skill = metadata.get("skill_plugin_skill")
        reward, feedback, notes = _judged(run)
        source = fields.name_of(fields.first(run, "session_name", "project_name")) or row.stem
        start, end = fields.moment(run.get("start_time")), fields.moment(run.get("end_time"))
        rollout = Rollout(
            generation=0,
            k=self._ours[ours] if ours else 0,
            answer=_answer(outputs),
            skill=skill if isinstance(skill, str) and split_ref(skill)[1] is not None else None,
            reward=reward,
            passed=None if reward is None else reward >= 1,
            feedback=feedback,
            error=fields.name_of(run.get("error")),
            model=_model(extra, metadata),
            input_tokens=fields.whole(used.get("prompt_tokens")),
            output_tokens=fields.whole(used.get("completion_tokens")),
            latency_s=_seconds(start, end),
            source=source,
        )
        if ours:
            self._ours[ours] += 1
        yield Episode(
            task=fields.task_of(row, _asked(inputs)),
            run=source,
            run_id=ours or made_id("imp", "langsmith", run_id),
            where=row.where,
            is_ours=ours is not None,
            rollouts=(
                EpisodeRollout(
                    rollout=rollout,
                    thread_id=fields.name_of(fields.first(metadata, "thread_id", "session_id")),
                    created_at=end or start,
                ),
            ),
            notes=tuple(notes),
        )


def _object(value: Any) -> Mapping[str, Any]:
    """Reads an object, or the JSON text of one, as bulk exports have it."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {"output": value}
    return value if isinstance(value, Mapping) else {} if value is None else {"output": value}


def _asked(inputs: Mapping[str, Any]) -> Any:
    """Returns the user's question: an input by a usual name, else the last thing the user said, else all of it."""
    messages = inputs.get("messages")
    if isinstance(messages, list) and len(messages) == 1 and isinstance(messages[0], list):  # a chat model's batch
        messages = messages[0]
    if fields.is_messages(messages) and (said := fields.said_by(messages, "user")):
        return said[-1]
    found = fields.first(inputs, *fields.TASK_KEYS)
    if found is None and len(inputs) == 1:
        found = next(iter(inputs.values()))
    return found if found is not None else (dict(inputs) or None)


def _answer(outputs: Mapping[str, Any]) -> str:
    messages = outputs.get("messages")
    if fields.is_messages(messages):
        return fields.messages_text(messages)
    found = fields.first(outputs, *fields.ANSWER_KEYS)
    if found is None and len(outputs) == 1:
        found = next(iter(outputs.values()))
    if isinstance(found, Mapping) and fields.is_messages([found]):
        return fields.messages_text([found])
    return fields.text_of(found if found is not None else dict(outputs)) if outputs else ""


def _judged(run: Mapping[str, Any]) -> tuple[float | None, str, list[str]]:
    """Returns the reward, the comments and the notes."""
    scores: dict[str, list[Any]] = {}
    comments: list[str] = []
    given, stats = run.get("feedback"), _object(run.get("feedback_stats"))
    if isinstance(given, list) and given:
        for one in given:
            if isinstance(one, Mapping) and isinstance(one.get("key"), str):
                if one.get("score") is not None:
                    scores.setdefault(one["key"], []).append(one["score"])
                said = [str(part) for part in (one.get("value"), one.get("comment")) if part not in (None, "")]
                comments += [": ".join([one["key"], *said])] if said else []
    else:
        for name, one in stats.items():
            if isinstance(one, Mapping) and one.get("avg") is not None:
                scores[name] = [one["avg"]]
                texts = one.get("comments")
                comments += [f"{name}: {text}" for text in texts if text] if isinstance(texts, list) else []
    key = next((name for name in PREFERRED if name in scores), next(iter(scores)) if len(scores) == 1 else None)
    feedback = "\n".join(comments)
    if key is None:
        return None, feedback, [SEVERAL if scores else NO_SCORE]
    return fmean(fields.reward_of({"reward": score}) for score in scores[key]), feedback, []


def _model(extra: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    called = _object(extra.get("invocation_params"))
    return fields.name_of(fields.first(metadata, "ls_model_name", "model", "model_name")) or fields.name_of(
        fields.first(called, "model", "model_name")
    )


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return max(0.0, (end - start).total_seconds()) if start and end else None
