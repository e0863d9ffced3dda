"""The node that ends a run: it picks the answer and records everything in one transaction."""

from collections.abc import Callable, Generator, Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from skill_plugin.graphs.nodes.node import SkillNode, Step, ask
from skill_plugin.graphs.nodes.verify import current_answer, judged
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.state import HostKeys, SkillOutput, history, reply_id_of, run_of, task_of
from skill_plugin.records import Generation
from skill_plugin.store import SkillStore
from skill_plugin.store.guard import OnStoreError, StoreGuard


def record_node(
    store: SkillStore,
    *,
    publish: bool = False,
    reply_key: str | None = "messages",
    on_store_error: OnStoreError = "skip",
) -> SkillNode:
    """Records the run's rollouts, credits the skill, and leaves the result in `skillp_result`.

    The answer is the best-rewarded one, the earliest among equals. Without `verify_node` the rollout is recorded
    without a reward, for `store.record_outcome` to give later.

    Args:
        store: The library.
        publish: Also write the result under its own names (`answer`, `reward`, ...), for a state that has these keys.
        reply_key: As in `execute_node`: where the host's messages show the answer of this run.
        on_store_error: `skip` keeps the answer where the store does not take the record within two seconds, and tries it again with the
            next run; `raise` raises.

    Raises:
        ConfigurationError: `on_store_error` is neither.
    """
    guard = StoreGuard(store, on_store_error)

    def body(state: Mapping[str, Any], config: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
        run, task = run_of(state), task_of(state)
        past = history(state) or [_unjudged(state)]
        rollouts = [rollout for generation in past for rollout in generation.rollouts]
        chosen = max(rollouts, key=lambda rollout: -1.0 if rollout.reward is None else rollout.reward)
        thread_id = (config.get("configurable") or {}).get("thread_id")

        def write() -> int:
            return store.runs.record(
                task,
                rollouts,
                run_id=run["run_id"],
                thread_id=None if thread_id is None else str(thread_id),
                chosen=chosen,
            )

        unrecorded = yield from ask(guard, lambda: _written(store, write), lambda why: why)
        if unrecorded is not None:
            store.runs.spool.add(write)
        result = SkillOutput(
            answer=chosen.answer,
            reward=chosen.reward,
            passed=chosen.passed,
            feedback=chosen.feedback,
            skill=chosen.skill,
            generations=max(generation.number for generation in past),
            run_id=run["run_id"],
            error=chosen.error,
        )
        facts = {key: result[key] for key in ("run_id", "reward", "passed", "skill", "generations")}
        emit("recorded", facts | {"unrecorded": unrecorded}, **result, unrecorded=unrecorded)
        update: dict[str, Any] = {"skillp_result": result, "skillp_attempt": None}
        if publish:
            update.update(result)
        reply_id = reply_id_of(run)
        shown = next(
            (message for message in state.get("messages") or [] if getattr(message, "id", None) == reply_id), None
        )
        if reply_key is not None and shown is not None and shown.text != chosen.answer:
            update[reply_key] = [AIMessage(chosen.answer, id=reply_id)]
        return update

    return SkillNode("record", body, HostKeys)


def _unjudged(state: Mapping[str, Any]) -> Generation:
    answer, error, note = current_answer(state)
    return judged(state, answer, None, error=error or note)


def _written(store: SkillStore, write: Callable[[], int]) -> str | None:
    """Writes a record, and then what waited for the store to answer again."""
    write()
    store.runs.spool.flush()
    return None
