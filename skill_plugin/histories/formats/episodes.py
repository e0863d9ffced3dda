"""`episodes`: one task, the steps taken on it, and a reward for the whole, such as InterCode's, ReAct's and ADaPT's.

A row: `{"task_id": ..., "query": ..., "steps": [{"action": ..., "observation": ..., "reward": 0.0}, ...], "reward": 1.0}`. Also
InterCode's own `turn_history` and `summary`, and ADaPT's `problem`, `commands`, `plans` and `trace`, whose steps are text.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from skill_plugin.histories import fields
from skill_plugin.histories.records import Episode, EpisodeRollout, Refusal, Row, made_id
from skill_plugin.records import Rollout

NOT_THE_LAST = "the episode's reward is not its last step's"


class Episodes:
    """Reads episodes. The reward is the stated one, which may be the best step's; the answer is all steps."""

    @staticmethod
    def claims(value: Mapping[str, Any]) -> bool:
        return any(isinstance(value.get(key), list) for key in ("steps", "plans")) or isinstance(
            value.get("turn_history"), Mapping
        )

    def read(self, row: Row) -> Iterator[Episode | Refusal]:
        asked = fields.first(row.value, *fields.TASK_KEYS)
        if asked is not None and isinstance(
            row.value.get("commands"), str
        ):  # data that the agent was given with the problem
            asked = f"{fields.text_of(asked)}\n\n{row.value['commands'].strip()}"
        task = fields.task_of(row, asked)
        answer, rewards = _steps(row.value)
        summary = row.value.get("summary")
        stated = row.value if fields.first(row.value, *fields.REWARD_KEYS) is not None else {}
        if not stated and isinstance(summary, Mapping):
            stated = {"reward": summary.get("max_reward")}
        reward, run = fields.reward_in(row, stated), fields.run_of(row)
        if not answer:
            yield Refusal(reason=fields.NO_STEP, where=row.where, run=run, reward=reward)
            return
        rollout = Rollout(
            generation=0,
            answer=answer,
            reward=reward,
            passed=fields.passed_of(row.value, reward),
            feedback=fields.text_of(row.value.get("feedback") or ""),
            model=fields.name_of(row.value.get("model")),
            source=run,
        )
        differs = reward is not None and bool(rewards) and rewards[-1] != reward
        yield Episode(
            task=task,
            run=run,
            run_id=made_id("imp", "episodes", run, task.id, fields.text_of(row.value.get("trial")), answer, reward),
            where=row.where,
            rollouts=(EpisodeRollout(rollout=rollout),),
            notes=(NOT_THE_LAST,) if differs else (),
        )


def _steps(value: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Returns the transcript, and the steps' rewards if they have some."""
    steps, turns = value.get("steps"), value.get("turn_history")
    if isinstance(steps, list):
        known = [step if isinstance(step, Mapping) else {"action": step} for step in steps]
        rewards = [step["reward"] for step in known if step.get("reward") is not None]
        return fields.steps_text((step.get("action"), step.get("observation")) for step in known), rewards
    if isinstance(turns, Mapping):
        columns = [turns.get(key) for key in ("actions", "observations", "rewards")]
        actions, observations, rewards = (column if isinstance(column, list) else [] for column in columns)
        missing = [None] * max(0, len(actions) - len(observations))
        return fields.steps_text(zip(actions, [*observations, *missing], strict=False)), rewards
    plans = "\n".join(fields.text_of(plan) for plan in value.get("plans") or [])
    trace = fields.text_of(value.get("trace") or "").strip()
    return "\n\n".join(part for part in (plans, trace) if part), []
