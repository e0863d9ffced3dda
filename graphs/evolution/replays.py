"""Rollouts of texts on tasks, each run once whoever asks: siblings, judges and what is live at the end share them."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from langchain_core.runnables import RunnableConfig

from skill_plugin.graphs.evolution.rollout import Trial
from skill_plugin.graphs.evolution.trials import Trials
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.records import Purpose, Rollout, Task
from skill_plugin.store import RecordedRollout

Key = tuple[str | None, str]
"""`skill_id@version` or no skill, and the task's id."""


class Replays:
    """A memory of one `evolve`'s rollouts by text and task. It belongs to one event loop.

    Args:
        trials: Runs rollouts.
        run_id: The `evolve`'s id.
        recorded: Rollouts that an earlier, interrupted start recorded.
    """

    def __init__(self, trials: Trials, run_id: str, recorded: Iterable[RecordedRollout] = ()) -> None:
        self._trials = trials
        self._run_id = run_id
        self._runs: defaultdict[Key, list[asyncio.Future[Rollout | None]]] = defaultdict(list)
        self._next_k: Counter[str] = Counter()
        for run, task_id, rollout in recorded:
            if rollout.purpose != "run":
                self._next_k[run] = max(self._next_k[run], rollout.k + 1)
            if rollout.arm == "skill":
                self.keep(task_id, [rollout])

    def keep(self, task_id: str, rollouts: Iterable[Rollout]) -> None:
        """Adds rollouts that a lineage ran, so that nobody runs them again."""
        for rollout in rollouts:
            ended: asyncio.Future[Rollout | None] = asyncio.get_running_loop().create_future()
            ended.set_result(rollout)
            self._runs[rollout.skill, task_id].append(ended)

    def fails(self, task: Task, ref: str | None) -> bool:
        """Returns whether a rollout of a text on a task has ended and not passed."""
        ended = (one.result() for one in self._runs.get((ref, task.id), []) if one.done() and not one.cancelled())
        return any(one is not None and one.passed is False for one in ended)

    async def known(self, task: Task, skill: PinnedSkill | None) -> list[Rollout]:
        """Returns the rollouts of a text on a task so far, those included that are under way."""
        runs = self._runs.get((skill["ref"] if skill else None, task.id), [])
        return [one for one in await asyncio.gather(*runs) if one is not None]

    async def run(
        self, task: Task, skill: PinnedSkill | None, purpose: Purpose, config: RunnableConfig, *, n: int = 1
    ) -> Sequence[Rollout]:
        """Returns the first `n` rollouts of a text on a task and runs those that are missing; a failed one is left out."""
        runs = self._runs[skill["ref"] if skill else None, task.id]
        while len(runs) < n:
            runs.append(asyncio.ensure_future(self._run(task, skill, purpose, config)))
        return [one for one in await asyncio.gather(*runs[:n]) if one is not None]

    async def control(self, task: Task, withheld: str, config: RunnableConfig) -> None:
        """Runs a task without the skill that it would be shown, to measure that one's lift."""
        await self._run(task, None, "replay", config, withheld=withheld)

    async def _run(
        self,
        task: Task,
        skill: PinnedSkill | None,
        purpose: Purpose,
        config: RunnableConfig,
        *,
        withheld: str | None = None,
    ) -> Rollout | None:
        ref = skill["ref"] if skill else "none"
        parts = (purpose, ref, task.id) if purpose == "gate" else (purpose, task.id, ref)
        run_id = ":".join((self._run_id, *parts))
        k = self._next_k[run_id]
        self._next_k[run_id] += 1
        run = dict(self._trials.run_for(run_id, task))
        if withheld is not None:
            run |= {"arm": "control", "withheld": withheld}
        trial = Trial(run=run, skill=skill, generation=0, k=k, purpose=purpose)
        tried = await self._trials.run(trial, config)
        return Rollout.from_json(tried["rollout"]) if tried["rollout"] else None
