"""`trials`: a task tried again and again with a memory of reflections, such as Reflexion's.

A row: `{"run": ..., "trial": 0, "env": "env_2", "memory": ["In this environment, ..."], "success": false}`; also Reflexion's own
`name` and `is_success`, with the trial in the file's name (`env_results_trial_0.json`).

The trials of one (run, env) are one lineage: trial t is generation t. A trial's memory holds what was written up to its end,
so the reflection that it adds is the revision of generation t + 1. It is not a SKILL.md, and says so in `error`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from skill_plugin.errors import InvalidHistoryError
from skill_plugin.histories import fields
from skill_plugin.histories.records import Episode, EpisodeRevision, EpisodeRollout, Refusal, Row, made_id
from skill_plugin.records import Revision, Rollout

REFLECTION = "a reflection of another system, not a SKILL.md"
NO_TRIAL = "no number of the trial"
SOLVED_BEFORE = "solved in an earlier trial, not tried again"
SHRUNK = "the memory is not the earlier one with more added"

MAX_TRIAL = 10_000

_TRIAL = re.compile(r"trial_?(\d+)")


class ReflectionTrials:
    """Reads trials. Remembers each lineage's number of reflections and whether it was solved: a few bytes a lineage."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, bool]] = {}

    @staticmethod
    def claims(value: Mapping[str, Any]) -> bool:
        if "messages" in value or "steps" in value or "traj" in value:
            return False
        return fields.first(value, "env", "name", "task_id") is not None and (
            isinstance(value.get("memory"), list) or ("trial" in value and "attempts" not in value)
        )

    def read(self, row: Row) -> Iterator[Episode | Refusal]:
        value = row.value
        in_name = _TRIAL.search(row.stem)
        trial = value.get("trial", int(in_name[1]) if in_name else None)
        if not isinstance(trial, int) or isinstance(trial, bool) or not 0 <= trial <= MAX_TRIAL:
            raise InvalidHistoryError(NO_TRIAL)
        env = fields.name_of(fields.first(value, "env", "name", "task_id"))
        if env is None:
            raise InvalidHistoryError(fields.NO_TASK)
        named = replace(row, stem=row.folder) if in_name else row  # a file a trial: the folder is the run
        place = row.family or named.stem
        # A task that is known by its number alone needs more, or those of all files would be one.
        task = fields.task_of(named, fields.first(value, *fields.TASK_KEYS) or f"{place}: {env}")
        memory = value.get("memory") or []
        if not isinstance(memory, list):
            raise InvalidHistoryError("the memory is not a list")
        reward = fields.reward_of(value)
        run = fields.run_of(named)
        run_id = made_id("imp", "trials", run, task.id, env)
        before, solved = self._seen.get(run_id, (0, False))
        notes = [SOLVED_BEFORE] if solved and reward >= 1 else []
        notes += [SHRUNK] if len(memory) < before else []
        self._seen[run_id] = (len(memory), reward >= 1)
        answer = fields.first(value, "transcript", "trajectory", "history", *fields.ANSWER_KEYS)
        rollout = Rollout(
            generation=trial,
            answer="" if answer is None else fields.text_of(answer),
            reward=reward,
            passed=reward >= 1,
            feedback=fields.text_of(value.get("feedback") or ""),
            model=fields.name_of(value.get("model")),
            source=run,
        )
        written = [
            EpisodeRevision(
                revision=Revision(completion=fields.text_of(text), error=REFLECTION, source=run),
                generation=trial + 1,
                group_id=f"{run_id}/{trial + 1}",
                candidate=number,
            )
            for number, text in enumerate(memory[before:])
        ]
        yield Episode(
            task=task,
            run=run,
            run_id=run_id,
            where=row.where,
            rollouts=(EpisodeRollout(rollout=rollout),),
            revisions=tuple(written),
            notes=tuple(notes),
        )
