"""Tasks of one's own, in a file that `skill-plugin evolve --tasks` reads, with any model. There is no oracle: nobody knows the best skills."""

import random
from dataclasses import dataclass
from pathlib import Path

from bench import Bench

from skill_plugin import verifiers
from skill_plugin.errors import ConfigurationError
from skill_plugin.integrations import wiring
from skill_plugin.models import chat_models
from skill_plugin.protocols import Verifier
from skill_plugin.records import Task, Verdict
from skill_plugin.settings import Settings


@dataclass(frozen=True)
class TasksJudge:
    """Judges each task by the verifier that it names, else by the one that is given for all others."""

    others: Verifier | None

    def verify(self, task: Task, answer: str) -> Verdict:
        judge = self.others if task.verifier is None else verifiers.verifier_of(task.verifier, self.others)
        if judge is None:
            raise ConfigurationError(
                f"the task {task.input[:60]!r} names no verifier; add one to it, or give --verifier"
            )
        return verifiers.run(judge, task, answer)


def of_both_splits(settings: Settings, tasks: Path) -> tuple[list[Task], TasksJudge]:
    """Reads a tasks file, and makes the judge of its tasks.

    Raises:
        InvalidTaskError: the file is wrong, or a reference does not pass its own verifier.
        ConfigurationError: the verifier cannot be had, or a split has no task.
    """
    read, others = wiring.tasks_and_judge(settings, tasks, self_check=True)
    for name in ("train", "heldout"):
        if all(task.split != name for task in read):
            raise ConfigurationError(f"no task of {str(tasks)!r} is of the split {name!r}; write a split on its lines")
    return read, TasksJudge(others)


def bench(
    seed: int,
    *,
    tasks: Path,
    model: str,
    base_url: str | None = None,
    verifier: str | None = None,
    max_concurrency: int = 8,
    max_tokens: int | None = None,
) -> Bench:
    """Returns a tasks file as a bench.

    Args:
        seed: The order of the tasks. Seeds differ in that, and in what the models happen to write, not in their tasks.
        tasks: The file; see `skill_plugin.tasks.files`.
        model: The task LLM, such as `openai:gpt-5-mini`; see `chat_models.load`.
        base_url: An OpenAI-compatible server.
        verifier: For tasks that name none: a name, or `module:function`.
        max_concurrency: Calls of the model at once.
        max_tokens: Tokens of a reply, at most.

    Raises:
        InvalidTaskError: see `of_both_splits`.
        ConfigurationError: the model cannot be had; and see there.
    """
    settings = Settings.load(model=model, base_url=base_url, verifier=verifier, task_max_tokens=max_tokens)
    read, judge = of_both_splits(settings, tasks)
    random.Random(f"tasks {seed}").shuffle(read)
    llm = chat_models.from_settings(settings)
    return Bench(
        name=tasks.stem,
        model=chat_models.name_of(llm),
        tasks=read,
        llm=llm,
        verifier=judge,
        starting=[],
        oracle=[],
        max_concurrency=max_concurrency,
        notes={"families": len({task.family for task in read})},
    )
