"""What an experiment runs on: tasks, the frozen task LLM that answers them, the judge, and the skills to compare with."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from skill_plugin.graphs.nodes.execute import TaskLLM
from skill_plugin.protocols import Generator, Verifier
from skill_plugin.records import Task
from skill_plugin.skills.skill_md import SkillDocument, parse, render


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One draw of a world.

    Args:
        name: The world's name.
        model: Who answers, in words; a simulated one is called so.
        tasks: Tasks of both splits, with families. What is held out differs from what is trained on.
        llm: The frozen task LLM; see `execute_node`.
        verifier: Judges answers; its feedback is what a generator learns from.
        tests: Tasks to measure with, which `evolve` is not given; without any, every second held-out task is kept from it.
        starting: SKILL.md texts that a person would begin with: findable, and not enough.
        oracle: SKILL.md texts of an editor who knows everything, the upper bound.
        rules: A generator without a model, which files what the feedback says.
        max_concurrency: Calls of the task LLM at once.
        notes: Figures of its own for the table's foot, such as how the executor was trained.
    """

    name: str
    model: str
    tasks: Sequence[Task]
    llm: TaskLLM
    verifier: Verifier | Callable[[Task, str], Any]
    tests: Sequence[Task] = ()
    starting: Sequence[str]
    oracle: Sequence[str]
    rules: Generator | None = None
    max_concurrency: int = 32
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def train(self) -> list[Task]:
        return [task for task in self.tasks if task.split == "train"]

    @property
    def heldout(self) -> list[Task]:
        return [task for task in self.tasks if task.split == "heldout"]

    def parts(self) -> tuple[list[Task], list[Task]]:
        """Returns the tasks for `evolve`, whose gate takes the held-out ones, and those to measure with, which it never sees."""
        if self.tests:
            return list(self.tasks), list(self.tests)
        judging, measuring = list[Task](), list[Task]()
        for family in dict.fromkeys(task.family for task in self.heldout):
            of_family = sorted(
                (task for task in self.heldout if task.family == family), key=lambda task: task.content_hash
            )
            judging += of_family[::2]
            measuring += of_family[1::2]
        return [*self.train, *judging], measuring

    def library(self, row: str) -> Sequence[str]:
        """Returns the texts of a library that nothing changes; a world that has no such texts has an empty one."""
        return {"none": (), "starting": self.starting, "wrong": wrong(self.oracle), "oracle": self.oracle}[row]


def wrong(texts: Sequence[str]) -> list[str]:
    """Returns texts that are found where they should be, and say what another one says."""
    read = [parse(text) for text in texts]
    return [
        render(SkillDocument(one.name, one.description, other.body))
        for one, other in zip(read, [*read[1:], *read[:1]], strict=True)
    ]


_SHOWN = re.compile(r"^<skill-\w+ [^>]*>\n(.*?)\n</skill-\w+>$", re.MULTILINE | re.DOTALL)


def skill_texts(guidance: str) -> str:
    """Returns the skills' own text in an `AgentInput`'s guidance, for a simulated executor, which the words around it would mislead."""
    return "\n".join(_SHOWN.findall(guidance))
