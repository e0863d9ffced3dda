"""`attempts`: a question with the answers of one or more models and a reward for each, such as GSM8K's solution file.

A row: `{"query": ..., "target": ..., "attempts": [{"model": ..., "solution": ..., "reward": 1.0}, ...]}`; or with one answer of its
own, `{"query": ..., "output": ..., "reward": 0.0}`, as Dynamic Cheatsheet has them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from skill_plugin.errors import InvalidHistoryError
from skill_plugin.histories import fields
from skill_plugin.histories.records import Episode, EpisodeRollout, Refusal, Row, made_id
from skill_plugin.records import Rollout

NO_ANSWER = "no answer"
NO_ATTEMPT = "no attempt"
MEMORY = "a memory text beside the answer is not imported"


class Attempts:
    """Reads each attempt as an episode of its own; a malformed one does not cost the others."""

    @staticmethod
    def claims(value: Mapping[str, Any]) -> bool:
        if isinstance(value.get("attempts"), list) or _by_model(value):
            return True
        asked = fields.first(value, *fields.TASK_KEYS) is not None
        steps = any(
            key in value for key in ("steps", "messages", "traj", "run_type", "rollouts", "trial", "turn_history")
        )
        return asked and not steps and any(isinstance(value.get(key), str) for key in fields.ANSWER_KEYS)

    def read(self, row: Row) -> Iterator[Episode | Refusal]:
        task = fields.task_of(row)
        given = row.value.get("attempts")
        attempts: list[Any] = given if isinstance(given, list) else _by_model(row.value) or [dict(row.value)]
        if not attempts:
            raise InvalidHistoryError(NO_ATTEMPT)
        for number, attempt in enumerate(attempts):
            where = row.where if len(attempts) == 1 else f"{row.where}, attempt {number}"
            try:
                if not isinstance(attempt, Mapping):
                    raise InvalidHistoryError(NO_ANSWER)
                answer = fields.first(attempt, *fields.ANSWER_KEYS)
                if answer is None:
                    raise InvalidHistoryError(NO_ANSWER)
                reward = fields.reward_in(row, attempt)
            except InvalidHistoryError as exc:
                yield Refusal(reason=str(exc), where=where)
                continue
            run = fields.run_of(replace(row, value={**_names(row.value), **_names(attempt)}))
            rollout = Rollout(
                generation=0,
                answer=fields.text_of(answer),
                reward=reward,
                passed=fields.passed_of(attempt, reward),
                feedback=fields.text_of(attempt.get("feedback") or ""),
                model=fields.name_of(attempt.get("model")) or fields.name_of(row.value.get("model")),
                source=run,
            )
            yield Episode(
                task=task,
                run=run,
                run_id=made_id("imp", "attempts", run, task.id, number, rollout.answer, reward),
                where=where,
                rollouts=(EpisodeRollout(rollout=rollout),),
                notes=(MEMORY,) if row.value.get("cheatsheet_after") else (),
            )


def _names(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value[key] for key in ("run", "model") if value.get(key) is not None}


def _by_model(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Reads the first GSM8K file's `{"question": ..., "175b_verification": {"solution": ..., "is_correct": true}}`."""
    return [{"model": key, **one} for key, one in value.items() if isinstance(one, Mapping) and "solution" in one]
