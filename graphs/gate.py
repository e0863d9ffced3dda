"""The gate on held-out tasks: runs what is live and the candidates side by side, then promotes the best or none."""

from collections.abc import Sequence

from langchain_core.runnables import Runnable

from skill_plugin.errors import ConfigurationError
from skill_plugin.gate import GateDecision, choose, paired_gate
from skill_plugin.graphs.observe import emit, span
from skill_plugin.graphs.state import SkillInput, SkillOutput
from skill_plugin.records import Task, split_ref
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
    return gate_versions(store, graph, [ref], tasks, max_concurrency=max_concurrency)[ref]


def gate_versions(
    store: SkillStore,
    graph: Runnable[SkillInput, SkillOutput],
    refs: Sequence[str],
    tasks: Sequence[Task],
    *,
    max_concurrency: int = 8,
) -> dict[str, GateDecision]:
    """As `gate_version`, for several versions of one skill: of those that pass, the one that replays best goes live.

    Raises:
        ConfigurationError: the versions are of several skills, or there are none.
    """
    if len({split_ref(ref)[0] for ref in refs}) != 1:
        raise ConfigurationError(
            f"the gate chooses among versions of one skill, got {list(refs)}; call it for each skill"
        )
    arms = (None, *refs)
    outputs = graph.batch(
        [_held_out(task, pin) for task in tasks for pin in arms], {"max_concurrency": max_concurrency}
    )
    rewards = [[output["reward"] for output in outputs[at :: len(arms)]] for at in range(len(arms))]
    decisions = choose({ref: _compared(rewards[0], after) for ref, after in zip(refs, rewards[1:], strict=True)})
    for ref, decision in decisions.items():
        with span("gate"):
            emit("gated", {"skill": ref, **decision.to_json()}, skill=ref, **decision.to_json())
            if decision.promote:
                store.promote(ref, by="gate", decision=decision)
            else:
                store.refuse(ref, decision=decision)
    return decisions


def _compared(before: Sequence[float | None], after: Sequence[float | None]) -> GateDecision:
    """The gate over the tasks that have a verdict both ways."""
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
    return paired_gate([b for b, _ in pairs], [a for _, a in pairs])


def _held_out(task: Task, pin: str | None) -> SkillInput:
    return SkillInput(
        task=task.input,
        reference=task.reference,
        family=task.family,
        verifier=task.verifier,
        split="heldout",
        pin=pin,
    )
