"""`messages`: conversations in OpenAI's form with tool calls and one reward, such as tau-bench's.

A row: `{"messages": [{"role": "user", "content": ...}, ...], "reward": 1.0}`, with `instruction`, `task_id`, `trial`, `model`
where they are known. tau-bench's own `traj` and `info` are read too.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from skill_plugin.errors import InvalidHistoryError
from skill_plugin.histories import fields
from skill_plugin.histories.records import Episode, EpisodeRollout, Refusal, Row, made_id
from skill_plugin.records import Rollout


class Messages:
    """Reads conversations, which are the answers. The task is the row's instruction, else the user's first message."""

    @staticmethod
    def claims(value: Mapping[str, Any]) -> bool:
        return isinstance(fields.first(value, "messages", "traj"), list) and "run_type" not in value

    def read(self, row: Row) -> Iterator[Episode | Refusal]:
        messages = fields.first(row.value, "messages", "traj")
        if not fields.is_messages(messages):
            raise InvalidHistoryError("a message has no role")
        answer = fields.messages_text(messages)
        info = row.value.get("info")
        about = info.get("task") if isinstance(info, Mapping) else None
        asked = (
            fields.first(row.value, *fields.TASK_KEYS) or about or next(iter(fields.said_by(messages, "user")), None)
        )
        task = fields.task_of(row, asked)
        reward, run = fields.reward_in(row, row.value), fields.run_of(row)
        if not any(line.startswith("assistant") for line in answer.splitlines()):
            yield Refusal(reason=fields.NO_STEP, where=row.where, run=run, reward=reward)
            return
        usage = row.value.get("usage")
        used = usage if isinstance(usage, Mapping) else row.value
        trial = row.value.get("trial")
        rollout = Rollout(
            generation=0,
            answer=answer,
            reward=reward,
            passed=fields.passed_of(row.value, reward),
            feedback=fields.text_of(row.value.get("feedback") or ""),
            model=fields.name_of(row.value.get("model")),
            input_tokens=fields.whole(fields.first(used, "prompt_tokens", "input_tokens")),
            output_tokens=fields.whole(fields.first(used, "completion_tokens", "output_tokens")),
            source=run,
        )
        run_id = made_id("imp", "messages", run, task.id, fields.text_of(trial), answer, reward)
        yield Episode(task=task, run=run, run_id=run_id, where=row.where, rollouts=(EpisodeRollout(rollout=rollout),))
