"""The node that has the skill rewritten."""

from collections.abc import Callable, Generator, Mapping
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig

from skill_plugin import protocols
from skill_plugin.errors import GeneratorError, InvalidTaskError
from skill_plugin.generators import as_generator, read
from skill_plugin.generators.prompt import SAME_TEXT
from skill_plugin.graphs.nodes.node import SkillNode, Step, ask
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.staging import checked_revisions, with_functions
from skill_plugin.graphs.state import HostKeys, PinnedSkill, SkillKeys, history, run_of, task_of
from skill_plugin.records import Generation, Revision
from skill_plugin.store import SkillStore, StagedRevision
from skill_plugin.store.guard import OnStoreError, StoreGuard

NextStep = Literal["execute", "revise", "record"]

HELD_OUT = "the task is held out in this library, so the generator may not see it"


def revise_node(
    store: SkillStore, generator: protocols.Generator | BaseChatModel, *, on_store_error: OnStoreError = "skip"
) -> SkillNode:
    """Has the generator write the next version of the skill, stages it, and pins it for the next attempt.

    A malformed text is kept as a failed revision that the next prompt shows; it uses up a generation. A node that is
    run again after a crash finds what it had staged and does not pay for it twice.

    Args:
        store: The library.
        generator: `generators.chat(model)`, a chat model, or anything with `propose(task, history, *, n)`.
        on_store_error: `skip` revises nothing where the store cannot answer, and the run ends with the answer that it has; `raise` raises.
    """
    writer, guard = as_generator(generator), StoreGuard(store, on_store_error)

    def body(state: Mapping[str, Any], _: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
        run, past = run_of(state), history(state)
        number = len(past)
        [(revision, skill)] = yield from staged_revisions(store, writer, state, guard, generation=number, n=1)
        current = past[-1].skill
        error = revision.error
        if skill is not None and skill.ref == current:
            error = SAME_TEXT
        said: dict[str, Any] = {"run_id": run["run_id"], "generation": number, "skill": skill.ref if skill else None}
        emit("revised", {**said, "malformed": error is not None}, **said, error=error)
        if skill is None or error is not None:
            failed = Generation(number=number, text=None, skill=current, error=error)
            return {"skillp_history": [*state["skillp_history"], failed.to_json()]}
        pinned = PinnedSkill(
            ref=skill.ref, name=skill.name, text=skill.text, score=None, why={"revision": number, "run": run["run_id"]}
        )
        return {"skillp_skills": [pinned, *(state.get("skillp_skills") or [])[1:]]}

    return SkillNode("revise", body, HostKeys)


def staged_revisions(
    store: SkillStore,
    writer: protocols.Generator,
    state: Mapping[str, Any],
    guard: StoreGuard,
    *,
    generation: int,
    n: int,
) -> Generator[Step, Any, list[StagedRevision]]:
    """Has `n` candidates written from one prompt, tested and staged; those of an earlier try of the same step, if there are any.

    The parent is the last of the history. A candidate whose tests fail is not staged.
    """
    run, task, past = run_of(state), task_of(state), history(state)
    if not past:
        raise InvalidTaskError("there is no verdict to revise from; put verify_node before this node")
    group_id = f"{run['run_id']}:{generation}"
    staged = yield from ask(guard, lambda: store.runs.staged(group_id), _unstaged)
    if staged:
        return staged
    held_out = yield from ask(guard, lambda: HELD_OUT if store.tasks.is_held_out(task) else "", lambda why: why)
    if held_out:
        return _unstaged(held_out)
    plain = past
    past = yield from ask(guard, lambda: with_functions(store, plain, run["run_id"]), lambda _: plain)
    apropose = getattr(writer, "apropose", None)
    proposed = yield Step(
        lambda: writer.propose(task, past, n=n), (lambda: apropose(task, past, n=n)) if apropose else None
    )
    parent, chain = past[-1].skill, past[-1].chain
    read_ones = [read(revision, past) for revision in checked(writer, proposed)[:n]]
    written: list[Revision] = yield Step(lambda: checked_revisions(store, read_ones, parent=parent, chain=chain))
    return (
        yield from ask(
            guard,
            lambda: store.runs.stage(
                task,
                written,
                run_id=run["run_id"],
                group_id=group_id,
                generation=generation,
                parent=parent,
            ),
            _unstaged,
        )
    )


def _unstaged(why: str) -> list[StagedRevision]:
    return [StagedRevision(Revision(completion="", error=why), None)]


def skill_router(max_generations: int = 3) -> Callable[[SkillKeys], NextStep]:
    """Where to go after `verify` and after `revise`, for `add_conditional_edges`.

    To `revise` while the answer fails and revisions are left, to `execute` when there is a new version to try, else to
    `record`. Control rollouts and held-out tasks are never revised: the generator must not see them.
    """

    def next_step(state: SkillKeys) -> NextStep:
        run, past = run_of(state), history(state)
        last = past[-1]
        skills = state.get("skillp_skills") or []
        if (skills[0]["ref"] if skills else None) != last.skill:
            return "execute"
        if last.rollouts and (last.rollouts[-1].reward is None or last.rollouts[-1].passed):
            return "record"
        seen_by_generator = run["arm"] == "skill" and run["task"]["split"] == "train"
        return "revise" if seen_by_generator and last.number < max_generations else "record"

    return next_step


def checked(writer: Any, proposed: Any) -> list[Revision]:
    """Checks what a generator returned.

    Raises:
        GeneratorError: it is not a list of revisions, or an empty one.
    """
    if not isinstance(proposed, list) or not proposed or not all(isinstance(item, Revision) for item in proposed):
        raise GeneratorError(f"generator {type(writer).__name__} returned {proposed!r:.200}; return a list of Revision")
    return proposed
