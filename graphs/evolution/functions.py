"""What one lineage does about functions: asks for them, tests what is written, lets candidates' functions run, counts their calls."""

import asyncio
from collections.abc import Mapping, Sequence

from skill_plugin.errors import StoreError
from skill_plugin.functions import SkillTests, allowed_tools
from skill_plugin.generators.shared_calls import shared_calls
from skill_plugin.graphs.evolution.shared import Shared
from skill_plugin.graphs.evolution.variants import Variant
from skill_plugin.graphs.staging import checked_revisions, scripts_of, with_errors, with_scripts
from skill_plugin.records import Generation, Revision, Rollout, Task
from skill_plugin.skills.skill_md import parse
from skill_plugin.store import StagedRevision, allow_functions, forbid_functions
from skill_plugin.store.runs.calls import runs_that_called


class LineageFunctions:
    """Functions in one lineage.

    Args:
        shared: What the lineages share.
        run_id: The lineage's run.
    """

    def __init__(self, shared: Shared, run_id: str) -> None:
        self._shared, self._run_id, self._tests = shared, run_id, SkillTests()
        self._allowed: list[str] = []
        self._may_call: set[str] = set()

    async def shown(self, history: Sequence[Generation], variants: Sequence[Variant]) -> list[Generation]:
        """Returns a history, the text that is revised last, with what its generator needs to know of functions."""
        plain = [one for one in variants if one.called is None]
        own = [rollout for one in plain for rollout in one.own]
        family = [rollout for one in plain for rollouts in one.later.values() for rollout in rollouts]
        chain = shared_calls(own) or shared_calls(_distinct([*own, *family]))
        told = await asyncio.to_thread(with_errors, self._shared.store, history, self._run_id)
        return [*told[:-1], await asyncio.to_thread(with_scripts, self._shared.store, told[-1], chain)]

    async def tested(self, proposed: Sequence[Revision], current: Generation, parent: str | None) -> list[Revision]:
        """Returns what was written, with an error where its tests fail, or where SAGE's credit misses a function."""
        self._may_call |= {*current.chain, *(allowed_tools(parse(current.text).extra) if current.text else ())}
        wants = bool(current.chain) and self._shared.settings.weights.bonus > 0
        return await asyncio.to_thread(
            lambda: checked_revisions(
                self._shared.store,
                proposed,
                parent=parent,
                chain=current.chain,
                wants_function=wants,
                tests=self._tests,
            )
        )

    async def allow(self, staged: Sequence[StagedRevision]) -> None:
        """Lets the functions of candidates run while they are tried, where the settings say so and a test passes.

        One that names tools which neither its parent allows nor the agent called in runs that passed waits for an operator.
        """
        if not self._shared.settings.allow_functions:
            return
        for revision, skill in staged:
            is_sound = revision.checks.get("passed") and not revision.checks.get("failures")
            if skill is not None and is_sound and self._may_call.issuperset(allowed_tools(parse(skill.text).extra)):
                await asyncio.to_thread(self._allow, skill.ref)

    async def end(self) -> None:
        """Takes back what was allowed of candidates that did not go live."""
        for ref in self._allowed:
            await asyncio.to_thread(self._forbid_unless_live, ref)

    async def called(self, variant: Variant, siblings: Sequence[Task]) -> Mapping[str, bool] | None:
        """Returns for each sibling, by content hash, whether a function of a text ran there; None where it has no functions."""
        ref, store = variant.ref, self._shared.store
        if ref is None or not await asyncio.to_thread(scripts_of, store, ref):
            return None
        ours = self._run_id.partition(":")[0]
        runs = [one for one in await asyncio.to_thread(runs_that_called, store, ref) if one.startswith(f"{ours}:")]
        return {task.content_hash: any(task.id in run for run in runs) for task in siblings}

    def _allow(self, ref: str) -> None:
        try:
            allow_functions(
                self._shared.store, ref, reason="its tests pass, and allow_functions is on", by=self._shared.by
            )
        except StoreError:  # the scanner holds it, or it was retired meanwhile
            return
        self._allowed.append(ref)

    def _forbid_unless_live(self, ref: str) -> None:
        skill = self._shared.store.get(ref)
        if skill.live_version != skill.version:
            forbid_functions(self._shared.store, ref, reason="it did not go live", by=self._shared.by)


def _distinct(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """Returns rollouts without repetitions: several variants may share those of what is live."""
    return list({id(one): one for one in rollouts}.values())
