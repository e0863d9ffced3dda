"""From settings to objects: the only place where a name becomes a store, a model or an agent."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from skill_plugin import verifiers
from skill_plugin.errors import ConfigurationError
from skill_plugin.generators.backends import BACKENDS, GeneratorName, server_url
from skill_plugin.models import chat_models
from skill_plugin.models.base_models import model_folder
from skill_plugin.models.named_models import resolved
from skill_plugin.settings import Settings
from skill_plugin.tasks.files import check_references, read_tasks
from skill_plugin.verifiers.loading import import_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from skill_plugin.checkpoints import Checkpoint
    from skill_plugin.generators.vllm_server import VllmServer
    from skill_plugin.integrations.function_calls import ServedFunctions
    from skill_plugin.protocols import Generator, Verifier
    from skill_plugin.records import Task
    from skill_plugin.store import SkillStore


def open_store(settings: Settings, *, create: bool, index: bool = True, check_embedder: bool = True) -> "SkillStore":
    """Opens the store of the home folder, or of the database that is set.

    A command that only looks does without the index: Chroma takes a second to start, exact search a millisecond.
    """
    from skill_plugin.store import SkillStore  # noqa: PLC0415 - SQLModel takes half a second

    return SkillStore.from_settings(settings, create=create, index=index, check_embedder=check_embedder)


def task_llm(settings: Settings, agent: str | None = None) -> Any:
    """Returns the agent at `package.module:attribute`, else the model that is set.

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


def tasks_and_judge(settings: Settings, path: Path, *, self_check: bool) -> "tuple[list[Task], Verifier | None]":
    """Reads the tasks of a file, and loads the verifier of those that name none.

    Args:
        settings: The settings that name that verifier.
        path: The tasks file.
        self_check: Give every verifier its task's reference first.

    Raises:
        InvalidTaskError: the file is wrong, or a reference does not pass its own verifier.
        ConfigurationError: a task has no verifier.
    """
    verifier = judge(settings)
    tasks = read_tasks(path, own=verifier)
    if verifier is None and (bare := next((task for task in tasks if task.verifier is None), None)):
        raise ConfigurationError(f"the task {bare.input[:60]!r} names no verifier; add one to it, or pass --verifier")
    if self_check:
        check_references(tasks, verifier)
    return tasks, verifier


def trained_model(settings: Settings, base_model: str | None, logged_as: str | None) -> tuple[str, str]:
    """Returns the generator's base model for a trainer, a folder or a name on the Hub, and its name in the histories.

    Raises:
        ConfigurationError: neither an argument nor the settings say it.
    """
    parsed = GeneratorName.parse(settings.generator or "")
    named = parsed.model if parsed else None
    if parsed and parsed.backend == "local":
        named = model_folder(resolved(parsed.model, settings.home))
    base = base_model or settings.base_model or named
    if base is None:
        which = f"the generator {settings.generator!r}" if settings.generator else "a generator that is not set"
        raise ConfigurationError(
            f"no base model is given, and {which} has none that can be trained; pass --base-model "
            "FOLDER, or set generator to local:FOLDER@live or vllm:MODEL@live"
        )
    folder = str(resolved(base, settings.home))
    return folder, logged_as or named or folder


def writer(settings: Settings, base_model: str, logged_as: str) -> "Callable[[Checkpoint | None], Generator]":
    """Makes the generator of a checkpoint, None being the base model's: on the vLLM server that is set, else in this process."""
    parsed = GeneratorName.parse(settings.generator or "")
    served = parsed is not None and parsed.backend != "local"
    name = parsed._replace(model=logged_as) if parsed and served else GeneratorName("local", base_model)
    return BACKENDS[name.backend](name._replace(adapter=None), settings).make


def vllm_server(settings: Settings) -> "VllmServer | None":
    """Returns the server that the generator is on; None for a generator without a server."""
    from skill_plugin.generators.vllm_server import VllmServer  # noqa: PLC0415 - an extra

    parsed = GeneratorName.parse(settings.generator or "")
    if parsed is None or parsed.backend != "vllm":
        return None
    return VllmServer(server_url(parsed, settings), timeout=settings.model_timeout)


def served_functions(settings: Settings, tools: str | None = None) -> "ServedFunctions":
    """Returns how functions are called outside of an agent: by the runner that is set, with the tools at `package.module:attribute`."""
    from skill_plugin.functions import runner  # noqa: PLC0415 - the sandbox
    from skill_plugin.integrations.function_calls import ServedFunctions  # noqa: PLC0415 - LangChain takes a second

    return ServedFunctions.named(tools, runner(settings.function_runner))


def judge(settings: Settings) -> "Verifier | None":
    """Returns the verifier of tasks that name none."""
    return verifiers.load(settings.verifier, import_functions=True) if settings.verifier else None
