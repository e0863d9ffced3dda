"""The gate on held-out tasks: runs what is live and the candidate side by side, then promotes or refuses."""

from collections.abc import Sequence

from langchain_core.runnables import Runnable

from skill_plugin.gate import GateDecision, paired_gate
from skill_plugin.graphs.state import SkillInput, SkillOutput
from skill_plugin.records import Task
from skill_plugin.store import SkillStore


def gate_version(
    store: SkillStore,
    graph: Runnable[SkillInput, SkillOutput],
    ref: str,
    tasks: Sequence[Task],
    *,
    max_concurrency: int = 8,
) -> GateDecision:
    """Decides whether a staged version goes live, and does it: `store.promote` or `store.refuse`.

    Every task is run twice as held out, so that nothing is revised: once with whatever retrieval finds today, once with
    the candidate pinned. A pair in which a verifier failed is left out.

    Args:
        store: The library.
        graph: A compiled `create_skill_graph`.
        ref: `skill_id@version` of the candidate.
        tasks: Held-out tasks of the candidate's family; without any, the version stays staged.
        max_concurrency: How many runs at once.
    """
    inputs = [_held_out(task, pin) for task in tasks for pin in (None, ref)]
    outputs = graph.batch(inputs, {"max_concurrency": max_concurrency})
    pairs = [
        (before["reward"], after["reward"])
        for before, after in zip(outputs[::2], outputs[1::2], strict=True)
        if before["reward"] is not None and after["reward"] is not None
    ]
    decision = paired_gate([before for before, _ in pairs], [after for _, after in pairs])
    if decision.promote:
        store.promote(ref, by="gate", decision=decision)
    else:
        store.refuse(ref, decision=decision)
    return decision


def _held_out(task: Task, pin: str | None) -> SkillInput:
    return SkillInput(
        task=task.input,
        reference=task.reference,
        family=task.family,
        verifier=task.verifier,
        split="heldout",
        pin=pin,
    )
