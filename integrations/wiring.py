"""From settings to objects: the only place where a name becomes a store, a model or an agent."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from skill_plugin import chat_models, generators, verifiers
from skill_plugin.errors import ConfigurationError
from skill_plugin.protocols import Generator
from skill_plugin.settings import Settings
from skill_plugin.task_files import check_references, read_tasks
from skill_plugin.verifiers.loading import import_object

if TYPE_CHECKING:
    from skill_plugin.checkpoint_record import Checkpoint
    from skill_plugin.protocols import Verifier
    from skill_plugin.records import Task
    from skill_plugin.store import SkillStore


def open_store(settings: Settings, *, create: bool, index: bool = True, check_embedder: bool = True) -> "SkillStore":
    """The store of the home folder, or of the database that is set.

    A command that only looks does without the index: Chroma takes a second to start, exact search a millisecond.
    """
    from skill_plugin.store import SkillStore  # noqa: PLC0415 - SQLModel takes half a second

    return SkillStore.from_settings(settings, create=create, index=index, check_embedder=check_embedder)


def task_llm(settings: Settings, agent: str | None = None) -> Any:
    """The agent at `package.module:attribute`, else the model that is set.

    Raises:
        ConfigurationError: neither is given, or it does not resolve.
    """
    if agent is not None:
        found = import_object(agent)
        if not callable(found) and not hasattr(found, "invoke"):
            raise ConfigurationError(f"{agent} is {type(found).__name__}, which cannot execute tasks; name an agent")
        return found
    if settings.model is None:
        raise ConfigurationError(
            "no task LLM is given; pass --model openai:gpt-5-mini, --model NAME --base-url URL, or --agent package.module:agent"
        )
    return chat_models.from_settings(settings)


def generator(settings: Settings, store: "SkillStore | None" = None) -> Generator | None:
    """The generator that is set, by default the task LLM's model; None if there is no model.

    Args:
        settings: Name it.
        store: Knows which checkpoint `@live` is; by default the settings' own, which is opened for as long as that takes.
    """

    def live() -> "Checkpoint | None":
        if store is not None:
            return store.live_checkpoint()
        with open_store(settings, create=True, index=False, check_embedder=False) as opened:
            return opened.live_checkpoint()

    return generators.from_settings(settings, live)


def tasks_and_judge(settings: Settings, path: Path, *, self_check: bool) -> "tuple[list[Task], Verifier | None]":
    """The tasks of a file, and the verifier of those that name none.

    Args:
        settings: Name that verifier.
        path: The tasks file.
        self_check: Give every verifier its task's reference first.

    Raises:
        InvalidTaskError: the file is wrong, or a reference does not pass its own verifier.
        ConfigurationError: a task has no verifier.
    """
    judge = verifiers.load(settings.verifier, import_functions=True) if settings.verifier else None
    tasks = read_tasks(path)
    if judge is None and (bare := next((task for task in tasks if task.verifier is None), None)):
        raise ConfigurationError(f"the task {bare.input[:60]!r} names no verifier; add one to it, or pass --verifier")
    if self_check:
        check_references(tasks, judge)
    return tasks, judge
