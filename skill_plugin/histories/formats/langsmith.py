"""`langsmith`: runs as LangSmith exports them (`client.list_runs`, the CLI, bulk export to Parquet).

A row: `{"id": ..., "name": ..., "run_type": "chain", "inputs": {...}, "outputs": {...}, "error": null, "parent_run_id": null,
"feedback_stats": {"correctness": {"n": 1, "avg": 1.0}}, "extra": {"metadata": {...}}, ...}`, or with a list `feedback` of
`{"key": ..., "score": ..., "comment": ...}`. Only root runs are episodes. A run of ours is known by its metadata.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from skill_plugin.errors import InvalidHistoryError
from skill_plugin.histories import fields
from skill_plugin.histories.records import Episode, EpisodeRollout, Note, Refusal, Row, made_id
from skill_plugin.records import Rollout, split_ref

CHILD = "a run inside another run"
NO_ID = "no id of the run"


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
        inputs, outputs = fields.object_of(run.get("inputs")), fields.object_of(run.get("outputs"))
        extra = fields.object_of(run.get("extra"))
        metadata = fields.object_of(extra.get("metadata") or fields.first(run, "metadata", "custom_metadata"))
        used = fields.object_of(run.get("token_usage")) or run
        ours = fields.name_of(metadata.get("skill_plugin_run_id"))
        skill = metadata.get("skill_plugin_skill")
        reward, feedback, notes = _judged(run)
        source = fields.name_of(fields.first(run, "session_name", "project_name")) or row.stem
        start, end = fields.moment(run.get("start_time")), fields.moment(run.get("end_time"))
        rollout = Rollout(
            generation=0,
            k=self._ours[ours] if ours else 0,
            answer=fields.answered(outputs),
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
            task=fields.task_of(row, fields.asked(inputs)),
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


def _judged(run: Mapping[str, Any]) -> tuple[float | None, str, list[str]]:
    """Returns the reward, the comments and the notes."""
    scores: dict[str, list[Any]] = {}
    comments: list[str] = []
    given, stats = run.get("feedback"), fields.object_of(run.get("feedback_stats"))
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
    reward, notes = fields.reward_among(scores)
    return reward, "\n".join(comments), notes


def _model(extra: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    called = fields.object_of(extra.get("invocation_params"))
    return fields.name_of(fields.first(metadata, "ls_model_name", "model", "model_name")) or fields.name_of(
        fields.first(called, "model", "model_name")
    )


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return max(0.0, (end - start).total_seconds()) if start and end else None
